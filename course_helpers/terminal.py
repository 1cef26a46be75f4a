"""At a terminal or over a pipe: answers go to stdout, everything else to stderr, and no file is lost."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import anthropic

from . import render

if TYPE_CHECKING:
    from .retries import Wait


def read(prompt: str) -> str:
    """One line of input. The prompt is for people: over a pipe there is none."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # input() then edits the line
        return input(prompt)
    if sys.stdin.isatty():
        say(prompt, end="")
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


def say(text: str, end: str = "\n") -> None:
    """Print `text` to stderr."""
    print(render.plain(text) if sys.stderr.isatty() else text, end=end, file=sys.stderr, flush=True)


def show_wait(wait: Wait) -> None:
    """Say what is being waited for."""
    say(str(wait))


def in_one_line(error: BaseException) -> str:
    """What went wrong, and what was tried against it."""
    if isinstance(error, anthropic.APIStatusError):
        words = f"{error.status_code} {error.type or ''}: {error.api_message or error.message}"
    elif isinstance(error, OSError) and error.strerror:
        words = f"{error.filename}: {error.strerror}"
    else:
        words = str(error.args[0] if error.args else error)
    notes = getattr(error, "__notes__", ())
    if notes and not words.endswith((".", "!", "?", "…")):
        words += "."
    return " ".join([words, *notes])


def check_target(path: Path | None, ours: Iterable[Path | None]) -> None:
    """Raises where `path` cannot be written, or holds something that would be lost: none of `ours`."""
    if path is None:
        return
    if path.exists() and not any(own and own.exists() and path.samefile(own) for own in ours):
        raise FileExistsError(
            f"{path} is there already: choose another name, or go on with it: --load {path}"
        )
    if not os.access(path.absolute().parent, os.W_OK):
        raise PermissionError(f"{path} cannot be written: its folder is missing or not writable.")
