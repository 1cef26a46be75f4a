"""`make reset LESSON=03`: puts a lesson back as it came and keeps the learner's version beside it."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.lessons import ROOT, command, find_lesson, git


def keep(path: Path) -> Path:
    """Moves `path` to the first free name beside it: my_03_multi_turn.ipynb, my_03_multi_turn_2.ipynb, …"""
    number = 1
    while True:
        kept = path.with_name(f"my_{path.stem}{f'_{number}' if number > 1 else ''}.ipynb")
        if not kept.exists():
            return path.rename(kept)
        number += 1


def reset(name: str, root: Path = ROOT) -> str:
    """Restores the lesson called `name` from the last commit; returns what to tell the learner."""
    known = git("ls-tree", "-z", "--name-only", "HEAD", "notebooks/", folder=root)
    if known is None:
        raise LookupError(
            "This folder has no git history, so there is no original to go back to. "
            "Download the course again and copy the lesson from there."
        )
    committed = [Path(each) for each in known.decode().split("\0") if each.endswith(".ipynb")]
    path = root / find_lesson(name, committed)
    original = git("show", f"HEAD:./notebooks/{path.name}", folder=root)
    if path.exists() and path.read_bytes() == original:
        return f"{path.name} already is as it came."
    kept = keep(path).name if path.exists() else None
    path.write_bytes(original)
    said = f"{path.name} is as it came."
    if kept:
        said += f" Your version is kept as notebooks/{kept}; your progress is kept too."
    return said + "\nIf it is open in JupyterLab: File, Reload Notebook from Disk."


if __name__ == "__main__":
    sys.exit(command("Say which lesson: make reset LESSON=03", reset))
