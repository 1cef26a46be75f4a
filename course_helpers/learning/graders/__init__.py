"""The exercises: what `exercises.toml` says of each, and in `lesson_N.py` the grader that judges it.

A grader is a function of a `Bench`; its name is the name of the function that the learner writes.
It says `require(condition, "what was seen", "name of the mistake")`, and returns where there is no mistake.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import pydantic

FILE = Path(__file__).parents[1] / "exercises.toml"
Text = Annotated[str, pydantic.Field(min_length=1)]
_graders: dict[str, Callable[[Any], None]] = {}


class NotYet(Exception):
    """The learner's function does not do it yet: the message says what was seen, `mistake` names it."""

    def __init__(self, seen: str, mistake: str) -> None:
        super().__init__(seen)
        self.mistake = mistake


class Exercise(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One exercise, as it stands in the file."""

    name: str
    """The function that the learner writes."""
    number: Annotated[str, pydantic.Field(pattern=r"^[1-9]\.[1-9]\d*$")]
    title: Text
    task: Text
    idea: Text
    """The folded solution's idea, shown after a pass."""
    hints: tuple[Text, Text, Text]
    """For those who do not know how to begin: from a nudge to nearly the code."""
    mistakes: dict[str, Text] = {}
    """A hint for each mistake whose sentence does not say the cure."""

    @property
    def lesson(self) -> int:
        """The number of its lesson."""
        return int(self.number.split(".")[0])

    @property
    def grade(self) -> Callable[[Any], None]:
        """Its grader, which raises NotYet where the learner's function does not do it yet."""
        return _graders[self.name]


def grader(grade: Callable[[Any], None]) -> Callable[[Any], None]:
    """Makes the function below it the grader of the exercise of that name."""
    _graders[grade.__name__] = grade
    return grade


def require(truth: object, seen: str, mistake: str) -> None:
    """Raises NotYet, saying what was `seen`, unless `truth`."""
    if not truth:
        raise NotYet(seen, mistake)


@cache
def exercises() -> dict[str, Exercise]:
    """All exercises by name, in the order of the course."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
    return read(FILE.read_text(encoding="utf-8"))


def read(text: str) -> dict[str, Exercise]:
    """The exercises of a file that says `text`; a ValueError names the line of the first mistake."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{FILE.name}: {error}") from None
    made = []
    for name, entry in data.items():
        if name not in _graders:
            raise ValueError(f"{_line(text, name)}: there is no grader called {name}.")
        try:
            made.append(Exercise(name=name, **entry))
        except (pydantic.ValidationError, TypeError) as error:
            first = error.errors()[0] if isinstance(error, pydantic.ValidationError) else {}
            where = [str(part) for part in first.get("loc", ())]
            said = f"{' '.join(where)}: {first.get('msg', 'a table of fields is wanted here')}"
            raise ValueError(f"{_line(text, name, *where[:1])}: in {name}, {said}.") from None
    made.sort(key=lambda exercise: [int(part) for part in exercise.number.split(".")])
    return {exercise.name: exercise for exercise in made}


def _line(text: str, name: str, field: str = "") -> str:
    """`exercises.toml, line N`: where `field` of the exercise stands, or where the exercise begins."""
    table = re.search(rf"^\[?{name}\b.*?(?=^\[(?!{name}\b)|\Z)", text, re.M | re.S)
    inside = field and re.search(rf"^\[?({name}\.)?{field}\b", table[0], re.M)
    at = table.start() + (inside.start() if inside else 0)
    return f"{FILE.name}, line {text.count(chr(10), 0, at) + 1}"
