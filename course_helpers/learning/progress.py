"""The eight lessons, and how far the learner is in them: one small private file an event, and a table.

An event is written once and never changed, under a name that no other process can choose: so two notebooks
at once need no lock and cannot undo each other. It holds no text of an answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
import time
import tomllib
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import pydantic
from platformdirs import user_data_path

from ..files import write_whole
from .graders import Exercise, exercises

FILE = Path(__file__).with_name("quizzes.toml")
# Where JupyterLite shows a kernel the browser's storage; all else in a tab is memory, gone at a reload.
DRIVE = Path("/drive/course-progress")
Event = dict[str, Any]


class Question(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One question, as it stands in the file: the right answer and why, the wrong ones and what each gets."""

    text: str = pydantic.Field(alias="ask")
    right: str
    why: str
    wrong: dict[str, str]

    @property
    def id(self) -> str:
        """What progress remembers it by: it changes with the words of the question."""
        return "question " + hashlib.sha256(self.text.encode()).hexdigest()[:12]

    @property
    def choices(self) -> list[str]:
        """Its answers, in an order that is mixed but always the same."""
        made = [self.right, *self.wrong]
        return sorted(made, key=lambda choice: hashlib.sha256(f"{self.text} {choice}".encode()).digest())

    def feedback(self, choice: str) -> str:
        """What is said to whoever picks `choice`."""
        return f"✓ Right. {self.why}" if choice == self.right else f"✗ Not quite. {self.wrong[choice]}"


class Lesson(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One lesson, as it stands in the file under its short name."""

    number: int
    name: str
    title: str
    questions: tuple[Question, ...] = pydantic.Field(alias="question")

    @property
    def exercises(self) -> list[Exercise]:
        """Its exercises, in order."""
        return [exercise for exercise in exercises().values() if exercise.lesson == self.number]

    @property
    def parts(self) -> set[str]:
        """What has to be passed to complete it: the names of its exercises, the ids of its questions."""
        return {each.name for each in self.exercises} | {each.id for each in self.questions}


@cache
def lessons() -> tuple[Lesson, ...]:
    """The lessons in order, read from `quizzes.toml`; a ValueError says what is wrong with the file."""
    data = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return tuple(Lesson(number=n, name=name, **data[name]) for n, name in enumerate(data, 1))


def find_lesson(name: str | int) -> Lesson:
    """The lesson called `name`, such as "raw_call", or with that number."""
    for lesson in lessons():
        if str(name).lstrip("0") in (lesson.name, str(lesson.number)):
            return lesson
    raise LookupError(f"There is no lesson {name!r}. The lessons: {[each.name for each in lessons()]}.")


@dataclass
class Store:
    """The events: in the folder, or here where they could not be written. The disk never stops a lesson."""

    unsaved: list[Event] = field(default_factory=list)
    trouble: str = ""  # the sentence that says so

    @property
    def folder(self) -> Path:
        """Where the files are; `COURSE_DATA_DIR` names another. RuntimeError: this user's home is unknown."""
        named = DRIVE if sys.platform == "emscripten" else os.environ.get("COURSE_DATA_DIR")
        return Path(named or user_data_path("llm-api-course", appauthor=False)).expanduser()

    def files(self) -> list[Path]:
        """All files, the oldest first: of release 1.0 a list of what was passed, then one an event."""
        try:
            return [*self.folder.glob("progress.json"), *sorted(self.folder.glob("events/*.json"))]
        except (OSError, RuntimeError):
            return []

    def events(self) -> list[Event]:
        """All events, oldest first: what 1.0 knew, what was written since, what could not be."""
        found: list[Event] = []
        for file in self.files():
            # One that is gone or damaged counts for nothing.
            with suppress(OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
                data = json.loads(file.read_bytes())
                if file.name == "progress.json":
                    names = [part.removeprefix("exercise ") for part in data["passed"]]
                    found += [{"kind": "part", "name": name, "passed": True} for name in names]
                elif isinstance(data["kind"] + data["name"], str):
                    found.append(data)
        return found + self.unsaved

    def add(self, kind: str, name: str, **facts: Any) -> str:
        """Keep an event. Returns a sentence, once, where it cannot be saved, else ""."""
        event = {"kind": kind, "name": name, **facts, "at": time.time()}
        try:
            folder = self.folder / "events"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = folder / f"{time.time_ns():020}-{secrets.token_hex(8)}.json"
            write_whole(file, json.dumps(event).encode())
            return ""
        except (OSError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or error
            self.trouble = f"Your progress cannot be saved here ({why}): it lasts until the kernel restarts."
            self.unsaved.append(event)
            return self.trouble if len(self.unsaved) == 1 else ""

    def reset(self) -> None:
        """Forget everything. Raises OSError where a file cannot be deleted."""
        self.__init__()
        for file in self.files():
            file.unlink(missing_ok=True)


store = Store()


def passed_parts(events: list[Event]) -> set[str]:
    """The exercises and questions that were passed, as `Lesson.parts` calls them."""
    return {event["name"] for event in events if event.get("passed")}


def record_try(name: str, passed: bool, mistake: str = "", kind: str = "exercise") -> str:
    """Remember a try at an exercise, and the mistake's name, or at a question. Returns what is to be said."""
    before = passed_parts(store.events())
    after = before | {name} if passed else before
    trouble = store.add(kind, name, passed=passed, mistake=mistake)
    completed = [lesson for lesson in lessons() if lesson.parts <= after and not lesson.parts <= before]
    said = [f"Lesson {lesson.number} is complete. {_summary(after)}" for lesson in completed]
    return " ".join(filter(None, [*said, trouble]))


def _summary(names: set[str]) -> str:
    done = sum(lesson.parts <= names for lesson in lessons())
    joy = " 🎉 Congratulations! Now build something." if done == len(lessons()) else ""
    return f"{done} of {len(lessons())} lessons complete.{joy}"


def progress(export: str | os.PathLike | None = None) -> Progress:
    """The table of lessons, exercises and quizzes; `progress().reset()` forgets it.

    `export="ada.json"` also writes it to that file, under the name ada, for a teacher: what was passed,
    tries, mistakes by name, guesses, and no text of any answer. Raises OSError where it cannot be written.
    """
    if export is not None:
        path = Path(f"{export}".removesuffix(".json") + ".json")
        if path.exists() and not path.read_bytes().startswith(b'{"learner": '):
            raise FileExistsError(f"{path} is there already and holds something else: choose another name.")
        write_whole(path, json.dumps({"learner": path.stem, "events": store.events()}).encode())
        print(f"Written to {path}: the name {path.stem}, tries, passes, mistakes by name and guesses.")
    return Progress()


class Progress:
    """The table of lessons, exercises and quizzes. `reset()` forgets it all."""

    reset = store.reset

    def _rows(self, between: str) -> tuple[list[tuple[str, ...]], list[str]]:
        """The table, its head first, and the sentences under it; `between` a lesson's number and title."""
        names, rows = passed_parts(store.events()), [("Lesson", "Exercises", "Quiz", "Next")]
        for lesson in lessons():
            tried, asked = len(lesson.exercises), len(lesson.questions)
            left = [each.number for each in lesson.exercises if each.name not in names]
            right = sum(question.id in names for question in lesson.questions)
            what = f"exercise {left[0]}" if left else "quiz" if right < asked else "✓ complete"
            title = f"{lesson.number}{between}{lesson.title}"
            rows.append((title, f"{tried - len(left)} of {tried}", f"{right} of {asked}", what))
        return rows, [note for note in (_summary(names), store.trouble) if note]

    def __repr__(self) -> str:
        rows, notes = self._rows("  ")
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["   ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join([*lines, "", *notes])

    def _repr_html_(self) -> str | None:
        try:
            import pandas as pd
        except ImportError:  # a browser tab may lack it, and shows the text
            return None
        (head, *rows), notes = self._rows(" · ")  # pandas releases differ on two blanks
        table = pd.DataFrame(rows, columns=head).to_html(index=False, justify="left")
        return table + "".join(f"<p>{escape(note)}</p>" for note in notes)
