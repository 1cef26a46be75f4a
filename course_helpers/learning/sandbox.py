"""Runs what a learner wrote so that nothing it does can hurt: time, prints, `input()`, errors, results."""

from __future__ import annotations

import asyncio
import builtins
import ctypes
import inspect
import io
import linecache
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

TIME_LIMIT = 10.0  # seconds that one run may take
PRINT_LIMIT = 20_000  # characters of its prints that are kept


class TimeUp(BaseException):
    """The run took too long. Not an Exception, so that an `except Exception` does not swallow it."""


class TimeLongUp(TimeUp):
    """What comes after a TimeUp that a bare `except:` or a `finally` swallowed, and stops these as well.

    Python makes it on the thread that it is raised in, and there the next line, the handler's, raises too.
    """

    def __init__(self) -> None:
        frame = sys._getframe(1)
        while frame.f_globals is not globals():
            frame.f_trace, frame = self._at_a_line, frame.f_back
        sys.settrace(lambda *_: None)

    def _at_a_line(self, _frame: Any, event: str, _arg: Any) -> Callable:
        if event == "line":
            raise TimeUp
        return self._at_a_line


@dataclass(eq=False)
class Ran(io.TextIOBase):
    """What one run came to. It is also where its prints go, and can be read while it goes on."""

    value: Any = None
    error: BaseException | None = None
    printed: str = ""  # its beginning, so that an endless print fills no memory
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    silent_seconds: float = 0.0  # until something visible was printed

    def write(self, text: str) -> int:
        if not self.printed.strip() and str(text).strip():
            self.silent_seconds = time.monotonic() - self.began
        self.printed += str(text)[: PRINT_LIMIT - len(self.printed)]
        return len(text)


def run(call: Callable[[], Any], typed: Iterable[str] = (), *, seconds: float, ran: Ran | None = None) -> Ran:
    """What `call` returned, raised and printed, in `ran` if it is given. A coroutine is run to its end.

    `typed` is what `input()` hands out, line by line. After `seconds` the error is TimeUp.
    A KeyboardInterrupt is the learner's own and comes through; everything else ends here.
    """
    lines, ran = iter(typed), ran or Ran()

    def type_in(prompt: object = "", /) -> str:
        line = next(lines, None)
        ran.write(f"{prompt}{line or ''}\n")
        if line is None:
            raise EOFError("input() has nobody to ask here: the arguments are all that there is")
        return line

    def work() -> None:
        with suppress(TimeUp):  # one that strikes while another error is kept
            try:
                value = call()
                if inspect.iscoroutine(value):
                    value = asyncio.run(asyncio.wait_for(value, seconds + 0.5))
                ran.value, ran.error = value, None
            except BaseException as error:  # a learner may raise anything, SystemExit too
                ran.error = error

    ran.began, ran.error = time.monotonic(), TimeUp()  # unless it ends before
    with patch.object(builtins, "input", type_in), redirect_stdout(ran), redirect_stderr(ran):
        _on_a_thread(seconds, work)
    ran.seconds = time.monotonic() - ran.began
    if isinstance(ran.error, KeyboardInterrupt):
        raise ran.error
    return ran


def _on_a_thread(seconds: float, work: Callable[[], None]) -> None:
    """Do `work` on a thread of its own, which no event loop runs on; it is asked to end after `seconds`."""
    worker = threading.Thread(target=work, name="exercise", daemon=True)
    try:
        worker.start()
    except RuntimeError:  # a browser tab has no threads, and so there is no limit
        return work()
    deadline, end = time.monotonic() + seconds, ctypes.pythonapi.PyThreadState_SetAsyncExc
    try:
        while worker.is_alive() and time.monotonic() < deadline:
            worker.join(0.1)  # Stop does not come through a longer one on Windows
    finally:
        for stop in (TimeUp, *[TimeLongUp] * 20):
            if worker.is_alive():
                end(ctypes.c_ulong(worker.ident), ctypes.py_object(stop))
                worker.join(0.05)


def clean(text: str, length: int = 160) -> str:
    """`text` on one line, cut to `length`, without what differs from run to run: addresses and ports."""
    line = " ".join(text[: 50 * length].split())
    same = re.sub(r" at 0x[0-9a-fA-F]+|(?<=127\.0\.0\.1):\d+|(?<=localhost):\d+", "", line)
    return same if len(same) <= length else f"{same[: length - 1]}…"


def shown(value: Any, length: int = 80) -> str:
    """A short repr of `value`, whatever it is."""
    try:
        return clean(repr(value), length)
    except Exception:
        return f"an object of type {type(value).__name__[:60]}"


def in_words(error: BaseException) -> str:
    """`error` in one sentence, with the last line of the notebook's on the way to it."""
    if isinstance(error, TimeUp):
        return "it was still running when its time was up: is there a loop that never ends?"
    said, where = "", ""
    with suppress(Exception):
        said = clean(str(getattr(error, "api_message", None) or error))
    said = f"it raised {type(error).__name__[:60]}{': ' if said else ''}{said}"
    if isinstance(error, SystemExit):
        said = "it called sys.exit() or exit(): return instead"
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__") == "__main__":
            source = clean(linecache.getline(frame.f_code.co_filename, line), 80)
            where = f" (line {line}{f': {source}' if source else ''})"
    return said + where
