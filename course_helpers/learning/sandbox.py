"""Runs what a learner wrote so that nothing it does can hurt: time, prints, `input()`, errors, results."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
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
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

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


@dataclass
class Ran:
    """What one run came to; an `async def` was run to its end."""

    value: Any = None
    error: BaseException | None = None
    printed: str = ""
    seconds: float = 0.0
    silent_seconds: float = 0.0  # until something was printed
    is_async: bool = False
    sent: tuple = ()  # the exchanges that it made
    meant_for: tuple = ()  # where its requests were to go that had to be led to the bench


class Printed(io.TextIOBase):
    """Keeps the beginning of what is printed, so that an endless print fills no memory."""

    def __init__(self) -> None:
        self.text, self.begun = "", 0.0  # begun: when something visible was first printed

    def write(self, text: str) -> int:
        if not self.begun and str(text).strip():
            self.begun = time.monotonic()
        self.text += str(text)[: PRINT_LIMIT - len(self.text)]
        return len(text)


def run(
    call: Callable[[], Any], typed: Iterable[str] = (), seconds: float = 0, printed: Printed | None = None
) -> Ran:
    """What `call` returned, raised and printed. `typed` is what `input()` hands out, line by line.

    What it prints is in `printed` already while it runs.
    A KeyboardInterrupt is the learner's own and comes through; everything else ends here.
    """
    limit, lines, printed, ends = seconds or TIME_LIMIT, iter(typed), printed or Printed(), []

    def type_in(prompt: object = "", /) -> str:
        line = next(lines, None)
        printed.write(f"{prompt}{line or ''}\n")
        if line is None:
            nobody = RuntimeError("input() has nobody to ask here: the arguments are all that there is")
            raise EOFError("there is no more input") if typed else nobody
        return line

    def work() -> None:
        value, is_async = None, False
        with contextlib.suppress(TimeUp):  # one that strikes while an error is kept: nothing kept, time up
            try:
                value = call()
                if is_async := inspect.iscoroutine(value):
                    value = asyncio.run(asyncio.wait_for(value, limit + 0.5))
                ends.append(Ran(value, is_async=is_async))
            except BaseException as error:  # a learner may raise anything, SystemExit too
                ends.append(Ran(error=error, is_async=is_async))

    real_input, builtins.input = builtins.input, type_in
    started = time.monotonic()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            _on_a_thread(limit, work)
    finally:
        builtins.input = real_input
    ended, ran = time.monotonic(), ends[0] if ends else Ran(error=TimeUp())
    if isinstance(ran.error, KeyboardInterrupt):
        raise ran.error
    ran.seconds, ran.silent_seconds = ended - started, (printed.begun or ended) - started
    ran.printed = printed.text
    return ran


def _on_a_thread(seconds: float, work: Callable[[], None]) -> None:
    """Do `work` on a thread of its own, which no event loop runs on; it is asked to end after `seconds`."""
    worker = threading.Thread(target=copy_context().run, args=(work,), name="exercise", daemon=True)
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


def shown(value: Any, length: int = 80) -> str:
    """A short repr of `value`, whatever it is."""
    try:
        text = repr(value)
    except Exception:
        text = f"an object of type {type(value).__name__[:60]}"
    quote = text[-1:] if isinstance(value, str) else ""  # which a cut would lose
    return _cut(text, length, "…" + quote).replace("\n", " ")


def clean(text: str, length: int = 160) -> str:
    """`text` on one line, cut to `length`, without what differs from run to run: addresses and ports."""
    return _cut(" ".join(text[: 50 * length].split()), length)


def _cut(text: str, length: int, end: str = "…") -> str:
    same = re.sub(r" at 0x[0-9a-fA-F]+|(?<=127\.0\.0\.1):\d+|(?<=localhost):\d+", "", text[: 50 * length])
    return same if len(same) <= length else same[: length - len(end)] + end


def in_words(error: BaseException, namespaces: Iterable[dict[str, Any]] = ()) -> str:
    """`error` in one sentence, with the last line on the way to it of code that lives in `namespaces`."""
    if isinstance(error, TimeUp):
        return "it was still running when its time was up: is there a loop that never ends?"
    said, where = "", ""
    with contextlib.suppress(Exception):
        said = clean(str(getattr(error, "api_message", None) or error))
    said = f"it raised {type(error).__name__[:60]}{': ' if said else ''}{said}"
    if isinstance(error, SystemExit):
        said = "it called sys.exit() or exit(): return instead"
    for frame, line in traceback.walk_tb(error.__traceback__):
        if any(frame.f_globals is names for names in namespaces):
            source = clean(linecache.getline(frame.f_code.co_filename, line), 80)
            where = f" (line {line}{f': {source}' if source else ''})"
    return said + where
