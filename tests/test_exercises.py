"""check and exercise: what is said of each mistake, what is sent where; nothing of theirs is disturbed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import anthropic
import nbformat
import numpy
import pytest
from nbclient import NotebookClient

from course_helpers import Conversation, practice
from course_helpers import client as course_client
from course_helpers.learning import CheckFailed, Outcome, check, exercise, redirect, sandbox
from course_helpers.learning import exercises as marking
from course_helpers.learning.graders import FILE, exercises, read
from course_helpers.learning.progress import store
from course_helpers.practice_api import PRACTICE_KEY, Practice

HELD = tomllib.loads(Path(__file__).with_name("clients_held.toml").read_text(encoding="utf-8"))
HELPERS = """
import anthropic, threading
from course_helpers import MODEL, Conversation, connect, reply_text
def asking(question):
    return {"model": MODEL, "max_tokens": 300, "messages": [{"role": "user", "content": question}]}
def reviewing(code, instructions):
    return asking(code) | {"max_tokens": 500, "system": instructions}
def call(client, question):
    return reply_text(client.messages.create(**asking(question)))
def text_in(reply):
    return "".join(block["text"] for block in reply["content"] if block["type"] == "text")
"""
RIGHT = "def ask(question):\n    return call(client, question)"
ELSEWHERE = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "ANTHROPIC_API_KEY": "sk-ant-real"}


@pytest.fixture(autouse=True)
def _own_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "progress"))
    monkeypatch.setattr(marking, "_failures", {})


@pytest.fixture
def own() -> Iterator[Practice]:
    """The learner's own server, where every call of a graded function would be a mistake."""
    server = Practice()
    yield server
    server.stop()


@pytest.fixture
def client(own: Practice) -> Iterator[anthropic.Anthropic]:
    """The learner's client, for that server."""
    with anthropic.Anthropic(base_url=own.url, api_key=PRACTICE_KEY, max_retries=0) as made:
        yield made


def notebook(code: str, client: object = None, **names: object) -> dict:
    """A notebook whose learner wrote `code`."""
    made = {"client": client, **names}
    exec(compile(HELPERS, "<helpers>", "exec"), made)
    exec(compile(code, "<learner>", "exec"), made)
    return made


def graded(code: str | dict, name: str = "ask") -> Outcome:
    """The outcome of an exercise whose learner wrote `code`."""
    namespace = notebook(code) if isinstance(code, str) else code
    return eval(f"exercise({name!r})", namespace | {"exercise": exercise})


def words(outcome: object) -> str:
    """What is shown, on one line."""
    return " ".join(repr(outcome).split())


def everything() -> list[object]:
    """What grading changes for a while, and puts back."""
    hooked = [vars(owner).get(name) for owner, name, _ in redirect.HOOKS]
    return [dict(os.environ), dict(vars(course_client)), sys.stdout, sys.stderr, *hooked]


def is_as(before: list[object]) -> bool:
    """Is everything as it was `before`? A thread that a chat cell works in ends a moment later."""
    deadline = time.monotonic() + 10
    while everything() != before and time.monotonic() < deadline:
        time.sleep(0.02)
    return everything() == before


def test_check(capsys):
    """A claim that holds is one line; one that does not raises and says what was seen, whatever that is."""
    hostile = type("Hostile", (list,), {"__repr__": lambda self: 1 / 0})()
    no_truth = numpy.array([1, 2]) == numpy.array([1, 2])
    for truth, seen in (
        *((falsy, repr(falsy)) for falsy in (False, 0, "", [], None)),
        (no_truth, "ndarray, which is not one truth"),
        (hostile, "an object of type Hostile"),
    ):
        with pytest.raises(CheckFailed, match=r"the claim\n  seen: ") as caught:
            check("the claim", truth)
        assert seen in str(caught.value)
    assert check("two and two are four", 2 + 2 == 4) is None
    assert capsys.readouterr().out == "✓ two and two are four\n"


@pytest.mark.parametrize(
    "code",
    [
        *("", "ask = ...", "ask = None", "def ask(question): ...", "def ask(question): pass"),
        "def ask(question):\n    '''Return it.'''\n    # your code",
        "def ask(question):\n    '''Return it.'''\n    ...",
        "def ask(question):\n    raise NotImplementedError",
    ],
)
def test_not_started(code):
    """A stub and NotImplementedError are no mistakes; asking again brings a hint each time."""
    shown = [words(graded(code)) for _ in range(5)]
    assert shown[0].startswith("Exercise 1.1 · Ask · not started Write the body of ask in the cell above")
    assert [re.findall(r"Hint \d of 3", text) for text in shown[1:]] == [
        [f"Hint {n} of 3"] for n in (1, 2, 3, 3)
    ]
    assert "Hint" not in shown[0]
    assert "one call through the SDK" in shown[1]


BODIES = {
    "return 1 / 0": "it raised ZeroDivisionError: division by zero (line 2",
    "return paris": "it raised NameError: name 'paris' is not defined (line 2",
    "import sys; sys.exit(3)": "it called sys.exit() or exit(): return instead",
    "return ask(question)": "it raised RecursionError",
    "return input('Which? ')": "input() has nobody to ask here",
    "raise BaseException('odd')": "it raised BaseException: odd",
    "assert question == 'x', 'a word'": "it raised AssertionError: a word (line 2",
    "yield 'Paris'": "no request reached the API",
    "raise type('Odd', (Exception,), {'__str__': None})": "it raised Odd (line 2",
    "raise ValueError(f'{object()} ' * 1000)": "it raised ValueError: <object object> <",
    "call(connect(), question); return 'x' * 10**7": "it returned 'xxx",
    "call(connect(), question); return (_ for _ in iter(int, 1))": "it returned <generator object",
    "call(anthropic.Anthropic(), question); print(*['spam'] * 10**6)": "It printed: spam spam",
    "call(connect(), question); return type('Odd', (str,), {'__eq__': 0, '__repr__': 0})()": "of type Odd",
    "call(connect(), question); x = []; return [x := [x] for _ in range(9999)][-1]": "returns no text",
}


@pytest.mark.parametrize("body", BODIES)
def test_mistakes_in_words(body, capsys):
    """Whatever the function raises, returns or prints, it comes out as a short sentence and nowhere else."""
    outcome = graded(f"def ask(question):\n    {body}")
    assert outcome.state == "not yet"
    assert BODIES[body] in words(outcome)
    assert len(repr(outcome)) < 1_000
    assert capsys.readouterr().out == ""


def test_what_is_no_function():
    """Neither a text nor a class nor a function of other arguments passes; some cannot be judged."""
    for code, name, seen in (
        ("ask = 'Paris'", "ask", "ask is no function but of type str"),
        ("def ask(): return 1", "ask", "it raised TypeError: ask() takes 0 positional arguments but 1 was"),
        ("class ask:\n    def __init__(self, question): pass", "ask", "no request reached the API"),
        ("async def ask(question): return 'Paris'", "ask", "no request reached the API"),
        (
            "class Odd:\n    def __eq__(*_): 1 / 0\ndef reset(session): session['history'] = Odd()",
            "reset",
            "could not be judged: it raised ZeroDivisionError",
        ),
    ):
        assert seen in words(graded(code, name))


LOOPS = {
    "plain": "while True: pass",
    "sleep": "time.sleep(60)",
    "except Exception": "while True:\n  try: 1 / 0\n  except Exception: continue",
    "bare except": "while True:\n  try:\n    while True: x = 1\n  except: pass",
    "finally": "while True:\n  try: x = 1\n  finally: continue",
}


@pytest.mark.parametrize("loop", LOOPS)
def test_endless_loops_end(loop):
    """Each kind of endless loop ends at the limit, also one that swallows everything."""
    ran = sandbox.run(lambda: exec(LOOPS[loop], {"time": time}), seconds=0.3)
    assert "loop that never ends" in sandbox.in_words(ran.error)


def test_another_thread_has_a_limit_too():
    """Away from the main thread, and so on Windows, the run has a thread of its own that is asked to end."""
    results = []

    def work() -> None:
        results.append(sandbox.run(lambda: [None for _ in iter(int, 1)], seconds=0.2))
        results.append(sandbox.run(lambda: 7, seconds=5))

    worker = threading.Thread(target=work)
    worker.start()
    worker.join(10)
    assert isinstance(results[0].error, sandbox.TimeUp)
    assert results[1].value == 7
    deadline = time.monotonic() + 9
    while any(thread.name == "exercise" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("seconds", [60, 0.1])
def test_a_coroutine_is_run_to_its_end_or_its_limit(seconds):
    """What an `async def` comes to, also where a loop is running already, as in a notebook."""

    async def learners() -> int:
        await asyncio.sleep(seconds)
        return 7

    async def in_a_notebook() -> sandbox.Ran:
        return sandbox.run(learners, seconds=0.5)

    for ran in (sandbox.run(learners, seconds=0.5), asyncio.run(in_a_notebook())):
        assert ran.is_async
        assert ran.value == 7 if seconds < 1 else isinstance(ran.error, sandbox.TimeUp)


@pytest.mark.slow
def test_in_a_kernel():
    """In a notebook: a syntax error hides no older version, async works, a failed check is one line."""
    cells = [
        "import anthropic\nfrom course_helpers.learning import check, exercise\n" + HELPERS,
        "def ask(question):\n    return 'Jupiter.'",
        "def ask(question):\n    return client.messages.create(model=MODEL",
        "exercise('ask')",
        "async def ask(question):\n    message = await anthropic.AsyncAnthropic().messages"
        ".create(**asking(question))\n    return reply_text(message)",
        "exercise('ask')",
        "check('this one fails', False)",
    ]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    for number in (2, -1):
        made.cells[number].metadata.tags = ["raises-exception"]
    NotebookClient(made, timeout=60, kernel_name="python3").execute()
    broken, passed = (made.cells[n].outputs[-1].data["text/plain"] for n in (3, 5))
    assert "syntax error: '(' was never closed (line 2: return client.mess" in " ".join(broken.split())
    assert passed.startswith("✓ Exercise 1.1")
    assert "It is async: whoever calls it must await it." in passed
    assert made.cells[-1].outputs[0].traceback == ["✗ this one fails\n  seen: False"]


def test_importing_it_is_light():
    """The names of a setup cell bring neither widgets nor a server along."""
    heavy = "'ipywidgets', 'pandas', 'starlette', 'uvicorn', 'IPython'"
    code = f"import sys, course_helpers.learning; print([m for m in ({heavy}) if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_exercise_is_well_made():
    """Numbered without a gap in each lesson; each hint for a mistake names one that its grader knows."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (FILE.parent / "graders").glob("*.py"))
    sources += (FILE.parent / "grading.py").read_text(encoding="utf-8")
    by_lesson: dict[int, list[str]] = {}
    for each in exercises().values():
        by_lesson.setdefault(each.lesson, []).append(each.number)
        for mistake in each.mistakes:
            name = re.sub(
                r"^(raises|status|timeout|other)\b.*|.* (?=not (caught|changed|printed))", "", mistake
            )
            assert name in sources, (each.name, mistake)
    for lesson, numbers in by_lesson.items():
        assert numbers == [f"{lesson}.{n}" for n in range(1, len(numbers) + 1)]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('number = "2.1"', 'number = "two"', "line {number}: number: String should match pattern"),
        ('title = "The reviewer"', "", "line {id}: title: Field required"),
        ("[exercise.mistakes]", "[exercise.mistake]", "mistake: Extra inputs are not permitted"),
        ('id = "review"', 'id = "revue"', "line {id}: id: Value error, there is no grader called revue"),
        ("[[exercise]]", "[[exercise]", "(at line"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(before, after, said):
    """A teacher who edits it is told where."""
    good = FILE.read_text(encoding="utf-8")
    lines = good.splitlines()
    at = {"id": lines.index('id = "review"') + 1, "number": lines.index('number = "2.1"') + 1}
    if "title" in said:
        at["id"] -= 1
    with pytest.raises(ValueError, match=rf"exercises\.toml.*{re.escape(said.format(**at))}"):
        read(good.replace(before, after, 1))


def test_a_hint_speaks_of_the_mistake():
    """It comes at once where the sentence does not hold the cure; seen thrice, the solution is pointed to."""
    wrong = "def ask(question):\n    return client.messages.create(**asking(question)).content[0].text"
    for times in (1, 2, 3):
        outcome = graded(notebook(wrong, anthropic.Anthropic(**LIVE)))
        assert outcome.mistake == "position 0"
        assert "Hint: No position is sure" in words(outcome)
        assert ("solution 1.1 is folded below" in words(outcome)) == (times == 3)
    assert graded(notebook(RIGHT, anthropic.Anthropic(**LIVE))).passed
    kept = [(event["passed"], event["mistake"]) for event in store.events() if event["name"] == "ask"]
    assert kept == [*3 * [(False, "position 0")], (True, "")]


LIVE = {"base_url": "http://127.0.0.1:9", "api_key": "sk-ant-real", "max_retries": 0, "timeout": 3}


def test_what_was_sent_can_be_looked_at(monkeypatch):
    """Keys redacted; the function is found where exercise is called; faults and journal of theirs stay."""
    practice.reset()
    live = anthropic.Anthropic(**LIVE)
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1")  # no proxy stops grading, whatever it is
    monkeypatch.setenv("http_proxy", "gopher://x")

    def ask(question):
        asked = [{"role": "user", "content": question}]
        message = live.messages.create(model="claude-haiku-5-5", max_tokens=300, messages=asked)
        return "".join(block.text for block in message.content if block.type == "text")

    with practice.fail_next(500, times=3), practice.pace(tokens_per_second=1):
        outcome = exercise("ask")
        assert "3 left" in repr(practice)
    assert len(practice.journal) == 0
    assert [each.status for each in outcome.sent] == 4 * [200]
    assert "Which planet is the largest?" in str(outcome.sent[0])
    assert "practice" not in str(outcome.sent[0].headers)
    # The same each time: no clock, port or address.
    assert repr(outcome) == repr(exercise("ask"))
    assert not re.search(r"127\.0\.0\.1|0x[0-9a-f]+|\d+\.\d+ ?s\b", repr(outcome))
    with pytest.raises(LookupError, match="ask, raw_call"):
        exercise("aks")


@pytest.mark.parametrize("holding", HELD)
def test_no_call_of_a_graded_function_reaches_another_server(holding, own, client, monkeypatch):
    """However the client is held: passed, nothing sent to the learner's server, and led there afterwards."""
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(course_client, "_current", client)
    made = notebook(HELD[holding], client)
    before = everything()
    outcome = graded(made, "ask" if "ask" in made else "review")
    assert outcome.passed, outcome
    assert {each.status for each in outcome.sent} == {200}
    assert len(own.journal) == 0
    assert is_as(before)
    assert made["call"](client, "And now?")
    assert len(own.journal) == 1


def test_a_request_of_another_thread_or_task_waits(own, client):
    """While a function is graded, a chat beside it waits; its own server answers it, and nobody else's."""
    code = (
        "def ask(question):\n    begun.set()\n    assert waiting.wait(9)\n    return call(client, question)"
    )
    begun, waiting = threading.Event(), threading.Event()
    made = notebook(code, client, begun=begun, waiting=waiting)
    chat, replies = Conversation(client), []

    def beside() -> None:
        begun.wait(9)
        threading.Timer(0.1, waiting.set).start()
        replies.append(chat.send("Say hello.").text)

    async def ask_async() -> None:
        twin = anthropic.AsyncAnthropic(base_url=own.url, api_key=PRACTICE_KEY, max_retries=0)
        replies.append((await twin.messages.create(**made["asking"]("Say hello."))).content[0].text)

    def beside_as_a_task() -> None:
        begun.wait(9)
        asyncio.run(ask_async())

    threads = [threading.Thread(target=work) for work in (beside, beside_as_a_task)]
    for thread in threads:
        thread.start()
    outcome = graded(made)
    for thread in threads:
        thread.join(20)
    assert outcome.passed, outcome
    asked = [{each.body["messages"][0]["content"] for each in sent} for sent in (outcome.sent, own.journal)]
    assert asked == [{"Which planet is the largest?"}, {"Say hello."}]
    assert replies == [own.journal[-1].reply["content"][0]["text"]] * 2


def test_a_request_under_way_is_left_alone_and_said(own, client):
    """Grading waits for it for two seconds; then it says so."""
    made, errors = notebook(RIGHT, client), []

    def beside() -> None:
        try:
            made["call"](client, "Say hello.")
        except anthropic.APIConnectionError as error:
            errors.append(error)

    with own.pace(first_token_seconds=60):
        chat = threading.Thread(target=beside)
        chat.start()
        while len(own.journal) == 0:
            time.sleep(0.01)
        outcome = graded(made)
    assert outcome.passed
    assert "Another request of yours was still under way" in words(outcome)
    own.stop()
    chat.join(20)
    assert len(errors) == len(own.journal) == 1


@pytest.mark.parametrize("end", ["raise OSError", "exit()", "raise KeyboardInterrupt", "while True: pass"])
def test_all_is_as_before_however_it_ends(end, monkeypatch):
    """Also after an error, an interrupt or a time-out."""
    monkeypatch.setattr(sandbox, "TIME_LIMIT", 0.2)
    before = everything()
    with contextlib.suppress(KeyboardInterrupt):
        code = f"def ask(question):\n    import os\n    os.environ['LEFT'] = 'x'\n    {end}"
        assert graded(code).state == "not yet"
    assert everything() == before


def test_what_outlives_its_run_reaches_nothing(own, client):
    """A thread that goes on after its time can send nothing any more, neither here nor there."""
    code = """
def late():
    over.wait(9)
    try: call(client, "Now?")
    except anthropic.APIConnectionError as error: errors.append(error)
def ask(question):
    threads.append(threading.Thread(target=late))
    threads[0].start()
"""
    before, over = everything(), threading.Event()
    made = notebook(code, client, over=over, errors=[], threads=[])
    graded(made)
    over.set()
    made["threads"][0].join(9)
    assert len(made["errors"]) == 1
    assert len(own.journal) == 0
    assert everything() == before
