"""Runs what a learner wrote so that nothing it does can hurt: time, prints, `input()`, errors, results."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import ctypes
import inspect
import io
import itertools
import linecache
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

TIME_LIMIT = 10.0  # seconds that one run may take
PRINT_LIMIT = 20_000  # characters of its prints that are kept


class TimeUp(BaseException):
    """The run took too long. Not an Exception, so that an `except Exception` does not swallow it."""


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
    meant_for: tuple = ()  # the requests that had to be led to the bench, as it meant them


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
    limit, lines, printed, ran = seconds or TIME_LIMIT, iter(typed), printed or Printed(), Ran()

    def type_in(prompt: object = "", /) -> str:
        line = next(lines, None)
        printed.write(f"{prompt}{line or ''}\n")
        if line is None:
            nobody = RuntimeError("input() has nobody to ask here: the arguments are all that there is")
            raise EOFError("there is no more input") if typed else nobody
        return line

    def guarded() -> Any:
        value = call()
        ran.is_async = inspect.iscoroutine(value)
        if ran.is_async:  # on a thread with a loop of its own: a notebook's is running already
            return _on_a_thread(limit, lambda: asyncio.run(asyncio.wait_for(value, limit)))
        return value

    has_alarm = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    real_input, builtins.input = builtins.input, type_in
    started = time.monotonic()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            ran.value = (_with_alarm if has_alarm else _on_a_thread)(limit, guarded)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a learner may raise anything, SystemExit too
        ran.error = error
    finally:
        builtins.input = real_input
    ended = time.monotonic()
    ran.seconds, ran.silent_seconds = ended - started, (printed.begun or ended) - started
    ran.printed = printed.text
    return ran


def _with_alarm(seconds: float, call: Callable[[], Any]) -> Any:
    """What `call` returns, on the main thread; raises TimeUp where it takes longer than `seconds`."""
    armed, rings, tracer = True, itertools.count(), sys.gettrace()

    def stop_at_next_line(_frame, event, _arg):
        if armed and event == "line":
            raise TimeUp
        return stop_at_next_line

    def ring(_signal, frame) -> None:
        if not armed:
            return
        if next(rings):  # a bare `except:` swallowed the first: interrupt it inside its handler
            while frame is not None and frame.f_code is not _with_alarm.__code__:
                frame.f_trace = stop_at_next_line
                frame = frame.f_back
            sys.settrace(stop_at_next_line)
        raise TimeUp

    handler = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)
    try:
        return call()
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.settrace(tracer)
        signal.signal(signal.SIGALRM, handler)


def _on_a_thread(seconds: float, call: Callable[[], Any]) -> Any:
    """The same elsewhere, and on Windows, which has no alarm: on a thread that is asked to end."""
    outcome: Future = Future()

    def work() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    worker = threading.Thread(target=work, name="exercise", daemon=True)
    try:
        worker.start()
    except RuntimeError:  # a browser tab has no threads, and so there is no limit
        return call()
    try:
        worker.join(seconds)
    finally:
        if worker.is_alive():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident), ctypes.py_object(TimeUp))
    if not outcome.done():
        raise TimeUp
    return outcome.result()


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
    text = text[: 50 * length]
    text = re.sub(r" at 0x[0-9a-fA-F]+|(?<=127\.0\.0\.1):\d+|(?<=localhost):\d+", "", text)
    return text if len(text) <= length else text[: length - len(end)] + end


def in_words(error: BaseException, namespaces: Iterable[dict[str, Any]] = ()) -> str:
    """`error` in one sentence, with the last line on the way to it of code that lives in `namespaces`."""
    if isinstance(error, TimeUp):
        return "it was still running when its time was up: is there a loop that never ends?"
    said, where, step = "", "", error.__traceback__
    with contextlib.suppress(Exception):
        said = clean(str(getattr(error, "api_message", None) or error))
    said = f"it raised {type(error).__name__[:60]}{': ' if said else ''}{said}"
    if isinstance(error, SystemExit):
        said = "it called sys.exit() or exit(): return instead"
    while step is not None:
        if any(step.tb_frame.f_globals is names for names in namespaces):
            source = clean(linecache.getline(step.tb_frame.f_code.co_filename, step.tb_lineno), 80)
            where = f" (line {step.tb_lineno}{f': {source}' if source else ''})"
        step = step.tb_next
    return said + where
