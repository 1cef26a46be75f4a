"""Uvicorn's protocol in a daemon thread, on loopback only, on a port that is free."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import threading

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState


class Protocol(H11Protocol):
    """Uvicorn's own, but the application gets at the transport, in the state of its scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        # Else asyncio may leave Nagle's algorithm on, which costs 44 ms a call.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
        self.app_state = {"transport": transport}


class Server:
    """A server for the ASGI application `app`, reached once the constructor returns: lesson 4 has one too."""

    def __init__(self, app: ASGIApp, port: int = 0) -> None:
        self._socket = socket.create_server(("127.0.0.1", port), backlog=1024)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        quiet = {"log_config": None, "log_level": "error", "access_log": False}
        plain = {"interface": "asgi3", "ws": "none", "lifespan": "off", "proxy_headers": False}
        self._config = uvicorn.Config(app, timeout_keep_alive=60, **quiet, **plain)
        self._config.load()
        self._state, self._stopping = ServerState(), asyncio.Event()
        self.loop = asyncio.SelectorEventLoop()  # Windows' own kind takes its maker's signals
        self.thread = threading.Thread(target=self._serve, name="practice-api", daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        connect = functools.partial(Protocol, self._config, self._state, {})
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:  # cancels at its end what still runs
            listening = runner.run(self.loop.create_server(connect, sock=self._socket))
            runner.run(self._stopping.wait())
            with contextlib.suppress(ValueError):  # where it was stuck, its socket is closed already
                listening.close()
            for connection in list(self._state.connections):
                connection.transport.abort()

    def answers(self, within: float) -> bool:
        """Does its event loop take its next turn `within` these seconds?"""
        turned = threading.Event()
        try:
            self.loop.call_soon_threadsafe(turned.set)
        except RuntimeError:  # the loop was closed
            return False
        return turned.wait(within)

    def stop(self, patience: float = 5.0) -> None:
        """Stop serving, drop open connections, free the port: after `patience` seconds at the latest.

        A thread that is stuck, in a finalizer for instance, is left behind, a daemon that nobody can reach.
        """
        with contextlib.suppress(RuntimeError):  # its loop was closed
            self.loop.call_soon_threadsafe(self._stopping.set)
        self.thread.join(patience)
        if self.thread.is_alive():
            self.loop.set_exception_handler(lambda loop, context: None)
            for connection in list(self._state.connections):
                with contextlib.suppress(OSError, AttributeError):  # its client must not wait for ever
                    connection.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self._socket.close()
