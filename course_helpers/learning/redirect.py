"""While a learner's function runs, its requests lead to the graders' practice API; everybody else's wait.

They are led where httpx2 sends them, however a client is held. A context variable, which goes along into
threads, executors and tasks, tells whose request it is. What does not go through httpx2 (urllib, requests)
meets a second wall: in that context, a socket connects to the practice API only. Afterwards all is as before.
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
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import partialmethod
from types import CoroutineType
from typing import Any
from urllib.parse import unquote

import httpx2

from ..practice_api import PRACTICE_KEY, Practice

LONGEST_WAIT = 60  # seconds that a request of somebody else waits at most
SENDS = (httpx2.Client.send.__code__, httpx2.AsyncClient.send.__code__)
# Variables that a graded function does not see, and headers that hold for the place a request was meant for.
UNSEEN = re.compile(r"(all|http|https)_proxy|ANTHROPIC_(AUTH_TOKEN|CUSTOM_HEADERS)", re.I)
OWN_HEADERS = {"host", "authorization", "x-api-key", "content-length", "transfer-encoding", "connection"}


class Run:
    """One run of a learner's function: where its requests go, and whether it is over."""

    def __init__(self, *places: Practice) -> None:
        urls = [httpx2.URL(each.url) for each in places]
        self.url, self.places = urls[0], {(url.host, url.port) for url in urls}
        self.meant_for: list[httpx2.Request] = []  # what was led elsewhere, as it was meant
        self.over = threading.Event()
        # Only a client of this run's reaches a practice API without a server, as in a browser tab. And an
        # interrupt inside the learner's would leave its pool locked for good.
        self.inside = {f"all://{httpx2.URL(each.url).host}": each.transport() for each in places}
        self.options = {"trust_env": False, "verify": False, "mounts": self.inside}
        self.client = httpx2.Client(**self.options)

    def led(self, request: httpx2.Request) -> httpx2.Request:
        """`request` as it goes to this run's place, with the key for it. Its body must have been read."""
        if (request.url.host, request.url.port) in self.places:
            return request
        self.meant_for.append(request)
        path, body = _for_messages_api(request.url.raw_path.decode(), request.content)
        theirs = {name: value for name, value in request.headers.items() if name not in OWN_HEADERS}
        ours = {"x-api-key": PRACTICE_KEY, "connection": "close"}
        headers, there = {"anthropic-version": "2023-06-01"} | theirs | ours, self.url.join(path)
        options = {"headers": headers, "content": body, "extensions": request.extensions}
        return httpx2.Request(request.method, there, **options)


# The run that this thread or task belongs to, and the one that is active.
_mine: ContextVar[Run | None] = ContextVar("graded_run", default=None)
_active: Run | None = None
# The hooks stay as long as the active run, and whatever of earlier ones still works in a thread, hold them.
_lock, _holders = threading.Lock(), set()
_own: list[tuple[type, str, Any]] = []  # what they took the place of; None for what a class had inherited


@contextmanager
def redirected(place: Practice, key: str, *also: Practice) -> Iterator[Run]:
    """Within the block, requests of this context lead to `place`, and those of other threads and tasks wait.

    The environment leads there too, with `key`, and knows no proxy. Requests for the places `also` are left.
    """
    global _active
    run, before = Run(place, *also), dict(os.environ)
    seen = {name: value for name, value in before.items() if not UNSEEN.fullmatch(name)}
    seen |= {"ANTHROPIC_BASE_URL": place.url, "ANTHROPIC_API_KEY": key, "NO_PROXY": "*", "no_proxy": "*"}
    token = _mine.set(run)
    try:
        _hold(run)
        _active = run
        _set_environment(seen)
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
    deadline, here = time.monotonic() + seconds, threading.get_ident()
    while time.monotonic() < deadline:
        frames = [frame for thread, frame in sys._current_frames().items() if thread != here]
        codes = {step.f_code for frame in frames for step, _ in traceback.walk_stack(frame)}
        tasks = [each for each in gc.get_objects() if type(each) is CoroutineType and each.cr_code in SENDS]
        waits = any(inspect.getcoroutinestate(each) == inspect.CORO_SUSPENDED for each in tasks)
        if not waits and codes.isdisjoint(SENDS):
            return True
        time.sleep(0.02)
    return False


# What stands in the place of httpx2's and Python's own methods; each is given the real one.


def _send(client: httpx2.Client, send: Callable, request: httpx2.Request, **options: Any) -> httpx2.Response:
    if _mine.get() is None and (active := _active) is not None:
        active.over.wait(LONGEST_WAIT)
    run = _running(request)
    if run is None:
        return send(client, request, **options)
    request.read()
    return send(run.client, run.led(request), stream=options.get("stream", False))


async def _async_send(
    client: httpx2.AsyncClient, send: Callable, request: httpx2.Request, **options: Any
) -> httpx2.Response:
    if _mine.get() is None and (active := _active) is not None:
        await asyncio.to_thread(active.over.wait, LONGEST_WAIT)
    run = _running(request)
    if run is None:
        return await send(client, request, **options)
    await request.aread()
    # A client for each request, since it belongs to a loop; "connection: close" leaves nothing open.
    there = httpx2.AsyncClient(**run.options)
    return await send(there, run.led(request), stream=options.get("stream", False))


def _start(thread: threading.Thread, start: Callable) -> Any:
    # An executor's threads outlive the work; what is handed to them brings its context along (_submit).
    # The practice API's, which a call of `connect` may start, serves everybody.
    for_all = sys._getframe(1).f_code.co_name == "_adjust_thread_count" or thread.name == "practice-api"
    if _mine.get() is None or for_all:
        return start(thread)
    return _in_this_context(thread.run, lambda run: setattr(thread, "run", run) or start(thread))


def _submit(pool: ThreadPoolExecutor, submit: Callable, work: Callable, /, *args: Any, **named: Any) -> Any:
    if _mine.get() is None:
        return submit(pool, work, *args, **named)
    return _in_this_context(work, lambda run: submit(pool, run, *args, **named))


def _connect(sock: socket.socket, connect: Callable, address: Any) -> Any:
    run = _running()
    pair = sys._getframe(1).f_code.co_name.endswith("socketpair")  # asyncio's own, on Windows
    if run is None or pair or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return connect(sock, address)
    if sock.family != socket.AF_INET or not address[0].startswith(("localhost", "127.")):
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


def _running(request: httpx2.Request | None = None) -> Run | None:
    """The run this is part of; None for everybody else, and for a request that goes there by itself."""
    if (run := _mine.get()) and run.over.is_set():
        raise httpx2.ConnectError("The exercise that this belongs to is no longer being graded.")
    by_itself = run and request and (request.url.host, request.url.port) in run.places
    return None if by_itself and not any(run.inside.values()) else run


def _in_this_context(work: Callable, start: Callable) -> Any:
    """What `start` makes of `work` as part of this run; the hooks stay until that has ended."""
    context = copy_context()

    def run(*args: Any, **named: Any) -> Any:
        try:
            return context.run(work, *args, **named)
        finally:
            _release(run)

    _hold(run)
    try:
        return start(run)
    except BaseException:  # it will never end, for it has not begun
        _release(run)
        raise


def _hold(holder: object) -> None:
    with _lock:
        _holders.add(holder)
        for owner, name, hook in () if _own else HOOKS:
            _own.append((owner, name, vars(owner).get(name)))
            setattr(owner, name, partialmethod(hook, getattr(owner, name)))


def _release(holder: object) -> None:
    with _lock:
        _holders.discard(holder)
        while _own and not _holders:
            owner, name, own = _own.pop()
            delattr(owner, name) if own is None else setattr(owner, name, own)


def _for_messages_api(path: str, body: bytes) -> tuple[str, bytes]:
    """Path and body as the Messages API wants them: Bedrock and Vertex name the model in the path."""
    named = re.search(r"/models?/([^/]+?)(/invoke|:\w*[rR]awPredict)", path)
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
