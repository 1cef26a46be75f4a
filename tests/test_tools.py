"""The tools behind the Makefile: running, testing and resetting lessons, in folders of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest

from course_helpers.__main__ import command as lab_command
from tests.benchmarks import at_least, at_most
from tools import notebooks
from tools.lessons import (
    ROOT,
    changed_lessons,
    committed_lessons,
    cover,
    find_lesson,
    lesson_paths,
    readme_table,
    teaching_list,
)
from tools.reset_lesson import reset

COVER = """# 1. The raw call

What is one call?

**Time** about 35 minutes · **Before** nothing

You will be able to:

- make a call
- read its answer
"""


def write(path: Path, *sources: str, first: str = COVER) -> Path:
    """A notebook at `path` with a first Markdown cell and code cells of these sources."""
    cells = [nbformat.v4.new_markdown_cell(first), *map(nbformat.v4.new_code_cell, sources)]
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def outputs(path: Path) -> list[list[dict]]:
    """The outputs of each code cell."""
    return [cell["outputs"] for cell in json.loads(path.read_text())["cells"] if "outputs" in cell]


# make notebooks


def test_running_twice_gives_the_same_bytes(tmp_path):
    """Outputs are written; timings, widget ids and settings of this machine are not."""
    path = write(tmp_path / "01_a.ipynb", "1 + 1", "import ipywidgets\n\nipywidgets.IntSlider()", "")
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.language_info = {"name": "python", "version": "3.99"}
    notebook.metadata.widgets = {"state": {}}
    notebook.cells[1].metadata = {"tags": ["kept"], "execution": {"iopub.status.busy": "now"}}
    nbformat.write(notebook, path)

    assert notebooks.run(path) is None
    once = path.read_bytes()
    assert notebooks.run(path) is None
    assert path.read_bytes() == once

    after = nbformat.read(path, as_version=4)
    assert after.metadata == notebooks.METADATA
    assert [cell.id for cell in after.cells] == [cell.id for cell in notebook.cells]
    assert after.cells[1].metadata == {"tags": ["kept"]}
    assert [cell.execution_count for cell in after.cells[1:]] == [1, 2, 3]
    assert after.cells[1].outputs[0].data == {"text/plain": "2"}
    assert after.cells[2].outputs[0].data == {"text/plain": "IntSlider(value=0)"}


def test_lessons_run_without_a_key_or_settings(tmp_path, monkeypatch):
    """A lesson sees no key, no model of this machine, and a progress folder of its own, in its own folder."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key")
    monkeypatch.setenv("COURSE_MODEL", "a-model")
    seen = "import os\nsorted(name for name in os.environ if name[:7] in ('ANTHROP', 'COURSE_'))"
    path = write(tmp_path / "01_a.ipynb", seen, "os.path.exists('01_a.ipynb')")
    assert notebooks.run(path) is None
    results = [each[0]["data"]["text/plain"] for each in outputs(path)]
    assert results == [["['COURSE_DATA_DIR']"], ["True"]]


def test_a_failing_lesson_stays_as_it_was(tmp_path):
    """The error names the failing cell; the file is not written."""
    path = write(tmp_path / "01_a.ipynb", "print('fine')", "1 / 0")
    before = path.read_bytes()
    assert "ZeroDivisionError" in notebooks.run(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("said", [str(ROOT), "http://127.0.0.1:1234/", "sk-ant-" + "api03-abc"])
def test_nothing_of_this_machine_gets_into_outputs(tmp_path, said):
    """Paths, ports and keys in an output are named and the file is not written."""
    path = write(tmp_path / "01_a.ipynb", f"print('see {said}')")
    assert notebooks.run(path).startswith("cell 1 shows ")
    assert outputs(path) == [[]]


# make test


@pytest.mark.slow
def test_lessons_are_tested_strictly_and_under_other_models(tmp_path, capsys):
    """Other outputs than the committed ones fail the strict run alone, and with it the whole."""
    path = write(tmp_path / "01_a.ipynb", "import os\nos.environ.get('COURSE_MODEL')", "print('one')")
    assert notebooks.run(path) is None
    path.write_text(path.read_text().replace('"one\\n"', '"two\\n"'))
    assert notebooks.test_all(tmp_path, None, True) == 1
    told = capsys.readouterr().out
    assert [line.split()[:3] for line in told.splitlines() if "01_a  " in line] == [
        ["FAILED", "01_a", "outputs"],
        *(["ok", "01_a", model] for model in notebooks.OTHER_MODELS),
    ]
    assert "2 of 3 lesson runs passed" in told


@pytest.mark.slow
def test_errors_and_lessons_without_code_fail(tmp_path):
    """What must not pass silently: an error under any model, a lesson of which nothing ran, no lessons."""
    assert not notebooks.nbval(write(tmp_path / "02_b.ipynb", "1 / 0"), notebooks.OTHER_MODELS[0])[0]
    assert not notebooks.nbval(write(tmp_path / "03_c.ipynb"), None)[0]
    assert notebooks.test_all(tmp_path / "none", None, False) == 1


def test_lessons_stand_as_make_notebooks_writes_them(lessons):
    """Committed lessons have normalised metadata, counted cells, and nothing of a machine in them."""
    for path in lesson_paths(lessons):
        text = path.read_text(encoding="utf-8")
        notebook = nbformat.reads(text, as_version=4)
        notebooks.normalise(notebook, path.stem)
        assert text == nbformat.writes(notebook) + "\n", f"{path.name}: run make notebooks"
        assert notebooks.traces(notebook) == []


# Lessons as committed, and back to them


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A repository with two committed lessons."""
    monkeypatch.delenv("COURSE_LESSONS", raising=False)
    root = tmp_path / "clone"
    (root / "notebooks").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", root)
    write(root / "notebooks/01_raw_call.ipynb", "'as it came'")
    write(root / "notebooks/03_multi_turn.ipynb", "'as it came'")
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    for command in (("init", "-q"), ("add", "-A"), (*author, "commit", "-qm", "all")):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


def committed_text(root: Path) -> str:
    """All lessons that `committed_lessons` gives, in one text."""
    with committed_lessons(root) as folder:
        return "".join(path.name + path.read_text() for path in lesson_paths(folder))


def test_answers_take_no_part_in_tests(clone):
    """Changed, added and deleted lessons are named, and the committed ones are tested."""
    before = committed_text(clone)
    assert changed_lessons(clone) == []
    write(clone / "notebooks/01_raw_call.ipynb", "'my answer'")
    write(clone / "notebooks/09_mine.ipynb", "'my answer'")
    (clone / "notebooks/03_multi_turn.ipynb").unlink()
    assert committed_text(clone) == before
    assert changed_lessons(clone) == ["01_raw_call.ipynb", "03_multi_turn.ipynb", "09_mine.ipynb"]


def test_an_author_can_test_working_files(clone, monkeypatch):
    """COURSE_LESSONS=working takes the files as they are, without what learners keep beside them."""
    monkeypatch.setenv("COURSE_LESSONS", "working")
    write(clone / "notebooks/01_raw_call.ipynb", "'being written'")
    write(clone / "notebooks/my_01_raw_call.ipynb", "'kept'")
    assert "being written" in committed_text(clone)
    assert "'kept'" not in committed_text(clone)


def test_without_history_the_files_are_tested(clone):
    """A download has no history, and may lie inside somebody's own repository."""
    write(clone / "notebooks/01_raw_call.ipynb", "'my answer'")
    shutil.rmtree(clone / ".git")
    assert "my answer" in committed_text(clone)
    subprocess.run(["git", "init", "-q"], cwd=clone.parent, check=True)
    assert "my answer" in committed_text(clone)
    assert changed_lessons(clone) == []


def test_reset_brings_a_lesson_back_and_keeps_the_answers(clone):
    """Each version of the learner's gets a name of its own."""
    lesson = clone / "notebooks/03_multi_turn.ipynb"
    original = lesson.read_bytes()
    assert "already is as it came" in reset("3", clone)
    for name, kept in [("03", "my_03_multi_turn"), ("03_multi_turn", "my_03_multi_turn_2")]:
        write(lesson, f"'answer for {kept}'")
        assert f"notebooks/{kept}.ipynb" in reset(name, clone)
        assert lesson.read_bytes() == original
        assert f"answer for {kept}" in (clone / f"notebooks/{kept}.ipynb").read_text()


def test_reset_brings_back_a_deleted_lesson(clone):
    """There is nothing to keep then."""
    lesson = clone / "notebooks/03_multi_turn.ipynb"
    lesson.unlink()
    assert "kept" not in reset("03", clone)
    assert lesson.exists()


def test_reset_says_what_it_cannot_do(clone):
    """An unknown lesson is answered with the known ones, a folder without history with what to do."""
    with pytest.raises(LookupError, match="01_raw_call, 03_multi_turn"):
        reset("7", clone)
    shutil.rmtree(clone / ".git")
    with pytest.raises(LookupError, match="Download the course again"):
        reset("03", clone)


# First cells and tables


def test_the_first_cell_says_what_the_tables_show(tmp_path):
    """Title, time, what comes before, and goals."""
    found = cover(write(tmp_path / "01_raw_call.ipynb"))
    assert found.title == "The raw call"
    assert (found.minutes, found.before) == (35, "nothing")
    assert found.goals == ("make a call", "read its answer")
    row = "| 1 | [The raw call](notebooks/01_raw_call.ipynb) | 35 min | nothing |"
    assert readme_table([found]).splitlines()[-1] == row


def test_several_lessons_may_come_before(tmp_path):
    """They stand in both tables as the first cell has them."""
    first = COVER.replace("nothing", "lessons 3, 5 and 6")
    found = cover(write(tmp_path / "08_chatbot.ipynb", first=first))
    assert found.before == "lessons 3, 5 and 6"
    assert readme_table([found]).endswith("| 35 min | lessons 3, 5 and 6 |")
    assert "before it: lessons 3, 5 and 6." in teaching_list([found])


def test_a_first_cell_that_lacks_something_is_named(tmp_path):
    """The message says what to write there."""
    path = write(tmp_path / "01_a.ipynb", first="# 1. Title\n\n- one goal")
    with pytest.raises(ValueError, match=r"01_a.ipynb: .*\*\*Time\*\* about 30 minutes; \*\*Before\*\*"):
        cover(path)


def test_lessons_are_found_by_number_and_name(tmp_path):
    """3, 03, 03_multi_turn and a file name all name the same lesson."""
    paths = [tmp_path / "01_raw_call.ipynb", tmp_path / "03_multi_turn.ipynb"]
    for name in ("3", "03", "03_multi_turn", "notebooks/03_multi_turn.ipynb"):
        assert find_lesson(name, paths) == paths[1]


# make bench


def test_rows_know_whether_the_goal_was_met():
    """At most, at least; the goal itself is met."""
    assert at_most("import", 1.05, goal=1.05).ok
    assert not at_most("import", 1.06, goal=1.05).ok
    assert at_least("requests", 0.35, goal=0.35).ok
    assert not at_least("requests", 0.34, goal=0.35).ok
    assert "MISSED" in str(at_most("import", 2, goal=1))


# make lab


@pytest.mark.parametrize(
    ("typed", "opened", "passed_on"),
    [
        ([], "01_raw_call", []),
        (["3"], "03_multi_turn", []),
        (["03", "--no-browser"], "03_multi_turn", ["--no-browser"]),
        (["--port", "9000"], "01_raw_call", ["--port", "9000"]),
    ],
)
def test_lab_opens_a_lesson(typed, opened, passed_on):
    """The first lesson or the one that was named; the rest is JupyterLab's."""
    lab = lab_command(typed)
    at = lab.index(f"--LabApp.default_url=/lab/tree/notebooks/{opened}.ipynb")
    assert lab[at + 1 :] == passed_on


def test_lab_names_the_lessons_where_it_knows_none_of_that_name():
    """A number that is no lesson's is answered with those that are."""
    with pytest.raises(LookupError, match="01_raw_call"):
        lab_command(["77"])
