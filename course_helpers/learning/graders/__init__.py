"""The exercises of all lessons: each stands with its title, stepped hints and grader in `lesson_N.py`.

A grader is a function of a `Bench`; its name is the name of the function that the learner writes.
It raises `NotYet` with a sentence that names the mistake, and returns where there is none.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..grading import Bench


class NotYet(Exception):
    """The learner's function does not do it yet; the message says what was seen."""


@dataclass(frozen=True)
class Exercise:
    """One exercise: its number such as 1.2, the learner's function, title, hints and grader."""

    number: str
    name: str
    title: str
    hints: tuple[str, ...]
    grade: Callable[[Bench], None]

    @property
    def lesson(self) -> int:
        """The number of its lesson."""
        return int(self.number.split(".")[0])


_found: dict[str, Exercise] = {}


def grader(
    number: str, title: str, *hints: str
) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    """Makes the function below it the grader of an exercise. The hints go from a nudge to nearly the code."""

    def register(grade: Callable[[Bench], None]) -> Callable[[Bench], None]:
        _found[grade.__name__] = Exercise(number, grade.__name__, title, hints, grade)
        return grade

    return register


def require(truth: bool, seen: str) -> None:
    """Raises NotYet, saying `seen`, unless `truth`."""
    if not truth:
        raise NotYet(seen)


@cache
def exercises() -> dict[str, Exercise]:
    """All exercises by name, in the order of the course."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
    by_number = sorted(_found.values(), key=lambda e: [int(part) for part in e.number.split(".")])
    return {exercise.name: exercise for exercise in by_number}
