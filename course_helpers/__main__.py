"""Opens the lessons in JupyterLab: `python -m course_helpers`, `lab`, `uv run lab`, `make lab`.

lab                        lesson 1
lab 03                     lesson 3
lab 03 --no-browser        what follows goes to JupyterLab
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

# The course's folder: the one that holds this package, or the one in which the command is typed.
HOME = Path(__file__).resolve().parents[1]
HOME = HOME if (HOME / "notebooks").exists() else Path.cwd()
NOTEBOOKS = HOME / "notebooks"
# Where files of tools/jupyter belong; an installation other than `--editable` puts them there itself.
SETTINGS = {
    "share/jupyter/lab/settings/overrides.d": "llm-api-course.json",
    "etc/ipython": "ipython_kernel_config.py",
}


def settle() -> None:
    """Keeps JupyterLab from offering news, and from marking a lesson that was only opened as changed."""
    for place, name in SETTINGS.items():
        with contextlib.suppress(OSError):
            folder = Path(sys.prefix, place)
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(HOME / "tools/jupyter" / name, folder)


def command(arguments: list[str]) -> list[str]:
    """JupyterLab's command line for `arguments`; ends with a sentence where there is no such lesson."""
    number, *others = arguments if arguments and not arguments[0].startswith("-") else ["1", *arguments]
    lessons = {path.name[:2]: path.name for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))}
    if (lesson := lessons.get(number.zfill(2)[:2])) is None:
        there = ", ".join(lessons.values()) or f"none in {NOTEBOOKS}: go to the course's folder"
        raise SystemExit(f"There is no lesson {number!r}. The lessons: {there}.")
    # JupyterLab refuses to run as root unless asked to. Some browsers may not read the file by which it opens
    # them, so it gives them the address itself.
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    options = ["--ServerApp.use_redirect_file=False", f"--LabApp.default_url=/lab/tree/notebooks/{lesson}"]
    return [sys.executable, "-m", "jupyterlab", *as_root, *options, *others]


def main() -> int:
    """The exit code of JupyterLab, which runs until it is stopped."""
    lab = command(sys.argv[1:])
    settle()
    # `course-chat` and `python` in Lab's terminal, or in a cell, are those of this installation.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C reached JupyterLab too, which has said goodbye
        return subprocess.call(lab, cwd=HOME, env={**os.environ, "PATH": path})
    return 0


if __name__ == "__main__":
    sys.exit(main())
