"""Uvicorn in a daemon thread, on loopback only, on a port that is free."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from typing import Any

import h11
import pydantic_core
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .errors import ApiError
from .responses import TRANSPORT, disconnected

LOOPBACK = "127.0.0.1"
START_TIMEOUT = 20.0
STOP_TIMEOUT = 5.0


class Gathering:
    """A transport that sends what was written within one turn of the event loop as one piece."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop, self._pieces = transport, loop, []

    def write(self, data: bytes) -> None:
        """Send `data`, soon."""
        if not self._pieces:
            self._loop.call_soon(self.flush)
        self._pieces.append(data)

    def close(self) -> None:
        """Send what is left, then close."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Send now what was written."""
        if self._pieces and not self._transport.is_closing():
            self._transport.write(b"".join(self._pieces))
        self._pieces = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(H11Protocol):
    """Uvicorn's own protocol, with three differences.

    Requests that are not HTTP get an error in the API's shape, a client that has closed its half of the
    connection still gets its answer, and a short answer is one piece on the wire.
    """

    half_closed = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        inner = self.app

        async def app(scope, receive, send) -> None:
            scope[TRANSPORT] = self.transport
            try:
                await inner(scope, receive, send)
            except asyncio.CancelledError:  # the server stops: uvicorn would report that as an error
                self.transport.abort()
                await disconnected(receive)

        self.app = app

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.transport = Gathering(transport, self.loop)

    def eof_received(self) -> bool:
        """Whether to keep the connection open: until the answer to a whole request is sent."""
        self.transport.flush()
        self.half_closed = self.cycle is not None and not self.cycle.more_body
        return self.half_closed and not self.cycle.response_complete

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.half_closed and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what could not be read as a request, unless an answer has begun; then hang up."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            name = "req_practice_unreadable"
            error = ApiError(400, f"{msg} Check the request line and headers.").body(name)
            headers = {"content-type": "application/json", "request-id": name, "connection": "close"}
            body = pydantic_core.to_json(error)
            headers["content-length"] = str(len(body))
            response = h11.Response(status_code=400, headers=[*headers.items()])
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class Uvicorn(uvicorn.Server):
    """Uvicorn's own server; it does not wait for answers that are still on their way, which may be long."""

    loop: asyncio.AbstractEventLoop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


class Server:
    """A running server for `app`. The constructor returns once it answers."""

    def __init__(self, app: Any, port: int = 0) -> None:
        # The protocol is named: else asyncio leaves Nagle's algorithm on, which costs 44 ms a call.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            if os.name != "nt":  # on Windows two servers could then share a port
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((LOOPBACK, port))
            self._socket.listen(1024)
        except (OSError, OverflowError):
            self._socket.close()
            raise
        self.url = f"http://{LOOPBACK}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            timeout_keep_alive=60,
        )
        self._uvicorn = Uvicorn(config)
        self._thread = threading.Thread(target=self._run, name="practice-api", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + START_TIMEOUT
        try:
            while not self._uvicorn.started:
                if not self._thread.is_alive() or time.monotonic() > deadline:
                    raise RuntimeError("The practice API did not start: restart the kernel and try again.")
                time.sleep(0.002)
        except BaseException:  # an interrupt while it starts, too
            self.stop(0)
            raise

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def answers(self, within: float) -> bool:
        """Does its event loop take its next turn `within` these seconds?"""
        turned = threading.Event()
        try:
            if self._uvicorn.should_exit or not self._thread.is_alive():
                return False
            self._uvicorn.loop.call_soon_threadsafe(turned.set)
        except RuntimeError:  # the loop was closed
            return False
        return turned.wait(within)

    def stop(self, patience: float | None = None) -> None:
        """Stop serving, drop open connections, free the port: after `patience` seconds at the latest.

        A thread that is stuck (in a finalizer of foreign objects, for instance) is left behind. It is a
        daemon, nobody can reach it any more, and should it go on one day, it ends without a word.
        """
        self._uvicorn.should_exit = self._uvicorn.force_exit = True
        self._thread.join(STOP_TIMEOUT if patience is None else patience)
        if self._thread.is_alive() and self._uvicorn.started:
            self._uvicorn.loop.set_exception_handler(lambda loop, context: None)
            for connection in list(self._uvicorn.server_state.connections):
                with contextlib.suppress(OSError, AttributeError):  # its client must not wait for ever
                    connection.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def forget(self) -> None:
        """In a forked child, where no thread serves: close its copy of the socket, and only that."""
        self._socket.close()

    def _run(self) -> None:
        try:
            self._uvicorn.run(sockets=[self._socket])
        except Exception:
            if not self._uvicorn.should_exit:
                raise
