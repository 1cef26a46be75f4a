"""`make colab REPO=owner/name`: the lessons with a badge and a first cell for Colab, into colab/.

Colab opens a notebook from GitHub and knows nothing of the repository around it, so both need its address.
Publishing is one more step: commit colab/ in that repository.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from tools.lessons import ROOT, lesson_paths

FOLDER = ROOT / "colab"
BADGE = """\
[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]\
(https://colab.research.google.com/github/{repo}/blob/main/colab/{file})

"""
FIRST_CELL = """\
import sys

if "google.colab" in sys.modules:  # elsewhere the course is installed already, and this cell does nothing
    %pip install --quiet "git+https://github.com/{repo}"
    # If Colab asks to restart the session: restart, and run this cell again.
    from google.colab import output

    output.enable_custom_widget_manager()  # the chat cell is a widget of the course's own\
"""


def for_colab(notebook: dict, file: str, repo: str) -> dict:
    """`notebook`, called `file`, with a badge on top and, below its title, a cell that installs `repo`."""
    title, *rest = notebook["cells"]
    badge = BADGE.format(repo=repo, file=file).splitlines(keepends=True)
    first = {
        "cell_type": "code",
        "execution_count": None,
        "id": "colab",
        "metadata": {},
        "outputs": [],
        "source": FIRST_CELL.format(repo=repo).splitlines(keepends=True),
    }
    return {**notebook, "cells": [{**title, "source": [*badge, *title["source"]]}, first, *rest]}


def main(arguments: list[str], folder: Path = FOLDER) -> int:
    """Writes the lessons for the repository that `arguments` name; returns 2 where none is named."""
    if len(arguments) != 1 or not re.fullmatch(r"[\w.-]+/[\w.-]+", arguments[0]):
        print("Say where the course is published on GitHub: make colab REPO=owner/name", file=sys.stderr)
        return 2
    folder.mkdir(exist_ok=True)
    for path in lesson_paths():
        lesson = for_colab(json.loads(path.read_text(encoding="utf-8")), path.name, arguments[0])
        text = json.dumps(lesson, indent=1, ensure_ascii=False) + "\n"
        (folder / path.name).write_text(text, encoding="utf-8")
    print("The lessons for Colab: colab/. They open from their badges once that folder is committed there.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
