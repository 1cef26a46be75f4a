"""The tools behind the Makefile: running, testing and resetting lessons, in folders of their own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest

from course_helpers.__main__ import command as lab_command
from tools import notebooks
from tools.lessons import ROOT, changed_lessons, committed_lessons, find_lesson, lesson_paths
from tools.reset_lesson import reset


def write(path: Path, *sources: str) -> Path:
    """A notebook at `path` with a first Markdown cell and code cells of these sources."""
    first = nbformat.v4.new_markdown_cell("# 1. The raw call\n\n- make a call")
    cells = [first, *map(nbformat.v4.new_code_cell, sources)]
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_run_leaves_no_trace_of_this_machine(tmp_path, monkeypatch):
    """Outputs are written; timings, widget ids and settings of this machine are not, nor seen by a lesson."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key")
    monkeypatch.setenv("COURSE_MODEL", "a-model")
    seen = "import os\n[n for n in os.environ if n[:7] in ('ANTHROP', 'COURSE_')], os.listdir()"
    path = write(tmp_path / "01_a.ipynb", seen, "import ipywidgets\n\nipywidgets.IntSlider()", "")
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.language_info = {"name": "python", "version": "3.99"}
    notebook.metadata.widgets = {"state": {}}
    notebook.cells[1].metadata = {"tags": ["kept"], "execution": {"iopub.status.busy": "now"}}
    nbformat.write(notebook, path)

    assert notebooks.run(path) is None
    after = nbformat.read(path, as_version=4)
    assert after.metadata == notebooks.METADATA
    assert [cell.id for cell in after.cells] == [cell.id for cell in notebook.cells]
    assert after.cells[1].metadata == {"tags": ["kept"]}
    assert [cell.execution_count for cell in after.cells[1:]] == [1, 2, 3]
    assert after.cells[1].outputs[0].data == {"text/plain": "(['COURSE_DATA_DIR'], ['01_a.ipynb'])"}
    assert after.cells[2].outputs[0].data == {"text/plain": "IntSlider(value=0)"}


def test_a_failing_lesson_stays_as_it_was(tmp_path):
    """The error is named, and so is what an output has of this machine: paths, ports and keys."""
    path = write(tmp_path / "01_a.ipynb", "1 / 0")
    before = path.read_bytes()
    assert "ZeroDivisionError" in notebooks.run(path)
    assert path.read_bytes() == before
    notebook = nbformat.read(path, as_version=4)
    said = f"see {ROOT}, http://127.0.0.1:1234/ and {'sk-ant-'}api03-abc"
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text=said)]
    assert len(notebooks.traces(notebook)) == 3


@pytest.mark.slow
def test_lessons_are_tested_strictly_and_under_other_models(tmp_path, capsys):
    """Other outputs fail the strict run alone; an error fails under any model, as does having no code."""
    path = write(tmp_path / "01_a.ipynb", "import os\nos.environ.get('COURSE_MODEL')", "print('one')")
    assert notebooks.run(path) is None
    path.write_text(path.read_text().replace('"one\\n"', '"two\\n"'))
    assert notebooks.test_all(tmp_path, None, True) == 1
    told = capsys.readouterr().out
    runs = [line.split()[:3] for line in told.splitlines() if "01_a  " in line]
    others = [["ok", "01_a", model] for model in notebooks.OTHER_MODELS]
    assert runs == [["FAILED", "01_a", "outputs"], *others]
    assert "2 of 3 lesson runs passed" in told
    assert not notebooks.nbval(write(tmp_path / "02_b.ipynb", "1 / 0"), notebooks.OTHER_MODELS[0])[0]
    assert not notebooks.nbval(write(tmp_path / "03_c.ipynb"), None)[0]


def test_lessons_stand_as_make_notebooks_writes_them(lessons):
    """Committed lessons have normalised metadata, counted cells, and nothing of a machine in them."""
    for path in lesson_paths(lessons):
        text = path.read_text(encoding="utf-8")
        notebook = nbformat.reads(text, as_version=4)
        notebooks.normalise(notebook, path.stem)
        assert text == nbformat.writes(notebook) + "\n", f"{path.name}: run make notebooks"
        assert notebooks.traces(notebook) == []


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A repository with two committed lessons."""
    monkeypatch.delenv("COURSE_LESSONS", raising=False)
    root = tmp_path / "clone"
    (root / "notebooks").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", root)
    for name in ("01_raw_call", "03_multi_turn"):
        write(root / f"notebooks/{name}.ipynb", "'as it came'")
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    for command in (("init", "-q"), ("add", "-A"), (*author, "commit", "-qm", "all")):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


def test_answers_take_no_part_in_tests(clone, monkeypatch):
    """The committed lessons are tested, changed ones named; working files on demand, and without history."""

    def lessons_of(root: Path) -> str:
        with committed_lessons(root) as folder:
            return "".join(path.name + path.read_text() for path in lesson_paths(folder))

    before = lessons_of(clone)
    assert changed_lessons(clone) == []
    write(clone / "notebooks/01_raw_call.ipynb", "'my answer'")
    write(clone / "notebooks/09_mine.ipynb", "'another answer'")
    write(clone / "notebooks/my_01_raw_call.ipynb", "'kept'")
    (clone / "notebooks/03_multi_turn.ipynb").unlink()
    assert lessons_of(clone) == before
    assert changed_lessons(clone) == ["01_raw_call.ipynb", "03_multi_turn.ipynb", "09_mine.ipynb"]
    monkeypatch.setenv("COURSE_LESSONS", "working")
    working = lessons_of(clone)
    monkeypatch.delenv("COURSE_LESSONS")
    assert ("my answer" in working, "'kept'" in working) == (True, False)
    shutil.rmtree(clone / ".git")
    subprocess.run(["git", "init", "-q"], cwd=clone.parent, check=True)  # a download inside a repository
    assert (lessons_of(clone), changed_lessons(clone)) == (working, [])


def test_reset_brings_a_lesson_back_and_keeps_the_answers(clone):
    """Each version gets a name of its own; what cannot be reset is answered with what can, or what to do."""
    lesson = clone / "notebooks/03_multi_turn.ipynb"
    original = lesson.read_bytes()
    assert "already is as it came" in reset("3", clone)
    for kept in ("my_03_multi_turn", "my_03_multi_turn_2"):
        write(lesson, f"'answer for {kept}'")
        assert f"notebooks/{kept}.ipynb" in reset("03", clone)
        assert lesson.read_bytes() == original
        assert f"answer for {kept}" in (clone / f"notebooks/{kept}.ipynb").read_text()
    with pytest.raises(LookupError, match="01_raw_call, 03_multi_turn"):
        reset("7", clone)
    shutil.rmtree(clone / ".git")
    with pytest.raises(LookupError, match="Download the course again"):
        reset("03", clone)


def test_lessons_are_found_by_number_and_name(tmp_path):
    """3, 03, 03_multi_turn and a file name all name the same lesson; so for `make lab`."""
    paths = [tmp_path / "01_raw_call.ipynb", tmp_path / "03_multi_turn.ipynb"]
    for name in ("3", "03", "03_multi_turn", "notebooks/03_multi_turn.ipynb"):
        assert find_lesson(name, paths) == paths[1]
    for typed, opened, rest in (
        ("", "01_raw_call", []),
        ("03 --no-browser", "03_multi_turn", ["--no-browser"]),
        ("--port 9000", "01_raw_call", ["--port", "9000"]),
    ):
        lab = lab_command(typed.split())
        assert lab[lab.index(f"--LabApp.default_url=/lab/tree/notebooks/{opened}.ipynb") + 1 :] == rest
    with pytest.raises(SystemExit, match="01_raw_call"):
        lab_command(["77"])
