"""Speed, measured side by side in one run: `make bench` prints one table of all benchmarks.

A benchmark is a module `bench_<name>.py` here with a function `bench()` that yields rows:

    yield Row("import, wall time", 1.02, 1.05, "× import anthropic")
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Row(NamedTuple):
    """One measured figure, and the goal that it should not exceed, or should reach where `bound` is "≥"."""

    name: str
    measured: float
    goal: float
    unit: str
    bound: str = "≤"

    @property
    def ok(self) -> bool:
        return self.measured <= self.goal if self.bound == "≤" else self.measured >= self.goal

    def __str__(self) -> str:
        mark = "ok" if self.ok else "MISSED"
        return f"{self.name:44}  {self.measured:>9.3g}  {self.bound} {self.goal:<8.3g}  {mark:6}  {self.unit}"


def medians(rounds: int, *measurements: Callable[[], object], warm: int = 0) -> np.ndarray:
    """For each of `measurements` the median of the number, or of each of the numbers, that it gives.

    They take turns, there and back, so that whatever else the machine does slows all alike.
    `warm` rounds before do not count.
    """
    found = []
    for number in range(warm + rounds):
        taken = {measure: measure() for measure in measurements[:: (-1) ** number]}
        found.append([taken[measure] for measure in measurements])
    return np.median(found[warm:], axis=0)
