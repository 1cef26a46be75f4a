"""A teacher's tools: a class in one table, lessons without solutions, the key."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from course_helpers.learning.graders import exercises
from course_helpers.learning.progress import lessons
from tools.class_report import collect, hardest, off_by, page, report, table
from tools.handout import answers, without_solutions
from tools.lessons import lesson_paths

PART = {"kind": "part", "passed": True}  # as an export tells what release 1.0 knew
ASK = {"kind": "exercise", "name": "ask", "passed": True}
TRY = {"kind": "exercise", "name": "raw_call", "mistake": "<b>", "passed": False}
GUESS = {"kind": "guess", "name": "g", "unit": "tokens"}
TRUTH = {"kind": "truth", "name": "g", "truth": 9}


def export(path: Path, *events: dict) -> None:
    """An export with these events, under the name of the file."""
    path.write_text(json.dumps({"learner": path.stem, "events": events}))


def test_a_class_of_thirty(tmp_path):
    """A row each with what they did; other files are nobody's; a name is neither markup nor a formula."""
    with pytest.raises(LookupError, match="Ask each learner for"):
        report(tmp_path)
    for number in range(30):
        done = [{**PART, "name": part} for lesson in lessons()[: number // 4] for part in lesson.parts]
        export(tmp_path / f"learner {number:02}.json", *done, *[TRY] * (number < 4))
    (tmp_path / "formula.json").write_text('{"learner": "=1+1 <script>", "events": []}')
    (tmp_path / "other.json").write_text("[1]")
    assert report(tmp_path).startswith("31 learners: ")
    with open(tmp_path / "class_report.csv", encoding="utf-8-sig") as file:
        rows = list(csv.reader(file))
    assert [len(rows), len(rows[0])] == [32, 3 + len(exercises()) + len(lessons())]
    assert rows[1][0] == "'=1+1 <script>"
    last = dict(zip(rows[0], rows[-1], strict=True))
    asked = len(lessons()[0].questions)
    seen = {"Learner": "learner 29", "Complete": "7", "1.1": "✓", "8.1": "", "Quiz 1": f"{asked}/{asked}"}
    assert seen.items() <= last.items()
    shown = (tmp_path / "class_report.html").read_text(encoding="utf-8")
    assert shown.count('<th scope="row">learner ') == len(collect(tmp_path)) - 1 == 30
    assert "<script>" not in shown


def test_hardest_first_and_guesses(tmp_path):
    """Where few pass after many tries comes first; a guess counts as it stood when its truth came."""
    guesses = {**GUESS, "value": 5}, TRUTH, {**GUESS, "value": 9}
    export(tmp_path / "a.json", ASK, *[TRY] * 5, *guesses)
    export(tmp_path / "b.json", ASK, *[TRY] * 2, {**TRY, "passed": True, "mistake": ""})
    learners = collect(tmp_path)
    assert [row[1:3] for row in hardest(learners)[1:]] == [["1 of 2", "4.0"], ["2 of 2", "1.0"]]
    assert "&lt;b&gt; (7)" in page(learners)
    assert {row[0]: row[4] for row in table(learners)} == {"Learner": "1.2", "a": "✗ 5", "b": "✓ 3"}
    assert off_by(learners)[1] == ["g, tokens", "1", "5", "9"]


def test_from_notebooks_where_no_export_is_there(tmp_path):
    """A folder a learner: what their exercise cells show counts, where no export has the same name."""
    outputs = [
        {"data": {"text/plain": ["✓ Exercise 1.1 · Ask · passed"]}},
        {"data": {"text/plain": "Exercise 1.2 · The raw call · not yet\n  Seen: …"}},
        {"data": {"text/plain": "Exercise 2.1 · X · not started\n"}},
    ]
    for name in ("bob", "ada"):
        (tmp_path / name).mkdir()
        cells = json.dumps({"cells": [{"outputs": [output]} for output in outputs]})
        (tmp_path / name / "01_raw_call.ipynb").write_text(cells, encoding="utf-8")
    (tmp_path / "ada" / "broken.ipynb").write_text("{")
    export(tmp_path / "ada" / "ada.json", {**PART, "name": "ask"})
    ada, bob = collect(tmp_path)
    assert (ada.source, bob.source) == ("ada.json", "notebooks")
    assert {name: each.words for name, each in bob.exercises.items()} == {"ask": "✓", "raw_call": "✗ 1"}


def test_handout_and_answers():
    """The handout neither shows nor mentions a solution; the key has each, with its mistakes and hints."""
    for path in lesson_paths():
        handed = without_solutions(json.loads(path.read_text(encoding="utf-8")))
        assert not [cell for cell in handed["cells"] if "solution" in "".join(cell["source"]).lower()]
    text = "Run `...` again; the solution is folded beneath. It works? Paste its solution. Go on."
    cell = {"cell_type": "markdown", "metadata": {}, "source": text}
    assert without_solutions({"cells": [cell]})["cells"][0]["source"] == ["Run `...` again. It works? Go on."]
    key = answers(lesson_paths())
    for exercise in exercises().values():
        assert f"## {exercise.number} {exercise.title}\n\n{exercise.task}\n\n```python\n" in key
