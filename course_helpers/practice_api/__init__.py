"""The practice API: a server in this process, `practice`, that speaks the Messages API, free and offline."""

from __future__ import annotations

import atexit
import contextlib
import sys
import threading
from functools import cached_property
from operator import attrgetter

PRACTICE_KEY = "practice"
"""The key that the practice API takes. Any other is a 401."""


class Practice:
    """A practice API with its controls and its journal; `in_process`, one without a server: see there."""

    def __init__(self, in_process: bool = sys.platform == "emscripten") -> None:
        self.in_process, self._server, self._lock = in_process, None, threading.RLock()
        self.replaced = 0  # how many servers had stopped answering

    def start(self, port: int = 0) -> str:
        """The URL of the server, started unless one runs; port 0 is a free one.

        One that gives no sign of life within a second is replaced, on the same port where that is possible.
        """
        with self._lock:
            if self._server and not self.in_process and not self._server.answers(within=1):
                stuck, self._server = self._server, None
                stuck.stop(0)
                self.replaced += 1
                with contextlib.suppress(OSError):
                    return self.start(port or stuck.port)
            if self._server is None:
                if self.in_process:
                    from .in_process import InProcess

                    self._server = InProcess(self.api)
                else:
                    from .server import Server

                    self._server = Server(self.api, port)
                atexit.register(self.stop)
            return self._server.url

    url = property(start, doc="The base URL, without /v1; starts the server if need be.")

    def stop(self) -> None:
        """Stop the server; the next use starts another, on another port."""
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            atexit.unregister(self.stop)
            server.stop()

    def transport(self):
        """What leads a client of httpx2 to an in-process practice API; None where there is a server."""
        return self._server if self.in_process and self.start() else None

    def serves(self, url: str) -> bool:
        """Is `url` this practice API's?"""
        return self._server is not None and url.rstrip("/") == self._server.url

    @cached_property
    def api(self):
        """The `app.Api` behind the server; imported when it is first needed, since that takes a while."""
        from .app import Api

        return vars(self).setdefault("api", Api())  # two threads may come here at once

    journal = property(attrgetter("api.journal"), doc="What was sent and answered: a `journal.Journal`.")
    reset = property(attrgetter("api.reset"))
    # The controls: see `faults.Faults`.
    fail_next, break_stream, limit, shape, pace, chaos, retire = (
        property(attrgetter(f"api.faults.{name}"))
        for name in ("fail_next", "break_stream", "limit", "shape", "pace", "chaos", "retire")
    )

    def __repr__(self) -> str:
        return f"Practice API · faults: {self.api.faults} · {len(self.journal)} exchanges in the journal"


practice = Practice()
