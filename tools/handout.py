"""`make handout`: the lessons without their solutions, into handout/. `make answers`: the key beside them."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from course_helpers.learning.graders import exercises
from tools.lessons import ROOT, lesson_paths

FOLDER = ROOT / "handout"


def without_solutions(notebook: dict) -> dict:
    """`notebook` without the cells that carry the tag `solution`, and without words that speak of them."""
    kept = [cell for cell in notebook["cells"] if "solution" not in cell["metadata"].get("tags", ())]
    for cell in kept:
        if cell["cell_type"] == "markdown":
            cell["source"] = _silent("".join(cell["source"])).splitlines(keepends=True)
    return {**notebook, "cells": kept}


def _silent(text: str) -> str:
    """`text` without its clauses about solutions: "…; the solution is folded beneath" and whole sentences."""
    words = r"[^.;!?\n]*\bsolutions?\b[^.;!?\n]*"
    return re.sub(rf";{words}|(?<=[.!?]){words}[.!?]", "", text, flags=re.I)


def answers(paths: list[Path]) -> str:
    """The key to all exercises: what is asked, the solution and its idea, likely mistakes, hints."""
    cells = [cell for path in paths for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    solved = {}
    for cell in cells:
        if "solution" in cell["metadata"].get("tags", ()):
            text = "".join(cell["source"])
            number = re.search(r"Solution (\d+\.\d+)", text)[1]
            solved[number] = re.search(r"(?s)```python\n.*?```", text)[0]
    parts = ["# The key to the exercises\n\nMade by `make answers`, from the lessons and exercises.toml."]
    for exercise in exercises().values():
        mistakes = [f"- *{name}*: {cure}" for name, cure in exercise.mistakes.items()]
        hints = [f"{number}. {hint}" for number, hint in enumerate(exercise.hints, 1)]
        parts += [
            f"## {exercise.number} {exercise.title}\n\n{exercise.task}",
            f"{solved[exercise.number]}\n\nThe idea: {exercise.idea}",
            "\n".join(["**Mistakes that learners make**, and the hint to each\n", *mistakes])
            if mistakes
            else "",
            "\n".join(["**Hints for the beginning**\n", *hints]),
        ]
    return "\n\n".join(filter(None, parts)) + "\n"


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    if sys.argv[1:] == ["answers"]:
        (FOLDER / "answers.md").write_text(answers(lesson_paths()), encoding="utf-8")
        print("The key: handout/answers.md")
        return 0
    for path in lesson_paths():
        handed = without_solutions(json.loads(path.read_text(encoding="utf-8")))
        text = json.dumps(handed, indent=1, ensure_ascii=False) + "\n"
        (FOLDER / path.name).write_text(text, encoding="utf-8")
    print("The lessons without their solutions: handout/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
