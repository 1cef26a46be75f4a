"""The practice API without sockets and threads: a transport for httpx2 that calls the application.

For places that have neither, as a browser tab (Pyodide). A client is led here in the SDK's own way:

    inside = anthropic.DefaultHttpxClient(transport=practice.transport())
    client = anthropic.Anthropic(base_url=practice.url, http_client=inside)
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from typing import Any

import httpx2

from .responses import TRANSPORT

_numbers = itertools.count(1)
_servers: dict[str, InProcess] = {}
"""The practice APIs of this process by the host in their URL, which no network has."""


class InProcess:
    """Takes the place of a `server.Server`: an address, at which the transports of this module find `app`."""

    def __init__(self, app: Any, port: int = 0) -> None:
        self.app, self.host = app, f"practice-{next(_numbers)}.invalid"
        self.url = f"http://{self.host}"
        _servers[self.host] = self

    def answers(self, within: float) -> bool:
        """It runs when it is called, and so it always does."""
        return True

    def stop(self, patience: float = 0) -> None:
        """No longer at this address."""
        _servers.pop(self.host, None)

    def forget(self) -> None:
        """A forked child has its own, as it is."""


class Transport(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """For blocking and for asynchronous clients, sent to a practice API of this process."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        loop = _Loop()
        call = _Call(request, request.read(), loop)
        return call.response(loop.run_until(call.next_message))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        call = _Call(request, await request.aread(), asyncio.get_running_loop())
        return call.response(await call.next_message())


class _Connection:
    """What the application takes for the connection's transport."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.closed = loop.create_future()

    def is_closing(self) -> bool:
        return self.closed.done()

    def close(self) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


class _Call(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """One request: the application as a task, what it has sent so far, and the body as a stream."""

    def __init__(self, request: httpx2.Request, body: bytes, loop: asyncio.AbstractEventLoop) -> None:
        if request.url.host not in _servers:
            raise httpx2.ConnectError("There is no practice API at this address any more.", request=request)
        self._request, self._loop, self._connection = request, loop, _Connection(loop)
        self._bodies = [{"type": "http.request", "body": body, "more_body": False}]
        self._sent: collections.deque[dict[str, Any]] = collections.deque()
        self._news = asyncio.Event()
        url = request.url
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": url.path,
            "raw_path": url.raw_path,
            "query_string": url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": (url.host, 0),
            "server": (url.host, 80),
            TRANSPORT: self._connection,
        }
        self._task = loop.create_task(_servers[url.host].app(scope, self._receive, self._send))
        for end in (self._task, self._connection.closed):
            end.add_done_callback(lambda end: self._news.set())

    async def _receive(self) -> dict[str, Any]:
        if self._bodies:
            return self._bodies.pop()
        await asyncio.wait({self._connection.closed})
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self._sent.append(message)
        self._news.set()

    async def next_message(self) -> dict[str, Any]:
        """What the application sends next. Raises the errors that a client meets on a real connection."""
        try:
            async with asyncio.timeout(self._request.extensions.get("timeout", {}).get("read")):
                while not self._sent:
                    if self._connection.is_closing() or self._task.done():
                        raise httpx2.RemoteProtocolError("The connection was closed before the answer ended.")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise httpx2.ReadTimeout("The read operation timed out") from None
        return self._sent.popleft()

    def response(self, start: dict[str, Any]) -> httpx2.Response:
        """The response that begins with `start`, its body still to come."""
        version = {"http_version": b"HTTP/1.1"}
        return httpx2.Response(start["status"], headers=start["headers"], stream=self, extensions=version)

    def _content(self, message: dict[str, Any]) -> bytes:
        return b"" if self._request.method == "HEAD" else message.get("body", b"")

    def __iter__(self) -> Iterator[bytes]:
        more = True
        while more:
            message = self._loop.run_until(self.next_message)
            more = message.get("more_body", False)
            yield self._content(message)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self.next_message()
            more = message.get("more_body", False)
            yield self._content(message)

    def close(self) -> None:
        if not self._loop.is_closed():
            self._loop.run_until(self.aclose)
            self._loop.close()

    async def aclose(self) -> None:
        """Hang up, and wait until the application has noticed."""
        self._connection.close()
        await asyncio.wait({self._task}, timeout=5)
        self._task.cancel()


class _Loop(asyncio.BaseEventLoop):
    """An event loop of timers alone. It runs within a blocking call, also inside another loop's turn."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = self

    def select(self, timeout: float | None = None) -> list:
        """What a selector does, where there are no sockets: wait for the next timer.

        In a browser tab other tasks may run while this one sleeps, so the outer loop is the running one then.
        """
        if timeout:
            self._step_aside()
            time.sleep(timeout)
            self._step_in(self)
        return []

    def _process_events(self, events: list) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def _step_in(self, running: _Loop | None) -> None:
        self._outer = asyncio._get_running_loop()
        self._outer_task = asyncio.current_task(self._outer) if self._outer else None
        if self._outer_task:
            asyncio.tasks._leave_task(self._outer, self._outer_task)
        asyncio._set_running_loop(running)

    def _step_aside(self) -> None:
        asyncio._set_running_loop(self._outer)
        if self._outer_task:
            asyncio.tasks._enter_task(self._outer, self._outer_task)

    def run_until(self, what: Callable[[], Any]) -> Any:
        """The result of `what()`, awaited here and now."""
        self._step_in(None)
        try:
            return self.run_until_complete(what())
        finally:
            self._step_aside()


@cache
def lead_all_clients_here() -> None:
    """Let clients with the usual transport find the practice APIs too: for a browser tab, where cells make
    clients of their own and nothing but this module could answer."""
    usual, usual_async = httpx2.HTTPTransport.handle_request, httpx2.AsyncHTTPTransport.handle_async_request
    ours = Transport()

    def handle(self: Any, request: httpx2.Request) -> httpx2.Response:
        return ours.handle_request(request) if request.url.host in _servers else usual(self, request)

    async def handle_async(self: Any, request: httpx2.Request) -> httpx2.Response:
        here = request.url.host in _servers
        return await (ours.handle_async_request(request) if here else usual_async(self, request))

    httpx2.HTTPTransport.handle_request = handle
    httpx2.AsyncHTTPTransport.handle_async_request = handle_async
