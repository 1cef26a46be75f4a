"""The lessons as a reader meets them: length and rhythm, order and links, one setup cell for all."""

from __future__ import annotations

import itertools
import re
import statistics
from pathlib import Path

import nbformat
import pytest

from tools import cheatsheet, glossary
from tools.lessons import ROOT, lesson_paths
from tools.notebooks import TERMS

SETUP = """\
from course_helpers import MODEL, connect, practice, reply_text
from course_helpers.learning import check, exercise, guess, progress, quiz

client = connect()  # free; connect("live") would cost money"""
NOTES = "09_field_notes.ipynb"
"""Ten notes to look things up in: no lesson to work through, so no exercise, no quiz, no figure."""


@pytest.fixture(scope="module")
def notebooks(lessons: Path) -> dict[str, nbformat.NotebookNode]:
    return {path.name: nbformat.read(path, 4) for path in lesson_paths(lessons)}


def sources(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


def test_there_are_eight_lessons_and_the_notes(notebooks):
    """Numbered in the order of the course; a lesson fits into one sitting and begins with the same setup."""
    assert [name[:2] for name in notebooks] == [f"{number:02}" for number in range(1, 10)]
    for name, notebook in notebooks.items():
        minutes = int(re.search(r"\*\*Time\*\* about (\d+) minutes", notebook.cells[0].source)[1])
        assert (len(notebook.cells) <= 60, minutes <= 45) == (True, True), name
        assert notebook.cells[1].source == SETUP, name
        assert "no money is spent" in notebook.cells[1].outputs[0].text, name


def test_cells_are_short_and_prose_carries_them(notebooks):
    """Code comes in small portions (median, 90 %, longest), with 12 to 20 words of prose a line."""
    for name, notebook in notebooks.items():
        sizes = sorted(len(re.findall(r"(?m)^.*\S", source)) for source in sources(notebook, "code"))
        words = sum(len(source.split()) for source in sources(notebook, "markdown"))
        words -= len(glossary.terms(int(name[:2])).split())  # the list of terms is no prose
        note = name == NOTES  # each stands alone, with code of about ten lines a cell
        assert statistics.median(sizes) <= (11 if note else 7), name
        assert note or sum(size <= 12 for size in sizes) >= 0.9 * len(sizes), (name, sizes)
        assert sizes[-1] <= 25, name
        assert (8 if note else 12) <= words / sum(sizes) <= 20, (name, words / sum(sizes))


def test_links_and_headings(notebooks, lessons):
    """Each link leads somewhere, each lesson to its neighbours; one title, and no heading skips a level."""
    names = list(notebooks)
    for number, (name, notebook) in enumerate(notebooks.items()):
        text = "\n".join(sources(notebook, "markdown"))
        targets = {target.partition("#")[0] for target in re.findall(r"\]\(((?!http)[^)\s]+)\)", text)}
        folders = (lessons, ROOT / "notebooks")
        assert not [t for t in targets if not any((folder / t).exists() for folder in folders)], name
        assert {*names[max(0, number - 1) : number], *names[number + 1 : number + 2]} <= targets, name
        levels = [len(m) for m in re.findall(r"(?m)^(#+) ", re.sub(r"(?s)```.*?```", "", text))]
        assert (levels.count(1), levels[0]) == (1, 1), name
        assert all(new - old <= 1 for old, new in itertools.pairwise(levels)), name


def test_every_lesson_has_its_parts(notebooks):
    """Each lesson has checks, one guess, a quiz, old advice, what next, its terms; each note when not to."""
    for number, (name, notebook) in enumerate(notebooks.items(), 1):
        code, prose = "\n".join(sources(notebook, "code")), "\n".join(sources(notebook, "markdown"))
        assert "check(" in code, name
        typed = prose.partition(TERMS.partition("{}")[0])[0]
        assert not re.search(r"\$\d", typed), f"{name}: prices are printed by cells, what is typed goes stale"
        if name == NOTES:
            assert prose.count("**When not to.**") == prose.count("\n## ") == 10
            continue
        assert len(re.findall(r"^guess\(", code, re.M)) == code.count("guess.reveal(") == 1, name
        assert code.count("quiz(") == 1, name
        assert "Old advice you will meet" in prose, name
        assert "## What next" in prose, name
        assert TERMS.format(glossary.terms(number)) in notebook.cells[-1].source, name


def test_outputs_hold_no_error_and_no_warning(notebooks):
    """No traceback and nothing on stderr in what is committed; a figure has its caption as text beside it."""
    for name, notebook in notebooks.items():
        for cell in notebook.cells:
            outputs = cell.get("outputs", [])
            assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"], name
            if any("image/png" in output.get("data", {}) for output in outputs):
                assert "caption(" in cell.source, (name, cell.source)


def test_cheat_sheet_and_glossary(lessons):
    """As `make notebooks` writes them; what stands on the sheet for a lesson runs after its setup cell."""
    assert glossary.PAGE.read_text(encoding="utf-8") == glossary.page()
    paths = lesson_paths(lessons)
    assert (ROOT / cheatsheet.PAGE).read_text(encoding="utf-8") == cheatsheet.page(paths)
    for path in paths:
        namespace: dict[str, object] = {}
        exec(cheatsheet.setup(path), namespace)
        for _, source in cheatsheet.snippets(path):
            exec(source, namespace)
