"""check and exercise: what is said of each mistake, what is sent where; nothing of theirs is disturbed."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import os
import re
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anthropic
import httpx2
import nbformat
import numpy
import pytest
from nbclient import NotebookClient

from course_helpers import Conversation, practice
from course_helpers import client as course_client
from course_helpers.learning import CheckFailed, Outcome, check, exercise, grading, sandbox
from course_helpers.learning import exercises as marking
from course_helpers.learning.progress import store
from course_helpers.practice_api import PRACTICE_KEY, Practice
from tests.drivers import wait_until

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
ELSEWHERE = "http://127.0.0.1:9"
LIVE = {"base_url": ELSEWHERE, "api_key": "sk-ant-real", "max_retries": 0, "timeout": 3}


@pytest.fixture(autouse=True)
def _nobody_asked_yet() -> None:
    marking._asked.clear()


@pytest.fixture
def own() -> Iterator[Practice]:
    """The learner's own server, where every call of a graded function would be a mistake."""
    server = Practice()
    yield server
    server.stop()


@pytest.fixture
def client(own: Practice) -> anthropic.Anthropic:
    """The learner's client, for that server."""
    return anthropic.Anthropic(base_url=own.url, api_key=PRACTICE_KEY, max_retries=0)


def notebook(code: str, client: object = None, **names: object) -> dict:
    """A notebook whose learner wrote `code`."""
    made = {"__name__": "__main__", "client": client, **names}
    exec(compile(HELPERS, "<helpers>", "exec"), made)
    exec(compile(code, "<learner>", "exec"), made)
    return made


def graded(code: str | dict, name: str = "ask") -> Outcome:
    """The outcome of an exercise whose learner wrote `code`."""
    namespace = notebook(code) if isinstance(code, str) else code
    return eval(f"exercise({name!r})", namespace | {"exercise": exercise})


def words(outcome: Outcome) -> str:
    """What is shown, on one line."""
    return " ".join(repr(outcome).split())


def everything() -> list[object]:
    """What grading changes for a while, and puts back."""
    return [dict(os.environ), dict(vars(course_client)), sys.stdout, sys.stderr, builtins.input]


def test_check(capsys):
    """A claim that holds is one line; one that does not raises and says what was seen, whatever that is."""
    odd = numpy.zeros(2), "ndarray, which is not one truth"
    for truth, seen in (*((falsy, repr(falsy)) for falsy in (False, 0, "", [], None)), odd):
        with pytest.raises(CheckFailed, match=rf"^the claim\n  seen: {re.escape(seen)}"):
            check("the claim", truth)
    assert check("two and two are four", 2 + 2 == 4) is None
    assert capsys.readouterr().out == "✓ two and two are four\n"


@pytest.mark.parametrize("body", [None, "...", "pass", "'''Return it.'''", "raise NotImplementedError"])
def test_not_started(body):
    """A stub and NotImplementedError are no mistakes; asking again brings a hint each time."""
    code = f"def ask(question):\n    {body}" if body else "ask = ..."
    first, *later = (words(graded(code)) for _ in range(5))
    assert first.endswith("started Write the body of ask in the cell above, run that cell, then this one.")
    assert [re.findall(r"Hint (\d) of 3", text) for text in later] == [["1"], ["2"], ["3"], ["3"]]
    assert "one call through the SDK" in later[0]


CALL = "call(anthropic.Anthropic(), question)"
SEEN = {
    "ask = 'Paris'": "no function: ask is of type str",
    "async def ask(question): return 'Paris'": "no request reached the API",
    "import sys; sys.exit(3)": "it called sys.exit() or exit(): return instead",
    "return input('Which? ')": "input() has nobody to ask here",
    "assert question == 'x', 'a word'": "it raised AssertionError: a word (line 2",
    "raise ValueError(f'{object()} ' * 1000)": "it raised ValueError: <object object> <",
    f"{CALL}; print(*['spam'] * 10**5)": "It printed: spam spam",
    f"{CALL}; return type('Odd', (str,), {{'__eq__': 0, '__repr__': 0}})()": "of type Odd",
}


@pytest.mark.parametrize("code", SEEN)
def test_mistakes_in_words(code, capsys):
    """Whatever the function is, raises, returns or prints, it comes out as a short sentence, nowhere else."""
    whole = re.match(r"ask|def|class|async", code)
    outcome = graded(code if whole else f"def ask(question):\n    {code}")
    assert outcome.state == "not yet"
    assert SEEN[code] in words(outcome)
    assert len(repr(outcome)) < 1_000
    assert capsys.readouterr().out == ""


ENDLESS = (
    "time.sleep(1)",
    "while True:\n  try:\n    while True: x = 1\n  except: pass",
    "while True:\n  try: x = 1\n  finally: continue",
    f"while True:\n  try: httpx2.get('{ELSEWHERE}')\n  except: pass",
)


@pytest.mark.parametrize("code", ENDLESS)
def test_endless_code_ends(code):
    """Each kind ends at the limit, also one that swallows everything, and so does its thread."""
    ran = sandbox.run(lambda: exec(code, {"time": time, "httpx2": httpx2}), seconds=0.3)
    assert "loop that never ends" in sandbox.in_words(ran.error)
    wait_until(lambda: all(thread.name != "exercise" for thread in threading.enumerate()))


def test_a_coroutine_is_run_to_its_end_or_its_limit():
    """What an `async def` comes to, where a loop is running already, as in a notebook."""

    async def in_a_notebook(seconds: float) -> sandbox.Ran:
        return sandbox.run(lambda: asyncio.sleep(seconds, 7), seconds=0.5)

    run = asyncio.run(in_a_notebook(0.1))
    assert (run.is_async, run.value) == (True, 7)
    assert isinstance(asyncio.run(in_a_notebook(60)).error, sandbox.TimeUp)
    said = words(graded(f"async def ask(question):\n    return {CALL}"))
    assert re.search(r"✓ Exercise 1\.1 .* It is async: whoever calls it must await it\.", said)


def test_a_browser_tab(monkeypatch):
    """Where there are neither threads nor sockets, the same is judged, without a time limit."""

    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(grading.Bench, "practice", Practice(in_process=True))
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    for client in ("client", "anthropic.Anthropic()"):
        assert graded(notebook(RIGHT.replace("client", client), anthropic.Anthropic(**LIVE))).passed


@pytest.mark.slow
def test_in_a_kernel():
    """In a notebook: a syntax error hides no older version, a failed check is one line."""
    cells = [
        f"from course_helpers.learning import check, exercise\n{HELPERS}\n{RIGHT}",
        "def ask(question):\n    return client.messages.create(model=MODEL",
        "exercise('ask')",
        "check('this one fails', False)",
    ]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    NotebookClient(made, timeout=60, kernel_name="python3", allow_errors=True).execute()
    broken = " ".join(made.cells[2].outputs[-1].data["text/plain"].split())
    assert "syntax error: '(' was never closed (line 2: return client.mess" in broken
    assert made.cells[-1].outputs[0].traceback == ["✗ this one fails\n  seen: False"]


def test_a_hint_speaks_of_the_mistake():
    """It comes where the sentence does not hold the cure; each try is kept, with the mistake's name."""
    live = anthropic.Anthropic(**LIVE)
    wrong = "def ask(question):\n    return client.messages.create(**asking(question)).content[0].text"
    assert "Hint: No position is sure" in words(graded(notebook(wrong, live)))
    assert graded(notebook(RIGHT, live)).passed
    kept = [(event["passed"], event["mistake"]) for event in store.events()]
    assert kept == [(False, "position 0"), (True, "")]


def test_what_was_sent_can_be_looked_at(monkeypatch):
    """Keys redacted; the function is found where exercise is called; faults and journal of theirs stay."""
    practice.reset()
    made = notebook(RIGHT, anthropic.Anthropic(**LIVE))
    ask = made["ask"]  # noqa: F841
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1")  # no proxy stops grading, whatever it is
    monkeypatch.setenv("http_proxy", "gopher://x")
    with practice.fail_next(500, times=3), practice.pace(tokens_per_second=1):
        outcome = exercise("ask")
        assert "3 left" in repr(practice)
    assert len(practice.journal) == 0
    assert [each.status for each in outcome.sent] == 4 * [200]
    assert "Which planet is the largest?" in str(outcome.sent[0])
    assert "practice" not in str(outcome.sent[0].headers)
    assert repr(outcome) == repr(exercise("ask"))  # the same each time: no clock, port or address
    assert not re.search(r"127\.0\.0\.1|0x[0-9a-f]+|\d+\.\d+ ?s\b", repr(outcome))
    with pytest.raises(LookupError, match="ask, raw_call"):
        exercise("aks")


@pytest.mark.parametrize("holding", HELD)
def test_no_call_of_a_graded_function_reaches_another_server(holding, own, client, monkeypatch):
    """However the client is held: passed, nothing sent to the learner's server, and led there afterwards."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", ELSEWHERE)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-real")
    monkeypatch.setattr(course_client, "_current", client)
    made = notebook(HELD[holding], client)
    before = everything()
    outcome = graded(made, "ask" if "ask" in made else "review")
    assert outcome.passed, outcome
    assert {each.status for each in outcome.sent} == {200}
    assert len(own.journal) == 0
    assert everything() == before
    assert made["call"](client, "And now?")
    assert len(own.journal) == 1


def test_a_request_of_another_thread_or_task_is_left_alone(own, client):
    """While a function is graded, a chat beside it is answered by its own server, and by nobody else."""
    code = "def ask(question):\n    begun.set()\n    answered()\n    return call(client, question)"
    begun = threading.Event()
    made = notebook(code, client, begun=begun, answered=lambda: wait_until(lambda: len(own.journal) == 2))
    sends = (Conversation(client).send, lambda text: asyncio.run(Conversation(client).asend(text)))
    with ThreadPoolExecutor(2) as pool:
        beside = [pool.submit(lambda send=send: begun.wait(9) and send("Say hello.")) for send in sends]
        outcome = graded(made)
        replies = {each.result(20).text for each in beside}
    assert outcome.passed, outcome
    asked = [{each.body["messages"][0]["content"] for each in sent} for sent in (outcome.sent, own.journal)]
    assert asked == [{"Which planet is the largest?"}, {"Say hello."}]
    assert replies == {own.journal[-1].reply["content"][0]["text"]}


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
    code = "def ask(question):\n    done.append(pool.submit(lambda: over.wait(9) and call(client, 'Now?')))"
    over, done = threading.Event(), []
    with ThreadPoolExecutor(1) as pool:
        graded(notebook(code, client, over=over, done=done, pool=pool))
        over.set()
        assert isinstance(done[0].exception(9), anthropic.APIConnectionError)
    assert len(own.journal) == 0
