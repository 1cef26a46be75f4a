"""docs/cheatsheet.md: one page for all lessons, made from their own cells.

A code cell, or a folded solution, whose metadata holds `"cheatsheet": "One call"` stands in it under that
title. The cells of one lesson run in their order after its setup cell: a test runs them as somebody would who
copied them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from tools.lessons import cover

PAGE = "docs/cheatsheet.md"
HEAD = """# Cheat sheet

The calls to look up, made from the lessons' own cells by `make notebooks`.
At work you have only `anthropic`: what is imported from `course_helpers` you replace by your own, and lines
with `practice` and `check` go, with what hangs on them.
The snippets of one lesson go together, in their order, after the setup cell:

```python
{setup}
```
"""


def snippets(path: Path) -> list[tuple[str, str]]:
    """Title and source of each cell of the lesson at `path` that belongs on the page."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    marked = [cell for cell in cells if "cheatsheet" in cell["metadata"]]
    return [(cell["metadata"]["cheatsheet"], _code("".join(cell["source"]))) for cell in marked]


def _code(source: str) -> str:
    """The code of a cell; of a folded solution, which is Markdown, what stands in its fence."""
    fenced = re.search(r"(?s)```python\n(.*?)\n```", source)
    return fenced[1] if fenced else source


def setup(path: Path) -> str:
    """The source of the setup cell of the lesson at `path`."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "".join(next(cell["source"] for cell in cells if cell["cell_type"] == "code"))


def page(paths: list[Path]) -> str:
    """The whole page."""
    parts = [HEAD.format(setup=setup(paths[0]))]
    for path in paths:
        found = cover(path)
        if marked := snippets(path):
            parts.append(f"## {found.number}. [{found.title}](../notebooks/{found.file})\n")
            parts += [f"### {title}\n\n```python\n{source}\n```\n" for title, source in marked]
    return "\n".join(parts)
