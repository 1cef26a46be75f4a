"""At a terminal or over a pipe: answers go to stdout, everything else to stderr, and no file is lost."""

from __future__ import annotations

import atexit
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.output import create_output
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.utils import get_cwidth

from . import render

_UNBROKEN = re.compile(r"\s+|[!-\u2e7f]+|.")
"""White space, and what no line may break in: a word, or one character of a script without spaces."""


def _is_smart(*streams: TextIO) -> bool:
    """Are all `streams` a terminal that can move its cursor? A dumb one is used like a pipe."""
    return all(stream.isatty() for stream in streams) and os.environ.get("TERM") not in ("dumb", "unknown")


def reader(commands: Iterable[str]) -> Callable[[str], str]:
    """What asks for the next message, with a prompt.

    At a terminal Enter sends, Alt-Enter makes a new line, Tab completes `commands`, and what is pasted is one
    message. At a dumb one, and over a pipe, each line is a message.
    """
    if not _is_smart(sys.stdin, sys.stderr):
        return _read_line
    # Not asked where its cursor is: a terminal that does not answer would get a warning in place of a prompt.
    os.environ.setdefault("PROMPT_TOOLKIT_NO_CPR", "1")
    output, keys = create_output(sys.stderr), KeyBindings()
    # What is pasted while an answer comes is one message too: only the program's end turns this off.
    output.disable_bracketed_paste = lambda: None
    atexit.register(sys.stderr.write, "\x1b[?2004l")
    keys.add("escape", "enter")(lambda event: event.current_buffer.insert_text("\n"))
    complete = WordCompleter([f"!{name}" for name in commands], ignore_case=True, sentence=True)
    look = CompleteStyle.READLINE_LIKE
    return PromptSession(output=output, completer=complete, complete_style=look, key_bindings=keys).prompt


def _read_line(prompt: str) -> str:
    if sys.stdin.isatty():  # a prompt is for people
        say(prompt, end="")
    if line := sys.stdin.readline():
        return line
    raise EOFError


def show(pieces: Iterable[str], stream: TextIO, column: int = 0) -> None:
    """Write `pieces` as they come: over a pipe to the letter, at a terminal visible and with whole words."""
    columns = (os.get_terminal_size(stream.fileno()).columns or 80) if _is_smart(stream) else 0

    def write(part: str) -> None:
        nonlocal column
        if columns:
            fits = column + get_cwidth(part.expandtabs()) <= columns
            if not fits and column and "\n" not in part:
                part = "\n" + part.lstrip()
            *above, last = part.expandtabs().rsplit("\n", 1)
            column = get_cwidth(last) + (0 if above else column)
        stream.write(part)

    held = ""  # the last word, which may go on
    try:
        for piece in pieces:
            text = render.plain(piece) if stream.isatty() else piece
            *parts, held = (_UNBROKEN.findall(held + text) or [""]) if columns else [text, ""]
            for part in parts:
                write(part)
            stream.flush()
    finally:
        write(held)
        stream.flush()


def say(text: str, end: str = "\n") -> None:
    """Print `text` to stderr."""
    show([text + end], sys.stderr)


def check_target(path: Path | None, ours: set[Path | None]) -> None:
    """Raises where `path` cannot be written, or holds something that would be lost: none of `ours`."""
    if path and path.exists() and not any(own and own.exists() and path.samefile(own) for own in ours):
        raise FileExistsError(f"{path} is there already: choose another, or go on with it: --load {path}")
    if path and not os.access(path.absolute().parent, os.W_OK):
        raise PermissionError(f"{path} cannot be written: its folder is missing or not writable.")
