"""While a learner's function runs, its requests lead to the graders' practice API; everybody else's wait.

They are led where httpx2 sends them, so it does not matter how a client is held, of which kind it is or
when it was made. A context variable tells whose request it is; it goes along into the threads, executors
and tasks that the function starts. What does not go through httpx2 (urllib, requests) meets a second wall:
in the same context, a socket connects to the practice API only. Afterwards all is as it was before.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from types import CoroutineType
from typing import Any
from urllib.parse import unquote

import httpx2

from ..practice_api import PRACTICE_KEY

LONGEST_WAIT = 60.0
"""Seconds that a request of somebody else waits at most."""
PROXIES = {"ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "http_proxy", "https_proxy"}
UNSEEN = PROXIES | {"ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS"}
"""Variables that a graded function does not see."""
OWN_HEADERS = {"host", "authorization", "x-api-key", "content-length", "transfer-encoding", "connection"}
"""Headers that hold for the place that a request was meant for, not for the one it is led to."""


class Run:
    """One run of a learner's function: where its requests go, and whether it is over."""

    def __init__(self, url: str, *also: str) -> None:
        self.url, self.over = httpx2.URL(url), threading.Event()
        self.places = {(there.host, there.port) for there in map(httpx2.URL, (url, *also))}
        self.meant_for: list[httpx2.Request] = []
        """The requests that were led elsewhere, as they were meant."""
        # A client of its own: an interrupt inside the learner's would leave its pool locked for good.
        self.client = httpx2.Client(trust_env=False, verify=False)

    def takes(self, request: httpx2.Request) -> bool:
        """Does `request` go to one of this run's places by itself?"""
        return (request.url.host, request.url.port) in self.places

    def led(self, request: httpx2.Request) -> httpx2.Request:
        """`request` as it goes to this run's place, with the key for it. Its body must have been read."""
        self.meant_for.append(request)
        path, body = _for_messages_api(request.url.raw_path.decode(), request.content)
        headers = {name: value for name, value in request.headers.items() if name not in OWN_HEADERS}
        headers = {"anthropic-version": "2023-06-01"} | headers
        headers |= {"x-api-key": PRACTICE_KEY, "connection": "close"}
        there = self.url.join(path)
        return httpx2.Request(
            request.method, there, headers=headers, content=body, extensions=request.extensions
        )


_mine: ContextVar[Run | None] = ContextVar("graded_run", default=None)
"""The run that this thread or task belongs to."""
_active: Run | None = None
_lock = threading.Lock()
_holders: set[object] = set()
"""The active run, and whatever of earlier ones still works in a thread: the hooks stay for their time."""
_real: list[tuple[type, str, Any]] = []


@contextmanager
def redirected(url: str, key: str, *also: str) -> Iterator[Run]:
    """Within the block, requests of this context lead to `url`, and those of other threads and tasks wait.

    The environment leads there too, with `key`, and knows no proxy. Requests for the places `also` are left.
    """
    global _active
    run, before = Run(url, *also), dict(os.environ)
    seen = {name: value for name, value in before.items() if name not in UNSEEN}
    token = _mine.set(run)
    try:
        _hold(run)
        _active = run
        _set_environment(
            seen | {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": key, "NO_PROXY": "*", "no_proxy": "*"}
        )
        yield run
    finally:
        _active = None
        _release(run)
        _set_environment(before)
        run.over.set()
        _mine.reset(token)
        run.client.close()


def others_have_ended(seconds: float) -> bool:
    """Whether no other thread or task waits for an answer, at the latest after `seconds`."""
    deadline = time.monotonic() + seconds
    while under_way := _is_under_way():
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return not under_way


def _is_under_way() -> bool:
    sends = httpx2.Client.send.__code__, httpx2.AsyncClient.send.__code__
    for thread, frame in sys._current_frames().items():
        while frame is not None and thread != threading.get_ident():
            if frame.f_code in sends:
                return True
            frame = frame.f_back
    tasks = (each for each in gc.get_objects() if type(each) is CoroutineType and each.cr_code in sends)
    return any(inspect.getcoroutinestate(each) == inspect.CORO_SUSPENDED for each in tasks)


# What stands in the place of httpx2's and Python's own functions, which each gets first.


def _send(send: Callable, client: httpx2.Client, request: httpx2.Request, **options: Any) -> httpx2.Response:
    if _mine.get() is None and (active := _active) is not None:
        active.over.wait(LONGEST_WAIT)
        _is_not_for(active, request)
    run = _running()
    if run is None or run.takes(request):
        return send(client, request, **options)
    request.read()
    return send(run.client, run.led(request), stream=options.get("stream", False))


async def _async_send(
    send: Callable, client: httpx2.AsyncClient, request: httpx2.Request, **options: Any
) -> httpx2.Response:
    if _mine.get() is None and (active := _active) is not None:
        deadline = time.monotonic() + LONGEST_WAIT
        while not active.over.is_set() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        _is_not_for(active, request)
    run = _running()
    if run is None or run.takes(request):
        return await send(client, request, **options)
    await request.aread()
    # A client for each request, since it belongs to a loop; "connection: close" leaves nothing open.
    there = httpx2.AsyncClient(trust_env=False, verify=False)
    return await send(there, run.led(request), stream=options.get("stream", False))


def _start(start: Callable, thread: threading.Thread) -> None:
    # An executor's threads outlive the work; what is handed to them brings its context along (_submit).
    # The practice API's, which a call of `connect` may start, serves everybody.
    for_all = sys._getframe(2).f_code.co_name == "_adjust_thread_count" or thread.name == "practice-api"
    if _mine.get() is not None and not for_all:
        thread.run = _in_this_context(thread.run)
    start(thread)


def _submit(submit: Callable, pool: ThreadPoolExecutor, work: Callable, /, *args: Any, **named: Any) -> Any:
    return submit(pool, _in_this_context(work) if _mine.get() else work, *args, **named)


def _connect(connect: Callable, sock: socket.socket, address: Any) -> Any:
    run = _running()
    pair = sys._getframe(2).f_code.co_name.endswith("socketpair")  # asyncio's own, on Windows
    if run is None or pair or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return connect(sock, address)
    if sock.family != socket.AF_INET or not (address[0] == "localhost" or address[0].startswith("127.")):
        raise ConnectionRefusedError("a function that is graded reaches ANTHROPIC_BASE_URL and nothing else")
    return connect(sock, address if address in run.places else (run.url.host, run.url.port))


HOOKS = [
    (httpx2.Client, "send", _send),
    (httpx2.AsyncClient, "send", _async_send),
    (threading.Thread, "start", _start),
    (ThreadPoolExecutor, "submit", _submit),
    (socket.socket, "connect", _connect),
    (socket.socket, "connect_ex", _connect),
]


def _running() -> Run | None:
    """The run this is part of; None for everybody else. What outlives its run reaches nothing any more."""
    run = _mine.get()
    if run is not None and run.over.is_set():
        raise httpx2.ConnectError("The exercise that this belongs to is no longer being graded.")
    return run


def _is_not_for(run: Run, request: httpx2.Request) -> None:
    if run.takes(request):
        raise httpx2.ConnectError("This client was made while an exercise was graded: make it once more.")


def _in_this_context(work: Callable) -> Callable:
    """`work` as part of this run; the hooks stay until it has ended."""
    context, holder = copy_context(), object()

    def run(*args: Any, **named: Any) -> Any:
        try:
            return context.run(work, *args, **named)
        finally:
            _release(holder)

    _hold(holder)
    return run


def _hold(holder: object) -> None:
    with _lock:
        _holders.add(holder)
        for owner, name, hook in () if _real else HOOKS:
            real = getattr(owner, name)
            _real.append((owner, name, vars(owner).get(name)))
            setattr(owner, name, lambda *args, _hook=hook, _of=real, **named: _hook(_of, *args, **named))


def _release(holder: object) -> None:
    with _lock:
        _holders.discard(holder)
        while _real and not _holders:
            owner, name, own = _real.pop()
            if own is None:  # it was inherited
                delattr(owner, name)
            else:
                setattr(owner, name, own)


def _for_messages_api(path: str, body: bytes) -> tuple[str, bytes]:
    """Path and body as the Messages API wants them: Bedrock and Vertex name the model in the path."""
    named = re.search(r"/model/([^/]+)/invoke", path) or re.search(r"/models/([^/:]+):\w*[rR]awPredict", path)
    if named is None:
        return path[max(path.rfind("/v1/"), 0) :], body
    fields = json.loads(body) | {"model": re.sub(r"^.*anthropic\.|-v\d+:\d+$|@.*$", "", unquote(named[1]))}
    fields.pop("anthropic_version", None)
    return "/v1/messages", json.dumps(fields).encode()


def _set_environment(variables: dict[str, str]) -> None:
    """Make the environment what it is to be, whatever stands in it now."""
    os.environ.update(variables)
    for name in os.environ.keys() - variables.keys():
        os.environ.pop(name, None)
