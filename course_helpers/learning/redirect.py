"""While a learner's function runs, its requests lead to the graders' practice API, and nobody else's.

A context variable, which goes along into tasks, threads and executors, tells whose a request is. It is asked
where httpx2 sends, however a client is held. What does not go through httpx2 (urllib, requests) meets another
wall: in that context, a socket connects to the practice API only. The hooks for this stay from the import of
this module on, so that what outlives its run reaches nothing; others pass through them.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import partial, partialmethod
from typing import Any
from unittest.mock import patch

import httpx2

from ..practice_api import PRACTICE_KEY, Practice

# Variables that a graded function does not see.
UNSEEN = re.compile(r"(all|http|https)_proxy|ANTHROPIC_(AUTH_TOKEN|CUSTOM_HEADERS)", re.I)


class Run:
    """One run of a learner's function: where its requests go, and whether it is over."""

    def __init__(self, place: Practice) -> None:
        self.url, self.options, self.over = httpx2.URL(place.url), options_for(place), False
        self.meant_for: list[str] = []  # where those were to go that had to be led here

    def led(self, request: httpx2.Request) -> httpx2.Request:
        """`request`, so changed that it goes to this run's place, with the key for it."""
        if self.over:
            raise httpx2.ConnectError("The exercise that this belongs to is no longer being graded.")
        if request.url.netloc != self.url.netloc:
            self.meant_for.append(str(request.url))
            path = request.url.raw_path
            path = path[max(path.rfind(b"/v1/"), 0) :]  # a gateway may have a folder before it
            request.url = self.url.copy_with(raw_path=path)
            request.headers |= {"host": self.url.netloc.decode(), "x-api-key": PRACTICE_KEY}
            request.headers.pop("authorization", None)
        request.headers["connection"] = "close"  # its client is made for it alone
        return request


_mine: ContextVar[Run | None] = ContextVar("graded_run", default=None)  # which this thread or task belongs to


def options_for(place: Practice) -> dict[str, Any]:
    """What makes a client of httpx2 that reaches `place`, also one without a server, as in a browser tab."""
    inside = {f"all://{httpx2.URL(place.url).host}": place.transport()}
    return {"trust_env": False, "verify": False, "mounts": inside}


def is_graded() -> bool:
    """Does this thread or task belong to a run?"""
    return _mine.get() is not None


@contextmanager
def redirected(place: Practice, key: str, url: str = "") -> Iterator[Run]:
    """Within the block, requests of this context lead to `place`; those of other threads and tasks do not.

    The environment names `place`, or the `url` of a place that nobody has, with `key`, and knows no proxy.
    """
    seen = {name: value for name, value in os.environ.items() if not UNSEEN.fullmatch(name)}
    seen |= {"ANTHROPIC_BASE_URL": url or place.url, "ANTHROPIC_API_KEY": key}
    run = Run(place)
    token = _mine.set(run)
    try:
        with patch.dict(os.environ, seen | {"NO_PROXY": "*", "no_proxy": "*"}, clear=True):
            yield run
    finally:
        run.over = True
        _mine.reset(token)


# What stands in the place of httpx2's and Python's own methods; each is given the real one. Each request of a
# run has a client of its own: an interrupt inside the learner's would leave its pool locked for good.


def _send(client: Any, send: Callable, request: httpx2.Request, **options: Any) -> Any:
    """A response, or what is to be awaited for one, as `send` of either kind of client."""
    if (run := _mine.get()) is None:
        return send(client, request, **options)
    kind = httpx2.AsyncClient if isinstance(client, httpx2.AsyncClient) else httpx2.Client
    return send(kind(**run.options), run.led(request), stream=options.get("stream", False))


def _start(thread: threading.Thread, start: Callable) -> None:
    # An executor's threads outlive the work; what is handed to them brings its context along (_submit).
    if is_graded() and sys._getframe(1).f_code.co_name != "_adjust_thread_count":
        thread.run = partial(copy_context().run, thread.run)
    start(thread)


def _submit(pool: ThreadPoolExecutor, submit: Callable, work: Callable, /, *args: Any, **named: Any) -> Any:
    work = partial(copy_context().run, work) if is_graded() else work
    return submit(pool, work, *args, **named)


def _connect(sock: socket.socket, connect: Callable, address: Any) -> Any:
    run, internet = _mine.get(), sock.family in (socket.AF_INET, socket.AF_INET6)
    pair = sys._getframe(1).f_code.co_name.endswith("socketpair")  # asyncio's own, on Windows
    if run is None or pair or not internet:
        return connect(sock, address)
    loopback = sock.family == socket.AF_INET and address[0].startswith(("localhost", "127."))
    if run.over or not loopback:
        raise ConnectionRefusedError("a function that is graded reaches ANTHROPIC_BASE_URL and nothing else")
    here = run.url.host, run.url.port
    run.meant_for += [] if address == here else [f"{address[0]}:{address[1]}"]
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
