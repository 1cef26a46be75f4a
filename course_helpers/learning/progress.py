"""How far the learner is: read from the events, shown as a table, exported for a teacher."""

from __future__ import annotations

import json
import os
from html import escape
from pathlib import Path
from typing import Any

from ..files import write_whole
from .events import Event, store
from .lessons import Lesson, exercise_id, lessons


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
        import pandas as pd

        table = pd.DataFrame(self.rows(), columns=self._HEAD).to_html(index=False, justify="left")
        return table + "".join(f"<p>{escape(note)}</p>" for note in self.notes())


def _next(lesson: Lesson, names: set[str]) -> str:
    for exercise in lesson.exercises:
        if exercise_id(exercise.name) not in names:
            return f"exercise {exercise.number}"
    return "✓ complete" if lesson.parts <= names else "quiz"
