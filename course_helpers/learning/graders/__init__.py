"""The exercises: what `exercises.toml` says of each, and the grader of that name, a function of a `Bench`.

A grader says `require(condition, "name of the mistake: what was seen")`, and returns where there is none.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator

from ...files import read_rows

FILE = Path(__file__).parents[1] / "exercises.toml"
Text = Annotated[str, Field(min_length=1)]


class NotYet(Exception):
    """The learner's function does not do it yet: the message says what was seen, `mistake` names it."""

    def __init__(self, seen: str, mistake: str) -> None:
        super().__init__(seen)
        self.mistake = mistake


def require(truth: object, seen: str, mistake: str = "") -> None:
    """Raises NotYet, saying what was `seen`, unless `truth`; up to its colon it is the mistake's name."""
    if not truth:
        raise NotYet(seen, mistake or seen.partition(":")[0])


@cache
def _graders() -> dict[str, Any]:
    from . import calls, chats, costs, retries

    return vars(calls) | vars(chats) | vars(costs) | vars(retries)


class Exercise(BaseModel, frozen=True, extra="forbid"):
    """One exercise, as it stands in the file."""

    name: str = Field(alias="id")
    """The function that the learner writes."""
    number: Annotated[str, Field(pattern=r"^[1-9]\.[1-9]\d*$")]
    title: Text
    task: Text
    idea: Text
    """The folded solution's idea, shown after a pass."""
    hints: tuple[Text, Text, Text]
    """For those who do not know how to begin: from a nudge to nearly the code."""
    mistakes: dict[str, Text] = {}
    """A hint for each mistake whose sentence does not say the cure."""

    @field_validator("name")
    @classmethod
    def _has_grader(cls, name: str) -> str:
        if name not in _graders():
            raise ValueError(f"there is no grader called {name}")
        return name

    @property
    def lesson(self) -> int:
        """The number of its lesson."""
        return int(self.number.split(".")[0])

    def grade(self, bench: Any) -> None:
        """Judges the function of a Bench: raises NotYet where it does not do it yet."""
        _graders()[self.name](bench)


@cache
def exercises() -> dict[str, Exercise]:
    """All exercises by name, in the order of the course."""
    return read(FILE.read_text(encoding="utf-8"))


def read(text: str) -> dict[str, Exercise]:
    """The exercises of a file that says `text`; a ValueError names the line of the first mistake."""
    rows = read_rows(text, "exercise", Exercise, FILE.name)
    rows.sort(key=lambda exercise: [int(part) for part in exercise.number.split(".")])
    return {exercise.name: exercise for exercise in rows}
