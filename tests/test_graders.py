"""The graders' bench: a practice API of its own, hints that step, and nothing of the learner's disturbed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import threading
import time
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path

import anthropic
import pytest

from course_helpers import Conversation, practice
from course_helpers import client as course_client
from course_helpers.learning import exercise, grading, redirect, sandbox
from course_helpers.learning import exercises as marking
from course_helpers.learning.graders import FILE, exercises, read
from course_helpers.learning.progress import store
from course_helpers.practice_api import PRACTICE_KEY, Practice

RIGHT = """
def ask(question):
    message = client.messages.create(
        model=MODEL, max_tokens=300, messages=[{"role": "user", "content": question}])
    return "".join(block.text for block in message.content if block.type == "text")
"""
WORTH_RETRYING = """
def worth_retrying(error):
    if isinstance(error, anthropic.EnforcedSpendLimitReachedError):
        return False
    if isinstance(error, anthropic.APIConnectionError):
        return True
    return error.status_code in (408, 409, 429) or error.status_code >= 500
"""
GRADERS = FILE.parent / "graders"
WRONG = RIGHT.replace("block.text", "block.txet")


@pytest.fixture(autouse=True)
def _own_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "progress"))
    monkeypatch.setattr(marking, "_failures", {})


def namespace(code: str, client: anthropic.Anthropic | None = None) -> dict:
    """A notebook whose learner wrote `code`."""
    made = {"MODEL": "claude-haiku-5-5", "client": client, "exercise": exercise, "anthropic": anthropic}
    exec(code, made)
    return made


@pytest.fixture
def live() -> anthropic.Anthropic:
    """A client for a place where every call would be a mistake."""
    return anthropic.Anthropic(base_url="http://127.0.0.1:9", api_key="sk-ant-real", max_retries=0, timeout=3)


HELD = tomllib.loads(Path(__file__).with_name("clients_held.toml").read_text(encoding="utf-8"))
HELPERS = """
import anthropic
from course_helpers import Conversation, connect, reply_text
def asking(question):
    return {"model": MODEL, "max_tokens": 300, "messages": [{"role": "user", "content": question}]}
def reviewing(code, instructions):
    return asking(code) | {"max_tokens": 500, "system": instructions}
def call(client, question):
    return reply_text(client.messages.create(**asking(question)))
def text_in(reply):
    return "".join(block["text"] for block in reply["content"] if block["type"] == "text")
"""
ELSEWHERE = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "ANTHROPIC_API_KEY": "sk-ant-real"}


def everything() -> list[object]:
    """What grading changes for a while, and puts back."""
    places = [(owner, name) for owner, name, _ in redirect.HOOKS]
    return [dict(os.environ), dict(vars(course_client)), *(vars(owner).get(name) for owner, name in places)]


@pytest.fixture
def own() -> Iterator[Practice]:
    """The learner's own server, where every call of a graded function would be a mistake."""
    server = Practice()
    yield server
    server.stop()


@pytest.mark.parametrize("holding", HELD)
def test_no_call_of_a_graded_function_reaches_another_server(holding, own, monkeypatch):
    """However the client is held: passed, nothing sent to the learner's server, and led there afterwards."""
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value)
    client = anthropic.Anthropic(base_url=own.url, api_key=PRACTICE_KEY, max_retries=0)
    monkeypatch.setattr(course_client, "_current", client)
    notebook = namespace(HELPERS + HELD[holding], client)
    before = everything()
    outcome = eval("exercise('ask' if 'ask' in globals() else 'review')", notebook)
    assert outcome.passed, outcome
    assert {each.status for each in outcome.sent} == {200}
    assert len(own.journal) == 0
    deadline = time.monotonic() + 10  # a thread that a chat cell works in ends a moment later
    while everything() != before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert everything() == before
    assert notebook["call"](client, "And now?")
    assert len(own.journal) == 1
    client.close()


def test_the_learners_practice_api_is_untouched(live):
    """Their journal and the faults they set stay, and do not disturb the grading."""
    practice.reset()
    with practice.fail_next(500, times=3), practice.pace(tokens_per_second=1):
        assert eval("exercise('ask')", namespace(RIGHT, live)).passed
        assert "fail_next(500), 3 left" in repr(practice)
    assert len(practice.journal) == 0


def test_what_was_sent_can_be_looked_at(live):
    """The outcome holds the exchanges, keys redacted; a grader that fails in a fault leaves none set."""
    assert not eval("exercise('ask')", namespace(WRONG, live)).passed
    assert str(grading._practice.api.faults) == "none"
    outcome = eval("exercise('ask')", namespace(RIGHT, live))
    assert [each.status for each in outcome.sent] == 4 * [200]
    assert "Which planet is the largest?" in str(outcome.sent[0])
    assert "practice" not in str(outcome.sent[0].headers)


def test_a_hint_speaks_of_the_mistake(live):
    """It comes at once where the sentence does not hold the cure; seen thrice, the solution is pointed to."""
    wrong = namespace(
        "def ask(question):\n    return client.messages.create(**asking(question)).content[0].text", live
    )
    wrong["asking"] = namespace(HELPERS)["asking"]
    for times in (1, 2, 3):
        outcome = eval("exercise('ask')", wrong)
        assert outcome.mistake == "position 0"
        assert "Hint: No position is sure" in repr(outcome)
        assert ("solution 1.1 is folded below" in " ".join(repr(outcome).split())) == (times == 3)
    assert eval("exercise('ask')", namespace(RIGHT, live)).passed
    kept = [(event["passed"], event["mistake"]) for event in store.events() if event["name"] == "ask"]
    assert kept == [*3 * [(False, "position 0")], (True, "")]


def test_the_name_of_an_exercise(live):
    """Its function is looked up where exercise is called, locals first; an unknown name is told so."""

    def ask(question):
        return live.messages.create(
            model="claude-haiku-5-5", max_tokens=300, messages=[{"role": "user", "content": question}]
        )

    first, second = (
        repr(exercise("ask")),
        repr(exercise("ask")),
    )  # the same each time: no clock, port, address
    assert first == second
    assert not re.search(r"127\.0\.0\.1|0x[0-9a-f]+|\d+\.\d+ ?s\b", first)
    with pytest.raises(LookupError, match="ask, raw_call"):
        exercise("aks")


def test_a_function_that_wrecks_its_arguments():
    """A grader that cannot make sense of what is left says so."""
    code = """
def reset(session):
    session["history"] = type("Odd", (), {"__eq__": lambda *_: 1 / 0})()
    print("[History cleared]")
"""
    text = repr(eval("exercise('reset')", namespace(code)))
    assert "could not be judged: it raised ZeroDivisionError" in " ".join(text.split())


def test_every_exercise_is_well_made():
    """Numbered without a gap in each lesson; each hint for a mistake names one that its grader knows."""
    by_lesson: dict[int, list[str]] = {}
    sources = "\n".join(path.read_text(encoding="utf-8") for path in GRADERS.glob("*.py"))
    sources += (GRADERS.parent / "grading.py").read_text(encoding="utf-8")
    for each in exercises().values():
        assert each.grade.__doc__
        by_lesson.setdefault(each.lesson, []).append(each.number)
        for mistake in each.mistakes:
            kind = re.sub(
                r"^(raises|status|timeout)\b.*|\w+ (?=not caught)|.*(?= cost not printed)", "", mistake
            )
            assert f"{kind}" in sources, (each.name, mistake)
    for lesson, numbers in by_lesson.items():
        assert numbers == [f"{lesson}.{n}" for n in range(1, len(numbers) + 1)]


GOOD = FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ('number = "2.1"', 'number = "two"'),
            "line {number}: in review, number: String should match pattern",
        ),
        (('title = "The reviewer"', ""), "line {table}: in review, title: Field required"),
        (("[review.mistakes]", "[review.mistake]"), "in review, mistake: Extra inputs are not permitted"),
        (("[few_shot]", "[few_shots]"), "there is no grader called few_shots"),
        (("[few_shot]", "[few_shot"), "(at line"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(change, said):
    """A teacher who edits it is told where."""
    assert change[0] in GOOD
    lines = GOOD.splitlines()
    said = said.format(table=lines.index("[review]") + 1, number=lines.index('number = "2.1"') + 1)
    with pytest.raises(ValueError, match=rf"exercises\.toml.*{re.escape(said)}"):
        read(GOOD.replace(*change, 1))


SLOW = """
import threading
def ask(question):
    begun.set()
    assert waiting.wait(9)
    return call(client, question)
"""


def test_a_request_of_another_thread_or_task_waits(own):
    """While a function is graded, a chat beside it waits; its own server answers it, and nobody else's."""
    client = anthropic.Anthropic(base_url=own.url, api_key=PRACTICE_KEY, max_retries=0)
    twin = anthropic.AsyncAnthropic(base_url=own.url, api_key=PRACTICE_KEY, max_retries=0)
    notebook = namespace(HELPERS + SLOW, client) | {"begun": threading.Event(), "waiting": threading.Event()}
    notebook["ask"] = types.FunctionType(notebook["ask"].__code__, notebook)
    asking, chat, replies = notebook["asking"], Conversation(client), []

    def beside() -> None:
        notebook["begun"].wait(9)
        threading.Timer(0.1, notebook["waiting"].set).start()
        replies.append(chat.send("Say hello.").text)

    async def ask_async() -> None:
        replies.append((await twin.messages.create(**asking("Say hello."))).content[0].text)

    def beside_as_a_task() -> None:
        notebook["begun"].wait(9)
        asyncio.run(ask_async())

    threads = [threading.Thread(target=work) for work in (beside, beside_as_a_task)]
    for thread in threads:
        thread.start()
    outcome = eval("exercise('ask')", notebook)
    for thread in threads:
        thread.join(20)
    assert outcome.passed, outcome
    asked = [{each.body["messages"][0]["content"] for each in sent} for sent in (outcome.sent, own.journal)]
    assert asked == [{"Which planet is the largest?"}, {"Say hello."}]
    assert len(own.journal) == 2
    assert replies == [own.journal[-1].reply["content"][0]["text"]] * 2
    assert [each["content"] for each in chat.messages] == ["Say hello.", replies[0]]
    client.close()


def test_a_request_under_way_is_left_alone_and_said(own):
    """Grading waits for it for two seconds; then it says so."""
    client = anthropic.Anthropic(base_url=own.url, api_key=PRACTICE_KEY, max_retries=0)
    notebook, errors = namespace(HELPERS + RIGHT, client), []

    def beside() -> None:
        try:
            notebook["call"](client, "Say hello.")
        except anthropic.APIConnectionError as error:
            errors.append(error)

    with own.pace(first_token_seconds=60):
        chat = threading.Thread(target=beside)
        chat.start()
        while len(own.journal) == 0:
            time.sleep(0.01)
        outcome = eval("exercise('ask')", notebook)
    assert outcome.passed
    assert "another request of yours was still under way" in " ".join(repr(outcome).split())
    own.stop()
    chat.join(20)
    assert len(errors) == len(own.journal) == 1


@pytest.mark.parametrize(
    "end",
    [
        "raise OSError",
        "exit()",
        "raise KeyboardInterrupt",
        pytest.param("while True: pass", marks=pytest.mark.slow),
    ],
)
def test_all_is_as_before_however_it_ends(end, monkeypatch):
    """Also after an error, an interrupt or a time-out."""
    monkeypatch.setattr(sandbox, "TIME_LIMIT", 0.2)
    before = everything()
    code = f"def ask(question):\n    import os\n    os.environ['LEFT'] = 'x'\n    {end}"
    with contextlib.suppress(KeyboardInterrupt):
        assert eval("exercise('ask')", namespace(code)).state == "not yet"
    assert everything() == before


def test_what_outlives_its_run_reaches_nothing(own):
    """A thread that goes on after its time can send nothing any more, neither here nor there."""
    code = """
import threading
def late():
    over.wait(9)
    try: call(client, "Now?")
    except anthropic.APIConnectionError as error: errors.append(error)
def ask(question):
    threads.append(threading.Thread(target=late))
    threads[0].start()
"""
    client = anthropic.Anthropic(base_url=own.url, api_key=PRACTICE_KEY, max_retries=0)
    before = everything()
    made = {"over": threading.Event(), "errors": [], "threads": []}
    notebook = namespace(HELPERS + code, client)
    notebook.update(made)
    eval("exercise('ask')", notebook)
    made["over"].set()
    made["threads"][0].join(9)
    assert len(made["errors"]) == 1
    assert len(own.journal) == 0
    assert everything() == before


@pytest.mark.parametrize(
    "proxy", ["socks://127.0.0.1:1", "http://127.0.0.1:word", "gopher://x", "http://127.0.0.1:9"]
)
@pytest.mark.parametrize("variable", ["ALL_PROXY", "http_proxy"])
def test_no_proxy_stops_grading(variable, proxy, monkeypatch):
    """Whatever the variables hold: a client made in the function, and a grader's own, reach the bench."""
    monkeypatch.setenv(variable, proxy)
    code = RIGHT.replace("client.messages", "anthropic.Anthropic().messages")
    assert eval("exercise('ask')", namespace(code)).passed
    assert eval("exercise('worth_retrying')", namespace(WORTH_RETRYING)).passed
