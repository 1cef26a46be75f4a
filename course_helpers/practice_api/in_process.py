"""The practice API without sockets and threads: a transport for httpx2 that calls what the server would.

For places that have neither, as a browser tab (Pyodide). A client is led here in the SDK's own way, by
`http_client=anthropic.DefaultHttpxClient(transport=practice.transport())`.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import sys
import time
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Coroutine, Iterator
from functools import cache
from typing import Any

import httpx2
from starlette.requests import ClientDisconnect, Request

from .app import Api
from .responses import SLEEP

_numbers = itertools.count(1)
_running: dict[str, InProcess] = {}  # by the host in their URL, which no network has


class InProcess(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Takes the place of a `server.Server`: leads blocking and asynchronous clients to `api`."""

    def __init__(self, api: Api) -> None:
        self.api, self.host = api, f"practice-{next(_numbers)}.invalid"
        self.url = f"http://{self.host}"
        _running[self.host] = self

    def stop(self) -> None:
        """No longer at this address."""
        _running.pop(self.host, None)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return _run(self._answer(request, _Body(request, blocking=True)))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self._answer(request, _Body(request, blocking=False))

    async def _answer(self, request: httpx2.Request, body: _Body) -> httpx2.Response:
        if self.host not in _running:
            raise httpx2.ConnectError("There is no practice API at this address any more.", request=request)
        scope = {
            "type": "http",
            "method": request.method,
            "path": request.url.path,
            "query_string": request.url.query,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": request.read(), "more_body": False}

        response = await body.step(self.api.respond(Request(scope, receive)))
        whole = _whole(b"" if request.method == "HEAD" else getattr(response, "body", b""))
        body.parts = getattr(response, "body_iterator", whole)
        return httpx2.Response(response.status_code, headers=response.raw_headers, stream=body)


class _Body(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """The body of a response, made as it is read. Nothing takes time but pauses on purpose, so it is there
    that a blocking client blocks, and that a client's patience ends."""

    parts: AsyncGenerator[bytes]

    def __init__(self, request: httpx2.Request, *, blocking: bool) -> None:
        patience = request.extensions.get("timeout", {}).get("read")
        self._patience, self._blocking = math.inf if patience is None else patience, blocking

    async def _sleep(self, seconds: float) -> None:
        wait = min(seconds, self._patience)
        if self._blocking:
            time.sleep(wait)
        else:
            await asyncio.sleep(wait)
        if seconds > self._patience:
            raise httpx2.ReadTimeout("The read operation timed out")

    async def step(self, what: Awaitable) -> Any:
        """The result of `what`. Raises the errors that a client meets on a real connection."""
        token = SLEEP.set(self._sleep)
        try:
            return await what
        except ClientDisconnect:
            raise httpx2.RemoteProtocolError("The connection was closed before the answer ended.") from None
        finally:
            SLEEP.reset(token)

    def __iter__(self) -> Iterator[bytes]:
        while (part := _run(self.step(anext(self.parts, None)))) is not None:
            yield part

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (part := await self.step(anext(self.parts, None))) is not None:
            yield part

    def close(self) -> None:
        _run(self.aclose())

    async def aclose(self) -> None:
        await self.parts.aclose()


async def _whole(body: bytes) -> AsyncGenerator[bytes]:
    yield body


def _run(what: Coroutine) -> Any:
    """The result of a coroutine that never has to wait for an event loop."""
    try:
        what.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("It waits for an event loop.")


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
