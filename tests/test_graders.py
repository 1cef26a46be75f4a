"""The graders' bench: a practice API of its own, hints that step, and nothing of the learner's disturbed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import anthropic
import pytest

from course_helpers import Conversation, practice
from course_helpers import client as course_client
from course_helpers.learning import exercise, grading
from course_helpers.learning import exercises as marking
from course_helpers.learning.graders import exercises
from course_helpers.practice_api import PRACTICE_KEY, Practice

RIGHT = """
def ask(question):
    message = client.messages.create(
        model=MODEL, max_tokens=300, messages=[{"role": "user", "content": question}])
    return "".join(block.text for block in message.content if block.type == "text")
"""
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


def test_grading_never_leaves_the_bench(live, monkeypatch):
    """A learner who is connected live is graded for free, and connected live afterwards."""
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-real")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token")
    before = dict(os.environ)
    notebook = namespace(RIGHT, live)
    assert eval("exercise('ask')", notebook).passed
    assert notebook["client"] is live
    own = RIGHT.replace("client.messages", "anthropic.Anthropic().messages")
    assert eval("exercise('ask')", namespace(own, live)).passed
    callable_object = (
        "class Asker:\n    def __call__(self, question):\n        return ask_it(question)\nask = Asker()"
    )
    assert eval(
        "exercise('ask')", namespace(RIGHT.replace("def ask", "def ask_it") + callable_object, live)
    ).passed
    assert dict(os.environ) == before


LEAKS = {
    "the client of the last connect": """
def ask(question):
    return Conversation(max_tokens=300).send(question).text""",
    "a conversation of the notebook": """
chat = Conversation(client, max_tokens=300)
def ask(question):
    chat.reset()
    return chat.send(question).text""",
    "a default": """
def ask(question, client=client, *, other=client):
    assert other.base_url == client.base_url
    return ask_it(question, client)""",
    "the default of a helper": """
def helper(question, client=client):
    return ask_it(question, client)
def ask(question):
    return helper(question)""",
    "a conversation as a default": """
def ask(question, chat=Conversation(client, max_tokens=300)):
    chat.reset()
    return chat.send(question).text""",
    "what surrounds it": """
def make(client):
    def ask(question):
        return ask_it(question, client)
    return ask
ask = make(client)""",
    "a chat cell": """
from course_helpers.chat_cell import ChatCell
cell = ChatCell(Conversation(client, max_tokens=300))
def ask(question):
    cell.chat.reset()
    return cell.send(question).text""",
}
ASK_IT = RIGHT.replace("def ask(question)", "def ask_it(question, client)")


@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in LEAKS.items()])
def test_no_client_within_reach_is_called(code, monkeypatch):
    """Wherever a function takes its client from: nothing is sent to the learner's own server."""
    live = Practice()
    client = anthropic.Anthropic(base_url=live.start(), api_key=PRACTICE_KEY, max_retries=0)
    monkeypatch.setattr(course_client, "_current", client)
    made = {"MODEL": "claude-haiku-5-5", "client": client, "Conversation": Conversation}
    exec(ASK_IT + code, made)
    function = made["ask"]
    before = function.__defaults__, function.__kwdefaults__
    outcome = eval("exercise('ask')", made | {"exercise": exercise})
    assert outcome.passed, outcome
    assert [each.status for each in outcome.sent] == [200, 200, 200]
    assert len(live.journal) == 0
    assert made["client"] is course_client._current is client
    assert (function.__defaults__, function.__kwdefaults__) == before
    made["client"].close()


def test_the_learners_practice_api_is_untouched(live):
    """Their journal and the faults they set stay, and do not disturb the grading."""
    practice.reset()
    with practice.fail_next(500, times=3), practice.pace(tokens_per_second=1):
        assert eval("exercise('ask')", namespace(RIGHT, live)).passed
        assert "fail_next(500), 3 left" in repr(practice)
    assert len(practice.journal) == 0


def test_no_fault_outlives_the_grading(live):
    """A grader that fails in the middle of a fault leaves none set."""
    assert not eval("exercise('ask')", namespace(WRONG, live)).passed
    assert str(grading._practice.api.faults) == "none"
    assert eval("exercise('ask')", namespace(RIGHT, live)).passed


def test_what_was_sent_can_be_looked_at(live):
    """The outcome holds the exchanges of the grading, keys redacted."""
    outcome = eval("exercise('ask')", namespace(RIGHT, live))
    assert [each.status for each in outcome.sent] == [200, 200, 200]
    assert "Which planet is the largest?" in str(outcome.sent[0])
    assert "practice" not in str(outcome.sent[0].headers)


def test_hints_step_and_a_pass_starts_them_anew(live):
    """The same mistake again brings the next hint, the last one stays; after a pass they begin again."""
    wrong, right = namespace(WRONG, live), namespace(RIGHT, live)
    shown = [eval("exercise('ask')", wrong) for _ in range(4)]
    assert [re.search(r"Hint \d of 3", repr(each))[0] for each in shown] == [
        "Hint 1 of 3",
        "Hint 2 of 3",
        "Hint 3 of 3",
        "Hint 3 of 3",
    ]
    assert eval("exercise('ask')", right).passed
    assert "Hint 1 of 3" in repr(eval("exercise('ask')", wrong))


def test_another_mistake_begins_at_its_first_hint(live):
    """A late mistake of a new kind gets the nudge first; the old one goes on where it was."""
    wrong = namespace(WRONG, live)
    other = namespace("def ask(question):\n    return 'Jupiter.'", live)
    hints = [
        re.search(r"Hint \d", repr(eval("exercise('ask')", each)))[0]
        for each in (wrong, wrong, other, wrong, other)
    ]
    assert hints == ["Hint 1", "Hint 2", "Hint 1", "Hint 3", "Hint 2"]


def test_the_outcome_is_the_same_each_time(live):
    """No clock, port or address in what is shown: two first tries look alike."""
    texts = set()
    for _ in range(2):
        marking._failures.clear()
        texts.add(repr(eval("exercise('ask')", namespace(WRONG, live))))
    assert len(texts) == 1
    assert not re.search(r"127\.0\.0\.1|0x[0-9a-f]+|\d+\.\d+ ?s\b", texts.pop())


def test_it_finds_a_function_inside_a_function(live):
    """The learner's function is looked up where exercise is called, locals first."""

    def ask(question):
        return live.messages.create(
            model="claude-haiku-5-5", max_tokens=300, messages=[{"role": "user", "content": question}]
        )

    assert exercise("ask").state == "not yet"


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
    """A number, a title and three hints that say something, numbered without a gap in each lesson."""
    by_lesson: dict[int, list[str]] = {}
    for each in exercises().values():
        assert each.title
        assert len(each.hints) == 3, each.name
        assert all(15 < len(hint) < 330 for hint in each.hints), each.name
        assert each.grade.__doc__
        by_lesson.setdefault(each.lesson, []).append(each.number)
    for lesson, numbers in by_lesson.items():
        assert numbers == [f"{lesson}.{n}" for n in range(1, len(numbers) + 1)]
