"""One coroutine in a thread of its own, so that a notebook stays free and Stop works at any moment.

The thread and its event loop live as long as the coroutine: afterwards nothing is left, no socket either.
A daemon thread, so a kernel restart takes it along. Where there are no threads (a browser tab), the
coroutine runs on the loop that is running already.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from typing import Any, Generic, TypeVar

T = TypeVar("T")

POLL = 0.1
"""Seconds between looks for an interrupt: a longer sleep would not notice one until it ends."""


class Background(Generic[T]):
    """Runs `make()` to its end; `stop` cancels it, `wait` and `await_` give its result."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, T]], name: str) -> None:
        self._make = make
        self._future: Future[T] = Future()
        self._lock = threading.Lock()
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task | None = None
        self.threaded = True
        try:
            threading.Thread(target=self._run, name=name, daemon=True).start()
        except RuntimeError:  # can't start new thread
            self.threaded = False
            self._here = asyncio.get_running_loop().create_task(self._guarded())  # or nobody would hold it

    def stop(self) -> None:
        """Cancel the coroutine, from any thread, at any time; once is enough, more does no harm."""
        with self._lock:
            if not self._stopped and self._loop is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)
            self._stopped = True

    def wait(self) -> T:
        """The result, for a thread that may block. An interrupt stops the coroutine and goes on its way."""
        try:
            while True:
                try:
                    return self._future.result(timeout=POLL)
                except TimeoutError:
                    if self._future.done():  # meanwhile, or with a TimeoutError of its own: this tells which
                        return self._future.result()
        except BaseException:
            self.stop()
            raise

    async def await_(self) -> T:
        """The result, for a coroutine on another loop. Cancelling the wait stops the coroutine too."""
        try:
            while not self._future.done():
                await asyncio.sleep(POLL / 2)
            return self._future.result()
        except BaseException:
            self.stop()
            raise

    def join(self, seconds: float) -> None:
        """Wait until the coroutine has ended, whatever its result, or `seconds` have passed."""
        if self.threaded:
            wait([self._future], seconds)

    def _run(self) -> None:
        # Not asyncio.run: where nest_asyncio has replaced it, it would leave loop and sockets open.
        with asyncio.Runner() as runner:
            runner.run(self._guarded())

    async def _guarded(self) -> None:
        """The coroutine. What it raises goes to who waits: from here it would land in any running cell."""
        with self._lock:
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
            if self._stopped:
                self._task.cancel()
        try:
            result, error = await self._make(), None
        except BaseException as raised:
            result, error = None, raised
        with self._lock:
            self._loop = None
        if error is None:
            self._future.set_result(result)
        else:
            self._future.set_exception(error)
