"""The terms of the course in one page, from the file of what the practice model knows.

`python -m tools.glossary` writes docs/glossary.md; `terms(3)` is the list for the end of lesson 3.
"""

from __future__ import annotations

from course_helpers.practice_api.knowledge import Entry, entries
from tools.lessons import ROOT, cover, lesson_paths

PAGE = ROOT / "docs" / "glossary.md"
_HEAD = """\
# Glossary

<!-- written by make notebooks from course_helpers/practice_api/knowledge.toml: change that -->

What the words mean, and the lesson that shows it.
The practice model explains each of them, with an example, if you ask it.

"""


def _terms() -> list[Entry]:
    """The entries that are terms of their own, by name."""
    return sorted((entry for entry in entries().values() if not entry.of), key=lambda e: e.name.lower())


def terms(lesson: int) -> str:
    """Markdown: the terms that lesson number `lesson` teaches, a line each."""
    return "\n".join(f"- **{e.name}**: {e.part('brief')}" for e in _terms() if e.lesson == lesson)


def page() -> str:
    """The whole of docs/glossary.md."""
    links = {
        cover(path).number: f"[{cover(path).number}](../notebooks/{path.name})" for path in lesson_paths()
    }
    rows = [f"| {e.name} | {e.part('brief')} | {links.get(e.lesson, '')} |" for e in _terms()]
    return _HEAD + "\n".join(["| term | meaning | lesson |", "|---|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
