"""What the learner has passed: a small private file in the user's data folder, and the table that shows it.

The file holds a set of names and only ever grows, so two notebooks that write at once cannot undo each other.
`COURSE_DATA_DIR` names another folder.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from html import escape
from pathlib import Path

from ..files import write_whole
from .lessons import Lesson, exercise_id, lessons

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

VERSION = 1


class Store:
    """The file, and what could not be written to it. Trouble with the disk never stops a lesson."""

    def __init__(self) -> None:
        self.unsaved: set[str] = set()
        self.trouble = ""
        """Why the last change could not be saved; "" if it was."""

    @property
    def path(self) -> Path:
        """Where the file is, or will be."""
        if named := os.environ.get("COURSE_DATA_DIR"):
            return Path(named).expanduser() / "progress.json"
        from platformdirs import user_data_path

        return user_data_path("llm-api-course", appauthor=False) / "progress.json"

    def passed(self) -> set[str]:
        """The names of all that was passed."""
        with self._guarded():
            return self._read() | self.unsaved
        return set(self.unsaved)

    def add(self, *names: str) -> None:
        """Remember that `names` were passed."""
        self.unsaved.update(names)
        with self._guarded():
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                self._write(self._read(locked=True) | self.unsaved)
            self.unsaved.clear()

    def reset(self) -> None:
        """Forget everything, files that were set aside included."""
        self.unsaved.clear()
        with self._guarded():
            if not self.path.parent.exists():
                return
            with self._locked():
                for file in (self.path, *self.set_aside()):
                    file.unlink(missing_ok=True)

    def set_aside(self) -> list[Path]:
        """Damaged files that were found and kept."""
        return sorted(self.path.parent.glob("progress.damaged*.json"))

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
            if not self.unsaved:
                self.trouble = ""
        except OSError as error:
            self.trouble = error.strerror or str(error)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self.path.with_name("progress.lock"), "a") as lock:
            if fcntl is not None:
                with contextlib.suppress(OSError):  # some network file systems have no locks: go on without
                    fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self, locked: bool = False) -> set[str]:
        """The names in the file. A damaged one is set aside, under the lock, to be sure it is this one."""
        try:
            data = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return set()
        except (ValueError, RecursionError):
            data = None
        if isinstance(data, dict) and isinstance(data.get("version"), int) and data["version"] > VERSION:
            raise OSError(f"{self.path} was written by a newer release of the course")
        names = data.get("passed") if isinstance(data, dict) else None
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return set(names)
        if not locked:
            with self._locked():
                return self._read(locked=True)
        self.path.rename(self.path.with_name(f"progress.damaged-{len(self.set_aside()) + 1}.json"))
        return set()

    def _write(self, names: set[str]) -> None:
        write_whole(self.path, json.dumps({"version": VERSION, "passed": sorted(names)}, indent=1).encode())


store = Store()
_HEAD = ("Lesson", "Exercises", "Quiz", "Next")


def passed(lesson: Lesson, names: set[str]) -> bool:
    """Is the lesson complete with what `names` holds: its exercises and its quiz?"""
    return lesson.parts <= names


def remember(lesson: Lesson, *names: str) -> str:
    """Remember that `names` of `lesson` were passed; a line to show if that completed it, else ""."""
    before = store.passed()
    store.add(*names)
    after = before | set(names)
    if passed(lesson, before) or not passed(lesson, after):
        return ""
    return f"Lesson {lesson.number} is complete. {_summary(after)}"


def _summary(names: set[str]) -> str:
    done = sum(passed(lesson, names) for lesson in lessons())
    if done < len(lessons()):
        return f"{done} of {len(lessons())} lessons complete."
    return (
        f"🎉 {done} of {done} lessons complete! You can call a model, hold a conversation with it, stream "
        "it, pay for it and wait for it, on any server that speaks its language. "
        "Congratulations! Now build something."
    )


def progress() -> Progress:
    """The table of lessons, exercises and quizzes; `progress().reset()` forgets it."""
    return Progress()


class Progress:
    """The table of lessons, exercises and quizzes. `reset()` forgets it all."""

    def reset(self) -> None:
        """Forget everything that was passed, in every lesson."""
        store.reset()

    def rows(self) -> list[tuple[str, str, str, str]]:
        """For each lesson its title, exercises and questions that were passed, and what comes next."""
        names = store.passed()
        return [
            (
                f"{lesson.number}  {lesson.title}",
                f"{sum(exercise_id(e.name) in names for e in lesson.exercises)} of {len(lesson.exercises)}",
                f"{sum(q.id in names for q in lesson.questions)} of {len(lesson.questions)}",
                _next(lesson, names),
            )
            for lesson in lessons()
        ]

    def notes(self) -> list[str]:
        """The sentences under the table."""
        notes = [_summary(store.passed())]
        if store.trouble:
            notes.append(
                f"Your progress could not be saved ({store.trouble}): it lasts until the kernel restarts."
            )
        notes += [f"A damaged progress file was set aside: {path}" for path in store.set_aside()]
        return notes

    def __repr__(self) -> str:
        rows = [_HEAD, *self.rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ["   ".join([*map(str.ljust, row[:3], widths), row[3]]).rstrip() for row in rows]
        return "\n".join([*lines, "", *self.notes()])

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align:left'>{name}</th>" for name in _HEAD)
        body = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.rows()
        )
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"


def _next(lesson: Lesson, names: set[str]) -> str:
    for exercise in lesson.exercises:
        if exercise_id(exercise.name) not in names:
            return f"exercise {exercise.number}"
    return "✓ complete" if passed(lesson, names) else "quiz"
