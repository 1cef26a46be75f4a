"""The practice API: a server in this process that speaks the Messages API, free and offline.

`practice` is the one of this process. It starts on first use.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .app import Api
    from .in_process import InProcess, Transport
    from .journal import Journal
    from .server import Server

PRACTICE_KEY = "practice"
"""The key that the practice API takes. Any other is a 401."""
CONTROLS = ("fail_next", "break_stream", "limit", "shape", "pace", "chaos", "retire")
ANSWERS_WITHIN = 1.0
"""Seconds in which a server must give a sign of life, else it is replaced."""


class Practice:
    """A practice API with its controls and its journal.

    `in_process` ones have no server, for a browser tab has no sockets: see `in_process`.
    """

    def __init__(self, in_process: bool = sys.platform == "emscripten") -> None:
        self.in_process = in_process
        self._lock = threading.RLock()
        self._api: Api | None = None
        self._server: Server | InProcess | None = None
        self.replaced = 0
        """How many servers have stopped answering and were replaced."""
        _all.add(self)

    def start(self, port: int = 0) -> str:
        """Start the server unless one runs and answers; its URL. `port` 0 takes a free one.

        One that no longer answers is replaced, on the same port where that is possible.
        """
        with self._lock:
            if self._server is not None and not self.answers():
                stuck, self._server = self._server, None
                stuck.stop(0)
                self.replaced += 1
                with contextlib.suppress(OSError):
                    return self.start(port or stuck.port)
            if self._server is None:
                from .replies import entries

                entries()  # a mistake in replies.toml is told now, not by a 500 to every call
                self._server = self._serve(port)
                atexit.register(self.stop)
            return self._server.url

    def _serve(self, port: int) -> Server | InProcess:
        if self.in_process:
            from .in_process import InProcess, lead_all_clients_here

            if sys.platform == "emscripten":  # where nothing else could answer a client of a cell's own
                lead_all_clients_here()
            return InProcess(self.api.app)
        from .server import Server

        return Server(self.api.app, port)

    def transport(self) -> Transport | None:
        """What leads a client of httpx2 to an in-process practice API; None where there is a server."""
        if not self.in_process:
            return None
        from .in_process import Transport

        return Transport()

    def answers(self, within: float = ANSWERS_WITHIN) -> bool:
        """Does the server run, and give a sign of life within so many seconds?"""
        server = self._server
        return server is not None and server.answers(within)

    def stop(self) -> None:
        """Stop the server; the next use starts another, on another port."""
        with self._lock:
            server, self._server = self._server, None
            atexit.unregister(self.stop)
        if server is not None:
            server.stop()

    @property
    def url(self) -> str:
        """The base URL, without /v1; starts the server if need be."""
        return self.start()

    def serves(self, url: str) -> bool:
        """Is `url` this practice API's?"""
        return self._server is not None and url.rstrip("/") == self._server.url

    def reset(self) -> None:
        """As new: no faults, nothing cached, an empty journal."""
        self.api.reset()

    @property
    def journal(self) -> Journal:
        """What was really sent and answered, oldest first."""
        return self.api.journal

    @property
    def api(self) -> Api:
        """The application behind the server."""
        with self._lock:
            if self._api is None:
                from .app import Api

                self._api = Api()
            return self._api

    def __getattr__(self, name: str):
        """The controls of the fault lab: see `faults.Faults`."""
        if name in CONTROLS:
            return getattr(self.api.faults, name)
        known = ", ".join(CONTROLS)
        raise AttributeError(f"practice has no {name!r}. Its controls: {known}, reset, journal.")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *CONTROLS]

    def __repr__(self) -> str:
        return f"Practice API · faults: {self.api.faults} · {len(self.journal)} exchanges in the journal"


def _start_afresh() -> None:
    """A forked child has no serving thread, and locks may be held for ever: each starts afresh there."""
    for practice in _all:
        if practice._server is not None:
            practice._server.forget()
        practice.__init__(practice.in_process)


_all: weakref.WeakSet[Practice] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
practice = Practice()
