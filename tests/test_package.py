"""The package as a reader meets it: modules of a size to be read, rooms of a size to be known, one way."""

from __future__ import annotations

import ast
import graphlib
from importlib.util import resolve_name
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "course_helpers").rglob("*.py"))
MODULES = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in PATHS}
# From the right of the map in CONTRIBUTING.md to its left: a part imports only parts before it.
ORDER = (
    ("curl", "files", "formatting"),
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
ROOMS = {
    "core": ("models", "client", "pricing", "retries", "history"),
    "figures": ("frames", "charts", "chat_cell", "chatbot", "render"),
    "practice_api": ("practice_api",),
    "learning": ("learning",),
}
MOST = {"core": 2_000, "figures": 2_200, "practice_api": 2_700, "learning": 2_100}
MOST |= {"package": 9_000, "tests": 8_000}
"""Lines that a room, the whole package and the tests may have."""
LATER = {("history", "frames")}
"""Imports inside a function, so that pandas is loaded only where a frame is asked for."""


def part_of(module: str) -> str:
    """The part of the package that `module` is, or lies in; "" for the package itself."""
    return module.partition(".")[2].partition(".")[0]


def size(path: Path) -> int:
    """The lines of a file, as ruff formats them."""
    return path.read_text(encoding="utf-8").count("\n")


def imports(module: str, *, lazy: bool) -> set[str]:
    """The modules of the package that `module` imports, for type hints too; `lazy`: in functions as well."""
    path, found = MODULES[module], set()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not lazy:
        tree.body = [each for each in tree.body if not isinstance(each, ast.FunctionDef | ast.ClassDef)]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            source = resolve_name("." * node.level + (node.module or ""), package)
            found |= {f"{source}.{name.name}" for name in node.names} & MODULES.keys() or {source}
    return found - {module}


def test_a_module_can_be_read_in_one_go():
    """None has more than 300 lines."""
    assert {module: size(path) for module, path in MODULES.items() if size(path) > 300} == {}


def test_no_room_grows():
    """So the whole stays one that a person can know."""
    rooms = ROOMS | {"package": {part_of(module) for module in MODULES}}
    lines = {
        room: sum(size(path) for module, path in MODULES.items() if part_of(module) in parts)
        for room, parts in rooms.items()
    }
    lines["tests"] = sum(map(size, Path(__file__).parent.rglob("*.py")))
    assert {room: n for room, n in lines.items() if n > MOST[room]} == {}


def test_imports_go_one_way_between_rooms():
    """A part imports only those before it, and the practice API nothing but files and models."""
    pairs = {(part_of(module), part_of(other)) for module in MODULES for other in imports(module, lazy=True)}
    outside = {(part, other) for part, other in pairs - LATER if part not in ("", other)}
    assert {(part, other) for part, other in outside if RANK.get(other, 99) >= RANK[part]} == set()
    assert {other for part, other in outside if part == "practice_api"} == {"files", "models"}


def test_imports_go_one_way_inside_rooms():
    """No circle of modules, type hints included."""
    graph = {module: imports(module, lazy=False) for module in MODULES}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names it
