"""The exercises: what `exercises.toml` says of each, and the grader of that name, a function of a `Bench`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, field_validator

from ...files import read_rows
from . import calls, chats, retries

FILE = Path(__file__).parents[1] / "exercises.toml"
GRADERS = vars(calls) | vars(chats) | vars(retries)
Text = Annotated[str, Field(min_length=1)]


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
        if name not in GRADERS:
            raise ValueError(f"there is no grader called {name}")
        return name

    @property
    def lesson(self) -> int:
        """The number of its lesson."""
        return int(self.number.split(".")[0])


@cache
def exercises() -> dict[str, Exercise]:
    """All exercises by name, in the order of the file. A ValueError names the line of the first mistake."""
    rows = read_rows(FILE.read_text(encoding="utf-8"), "exercise", Exercise, FILE.name)
    return {exercise.name: exercise for exercise in rows}
