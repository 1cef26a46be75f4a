"""Speed, measured side by side in one run: `make bench` prints one table of all benchmarks.

A benchmark is a module `bench_<name>.py` here with a function `bench()` that yields rows:

    yield at_most("import, wall time", 1.02, goal=1.05, unit="× import anthropic")

Each module runs in a fresh process of its own, one after the other.
"""

from __future__ import annotations

import importlib
from typing import NamedTuple


class Row(NamedTuple):
    """One measured figure and the goal it is held to."""

    name: str
    measured: float
    goal: float
    unit: str
    ok: bool
    bound: str

    def __str__(self) -> str:
        mark = "ok" if self.ok else "MISSED"
        return f"{self.name:44}  {self.measured:>9.3g}  {self.bound} {self.goal:<8.3g}  {mark:6}  {self.unit}"


def at_most(name: str, measured: float, goal: float, unit: str = "×") -> Row:
    """The row of a figure that should not exceed `goal`."""
    return Row(name, measured, goal, unit, measured <= goal, "≤")


def at_least(name: str, measured: float, goal: float, unit: str = "×") -> Row:
    """The row of a figure that should reach `goal`."""
    return Row(name, measured, goal, unit, measured >= goal, "≥")


def measure(name: str) -> list[Row]:
    """The rows of the benchmark module `name`. Here, because a fresh process cannot see `__main__`."""
    return list(importlib.import_module(f"tests.benchmarks.{name}").bench())
