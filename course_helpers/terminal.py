"""At a terminal or over a pipe: answers go to stdout, everything else to stderr, and no file is lost."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from . import render

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

_WIDE = "\u2e80-\ua4ff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_UNBROKEN = re.compile(rf"\s+|[{_WIDE}]|[^\s{_WIDE}]+")
"""White space, and what no line may break in: a word, or one character of a script without spaces."""


def _is_smart(*streams: TextIO) -> bool:
    """Are all `streams` a terminal that can move its cursor? A dumb one is used like a pipe."""
    return all(stream.isatty() for stream in streams) and os.environ.get("TERM") not in ("dumb", "unknown")


class Reader(contextlib.AbstractContextManager):
    """What is typed, message by message; at a terminal with history, completion, and pastes in one piece."""

    def __init__(self, completions: Callable[[str], Iterable[str]]) -> None:
        self._editor = _editor(completions) if _is_smart(sys.stdin, sys.stderr) else None

    def read(self, prompt: str) -> str:
        """The next message: over a pipe, and at a dumb terminal, the next line. The prompt is for people."""
        if self._editor is not None:
            *before, prompt = prompt.rpartition("\n")
            say("".join(before), end="")
            try:
                return self._editor.prompt(prompt)
            finally:  # what is pasted while an answer comes is one message too
                self._editor.output.enable_bracketed_paste()
                self._editor.output.flush()
        if sys.stdin.isatty() and sys.stdout.isatty():
            return input(prompt)
        if sys.stdin.isatty():
            say(prompt, end="")
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line

    def leave(self, status: int) -> None:
        """End the program with `status`: for a signal, which may come in the midst of a prompt."""
        app = self._editor and self._editor.app
        if not (app and app.is_running):
            sys.exit(status)
        app.loop.call_soon_threadsafe(lambda: app.exit(exception=SystemExit(status)))

    def remember(self, messages: Iterable[str]) -> None:
        """Let the arrow keys find `messages`, the newest last."""
        for message in messages if self._editor is not None else ():
            self._editor.history.append_string(message)

    def __exit__(self, *_: object) -> None:
        if self._editor is not None:
            self._editor.output.disable_bracketed_paste()
            self._editor.output.flush()


def _editor(completions: Callable[[str], Iterable[str]]) -> PromptSession:
    """Enter sends, Alt-Enter makes a new line, Tab completes. It shows itself on stderr."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.output import create_output
    from prompt_toolkit.shortcuts import CompleteStyle

    class Commands(Completer):
        def get_completions(self, document, complete_event):
            typed = document.text_before_cursor
            return (Completion(text, start_position=-len(typed)) for text in completions(typed))

    # Not asked where its cursor is: a terminal that does not answer would get a warning in place of a prompt.
    os.environ.setdefault("PROMPT_TOOLKIT_NO_CPR", "1")
    keys = KeyBindings()
    keys.add("escape", "enter")(lambda event: event.current_buffer.insert_text("\n"))
    return PromptSession(
        output=create_output(sys.stderr),
        completer=Commands(),
        complete_while_typing=False,
        complete_style=CompleteStyle.READLINE_LIKE,
        key_bindings=keys,
    )


class Printer:
    """Writes a growing text: over a pipe to the letter, at a terminal with nothing hidden and words whole."""

    def __init__(self, stream: TextIO, column: int = 0) -> None:
        self._stream, self._column, self._gap, self._held = stream, column, "", ""
        self._columns = (os.get_terminal_size(stream.fileno()).columns or 80) if _is_smart(stream) else 0

    def add(self, text: str) -> None:
        """Write `text`. Its last word may go on, so a terminal shows it when that is known."""
        text = render.plain(text) if self._stream.isatty() else text
        if self._columns:
            *whole, self._held = _UNBROKEN.findall(self._held + text) or [""]
            for part in whole:
                self._put(part)
        else:
            self._stream.write(text)
        self._stream.flush()

    def end(self) -> None:
        """Write what was held."""
        self._put(self._held)
        self._stream.write(self._gap)
        self._stream.flush()

    def _put(self, part: str) -> None:
        """Write one word with the white space before it, or a new line in place of that."""
        from prompt_toolkit.utils import get_cwidth

        if not part or part.isspace():
            self._gap += part.expandtabs()
            return
        width = get_cwidth(part)
        if "\n" in self._gap:
            self._column = 0
        elif self._column and self._column + len(self._gap) + width > self._columns:
            self._column, self._gap = 0, "\n"
        self._stream.write(self._gap + part)
        self._column += len(self._gap.rpartition("\n")[2]) + width
        self._gap = ""


def say(text: str, end: str = "\n") -> None:
    """Print `text` to stderr."""
    printer = Printer(sys.stderr)
    printer.add(text + end)
    printer.end()


def check_target(path: Path | None, ours: set[Path | None]) -> None:
    """Raises where `path` cannot be written, or holds something that would be lost: none of `ours`."""
    if path and path.exists() and not any(own and own.exists() and path.samefile(own) for own in ours):
        said = f"{path} is there already: choose another name, or go on with it: --load {path}"
        raise FileExistsError(said)
    if path and not os.access(path.absolute().parent, os.W_OK):
        raise PermissionError(f"{path} cannot be written: its folder is missing or not writable.")
