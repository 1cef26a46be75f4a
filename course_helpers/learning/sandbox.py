"""Runs what a learner wrote so that nothing it does can hurt: time, prints, `input()`, errors, results."""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import io
import linecache
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

import anthropic

TIME_LIMIT = 10.0
"""Seconds that one run may take."""
PRINT_LIMIT = 20_000
"""Characters of its prints that are kept."""


class TimeUp(BaseException):
    """The run took too long. Not an Exception, so that an `except Exception` does not swallow it."""


class Odd:
    """Stands for a value of a type that a grader does not expect, and so never touches."""

    def __init__(self, value: object) -> None:
        self.type_name = str(type(value).__name__)[:60]

    def __repr__(self) -> str:
        return f"an object of type {self.type_name}"


@dataclass
class Ran:
    """What one run came to."""

    value: Any = None
    """What it returned, as plain data."""
    error: BaseException | None = None
    printed: str = ""
    seconds: float = 0.0


class Printed(io.TextIOBase):
    """Keeps the beginning of what is printed, so that an endless print fills no memory."""

    def __init__(self) -> None:
        self.text = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += str(text)[: PRINT_LIMIT - len(self.text)]
        return len(text)


def run(
    call: Callable[[], Any], typed: Sequence[str] = (), seconds: float | None = None, printed=None
) -> Ran:
    """What `call` returned, raised and printed. `typed` is what `input()` hands out, line by line.

    A KeyboardInterrupt is the learner's own and comes through; everything else ends here.
    """
    printed, lines, ran = printed or Printed(), iter(typed), Ran()

    def type_in(prompt: object = "", /) -> str:
        line = next(lines, None)
        printed.write(f"{prompt}{'' if line is None else line}\n")
        if line is None and typed:
            raise EOFError("there is no more input")
        if line is None:
            raise RuntimeError(
                "input() has nobody to ask here: the exercise hands everything over as arguments"
            )
        return line

    def guarded() -> Any:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            return plain(call())

    real_input, builtins.input = builtins.input, type_in
    started = time.monotonic()
    try:
        ran.value = within(TIME_LIMIT if seconds is None else seconds, guarded)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a learner may raise anything, SystemExit too
        ran.error = error
    finally:
        builtins.input = real_input
    ran.seconds = time.monotonic() - started
    ran.printed = printed.text
    return ran


def within(seconds: float, call: Callable[[], Any]) -> Any:
    """What `call` returns; raises TimeUp where it takes longer than `seconds`.

    On the main thread an alarm ends it. On another thread, and on Windows, which has no alarm, it runs on a
    thread of its own, which is asked to end and otherwise left behind.
    """
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        return _with_alarm(seconds, call)
    return _on_a_thread(seconds, call)


def _with_alarm(seconds: float, call: Callable[[], Any]) -> Any:
    armed, rings = True, 0
    tracer = sys.gettrace()

    def stop_at_next_line(_frame, event, _arg):
        if armed and event == "line":
            raise TimeUp
        return stop_at_next_line

    def ring(_signal, frame) -> None:
        nonlocal rings
        if not armed:
            return
        rings += 1
        if rings > 1:  # a bare `except:` swallowed the first: interrupt it inside its handler
            while frame is not None and frame.f_code is not _with_alarm.__code__:
                frame.f_trace = stop_at_next_line
                frame = frame.f_back
            sys.settrace(stop_at_next_line)
        raise TimeUp

    handler = signal.signal(signal.SIGALRM, ring)
    started = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)
    try:
        return call()
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.settrace(tracer)
        signal.signal(signal.SIGALRM, handler)
        if left:  # somebody else's alarm, pytest-timeout's for instance, goes on
            signal.setitimer(signal.ITIMER_REAL, max(0.01, left - (time.monotonic() - started)), interval)


def _on_a_thread(seconds: float, call: Callable[[], Any]) -> Any:
    results: list[Any] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    worker = threading.Thread(target=work, name="exercise", daemon=True)
    worker.start()
    try:
        worker.join(seconds)
    finally:
        if worker.is_alive():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident), ctypes.py_object(TimeUp))
    if errors:
        raise errors[0]
    if not results:
        raise TimeUp
    return results[0]


def plain(value: Any, depth: int = 8) -> Any:
    """`value` as plain data that is safe to compare and show, without calling any method of its own."""
    if value is None or type(value) is bool:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__add__(value, 0)
    if isinstance(value, float):
        return float.__add__(value, 0.0)
    if depth and isinstance(value, (list, tuple)):
        kind = list if isinstance(value, list) else tuple
        return kind(plain(item, depth - 1) for item in kind.__iter__(value))
    if depth and isinstance(value, dict):
        return {plain(key, 0): plain(item, depth - 1) for key, item in dict.items(value)}
    if isinstance(value, anthropic.BaseModel):
        return value
    close = getattr(value, "close", None) if type(value).__name__ in ("coroutine", "generator") else None
    if close:
        close()  # an `async def` that nobody awaits would complain later
    return Odd(value)


def shown(value: Any, length: int = 80) -> str:
    """A short repr of `value`, whatever it is."""
    try:
        text = repr(value)
    except Exception:
        text = repr(Odd(value))
    text = _steady(text[: 50 * length]).replace("\n", " ")
    quote = text[-1] if isinstance(value, str) else ""  # which a cut would lose
    return text if len(text) <= length else text[: length - 1 - len(quote)] + "…" + quote


def clean(text: str, length: int = 160) -> str:
    """`text` on one line, cut to `length`, without what differs from run to run: addresses and ports."""
    return _cut(" ".join(_steady(text[: 50 * length]).split()), length)


def _steady(text: str) -> str:
    return re.sub(r" at 0x[0-9a-fA-F]+|(?<=127\.0\.0\.1):\d+|(?<=localhost):\d+", "", text)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def in_words(error: BaseException, code: CodeType | None = None) -> str:
    """`error` in one sentence, with the line of the learner's function `code` where it happened."""
    if isinstance(error, TimeUp):
        return "it was still running when its time was up: is there a loop that never ends?"
    if isinstance(error, SystemExit):
        return "it called sys.exit() or exit(): return instead" + _line(error, code)
    try:
        said = str(getattr(error, "api_message", None) or error)
    except Exception:
        said = ""
    name = str(type(error).__name__)[:60]
    return f"it raised {name}{': ' if said else ''}{clean(said)}{_line(error, code)}"


def _line(error: BaseException, code: CodeType | None) -> str:
    """The last line of the learner's own code on the way to `error`, in brackets."""
    where = None
    step = error.__traceback__
    while step is not None:
        if code is not None and step.tb_frame.f_code.co_filename == code.co_filename:
            where = step.tb_lineno
        step = step.tb_next
    if where is None:
        return ""
    source = clean(linecache.getline(code.co_filename, where).strip(), 80)
    return f" (line {where}{f': {source}' if source else ''})"
