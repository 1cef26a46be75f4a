"""What the learner did: a folder of small private files, one an event, and the table that is read from them.

An event is written once and never changed, under a name that no other process can choose: so two notebooks
at once need no lock and cannot undo each other. It holds no text of any answer. What was passed, the tries,
the mistakes and the guesses are all read from the events. `COURSE_DATA_DIR` names another folder.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading
import time
from collections import Counter
from html import escape
from pathlib import Path
from typing import Any

from ..files import write_whole
from .lessons import Lesson, exercise_id, lessons

Event = dict[str, Any]
IMPORTED = "0-imported.json"
DRIVE = Path("/drive")
"""Where JupyterLite shows a kernel the browser's storage; all else in a tab is memory, gone at a reload."""


class Store:
    """The events: in the folder, or here where they could not be written. The disk never stops a lesson."""

    def __init__(self) -> None:
        self.unsaved: list[Event] = []
        self.trouble = ""
        """Why the folder could not be used the last time; "" if it could."""
        self.unreadable: list[Path] = []
        self._known: dict[Path, Event | None] = {}
        """The events that were read already: they never change. None stands for a file that holds none."""
        self._told = False
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        """Where the files are, or will be. Raises OSError where there is no home folder for them."""
        if sys.platform == "emscripten" and "COURSE_DATA_DIR" not in os.environ:
            if not DRIVE.is_dir():
                raise OSError("this page gives notebooks no storage")
            return DRIVE / "course-progress"
        named = os.environ.get("COURSE_DATA_DIR", "")
        if named and not named.startswith("~"):
            return Path(named)
        from platformdirs import user_data_path

        try:
            path = Path(named).expanduser() if named else user_data_path("llm-api-course", appauthor=False)
        except RuntimeError:  # an unknown user
            path = Path()
        # A home folder that is not there is not made: neither as a folder called "~" nor as one beneath "/".
        if not path.is_absolute() or path.anchor == str(next(p for p in path.parents if p.is_dir())):
            raise OSError("there is no home folder")
        return path

    def events(self) -> list[Event]:
        """All events, oldest first."""
        events: list[Event] = []
        self.unreadable = []
        try:
            events += self._old_file()
            folder = self.folder / "events"
            names = sorted(os.listdir(folder)) if folder.is_dir() else []
            events += [
                e for name in names if name.endswith(".json") and (e := self._read(folder / name)) is not None
            ]
            self.trouble = self.trouble if self.unsaved else ""
        except OSError as error:
            self.trouble = error.strerror or str(error)
        return events + self.unsaved

    def add(self, event: Event) -> str:
        """Keep `event`. Returns a sentence, once, where it cannot be saved, else ""."""
        with self._lock:  # a widget answers on another thread than a cell
            self.unsaved.append({**event, "at": time.time()})
            try:
                while self.unsaved:  # what could not be written before goes first
                    name = f"{time.time_ns():020}-{os.getpid()}-{secrets.token_hex(6)}.json"
                    self._write(name, self.unsaved[0])
                    del self.unsaved[0]
            except OSError as error:
                self.trouble = error.strerror or str(error)
                told, self._told = self._told, True
                return "" if told else self.not_saved
            self.trouble = ""
            return ""

    def reset(self) -> None:
        """Forget everything."""
        self.unsaved.clear()
        try:
            files = [*self.folder.glob("events/*.json"), *self.folder.glob("progress*.json")]
            for file in files:
                file.unlink(missing_ok=True)
        except OSError as error:
            self.trouble = error.strerror or str(error)

    @property
    def not_saved(self) -> str:
        """The sentence that says so."""
        return f"Your progress cannot be saved here ({self.trouble}): it lasts until the kernel restarts."

    def _write(self, name: str, event: Event) -> None:
        folder = self.folder / "events"
        if folder.parent.exists() and not folder.parent.is_dir():
            raise OSError(f"{folder.parent} is no folder")
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        write_whole(folder / name, json.dumps(event).encode())

    def _read(self, path: Path) -> Event | None:
        """The event that `path` holds; None, remembered in `unreadable`, where it holds none."""
        if path not in self._known:
            try:
                event = json.loads(path.read_bytes())
            except FileNotFoundError:  # forgotten by another notebook just now
                return None
            except (ValueError, RecursionError):
                event = None
            self._known[path] = event if _is_event(event) else None
        if self._known[path] is None:
            self.unreadable.append(path)
        return self._known[path]

    def _old_file(self) -> list[Event]:
        """What release 1.0 kept in one file, as one event, which from then on stands among the others."""
        old = self.folder / "progress.json"
        if not old.is_file() or (self.folder / "events" / IMPORTED).is_file():
            return []
        try:
            data = json.loads(old.read_bytes())
        except (ValueError, RecursionError):
            data = None
        event = {"kind": "imported", "passed": data.get("passed") if isinstance(data, dict) else None}
        if not _is_event(event):
            self.unreadable.append(old)
            return []
        try:
            self._write(IMPORTED, event)
        except OSError:
            return [event]
        return []


store = Store()


def _is_event(event: object) -> bool:
    if not isinstance(event, dict):
        return False
    if event.get("kind") == "imported":
        return isinstance(event.get("passed"), list)
    return isinstance(event.get("kind"), str) and isinstance(event.get("name"), str)


def record_try(name: str, passed: bool, mistake: str = "") -> str:
    """Remember a try at the exercise `name`, with the name of the mistake that was found.

    Returns what is to be said about it: that it completed a lesson, or, once, that nothing can be saved here.
    """
    return _record({"kind": "exercise", "name": name, "passed": passed, "mistake": mistake[:120]})


def record_answer(question: str, right: bool) -> str:
    """Remember that the question with the id `question` was answered. Returns what `record_try` does."""
    return _record({"kind": "question", "name": question, "passed": right})


def _record(event: Event) -> str:
    before = passed(store.events())
    said = store.add(event)
    after = before | passed([event])
    completed = [lesson for lesson in lessons() if lesson.parts <= after and not lesson.parts <= before]
    lines = [f"Lesson {lesson.number} is complete. {_summary(after)}" for lesson in completed]
    return " ".join([*lines, *filter(None, [said])])


def passed(events: list[Event]) -> set[str]:
    """The exercises and questions that were passed, as `Lesson.parts` calls them."""
    names: set[str] = set()
    for event in events:
        if event["kind"] == "imported":
            names.update(map(str, event["passed"]))
        elif event.get("passed") and event["kind"] == "exercise":
            names.add(exercise_id(event["name"]))
        elif event.get("passed") and event["kind"] == "question":
            names.add(event["name"])
    return names


def guesses(events: list[Event]) -> dict[str, Event]:
    """By name, each guess as it stood when its truth was first shown: name, unit, value, truth."""
    found: dict[str, Event] = {}
    for event in events:
        known = found.setdefault(event["name"], {}) if event["kind"] in ("guess", "truth") else None
        if known is not None and "truth" not in known:
            known |= {key: event[key] for key in ("name", "unit", "value", "truth") if key in event}
    return found


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

    def __init__(self) -> None:
        self._exported = ""

    def reset(self) -> None:
        """Forget everything that was passed, in every lesson."""
        store.reset()

    def export(self, path: Path) -> None:
        """Write everything to `path`, a JSON file; the learner is called what the file is called."""
        if path.suffix != ".json":
            raise ValueError(
                f'Name the file after yourself, with .json at its end: export="{path.stem}.json".'
            )
        if path.exists() and b'"learner"' not in path.read_bytes()[:200]:
            raise FileExistsError(f"{path} is there already and holds something else: choose another name.")
        write_whole(path, json.dumps(exported(path.stem), indent=1, ensure_ascii=False).encode())
        self._exported = (
            f"Written to {path}. It holds the name {path.stem}, what was passed, tries, mistakes by name and "
            "guesses, and no text of your answers."
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
        notes = [_summary(passed(store.events()))]
        if store.trouble:
            notes.append(store.not_saved)
        notes += [f"A progress file cannot be read and was left alone: {path}" for path in store.unreadable]
        return [*notes, *filter(None, [self._exported])]

    def __repr__(self) -> str:
        rows = [self._HEAD, *self.rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ["   ".join([*map(str.ljust, row[:3], widths), row[3]]).rstrip() for row in rows]
        return "\n".join([*lines, "", *self.notes()])

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align:left'>{name}</th>" for name in self._HEAD)
        body = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.rows()
        )
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"


def exported(learner: str) -> dict[str, Any]:
    """All that is known of the learner, by lesson: what `tools.class_report` reads."""
    events = store.events()
    names = passed(events)
    tried = Counter((event["kind"], event["name"]) for event in events if event["kind"] != "imported")
    mistakes = Counter((e["name"], str(e["mistake"])) for e in events if e.get("mistake"))
    return {
        "learner": learner,
        "lessons": [
            {
                "lesson": lesson.name,
                "complete": lesson.parts <= names,
                "exercises": [
                    {
                        "name": e.name,
                        "number": e.number,
                        "passed": exercise_id(e.name) in names,
                        "tries": tried["exercise", e.name],
                        "mistakes": {said: n for (name, said), n in mistakes.items() if name == e.name},
                    }
                    for e in lesson.exercises
                ],
                "questions": [
                    {"id": q.id, "right": q.id in names, "answers": tried["question", q.id]}
                    for q in lesson.questions
                ],
            }
            for lesson in lessons()
        ],
        "guesses": list(guesses(events).values()),
    }


def _next(lesson: Lesson, names: set[str]) -> str:
    for exercise in lesson.exercises:
        if exercise_id(exercise.name) not in names:
            return f"exercise {exercise.number}"
    return "✓ complete" if lesson.parts <= names else "quiz"
