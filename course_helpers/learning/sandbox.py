"""Runs what a learner wrote so that nothing it does can hurt, and its requests reach one place and no other.

Time, prints, `input()` and errors are looked after by `run`, requests by `redirected`. A context variable,
which goes along into tasks, threads and executors, tells whose a request is. It is asked where httpx2 sends,
however a client is held. What does not go through httpx2 (urllib, requests) meets another wall: in that
context, a socket connects to that place only. The hooks for this stay from the import of this module on, so
that what outlives its run reaches nothing; others pass through them.
"""

from __future__ import annotations

import asyncio
import builtins
import ctypes
import inspect
import io
import json
import linecache
import os
import re
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from functools import partial, partialmethod
from typing import Any
from unittest.mock import patch

import httpx2

from .. import client as course_client
from ..practice_api import PRACTICE_KEY, Practice

TIME_LIMIT = 10.0  # seconds that one run may take
PRINT_LIMIT = 20_000  # characters of its prints that are kept
# Variables that a graded function does not see.
UNSEEN = re.compile(r"(all|http|https)_proxy|ANTHROPIC_(AUTH_TOKEN|CUSTOM_HEADERS)", re.I)
# Bedrock and Vertex name the model there, and a version of it.
MODEL_IN_PATH = re.compile(
    r"/models?/(?:[^/]*anthropic\.)?([^/@:%]+?)(?:-v\d+(?::|%3A)\d+|@\d+)?[/:]\w*(?:invoke|[rR]awPredict)"
)


class TimeUp(BaseException):
    """The run took too long. Not an Exception, so that an `except Exception` does not swallow it."""


class TimeLongUp(TimeUp):
    """What comes after a TimeUp that a bare `except:` or a `finally` swallowed, and stops these as well.

    Python makes it on the thread that it is raised in, and there the next line, the handler's, raises too.
    """

    def __init__(self) -> None:
        frame = sys._getframe(1)
        while frame.f_code.co_qualname != "run.<locals>.work":
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
    is_async: bool = False  # was it a coroutine, which was run to its end?

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
                    ran.is_async = True
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


class Redirect:
    """Where the requests of a learner's function go while it runs, and whether that is `over`."""

    def __init__(self, place: Practice) -> None:
        self.url, self.transport, self.over = httpx2.URL(place.url), place.transport(), False
        self.meant_for: list[str] = []  # where those were to go that had to be led here

    def client(self, kind: type = httpx2.Client) -> Any:
        """A client that reaches the place, also where that has no server, as in a browser tab."""
        return kind(trust_env=False, verify=False, mounts={f"all://{self.url.host}": self.transport})

    def here(self, request: httpx2.Request) -> httpx2.Request:
        """`request`, so changed that it goes to the place, with the key for it."""
        if self.over:
            raise httpx2.ConnectError("The exercise that this belongs to is no longer being graded.")
        if request.url.netloc != self.url.netloc:
            self.meant_for.append(str(request.url))
            path = request.url.raw_path
            if cloud := MODEL_IN_PATH.search(path.decode()):
                path, request = b"/v1/messages", _with_model(request, cloud[1])
            path = path[max(path.rfind(b"/v1/"), 0) :]  # a gateway may have a folder before it
            request.url = self.url.copy_with(raw_path=path)
            request.headers.update({"host": self.url.netloc.decode(), "x-api-key": PRACTICE_KEY})
            request.headers.pop("authorization", None)
        request.headers["connection"] = "close"  # its client is made for it alone
        return request


def _with_model(request: httpx2.Request, model: str) -> httpx2.Request:
    """`request` to Bedrock or Vertex as the API itself has it: the model in its body, the version outside."""
    fields = json.loads(request.content) | {"model": model}
    fields.pop("anthropic_version", None)
    headers = {**request.headers, "anthropic-version": "2023-06-01"}
    del headers["content-length"]
    return httpx2.Request("POST", request.url, headers=headers, json=fields, extensions=request.extensions)


_mine: ContextVar[Redirect | None] = ContextVar("mine", default=None)  # that of this thread or task


def is_graded() -> bool:
    """Does this thread or task belong to a run?"""
    return _mine.get() is not None


@contextmanager
def redirected(place: Practice, key: str, url: str = "") -> Iterator[Redirect]:
    """Within the block, requests of this context lead to `place`; those of other threads and tasks do not.

    The environment names `place`, or the `url` of a place that nobody has, with `key`, and knows no proxy.
    A `connect` within it holds no longer than it.
    """
    seen = {name: value for name, value in os.environ.items() if not UNSEEN.fullmatch(name)}
    seen |= {"ANTHROPIC_BASE_URL": url or place.url, "ANTHROPIC_API_KEY": key}
    seen |= {"NO_PROXY": "*", "no_proxy": "*"}
    led = Redirect(place)
    token = _mine.set(led)
    before = {name: getattr(course_client, name) for name in ("_current", "_stands_for")}
    try:
        with patch.multiple(course_client, **before), patch.dict(os.environ, seen, clear=True):
            yield led
    finally:
        led.over = True
        _mine.reset(token)


# What stands in the place of httpx2's and Python's own methods; each is given the real one. Each request of a
# run has a client of its own: an interrupt inside the learner's would leave its pool locked for good.


def _send(client: Any, send: Callable, request: httpx2.Request, **options: Any) -> Any:
    """A response, or what is to be awaited for one, as `send` of either kind of client."""
    if (led := _mine.get()) is None:
        return send(client, request, **options)
    kind = httpx2.AsyncClient if isinstance(client, httpx2.AsyncClient) else httpx2.Client
    return send(led.client(kind), led.here(request), stream=options.get("stream", False))


def _start(thread: threading.Thread, start: Callable) -> None:
    # An executor's threads outlive the work; what is handed to them brings its context along (_submit).
    if is_graded() and sys._getframe(1).f_code.co_name != "_adjust_thread_count":
        thread.run = partial(copy_context().run, thread.run)
    start(thread)


def _submit(pool: ThreadPoolExecutor, submit: Callable, work: Callable, /, *args: Any, **named: Any) -> Any:
    work = partial(copy_context().run, work) if is_graded() else work
    return submit(pool, work, *args, **named)


def _connect(sock: socket.socket, connect: Callable, address: Any) -> Any:
    led, internet = _mine.get(), sock.family in (socket.AF_INET, socket.AF_INET6)
    pair = sys._getframe(1).f_code.co_name.endswith("socketpair")  # asyncio's own, on Windows
    if led is None or pair or not internet:
        return connect(sock, address)
    loopback = sock.family == socket.AF_INET and address[0].startswith(("localhost", "127."))
    if led.over or not loopback:
        raise ConnectionRefusedError("a function that is graded reaches ANTHROPIC_BASE_URL and nothing else")
    here = led.url.host, led.url.port
    led.meant_for += [] if address == here else [f"{address[0]}:{address[1]}"]
    return connect(sock, here)


for _owner, _name, _hook in (
    (httpx2.Client, "send", _send),
    (httpx2.AsyncClient, "send", _send),
    (threading.Thread, "start", _start),
    (ThreadPoolExecutor, "submit", _submit),
    (socket.socket, "connect", _connect),
    (socket.socket, "connect_ex", _connect),
):
    setattr(_owner, _name, partialmethod(_hook, getattr(_owner, _name)))
