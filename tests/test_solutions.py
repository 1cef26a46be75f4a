"""The folded solutions and right answers in any style pass their graders; wrong answers are told why."""

from __future__ import annotations

import io
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from course_helpers import connect, practice
from course_helpers.learning import Outcome, exercise
from course_helpers.learning.graders import exercises
from tools.lessons import find_lesson, lesson_paths

TABLES = Path(__file__).parent
RIGHT = tomllib.loads((TABLES / "right_answers.toml").read_text(encoding="utf-8"))
WRONG = tomllib.loads((TABLES / "wrong_answers.toml").read_text(encoding="utf-8"))
IMPORT = re.compile(r"^(?:import|from) (?:.*\([^)]*\)|.*)", re.M)
FOLDED = re.compile(r"<details>\s*<summary>Solution (\d+\.\d+)</summary>\n\n```python\n(.*?)```\n", re.S)
SETUP = """
import json, random, time
import anthropic, httpx2
from course_helpers import MODEL, Conversation, call_with_retry, connect, estimate_cost, reply_text
from course_helpers.models import find_model
"""


def answered(name: str, code: str, setup: str = SETUP) -> Outcome:
    """The outcome of exercise `name` where a learner's cell holds `code`."""
    namespace: dict[str, Any] = {}
    practice.reset()
    exec(setup, namespace)
    namespace["client"] = connect()
    exec(code, namespace)
    return eval(f"exercise({name!r})", {**namespace, "exercise": exercise})


def cells(lessons: Path, lesson: int) -> list[tuple[str, str]]:
    """Kind and source of each cell of a lesson, without magics."""
    path = find_lesson(f"{lesson:02}", lesson_paths(lessons))
    made = json.loads(path.read_text("utf-8"))["cells"]
    return [(each["cell_type"], re.sub(r"(?m)^[%!].*$", "", "".join(each["source"]))) for each in made]


@pytest.mark.parametrize("lesson", range(1, 9))
def test_a_lesson_and_its_exercises(lessons: Path, lesson: int, capsys):
    """Starter, grader cell and, with the imports of the cells before it, a solution that passes, in order."""
    here, before, solved = [each for each in exercises().values() if each.lesson == lesson], "", []
    given = cells(lessons, lesson)
    code = [text.strip() for kind, text in given if kind == "code"]
    for each in here:
        at = code.index(f'exercise("{each.name}")')
        starter = rf"^def {each.name}\(.*:\n(.*\n)*    \.\.\.$|^class {each.name}:"
        assert re.search(starter, code[at - 1], re.M)
    for kind, source in given:
        before += "\n".join(IMPORT.findall(source)) + "\n" if kind == "code" else ""
        for number, solution in FOLDED.findall(source):
            outcome = answered(here[len(solved)].name, solution, before)
            assert outcome.passed, f"Solution {number}\n{outcome!r}"
            solved.append(number)
    assert solved == [each.number for each in here]


@pytest.mark.parametrize("name", exercises())
def test_right_answers_pass_and_wrong_ones_are_told_why(name: str, capsys):
    """In any style, and by the mistake's name in the table; nothing they do could not be judged."""
    right = [answered(name, answer["code"]) for answer in RIGHT.get(name, [])]
    assert [outcome for outcome in right if not outcome.passed] == []
    told = [(answer["mistake"], answered(name, answer["code"])) for answer in WRONG[name]]
    assert [outcome for mistake, outcome in told if outcome.mistake != mistake or outcome.passed] == []


def test_the_finished_chatbot(lessons: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """Lesson 8's ten solutions and its main() make a chatbot: its whole transcript, and the file it saves."""
    namespace: dict[str, Any] = {"client": connect()}
    for kind, source in cells(lessons, 8):
        given = re.search(r"^def (new_session|answer|main)\(", source, re.M)
        if kind == "code":
            exec(source if given else "\n".join(IMPORT.findall(source)) + "\n", namespace)
        for _, code in FOLDED.findall(source):
            exec(code, namespace)
    typed = "\nMy name is Ada.\nWhat is my name?\nstats\n!model opus\nreset\nWhat is my name?\nquit\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    monkeypatch.chdir(tmp_path)
    practice.reset()
    with practice.fail_next(429, retry_after=1):
        namespace["main"]()
    printed = capsys.readouterr().out
    saved = json.loads((tmp_path / "chat.json").read_text(encoding="utf-8"))
    for said in ("Waiting 1.0s", "[2 turns · ", "[3 turns · claude-opus-5-5]"):
        assert said in printed
    answers = printed.split("Assistant: ")[1:]
    assert ["Ada" in each for each in answers] == [True, True, False]
    assert (len(saved["history"]), saved["turns"]) == (2, 3)
    sent = [len(each.body["messages"]) for each in practice.journal if each.status == 200]
    assert sent == [1, 3, 1]
