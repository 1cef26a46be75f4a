"""How far the learner is: one small private file an event, and the table that is read from them.

An event is written once and never changed, under a name that no other process can choose: so two notebooks
at once need no lock and cannot undo each other. It holds no text of an answer. `COURSE_DATA_DIR` names
another folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import threading
import time
from html import escape
from pathlib import Path
from typing import Any

from ..files import write_whole
from .lessons import Lesson, exercise_id, lessons

Event = dict[str, Any]
IMPORTED = "0-imported.json"
# Where JupyterLite shows a kernel the browser's storage; all else in a tab is memory, gone at a reload.
DRIVE = Path("/drive")


class Store:
    """The events: in the folder, or here where they could not be written. The disk never stops a lesson."""

    def __init__(self) -> None:
        self.unsaved: list[Event] = []
        self.trouble = ""  # why the folder could not be used the last time; "" if it could
        self._known: dict[Path, Event | None] = {}  # read once, as they never change; None: not an event
        self._told = False
        self._lock = threading.Lock()  # a widget answers on another thread than a cell

    @property
    def folder(self) -> Path:
        """Where the files are, or will be. Raises OSError where there is no place for them."""
        named = os.environ.get("COURSE_DATA_DIR", "")
        if named and not named.startswith("~"):
            return Path(named)
        if sys.platform == "emscripten":
            if not DRIVE.is_dir():
                raise OSError("this page gives notebooks no storage")
            return DRIVE / "course-progress"
        from platformdirs import user_data_path

        path = Path()
        with contextlib.suppress(RuntimeError):  # an unknown user
            path = Path(named).expanduser() if named else user_data_path("llm-api-course", appauthor=False)
        # A home folder that is not there is not made: neither as a folder called "~" nor as one beneath "/".
        if not path.is_absolute() or path.anchor == str(next(p for p in path.parents if p.is_dir())):
            raise OSError("there is no home folder")
        return path

    def events(self) -> list[Event]:
        """All events, oldest first."""
        found = []
        with self._disk():
            files = sorted(self.folder.glob("events/*.json"))
            old = self.folder / "progress.json"  # of release 1.0: read once, then an event among the others
            if old.is_file() and not (self.folder / "events" / IMPORTED).exists():
                found.append(self._read(old))
                with contextlib.suppress(OSError):
                    self._write(IMPORTED, found[0]) if found[0] else None
            found += map(self._read, files)
        return [event for event in found if event] + self.unsaved

    def add(self, kind: str, name: str, **facts: Any) -> str:
        """Keep an event. Returns a sentence, once, where it cannot be saved, else ""."""
        with self._lock:
            self.unsaved.append({"kind": kind, "name": name, **facts, "at": time.time()})
            with self._disk():
                while self.unsaved:  # what could not be written before goes first
                    unique = f"{time.time_ns():020}-{os.getpid()}-{secrets.token_hex(6)}.json"
                    self._write(unique, self.unsaved[0])
                    del self.unsaved[0]
            told, self._told = self._told, self._told or bool(self.unsaved)
            return self.not_saved if self._told and not told else ""

    def reset(self) -> None:
        """Forget everything."""
        self.unsaved.clear()
        with self._disk():
            for pattern in ("events/*.json", "progress.json", "progress.damaged*.json"):
                for file in self.folder.glob(pattern):
                    file.unlink(missing_ok=True)

    @property
    def not_saved(self) -> str:
        """The sentence that says so."""
        return f"Your progress cannot be saved here ({self.trouble}): it lasts until the kernel restarts."

    @contextlib.contextmanager
    def _disk(self):
        try:
            yield
            self.trouble = self.trouble if self.unsaved else ""
        except OSError as error:
            self.trouble = error.strerror or str(error)

    def _write(self, name: str, event: Event) -> None:
        folder = self.folder / "events"
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        write_whole(folder / name, json.dumps(event).encode())

    def _read(self, path: Path) -> Event | None:
        """The event that `path` holds; None where it holds none."""
        if path not in self._known:
            try:
                event = json.loads(path.read_bytes())
            except FileNotFoundError:  # forgotten by another notebook just now
                return None
            except (ValueError, RecursionError):
                event = None
            self._known[path] = event if _is_event(event) else None
        return self._known[path]


def _is_event(event: object) -> bool:
    if not isinstance(event, dict) or "kind" not in event:
        return isinstance(event, dict) and isinstance(event.get("passed"), list)  # the file of release 1.0
    return isinstance(event["kind"], str) and isinstance(event.get("name"), str)


store = Store()


def record_try(name: str, passed: bool, mistake: str = "") -> str:
    """Remember a try at the exercise `name`, with the name of the mistake that was found.

    Returns what is to be said about it: that it completed a lesson, or, once, that nothing can be saved here.
    """
    return _record("exercise", name, passed=passed, mistake=mistake[:120])


def record_answer(question: str, right: bool) -> str:
    """Remember that the question with the id `question` was answered. Returns what `record_try` does."""
    return _record("question", question, passed=right)


def _record(kind: str, name: str, **facts: Any) -> str:
    before = passed(store.events())
    said = store.add(kind, name, **facts)
    after = before | passed([{"kind": kind, "name": name, **facts}])
    completed = [lesson for lesson in lessons() if lesson.parts <= after and not lesson.parts <= before]
    lines = [f"Lesson {lesson.number} is complete. {_summary(after)}" for lesson in completed]
    return " ".join([*lines, said]).strip()


def passed(events: list[Event]) -> set[str]:
    """The exercises and questions that were passed, as `Lesson.parts` calls them."""
    names: set[str] = set()
    for event in events:
        if "kind" not in event:  # what release 1.0 knew
            names.update(map(str, event["passed"]))
        elif event.get("passed"):
            names.add(exercise_id(event["name"]) if event["kind"] == "exercise" else event["name"])
    return names


def _summary(names: set[str]) -> str:
    done = sum(lesson.parts <= names for lesson in lessons())
    if done < len(lessons()):
        return f"{done} of {len(lessons())} lessons complete."
    return (
        f"🎉 {done} of {done} lessons complete! You can call a model, hold a conversation with it, stream "
        "it, pay for it and wait for it, on any server that speaks its language. "
        "Congratulations! Now build something."
    )


def progress(export: str | os.PathLike | None = None) -> Progress:
    """The table of lessons, exercises and quizzes; `progress().reset()` forgets it.

    `export="ada.json"` also writes it to that file, under the name ada, for a teacher: what was passed,
    tries, mistakes by name, guesses, and no text of any answer. Raises OSError where it cannot be written.
    """
    table = Progress()
    if export is not None:
        table.export(Path(export))
    return table


class Progress:
    """The table of lessons, exercises and quizzes. `reset()` forgets it all."""

    _HEAD = ("Lesson", "Exercises", "Quiz", "Next")
    _exported = ""

    def reset(self) -> None:
        """Forget everything that was passed, in every lesson."""
        store.reset()

    def export(self, path: Path) -> None:
        """Write all events to `path`, a JSON file; the learner is called what the file is called."""
        if path.suffix != ".json":
            raise ValueError(f'Name the file after yourself and end it in .json: export="{path.stem}.json".')
        if path.exists() and not path.read_bytes().startswith(b'{"learner": '):
            raise FileExistsError(f"{path} is there already and holds something else: choose another name.")
        write_whole(path, json.dumps({"learner": path.stem, "events": store.events()}).encode())
        self._exported = (
            f"Written to {path}: the name {path.stem}, tries, passes, mistakes by name and guesses."
        )

    def rows(self) -> list[tuple[str, str, str, str]]:
        """For each lesson its title, exercises and questions that were passed, and what comes next."""
        names = passed(store.events())
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
        summary = _summary(passed(store.events()))
        return [summary, *filter(None, [store.not_saved if store.trouble else "", self._exported])]

    def __repr__(self) -> str:
        rows = [self._HEAD, *self.rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ["   ".join([*map(str.ljust, row[:3], widths), row[3]]).rstrip() for row in rows]
        return "\n".join([*lines, "", *self.notes()])

    def _repr_html_(self) -> str:
        import pandas as pd

        table = pd.DataFrame(self.rows(), columns=self._HEAD).to_html(index=False, justify="left")
        return table + "".join(f"<p>{escape(note)}</p>" for note in self.notes())


def _next(lesson: Lesson, names: set[str]) -> str:
    for exercise in lesson.exercises:
        if exercise_id(exercise.name) not in names:
            return f"exercise {exercise.number}"
    return "✓ complete" if lesson.parts <= names else "quiz"
