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
from collections.abc import AsyncIterator, Iterator
from functools import partialmethod
from typing import Any

import httpx2

from .app import Api
from .responses import Head, Part
from .schemas import Dropped

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
        parts = _blocking(self._parts(request))
        head = next(parts)
        return httpx2.Response(head.status, headers=head.headers, content=head.body or parts)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        parts = _waiting(self._parts(request))
        head = await anext(parts)
        return httpx2.Response(head.status, headers=head.headers, content=head.body or parts)

    def _parts(self, request: httpx2.Request) -> Iterator[Part]:
        """The parts of the answer. Raises the errors that a client meets on a real connection."""
        if self.host not in _running:
            raise httpx2.ConnectError("There is no practice API at this address any more.", request=request)
        patience = float(request.extensions.get("timeout", {}).get("read") or math.inf)
        scope = {"method": request.method, "path": request.url.path, "query_string": request.url.query}
        scope["headers"] = [(name.lower(), value) for name, value in request.headers.raw]
        try:
            for part in self.api.respond(scope, request.read()):
                if isinstance(part, float) and part > patience:
                    yield patience
                    raise httpx2.ReadTimeout("The read operation timed out")
                yield part
        except Dropped:
            raise httpx2.RemoteProtocolError("The connection was closed before the answer ended.") from None


def _blocking(parts: Iterator[Part]) -> Iterator[Head | bytes]:
    """The parts that are sent, each when its time has come."""
    for part in parts:
        if isinstance(part, float):
            time.sleep(part)
        else:
            yield part


async def _waiting(parts: Iterator[Part]) -> AsyncIterator[Head | bytes]:
    """The same for an event loop."""
    for part in parts:
        if isinstance(part, float):
            await asyncio.sleep(part)
        else:
            yield part


def lead_all_clients_here() -> None:
    """Let clients with the usual transport find the practice APIs too: for a browser tab, where cells make
    clients of their own and nothing but this module could answer."""

    def handle(transport: Any, usual: Any, request: httpx2.Request) -> Any:
        here = _running.get(request.url.host)
        return getattr(here, usual.__name__)(request) if here else usual(transport, request)

    names = {httpx2.HTTPTransport: "handle_request", httpx2.AsyncHTTPTransport: "handle_async_request"}
    for kind, name in names.items():
        setattr(kind, name, partialmethod(handle, getattr(kind, name)))


if sys.platform == "emscripten":
    lead_all_clients_here()
    # Said for every client that the SDK makes, and nothing that a learner could mend.
    warnings.filterwarnings("ignore", message="The following transport option")
