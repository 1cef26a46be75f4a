"""Reading and writing at a terminal or over a pipe: answers to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import anthropic

from . import render
from .retries import print_wait

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
    with contextlib.redirect_stdout(sys.stderr):
        print_wait(wait)


def explain(error: BaseException) -> str:
    """What went wrong, in a line."""
    if isinstance(error, anthropic.APIStatusError):
        words = f"{error.status_code} {error.type or ''}: {error.api_message or error.message}"
    elif isinstance(error, OSError) and error.strerror:
        words = f"{error.filename}: {error.strerror}"
    else:
        words = str(error.args[0] if error.args else error)
    return " ".join([words, *getattr(error, "__notes__", ())])
