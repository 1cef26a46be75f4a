"""The practice API without sockets and threads: a transport for httpx2 that calls the application.

For places that have neither, as a browser tab (Pyodide). A client is led here in the SDK's own way, by
`http_client=anthropic.DefaultHttpxClient(transport=practice.transport())`.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
import warnings
from collections.abc import AsyncIterator, Coroutine, Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import httpx2

_numbers = itertools.count(1)
_running: dict[str, InProcess] = {}  # by the host in their URL, which no network has


class InProcess(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Takes the place of a `server.Server`: leads blocking and asynchronous clients to `app`."""

    def __init__(self, app: Any, port: int = 0) -> None:
        self.app, self.host = app, f"practice-{next(_numbers)}.invalid"
        self.url = f"http://{self.host}"
        _running[self.host] = self

    def stop(self) -> None:
        """No longer at this address."""
        _running.pop(self.host, None)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        loop = _Loop()
        try:
            return loop.run_until(self.handle_async_request(request))
        except BaseException:
            loop.close()
            raise

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.host not in _running:
            raise httpx2.ConnectError("There is no practice API at this address any more.", request=request)
        call = _Call(self.app, request)
        try:
            start = await call.next()
        except httpx2.TransportError:
            await call.aclose()
            raise
        return httpx2.Response(start["status"], headers=start["headers"], stream=call)


class _Call(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """One request: the application as a task, what it gets and sends, and the body of the response."""

    def __init__(self, app: Any, request: httpx2.Request) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = request.extensions.get("timeout", {}).get("read")
        self._asked, self._sent, self._more = asyncio.Queue(), asyncio.Queue(), request.method != "HEAD"
        self._asked.put_nowait({"type": "http.request", "body": request.read(), "more_body": False})
        scope = {
            "type": "http",
            "method": request.method,
            "path": request.url.path,
            "query_string": request.url.query,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "server": (request.url.host, 80),
            "state": {"transport": SimpleNamespace(is_closing=lambda: False, close=self._hang_up)},
        }
        self._task = self._loop.create_task(app(scope, self._asked.get, self._sent.put))
        self._task.add_done_callback(lambda task: self._hang_up())

    def _hang_up(self) -> None:
        self._asked.put_nowait({"type": "http.disconnect"})
        self._sent.put_nowait(None)

    async def next(self) -> dict[str, Any]:
        """What the application sends next. Raises the errors that a client meets on a real connection."""
        try:
            message = await asyncio.wait_for(self._sent.get(), self._timeout)
        except TimeoutError:
            raise httpx2.ReadTimeout("The read operation timed out") from None
        if message is None:
            raise httpx2.RemoteProtocolError("The connection was closed before the answer ended.")
        self._more &= message.get("more_body", "status" in message)
        return message

    def __iter__(self) -> Iterator[bytes]:
        while self._more:
            yield self._loop.run_until(self.next())["body"]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._more:
            yield (await self.next())["body"]

    def close(self) -> None:
        if not self._loop.is_closed():
            self._loop.run_until(self.aclose())
            self._loop.close()

    async def aclose(self) -> None:
        """End the application, whatever it is waiting for."""
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=5)


class _Loop(asyncio.BaseEventLoop):
    """An event loop of timers alone. It runs within a blocking call, also inside another loop's turn."""

    _selector = property(lambda self: self)  # there are no sockets to select from

    def select(self, timeout: float | None = None) -> list:
        """Wait for the next timer. In a browser tab the outer loop runs meanwhile: it is the current one."""
        if timeout:
            self._step_out()
            time.sleep(timeout)
            self._step_in(self)
        return []

    def _process_events(self, *_: object) -> None:
        """There are none."""

    _write_to_self = _process_events

    def run_until(self, what: Coroutine) -> Any:
        """The result of `what`, awaited here and now."""
        self._step_in(None)
        try:
            return self.run_until_complete(what)
        finally:
            self._step_out()

    def _step_in(self, running: _Loop | None) -> None:
        self._outer = asyncio._get_running_loop()
        self._outer_task = asyncio.current_task(self._outer) if self._outer else None
        if self._outer_task:
            asyncio.tasks._leave_task(self._outer, self._outer_task)
        asyncio._set_running_loop(running)

    def _step_out(self) -> None:
        asyncio._set_running_loop(self._outer)
        if self._outer_task:
            asyncio.tasks._enter_task(self._outer, self._outer_task)


@cache
def lead_all_clients_here() -> None:
    """Let clients with the usual transport find the practice APIs too: for a browser tab, where cells make
    clients of their own and nothing but this module could answer."""

    def lead(kind: type, name: str) -> None:
        usual = getattr(kind, name)

        def handle(self: Any, request: httpx2.Request) -> Any:
            here = _running.get(request.url.host)
            return getattr(here, name)(request) if here else usual(self, request)

        setattr(kind, name, handle)

    lead(httpx2.HTTPTransport, "handle_request")
    lead(httpx2.AsyncHTTPTransport, "handle_async_request")


if sys.platform == "emscripten":
    lead_all_clients_here()
    # Said for every client that the SDK makes, and nothing that a learner could mend.
    warnings.filterwarnings("ignore", message="The following transport option")
