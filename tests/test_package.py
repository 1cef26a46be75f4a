"""The package as a reader meets it: modules of a size to be read, rooms of a size to be known, one way."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "course_helpers"
MODULES = {path.relative_to(PACKAGE).with_suffix("").parts: path for path in sorted(PACKAGE.rglob("*.py"))}
# From the right of the map in CONTRIBUTING.md to its left: a part imports only parts before it.
ORDER = (
    ("curl", "files", "formatting", "markdown"),
    ("render",),
    ("models",),
    ("pricing", "practice_api"),
    ("environment",),
    ("client",),
    ("wire",),
    ("retries",),
    ("history",),
    ("frames",),
    ("charts", "chat_cell", "chatbot", "learning"),
    ("__main__",),
)
RANK = {part: rank for rank, parts in enumerate(ORDER) for part in parts}
CORE = ("models", "environment", "client", "pricing", "wire", "retries", "history")
ROOMS = {"core": CORE, "practice_api": ("practice_api",), "learning": ("learning",)}
MOST = {"core": 2_520, "practice_api": 3_245, "learning": 2_550, "the rest": 2_440, "tests": 9_950}
"""Lines that a room may have, as today. They are to become 2,000, 2,700, 2,100, 2,200 and 8,000: lower a
number when its room has become smaller, and never raise one."""
LATER = {("history", "frames")}
"""Imports inside a function, so that pandas is loaded only where a frame is asked for."""


def imports(module: tuple[str, ...], *, lazy: bool) -> set[tuple[str, ...]]:
    """The modules of the package that `module` imports, for type hints too; with `lazy` also in functions."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and not lazy
        for node in ast.walk(function)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and id(node) not in inside:
            base = (*module[: len(module) - node.level], *(node.module.split(".") if node.module else ()))
            named = {
                name
                for alias in node.names
                for name in ((*base, alias.name), (*base, alias.name, "__init__"))
                if name in MODULES
            }
            found |= named or {base if base in MODULES else (*base, "__init__")}
    return found - {module}


def test_a_module_can_be_read_in_one_go():
    """None has more than 300 lines."""
    long = {
        module: n
        for module, path in MODULES.items()
        if (n := path.read_text(encoding="utf-8").count("\n")) > 300
    }
    assert not long


def test_no_room_grows():
    """Lines as ruff formats them, so that the whole stays one that a person can know."""
    room_of = {part: room for room, parts in ROOMS.items() for part in parts}
    lines = dict.fromkeys(MOST, 0)
    for module, path in MODULES.items():
        lines[room_of.get(module[0], "the rest")] += path.read_text(encoding="utf-8").count("\n")
    tests = Path(__file__).parent.rglob("*.py")
    lines["tests"] = sum(path.read_text(encoding="utf-8").count("\n") for path in tests)
    assert {room: n for room, n in lines.items() if n > MOST[room]} == {}


def test_every_part_has_its_place():
    """What is new must be put into the order."""
    assert {module[0] for module in MODULES} - {"__init__"} == set(RANK)


def test_imports_go_one_way_between_rooms():
    """A part imports only those before it, and the practice API nothing but the models."""
    wrong = {
        (module, other)
        for module in MODULES
        if module != ("__init__",)
        for other in imports(module, lazy=True)
        if other[0] != module[0] and (module[0], other[0]) not in LATER
        if RANK.get(other[0], -1) >= RANK[module[0]]
        or (module[0], other[0] != "models") == ("practice_api", True)
    }
    assert wrong == set()


def test_imports_go_one_way_inside_rooms():
    """No circle of modules, type hints included."""
    graph = {module: imports(module, lazy=False) for module in MODULES}
    order = [*graphlib.TopologicalSorter(graph).static_order()]
    assert len(order) == len(MODULES)
