"""The package as a reader meets it: modules of a size to be read, imports that go one way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "course_helpers"
MODULES = sorted(PACKAGE.rglob("*.py"))
# From the right of the map in CONTRIBUTING.md to its left: a part imports only parts before it.
ORDER = (
    ("curl", "files", "formatting", "markdown"),
    ("render",),
    ("models",),
    ("pricing", "practice_api"),
    ("environment",),
    ("first_look",),
    ("client",),
    ("wire",),
    ("retries",),
    ("history",),
    ("frames",),
    ("charts", "chat_cell", "terminal", "learning"),
    ("chatbot",),
    ("__main__",),
)
RANK = {part: rank for rank, parts in enumerate(ORDER) for part in parts}
LATER = {("history", "frames")}
"""Imports inside a function, so that pandas is loaded only where a frame is asked for."""


def imported_parts(path: Path) -> set[str]:
    """The other parts of the package that the module at `path` imports, type hints aside."""
    folder = path.relative_to(PACKAGE).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*folder[: len(folder) - node.level + 1], *(node.module or "").split("."))
            names = [name for name in base if name] or [alias.name for alias in node.names]
            found |= {names[0]} if any(base) else set(names)
    return found - {*folder[:1], path.stem if not folder else ""}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_can_be_read_in_one_go(path):
    """None has more than 300 lines."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_every_part_has_its_place():
    """What is new must be put into the order."""
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert parts - {"__init__", "__pycache__"} == set(RANK)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    """A part imports only those before it, and the practice API nothing but the models."""
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part == "__init__":
        return
    found = {other for other in imported_parts(path) if (part, other) not in LATER}
    assert {other for other in found if RANK[other] >= RANK[part]} == set()
    if part == "practice_api":
        assert found <= {"models"}
