"""The eight lessons: their names, their exercises and the questions of their quizzes, from `quizzes.toml`."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .graders import Exercise, exercises

FILE = Path(__file__).with_name("quizzes.toml")


@dataclass(frozen=True)
class Choice:
    """One answer to a question, and what is said to whoever picks it."""

    text: str
    feedback: str
    right: bool


@dataclass(frozen=True)
class Question:
    """One question with its choices, in an order that is mixed but always the same."""

    text: str
    choices: tuple[Choice, ...]

    @property
    def id(self) -> str:
        """What progress remembers it by: it changes with the words of the question."""
        return "question " + hashlib.sha256(self.text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Lesson:
    """One lesson: its number, short name, title and questions."""

    number: int
    name: str
    title: str
    questions: tuple[Question, ...]

    @property
    def exercises(self) -> list[Exercise]:
        """Its exercises, in order."""
        return [exercise for exercise in exercises().values() if exercise.lesson == self.number]

    @property
    def parts(self) -> set[str]:
        """What has to be passed to complete it, as progress calls it."""
        return {question.id for question in self.questions} | {exercise_id(e.name) for e in self.exercises}


def exercise_id(name: str) -> str:
    """What progress remembers an exercise by."""
    return f"exercise {name}"


@cache
def lessons() -> tuple[Lesson, ...]:
    """The lessons in order, read from `quizzes.toml`; a ValueError says what is wrong with the file."""
    data = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return tuple(
        Lesson(number, name, entry["title"], tuple(_question(name, q) for q in entry["question"]))
        for number, (name, entry) in enumerate(data.items(), 1)
    )


def find_lesson(name: str | int) -> Lesson:
    """The lesson called `name`, such as "raw_call", or with that number."""
    for lesson in lessons():
        if str(name).lstrip("0") in (lesson.name, str(lesson.number)):
            return lesson
    known = ", ".join(repr(lesson.name) for lesson in lessons())
    raise LookupError(f"There is no lesson {name!r}. The lessons: {known}.")


def _question(lesson: str, entry: dict) -> Question:
    try:
        wrong = [Choice(text, feedback, False) for text, feedback in entry["wrong"].items()]
        choices = [Choice(entry["right"], entry["why"], True), *wrong]
        choices.sort(key=lambda choice: hashlib.sha256(f"{entry['ask']} {choice.text}".encode()).digest())
        return Question(entry["ask"], tuple(choices))
    except KeyError as missing:
        raise ValueError(f"quizzes.toml, {lesson}: a question lacks {missing}.") from None
