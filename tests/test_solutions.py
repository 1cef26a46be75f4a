"""The solutions folded in the lessons pass their graders; typical wrong answers are told what is wrong."""

from __future__ import annotations

import ast
import io
import json
import linecache
import re
import sys
import tomllib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from course_helpers import connect, learning, practice
from course_helpers.learning import exercise
from course_helpers.learning import exercises as marking
from course_helpers.learning.graders import exercises
from tools.lessons import find_lesson, lesson_paths

TABLES = Path(__file__).parent
RIGHT, WRONG = (
    tomllib.loads((TABLES / f"{kind}_answers.toml").read_text(encoding="utf-8"))
    for kind in ("right", "wrong")
)
FOLDED = re.compile(
    r"<details>\s*<summary>Solution (\d+\.\d+)</summary>\n\n```python\n(.*?)```\n\n"
    r"(?:(?!</details>).)*</details>",
    re.S,
)
SETUP = """
import json, random, time
import anthropic, httpx2
from course_helpers import MODEL, Conversation, call_with_retry, connect, estimate_cost, reply_text
from course_helpers.models import find_model
"""
_numbers = count(1)


@pytest.fixture(autouse=True)
def _own_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "progress"))
    monkeypatch.setattr(marking, "_failures", {})
    yield
    practice.reset()


def run(code: str, namespace: dict[str, Any]) -> None:
    """Runs `code` as a cell would, so that error messages can quote its lines."""
    name = f"<answer {next(_numbers)}>"
    linecache.cache[name] = (len(code), None, code.splitlines(True), name)
    exec(compile(code, name, "exec"), namespace)


def graded(name: str, namespace: dict[str, Any]) -> learning.Outcome:
    """The outcome of exercise `name` in a notebook that holds `namespace`."""
    return eval(f"exercise({name!r})", {**namespace, "exercise": exercise})


def cells(path: Path) -> list[tuple[str, str]]:
    """Kind and source of each cell of a notebook."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]


def imports(code: str) -> str:
    """The import statements in a cell; magics and shell lines aside."""
    plain = "\n".join(line for line in code.splitlines() if not line.lstrip().startswith(("%", "!")))
    try:
        statements = ast.parse(plain).body
    except SyntaxError:
        return ""
    return "\n".join(ast.unparse(s) for s in statements if isinstance(s, ast.Import | ast.ImportFrom))


def walk(path: Path) -> Iterator[tuple[str, str, str]]:
    """For each folded solution of a lesson: its number, its code, and the imports of the cells before it."""
    before = ""
    for kind, source in cells(path):
        if kind == "code":
            before += imports(source) + "\n"
        for number, code in FOLDED.findall(source):
            yield number, code, before


LESSON_FILES = [f"{n:02}" for n in range(1, 9)]


@pytest.mark.parametrize("lesson", LESSON_FILES)
def test_the_lesson_holds_its_exercises(lessons: Path, lesson: str):
    """Starter, grader cell and folded solution for each exercise, in order, and the quiz after them."""
    path = find_lesson(lesson, lesson_paths(lessons))
    source = cells(path)
    code = [text for kind, text in source if kind == "code"]
    for each in exercises().values():
        if each.lesson != int(lesson):
            continue
        starters = [
            i
            for i, text in enumerate(code)
            if re.search(rf"^def {each.name}\(.*:\n(.*\n)*    \.\.\.$|^class {each.name}:", text, re.M)
        ]
        calls = [i for i, text in enumerate(code) if text.strip() == f'exercise("{each.name}")']
        assert len(starters) == 1, f"one starter cell for {each.name}"
        assert calls == [starters[0] + 1], f'exercise("{each.name}") in the cell after it'
    assert [number for number, _, _ in walk(path)] == [
        each.number for each in exercises().values() if each.lesson == int(lesson)
    ]
    assert sum(bool(re.search(r"^quiz\(", text, re.M)) for text in code) == 1


@pytest.mark.parametrize("lesson", LESSON_FILES)
def test_folded_solutions_pass(lessons: Path, lesson: str, capsys):
    """Each with nothing but the imports of the cells before it, the client, and itself."""
    names = {each.number: each.name for each in exercises().values()}
    for number, code, before in walk(find_lesson(lesson, lesson_paths(lessons))):
        namespace: dict[str, Any] = {}
        run(before, namespace)
        namespace["client"] = connect()
        run(code, namespace)
        outcome = graded(names[number], namespace)
        assert outcome.passed, f"Solution {number}\n{outcome!r}"


def answered(name: str, code: str) -> learning.Outcome:
    """The outcome of exercise `name` where a learner's cell holds `code`."""
    namespace: dict[str, Any] = {}
    run(SETUP, namespace)
    namespace["client"] = connect()
    run(code, namespace)
    marking._failures.clear()
    return graded(name, namespace)


@pytest.mark.parametrize("name", exercises())
def test_right_answers_pass_in_any_style(name: str, capsys):
    """Each of the table, and nothing they do could not be judged."""
    outcomes = {answer["style"]: answered(name, answer["code"]) for answer in RIGHT.get(name, [])}
    assert {style: repr(outcome) for style, outcome in outcomes.items() if not outcome.passed} == {}


@pytest.mark.parametrize("name", exercises())
def test_wrong_answers_are_told_why(name: str, capsys):
    """The mistake is named in the words of the table."""
    assert len(WRONG[name]) >= 2
    failures = []
    for answer in WRONG[name]:
        outcome = answered(name, answer["code"])
        text = " ".join(repr(outcome).split())
        judged = outcome.state == "not yet" and outcome.mistake and "could not be judged" not in text
        if not judged or answer["says"] not in text:
            failures.append(f"{answer['says']}: {text}")
    assert failures == []


def test_the_finished_chatbot(lessons: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """Lesson 8's ten solutions and its main() make a chatbot: its whole transcript, and the file it saves."""
    path = find_lesson("08", lesson_paths(lessons))
    namespace: dict[str, Any] = {}
    for kind, source in cells(path):
        given = re.search(r"^def (new_session|answer|main)\(", source, re.M)
        if kind == "code":
            run(imports(source), namespace)
        if kind == "code" and given:
            namespace.setdefault("client", connect())
            run(source, namespace)
        for _, code in FOLDED.findall(source):
            run(code, namespace)
    lines = [
        "",
        "My name is Ada.",
        "What is my name?",
        "stats",
        "!model opus",
        "reset",
        "What is my name?",
        "quit",
    ]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines) + "\n"))
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    with practice.fail_next(429, retry_after=1):
        namespace["main"]()
    printed = capsys.readouterr().out
    saved = json.loads((tmp_path / "chat.json").read_text(encoding="utf-8"))
    assert "Waiting 1.0s" in printed
    assert printed.count("Assistant: ") == 3
    assert "Ada" in printed.split("Assistant: ")[2]
    assert "Ada" not in printed.split("[History cleared]")[1]
    assert "[2 turns · " in printed
    assert "[3 turns · claude-opus-5-5]" in printed
    assert len(saved["history"]) == 2
    assert saved["turns"] == 3
    sent = [len(each.body["messages"]) for each in practice.journal if each.status == 200]
    assert sent == [1, 3, 1]
