"""Where the lessons are, what their first cells say, and how they stood at the last commit.

The first cell of a lesson is Markdown and reads like this, which is where the tables of README.md and
docs/teaching.md come from:

    # 3. Multi-turn: the API forgets

    **Time** about 30 minutes · **Before** lessons 1 and 2

    You will be able to:

    - say why ...
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"


def lesson_paths(folder: Path = NOTEBOOKS) -> list[Path]:
    """The lessons in `folder`, in order."""
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def find_lesson(name: str, paths: list[Path]) -> Path:
    """The one of `paths` called `name`: 3, 03 or 03_multi_turn."""
    stem = Path(name).stem
    for path in paths:
        if path.stem == stem or (stem.isdigit() and path.stem.startswith(f"{int(stem):02}_")):
            return path
    there = ", ".join(path.stem for path in paths) or "none"
    raise LookupError(f"There is no lesson {name!r}. The lessons: {there}.")


def command(usage: str, tool: Callable[[str], str]) -> int:
    """The exit code of a command line that gives `tool` its one argument and prints what it says."""
    try:
        (argument,) = sys.argv[1:]
    except ValueError:
        print(usage, file=sys.stderr)
        return 2
    try:
        print(tool(argument))
    except LookupError as error:
        print(error.args[0], file=sys.stderr)
        return 1
    return 0


# What stands in the first cell


@dataclass(frozen=True)
class Cover:
    """What a lesson's first cell says of it."""

    number: int
    file: str
    title: str
    time: str
    """As it stands there: "45 minutes, and 15 for exercise 6.3", "5 minutes a note"."""
    before: str
    goals: tuple[str, ...]

    @property
    def minutes(self) -> int:
        """All of its minutes."""
        return sum(map(int, re.findall(r"(?:^|and )(\d+)", self.time)))


def cover(path: Path) -> Cover:
    """What the first cell of the lesson at `path` says; a ValueError says what is missing there."""
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
    text = "".join(first["source"])
    title = re.search(r"^# \d+\. (.+)$", text, re.M)
    time = re.search(r"\*\*Time\*\* about (\d+ minutes[^·\n]*?) ·", text)
    before = re.search(r"\*\*Before\*\* (.+?)\.?$", text, re.M)
    goals = re.findall(r"^- (.+)$", text, re.M)
    missing = [
        what
        for what, found in [
            ("a title: # 1. The raw call", title),
            ("**Time** about 30 minutes", time),
            ("**Before** lesson 1", before),
            ("a list of what the learner will be able to do: - …", goals),
        ]
        if not found
    ]
    if first["cell_type"] != "markdown" or missing:
        raise ValueError(f"{path.name}: the first cell lacks {'; '.join(missing) or 'being Markdown'}")
    return Cover(
        number=int(path.stem[:2]),
        file=path.name,
        title=title[1].strip(),
        time=time[1],
        before=before[1].strip(),
        goals=tuple(goals),
    )


def readme_table(covers: list[Cover]) -> str:
    """The table of lessons in README.md."""
    rows = [
        f"| {c.number} | [{c.title}](notebooks/{c.file}) | {c.time.replace('minutes', 'min')} | {c.before} |"
        for c in covers
    ]
    return "\n".join(["| | Lesson | Time | Before |", "|---|---|---|---|", *rows])


def teaching_list(covers: list[Cover]) -> str:
    """What docs/teaching.md has on each lesson: its first cell, minutes by section, docs/teaching.toml."""
    notes = tomllib.loads((ROOT / "docs" / "teaching.toml").read_text(encoding="utf-8"))
    parts = []
    for c in covers:
        goals = "\n".join(f"- {goal}" for goal in c.goals)
        parts.append(
            f"### {c.number}. [{c.title}](../notebooks/{c.file})\n\n"
            f"About {c.time}; before it: {c.before}.\n\n{goals}"
        )
        if of := notes.get(str(c.number)):
            sections = minutes_by_section(NOTEBOOKS / c.file, c.minutes)
            spent = " · ".join(f"{title} ({n})" for title, n in sections)
            listed = [f"- {line}" for line in of["mistakes"]]
            asked = [f"- {line}" for line in of["discuss"]]
            parts.append(f"**Minutes**, by the length of its sections: {spent}")
            parts.append(f"**If time is short**, leave out: {of['cut']}")
            parts.append("\n".join(["**To discuss**", "", *asked]))
            parts.append("\n".join(["**Likely mistakes**, and what to do", "", *listed]))
    return "\n\n".join(parts)


def minutes_by_section(path: Path, minutes: int) -> list[tuple[str, int]]:
    """The sections of the lesson at `path`, `minutes` shared out by words, lines of code and own work."""
    weights = {"Beginning": 0}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = re.sub(r"(?s)<details>.*?</details>", "", "".join(cell["source"]))
        for line in text.splitlines():
            if cell["cell_type"] == "markdown" and line.startswith("## "):
                weights[title := re.sub(r"^## (Exercise \d\.\d · )?|`", "", line)] = 0
            else:
                title = [*weights][-1]
            # What is thought about and written takes longer than what is read.
            own_work = 300 * line.startswith("exercise(") + 150 * line.startswith("quiz(")
            weights[title] += own_work + (len(line.split()) if cell["cell_type"] == "markdown" else 12)
    whole = sum(weights.values())
    shares = {title: minutes * weight / whole for title, weight in weights.items()}
    return [(title, max(1, round(share))) for title, share in shares.items()]


GENERATED = {"README.md": readme_table, "docs/teaching.md": teaching_list}
"""Each file with a part between `<!-- lessons -->` and `<!-- /lessons -->`, and what makes that part."""


def fill(text: str, part: str) -> str:
    """`text` with `part` between its two lesson marks."""
    filled, count = re.subn(
        r"(?s)(<!-- lessons[^>]*-->\n).*?(<!-- /lessons -->)", lambda m: f"{m[1]}\n{part}\n\n{m[2]}", text
    )
    if count != 1:
        raise ValueError("expected one part between <!-- lessons --> and <!-- /lessons -->")
    return filled


# How the lessons stood at the last commit


def git(*arguments: str, folder: Path = ROOT) -> bytes | None:
    """What git says in `folder`; None where there is no git, no history or no such thing in it."""
    command = ["git", "-c", f"safe.directory={folder}", *arguments]
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def changed_lessons(root: Path = ROOT) -> list[str]:
    """The lessons whose working copies differ from the last commit, if there is one that has lessons."""
    if not git("ls-tree", "HEAD", "notebooks/", folder=root):
        return []
    said = git("status", "--porcelain", "-z", "--untracked-files=all", "--", "notebooks", folder=root)
    names = [Path(line[3:]).name for line in (said or b"").decode().split("\0")]
    return sorted(name for name in names if re.fullmatch(r"\d\d_.*\.ipynb", name))


@contextmanager
def committed_lessons(root: Path = ROOT) -> Iterator[Path]:
    """A temporary copy of notebooks/ as of the last commit, with the pyproject.toml that applies to it.

    A learner's answers in the working files are thus neither tested nor touched.
    Without git history, or under COURSE_LESSONS=working, it is a copy of the files as they are.
    """
    with tempfile.TemporaryDirectory(prefix="course-lessons-") as folder:
        target = Path(folder).resolve()
        archive = None
        if os.environ.get("COURSE_LESSONS") != "working":
            # None too for a download that was unpacked inside somebody's own repository.
            archive = git("archive", "--format=zip", "HEAD", "notebooks", folder=root)
        if archive:
            zipfile.ZipFile(io.BytesIO(archive)).extractall(target)
        else:
            own = shutil.ignore_patterns(".ipynb_checkpoints", "my_*")
            shutil.copytree(root / "notebooks", target / "notebooks", ignore=own)
        shutil.copy(root / "pyproject.toml", target)
        yield target / "notebooks"
