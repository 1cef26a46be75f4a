"""A teacher's tools: a class of thirty in one table, lessons without solutions, the key."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from course_helpers.learning import guess, progress
from course_helpers.learning.graders import exercises
from course_helpers.learning.progress import lessons, record_answer, record_try, store
from tools.class_report import collect, from_export, hardest, off_by, page, report, table
from tools.handout import answers, without_solutions
from tools.lessons import lesson_paths

ROOT = Path(__file__).parents[1]


def simulate(name: str, skill: float, dice: random.Random, folder: Path) -> None:
    """A learner who works through the course until patience ends, and hands in an export."""
    store.__init__()
    for lesson in lessons():
        if dice.random() > 0.6 + 0.4 * skill:
            break
        for exercise in lesson.exercises:
            for _ in range(dice.randint(0, round(4 * (1 - skill)))):
                record_try(exercise.name, passed=False, mistake=dice.choice(["no request", "wrong role"]))
            record_try(exercise.name, passed=True)
        for question in lesson.questions:
            record_answer(question.id, right=dice.random() < 0.5 + skill / 2)
        guess(lesson.name, dice.randint(1, 100), unit="tokens")
        guess.reveal(lesson.name, 50)
    progress(export=folder / f"{name}.json")


@pytest.fixture
def thirty(tmp_path, monkeypatch):
    """The exports of thirty simulated learners."""
    dice = random.Random(1)
    folder = tmp_path / "class"
    folder.mkdir()
    for number in range(30):
        monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / f"data {number}"))
        # Written events are synced to disk one by one: here they stay in memory.
        monkeypatch.setattr(type(store), "folder", property(lambda _: Path(os.devnull)))
        simulate(f"learner {number:02}", number / 30, dice, folder)
    return folder


def test_a_class_of_thirty(thirty):
    """Everybody has a row with what they did; the page names the hard exercises and the common mistakes."""
    assert report(thirty).startswith("30 learners: ")
    with open(thirty / "class_report.csv", encoding="utf-8-sig") as file:
        rows = list(csv.reader(file))
    assert [len(rows), len(rows[0])] == [31, 3 + len(exercises()) + len(lessons())]
    best, last = from_export(thirty / "learner 29.json"), dict(zip(rows[0], rows[-1], strict=True))
    assert last["Learner"] == "learner 29"
    assert last["Complete"] == str(best.complete) != "0"
    assert last["1.1"] == "✓"
    assert last["Quiz 1"] == f"{best.questions['raw_call']}/5"
    shown = (thirty / "class_report.html").read_text(encoding="utf-8")
    assert shown.count('<th scope="row">learner ') == 30
    assert "no request (" in shown
    assert "raw_call, tokens" in shown
    assert len(collect(thirty)) == 30  # its own files are nobody's


def export(path: Path, *events: dict) -> None:
    """An export with these events, under the name of the file."""
    path.write_text(json.dumps({"learner": path.stem, "events": events}))


def test_hardest_first_and_guesses(tmp_path):
    """Where few pass after many tries comes first; a guess counts as it stood when its truth came."""
    tries = {"kind": "exercise", "name": "raw_call", "mistake": "<b>", "passed": False}
    guess_of = {"kind": "guess", "name": "g", "unit": "tokens"}
    truth = {"kind": "truth", "name": "g", "truth": 9}
    ask = {"kind": "exercise", "name": "ask", "passed": True}
    export(tmp_path / "a.json", ask, *[tries] * 5, {**guess_of, "value": 5}, truth, {**guess_of, "value": 9})
    export(tmp_path / "b.json", ask, *[tries] * 2, {**tries, "passed": True, "mistake": ""})
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
        cells = [{"outputs": [output]} for output in outputs]
        (tmp_path / name / "01_raw_call.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    (tmp_path / "ada" / "broken.ipynb").write_text("{")
    export(tmp_path / "ada" / "ada.json", {"passed": sorted(lessons()[0].parts)})
    (tmp_path / "other.json").write_text("[1]")
    ada, bob = collect(tmp_path)
    assert (ada.source, ada.complete, bob.source) == ("ada.json", 1, "notebooks")
    assert {name: each.words for name, each in bob.exercises.items()} == {"ask": "✓", "raw_call": "✗ 1"}


def test_names_are_text_only(tmp_path):
    """A name is neither markup nor a formula."""
    (tmp_path / "x.json").write_text(json.dumps({"learner": "=1+1<script>", "events": []}))
    report(tmp_path)
    assert "'=1+1<script>" in (tmp_path / "class_report.csv").read_text(encoding="utf-8-sig")
    assert "<script>" not in (tmp_path / "class_report.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(("given", "words"), [("", "Say which folder"), ("empty", "Ask each learner for")])
def test_command(tmp_path, given, words):
    """Without a folder, or with an empty one, one sentence says what to do."""
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tools.class_report", *filter(None, [given and str(tmp_path / given)])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode
    assert words in done.stderr


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
    assert key.count("```python") == len(exercises())
