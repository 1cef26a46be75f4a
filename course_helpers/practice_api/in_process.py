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
        start = loop.run_until(call.started, call.patience)
        return call.response(start, _Pieces(call, loop))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        call = _Call(request, await request.aread(), asyncio.get_running_loop())
        start = await _in_time(call.started(), call.patience)
        return call.response(start, _AsyncPieces(call))


class _Connection:
    """What the application takes for the connection's transport."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.closed = loop.create_future()

    def is_closing(self) -> bool:
        return self.closed.done()

    def close(self) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


class _Call:
    """One request: the application as a task, and what it has sent so far."""

    def __init__(self, request: httpx2.Request, body: bytes, loop: asyncio.AbstractEventLoop) -> None:
        if request.url.host not in _servers:
            raise httpx2.ConnectError("The practice API of this address was stopped.", request=request)
        self.request, self.connection = request, _Connection(loop)
        self.patience: float | None = request.extensions.get("timeout", {}).get("read")
        self._sent: collections.deque[dict[str, Any]] = collections.deque()
        self._news = asyncio.Event()
        self._bodies = [{"type": "http.request", "body": body, "more_body": False}]
        self.task = loop.create_task(_servers[request.url.host].app(self._scope(), self._receive, self._send))
        self.task.add_done_callback(lambda task: self._news.set())
        self.connection.closed.add_done_callback(lambda closed: self._news.set())

    def _scope(self) -> dict[str, Any]:
        url = self.request.url
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self.request.method,
            "scheme": "http",
            "path": url.path,
            "raw_path": url.raw_path,
            "query_string": url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in self.request.headers.raw],
            "client": (url.host, 0),
            "server": (url.host, 80),
            TRANSPORT: self.connection,
        }

    async def _receive(self) -> dict[str, Any]:
        if self._bodies:
            return self._bodies.pop()
        await asyncio.wait({self.connection.closed})
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self._sent.append(message)
        self._news.set()

    async def started(self) -> dict[str, Any]:
        """The start of the response. Raises the error of a connection that drops before."""
        return await self._next("Server disconnected without sending a response.")

    async def piece(self) -> dict[str, Any]:
        """The next piece of the body. Raises the error of a connection that drops in its middle."""
        return await self._next("peer closed connection without sending complete message body")

    async def _next(self, dropped: str) -> dict[str, Any]:
        while not self._sent:
            if self.connection.is_closing() or self.task.done():
                raise httpx2.RemoteProtocolError(dropped, request=self.request)
            self._news.clear()
            await self._news.wait()
        return self._sent.popleft()

    def response(self, start: dict[str, Any], stream: Any) -> httpx2.Response:
        """The response that begins with `start`."""
        return httpx2.Response(
            start["status"],
            headers=start["headers"],
            stream=stream,
            extensions={"http_version": b"HTTP/1.1"},
            request=self.request,
        )

    async def end(self) -> None:
        """Hang up, and wait until the application has noticed."""
        self.connection.close()
        await asyncio.wait({self.task}, timeout=5)
        self.task.cancel()


class _Pieces(httpx2.SyncByteStream):
    """The body of a response, made while it is read."""

    def __init__(self, call: _Call, loop: _Loop) -> None:
        self._call, self._loop = call, loop

    def __iter__(self) -> Iterator[bytes]:
        more = True
        while more:
            message = self._loop.run_until(self._call.piece, self._call.patience)
            more = message.get("more_body", False)
            yield b"" if self._call.request.method == "HEAD" else message.get("body", b"")

    def close(self) -> None:
        if not self._loop.is_closed():
            self._loop.run_until(self._call.end, None)
            self._loop.close()


class _AsyncPieces(httpx2.AsyncByteStream):
    """The same for an asynchronous client, on its own event loop."""

    def __init__(self, call: _Call) -> None:
        self._call = call

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await _in_time(self._call.piece(), self._call.patience)
            more = message.get("more_body", False)
            yield b"" if self._call.request.method == "HEAD" else message.get("body", b"")

    async def aclose(self) -> None:
        await self._call.end()


async def _in_time(waiting: Any, patience: float | None) -> Any:
    """The result of `waiting`. Raises the client's own error when its read timeout is over."""
    try:
        async with asyncio.timeout(patience):
            return await waiting
    except TimeoutError:
        raise httpx2.ReadTimeout("The read operation timed out") from None


class _Timers:
    """What an event loop needs of a selector, where there are no sockets."""

    def select(self, timeout: float | None = None) -> list:
        time.sleep(timeout or 0)
        return []


class _Loop(asyncio.BaseEventLoop):
    """An event loop of timers alone. It runs within a blocking call, also inside another loop's turn."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Timers()

    def _process_events(self, events: list) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def run_until(self, what: Callable[[], Any], patience: float | None) -> Any:
        """The result of `what()`, awaited here and now."""
        outer = asyncio._get_running_loop()
        task = asyncio.current_task(outer) if outer else None
        if task:
            asyncio.tasks._leave_task(outer, task)
        asyncio._set_running_loop(None)
        try:
            return self.run_until_complete(_in_time(what(), patience))
        finally:
            asyncio._set_running_loop(outer)
            if task:
                asyncio.tasks._enter_task(outer, task)


@cache
def lead_all_clients_here() -> None:
    """Let clients with the usual transport find the practice APIs too: for a browser tab, where cells make
    clients of their own and nothing but this module could answer."""
    usual, usual_async = httpx2.HTTPTransport.handle_request, httpx2.AsyncHTTPTransport.handle_async_request

    def handle(self: Any, request: httpx2.Request) -> httpx2.Response:
        return Transport().handle_request(request) if request.url.host in _servers else usual(self, request)

    async def handle_async(self: Any, request: httpx2.Request) -> httpx2.Response:
        here = request.url.host in _servers
        return await (Transport().handle_async_request(request) if here else usual_async(self, request))

    httpx2.HTTPTransport.handle_request = handle
    httpx2.AsyncHTTPTransport.handle_async_request = handle_async
