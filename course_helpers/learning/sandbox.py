"""Runs what a learner wrote so that nothing it does can hurt: time, prints, `input()`, errors, results."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import ctypes
import inspect
import io
import linecache
import numbers
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

TIME_LIMIT = 10.0
"""Seconds that one run may take."""
PRINT_LIMIT = 20_000
"""Characters of its prints that are kept."""


class TimeUp(BaseException):
    """The run took too long. Not an Exception, so that an `except Exception` does not swallow it."""


@dataclass
class Ran:
    """What one run came to."""

    value: Any = None
    error: BaseException | None = None
    printed: str = ""
    seconds: float = 0.0
    silent_seconds: float = 0.0
    """How long it took until something was printed; `seconds` if nothing was."""
    is_async: bool = False
    """Was it an `async def`? Then it was run to its end."""


class Printed(io.TextIOBase):
    """Keeps the beginning of what is printed, so that an endless print fills no memory."""

    def __init__(self) -> None:
        self.text = ""
        self.begun: float | None = None
        """When something visible was first printed, on the monotonic clock."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.begun is None and str(text).strip():
            self.begun = time.monotonic()
        self.text += str(text)[: PRINT_LIMIT - len(self.text)]
        return len(text)


def run(
    call: Callable[[], Any],
    typed: Iterable[str] = (),
    seconds: float | None = None,
    printed: Printed | None = None,
) -> Ran:
    """What `call` returned, raised and printed. `typed` is what `input()` hands out, line by line.

    What it prints is in `printed` already while it runs.
    A KeyboardInterrupt is the learner's own and comes through; everything else ends here.
    """
    limit, lines, ran = TIME_LIMIT if seconds is None else seconds, iter(typed), Ran()
    printed = printed or Printed()

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
            value = call()
            ran.is_async = inspect.iscoroutine(value)
            return _finished(value, limit) if ran.is_async else value

    real_input, builtins.input = builtins.input, type_in
    started = time.monotonic()
    try:
        ran.value = within(limit, guarded)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a learner may raise anything, SystemExit too
        ran.error = error
    finally:
        builtins.input = real_input
    ran.seconds = time.monotonic() - started
    ran.silent_seconds = ran.seconds if printed.begun is None else printed.begun - started
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


def _finished(coroutine: Coroutine, seconds: float) -> Any:
    """What `coroutine` comes to, on a thread with a loop of its own: a notebook's loop is running already."""
    return _on_a_thread(seconds, lambda: asyncio.run(asyncio.wait_for(coroutine, seconds)))


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


def number(value: Any) -> float | None:
    """`value` as a float, be it an int, a Decimal, a fraction or NumPy's; None if it is no number."""
    is_number = isinstance(value, numbers.Number) or type(value).__module__ in ("numpy", "decimal")
    if isinstance(value, bool) or not is_number:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def shown(value: Any, length: int = 80) -> str:
    """A short repr of `value`, whatever it is."""
    try:
        text = repr(value)
    except Exception:
        text = f"an object of type {type(value).__name__[:60]}"
    text = _steady(text[: 50 * length]).replace("\n", " ")
    quote = text[-1] if isinstance(value, str) else ""  # which a cut would lose
    return text if len(text) <= length else text[: length - 1 - len(quote)] + "…" + quote


def clean(text: str, length: int = 160) -> str:
    """`text` on one line, cut to `length`, without what differs from run to run: addresses and ports."""
    text = " ".join(_steady(text[: 50 * length]).split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _steady(text: str) -> str:
    return re.sub(r" at 0x[0-9a-fA-F]+|(?<=127\.0\.0\.1):\d+|(?<=localhost):\d+", "", text)


def in_words(error: BaseException, namespaces: Iterable[dict[str, Any]] = ()) -> str:
    """`error` in one sentence, with the last line on the way to it of code that lives in `namespaces`."""
    if isinstance(error, TimeUp):
        return "it was still running when its time was up: is there a loop that never ends?"
    if isinstance(error, SystemExit):
        return "it called sys.exit() or exit(): return instead" + _line(error, namespaces)
    try:
        said = str(getattr(error, "api_message", None) or error)
    except Exception:
        said = ""
    name = str(type(error).__name__)[:60]
    return f"it raised {name}{': ' if said else ''}{clean(said)}{_line(error, namespaces)}"


def _line(error: BaseException, namespaces: Iterable[dict[str, Any]]) -> str:
    owned = [id(names) for names in namespaces]
    found, step = "", error.__traceback__
    while step is not None:
        if id(step.tb_frame.f_globals) in owned:
            file, line = step.tb_frame.f_code.co_filename, step.tb_lineno
            source = clean(linecache.getline(file, line).strip(), 80)
            found = f" (line {line}{f': {source}' if source else ''})"
        step = step.tb_next
    return found
