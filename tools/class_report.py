"""`python -m tools.class_report FOLDER`: a class in one table, from what learners handed in. Nothing is sent.

FOLDER holds their exports (`progress(export="ada.json")`), or, where there is none, a folder a learner with
their notebooks. Written beside them: class_report.csv and class_report.html.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from statistics import median

from course_helpers.learning.graders import exercises
from course_helpers.learning.progress import lessons, passed_parts
from tools.lessons import command

NAME = "class_report"
STYLE = """body { font: 15px/1.5 sans-serif; color: #1b1b1b; background: #fff; margin: 2em; }
table { border-collapse: collapse; } caption { text-align: left; font-weight: 600; padding: .5em 0; }
th, td { border: 1px solid #999; padding: 2px 7px; text-align: center; white-space: nowrap; }
th[scope=row] { text-align: left; }
.first { background: #a6dba0; } .later { background: #d9f0d3; } .tried { background: #fdd49e; }"""


@dataclass
class Exercise:
    """How one learner fares with one exercise."""

    passed: bool = False
    tries: int = 0
    mistakes: Counter[str] = field(default_factory=Counter)

    @property
    def words(self) -> str:
        """Readable without colour: ✓ passed at the first try, ✓ 3 at the third, ✗ 2 tried twice in vain."""
        mark = "✓" if self.passed else "✗" if self.tries else ""
        return f"{mark} {self.tries if self.tries > 1 or not self.passed else ''}".strip() if mark else ""

    @property
    def style(self) -> str:
        """The class of its cell in the heat map."""
        return ("first" if self.tries <= 1 else "later") if self.passed else "tried" if self.tries else ""


@dataclass
class Learner:
    """One learner, by exercise and by lesson."""

    name: str
    source: str
    exercises: dict[str, Exercise]
    questions: dict[str, int]
    """How many questions of each lesson's quiz are right; empty where only notebooks are known."""
    complete: int | None
    guesses: list[dict]


def from_export(path: Path) -> Learner:
    """The learner whose export is at `path`. Raises ValueError where that is none."""
    try:
        data = json.loads(path.read_bytes())
        events = [dict(event) for event in data["events"]]
        learner = Learner(str(data["learner"]), path.name, {}, {}, 0, guesses(events))
        names = passed_parts(events)
        for event in events:
            if event.get("kind") == "exercise":
                of = learner.exercises.setdefault(event["name"], Exercise())
                of.tries += 1
                of.mistakes.update(filter(None, [event.get("mistake")]))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{path} is no export of progress(export=…): left out.") from None
    for name in exercises():
        if name in names:
            learner.exercises.setdefault(name, Exercise()).passed = True
    learner.questions = {lesson.name: sum(q.id in names for q in lesson.questions) for lesson in lessons()}
    learner.complete = sum(lesson.parts <= names for lesson in lessons())
    return learner


def guesses(events: list[dict]) -> list[dict]:
    """Each guess as it stood when its truth was first shown: name, unit, value, truth."""
    found: dict[str, dict] = {}
    for event in events:
        known = found.setdefault(event["name"], {}) if event.get("kind") in ("guess", "truth") else None
        if known is not None and "truth" not in known:
            known |= {key: event[key] for key in ("name", "unit", "value", "truth") if key in event}
    return list(found.values())


def from_notebooks(name: str, paths: list[Path]) -> Learner:
    """The learner whose notebooks these are: what the outputs of their exercise cells say."""
    by_number = {exercise.number: exercise.name for exercise in exercises().values()}
    found: dict[str, Exercise] = {}
    for path in paths:
        for number, state in re.findall(r"Exercise (\d+\.\d+) · [^\n]*? · (passed|not yet)", _shown(path)):
            if of := by_number.get(number):
                found.setdefault(of, Exercise()).passed |= state == "passed"
                found[of].tries = 1
    return Learner(name, "notebooks", found, {}, None, [])


def _shown(path: Path) -> str:
    """What the cells of a notebook show, as text; "" where it cannot be read."""
    try:
        outputs = [o for cell in json.loads(path.read_bytes())["cells"] for o in cell.get("outputs", ())]
        texts = [o.get("data", {}).get("text/plain", "") for o in outputs]
        return "\n".join("".join(text) for text in texts)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        print(f"{path} cannot be read: left out.", file=sys.stderr)
        return ""


def collect(folder: Path) -> list[Learner]:
    """All learners in `folder`, by name."""
    learners = []
    for path in sorted(folder.rglob("*.json")):
        try:
            learners.append(from_export(path))
        except ValueError as error:
            print(error, file=sys.stderr)
    known = {learner.name for learner in learners}
    notebooks: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts and path.parent != folder:
            notebooks.setdefault(path.relative_to(folder).parts[0], []).append(path)
    learners += [from_notebooks(name, paths) for name, paths in notebooks.items() if name not in known]
    return sorted(learners, key=lambda learner: learner.name.casefold())


def table(learners: list[Learner]) -> list[list[str]]:
    """Head and rows: a learner, lessons complete, each exercise, each quiz."""
    numbers = {name: exercise.number for name, exercise in exercises().items()}
    head = [
        "Learner",
        "From",
        "Complete",
        *numbers.values(),
        *(f"Quiz {lesson.number}" for lesson in lessons()),
    ]
    rows = []
    for learner in learners:
        tried = [learner.exercises.get(name, Exercise()).words for name in numbers]
        right = [learner.questions.get(lesson.name) for lesson in lessons()]
        quizzes = [
            "" if n is None else f"{n}/{len(lesson.questions)}"
            for n, lesson in zip(right, lessons(), strict=True)
        ]
        complete = "" if learner.complete is None else str(learner.complete)
        rows.append([learner.name, learner.source, complete, *tried, *quizzes])
    return [head, *rows]


def hardest(learners: list[Learner]) -> list[list[str]]:
    """Each exercise that somebody tried, the hardest first: who passed, tries, its most common mistakes."""
    rows = []
    for name, exercise in exercises().items():
        met = [learner.exercises[name] for learner in learners if name in learner.exercises]
        met = [each for each in met if each.tries or each.passed]
        if met:
            passed, tries = (
                sum(each.passed for each in met),
                sum(max(each.tries, 1) for each in met) / len(met),
            )
            mistakes = sum((each.mistakes for each in met), Counter()).most_common(3)
            said = "; ".join(f"{mistake} ({count})" for mistake, count in mistakes)
            rows.append(
                (
                    passed / len(met),
                    -tries,
                    [f"{exercise.number} {exercise.title}", f"{passed} of {len(met)}", f"{tries:.1f}", said],
                )
            )
    return [["Exercise", "Passed", "Tries", "Common mistakes"], *(row for *_, row in sorted(rows))]


def off_by(learners: list[Learner]) -> list[list[str]]:
    """Each guess: how many made it, what they guessed in the middle, and what it is."""
    made: dict[str, list[dict]] = {}
    for learner in learners:
        for guess in learner.guesses:
            if "value" in guess:
                made.setdefault(f"{guess['name']}, {guess.get('unit', '')}", []).append(guess)
    rows = [
        [
            name,
            str(len(of)),
            f"{median(g['value'] for g in of):g}",
            f"{next((g['truth'] for g in of if 'truth' in g), '')}",
        ]
        for name, of in sorted(made.items())
    ]
    return [["Guess", "Made by", "Median", "It is"], *rows]


def page(learners: list[Learner]) -> str:
    """The report as a page of its own."""
    rows = table(learners)
    styles = [["", ""] + [""] * (len(rows[0]) - 2) for _ in rows]
    for line, learner in enumerate(learners, 1):
        for column, name in enumerate(exercises(), 3):
            styles[line][column] = learner.exercises.get(name, Exercise()).style
    legend = "✓ passed at the first try, ✓ 3 at the third; ✗ 2 tried twice, not passed yet; empty: not tried."
    parts = [
        _table(f"Who stands where. {legend}", rows, styles),
        _table("Which exercises are hard, the hardest first.", hardest(learners)),
        _table("Guesses before a measurement.", off_by(learners)),
    ]
    title = f"The class: {len(learners)} learners"
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    body = f"<main><h1>{title}</h1>{''.join(parts)}</main>"
    return f'<!DOCTYPE html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _table(caption: str, rows: list[list[str]], styles: list[list[str]] | None = None) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in rows[0])
    lines = []
    for number, row in enumerate(rows[1:], 1):
        of = styles[number] if styles else [""] * len(row)
        cells = "".join(f'<td class="{s}">{escape(c)}</td>' for c, s in zip(row[1:], of[1:], strict=True))
        lines.append(f'<tr><th scope="row">{escape(row[0])}</th>{cells}</tr>')
    return f"<table><caption>{escape(caption)}</caption><tr>{head}</tr>{''.join(lines)}</table>"


def _harmless(cell: str) -> str:
    """`cell` so that no spreadsheet takes it for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell


def report(folder: Path) -> str:
    """Write both files into `folder`; what to tell the teacher. Raises LookupError where nobody is there."""
    learners = collect(folder) if folder.is_dir() else []
    if not learners:
        raise LookupError(
            f'{folder} holds nothing to report. Ask each learner for progress(export="their-name.json"), '
            "or put each learner's notebooks into a folder of their name."
        )
    with open(folder / f"{NAME}.csv", "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([_harmless(cell) for cell in row] for row in table(learners))
    (folder / f"{NAME}.html").write_text(page(learners), encoding="utf-8")
    return f"{len(learners)} learners: {folder / NAME}.csv and .html"


if __name__ == "__main__":
    sys.exit(
        command("Say which folder: python -m tools.class_report FOLDER", lambda name: report(Path(name)))
    )
