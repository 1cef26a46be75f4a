"""The two readers that carry a turn out, blocking and asynchronous, and the connections that they use.

They differ by `await` alone: all that a turn does stands in `turn.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary, WeakMethod, WeakSet

import anthropic

from .. import client as clients
from ..wire import Steps, aadvance, advance, given_up, is_stuck, locks_of, short
from .ledger import ENDED, Claim
from .records import Reply


class _Reader:
    """What both kinds of pieces have in common."""

    def __init__(self, begin: Callable[[Claim], Steps[Reply]], client: anthropic.Anthropic) -> None:
        self._claim = Claim(WeakMethod(self._settle))
        self._steps, self._client = begin(self._claim), client
        self._pieces: list[str] = []
        self._busy = False
        self.reply: Reply | None = None
        """The whole reply, once the last piece has been read."""

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._pieces)

    def _took(self, came: str | Reply | None) -> str | None:
        """`came` from the turn, if it is a piece; None at its end, also where another thread has ended it."""
        self._busy = False
        if isinstance(came, str) and not self._claim.over:
            self._pieces.append(came)
            return came
        self.reply = came if isinstance(came, Reply) else None
        return None

    def _settle(self) -> None:
        """No more of this turn: what is not complete is not kept, only what it cost."""
        self._claim.over = True
        with contextlib.suppress(ValueError):  # it is running in another thread, which looks at `over` then
            self._steps.close()

    def _ended(self, stop: type[Exception]) -> Exception:
        """What to raise at the end: `stop`, but once an error where another turn has taken its place."""
        lost, self._claim.lost = self._claim.lost, False
        return RuntimeError(ENDED) if lost else stop()

    def __repr__(self) -> str:
        state = "complete" if self.reply else "closed" if self._claim.over else "open"
        return f"{type(self).__name__}({state}, {len(self.text):,} characters so far)"


class Pieces(_Reader, Iterator[str]):
    """The pieces of a reply, as they come. Read to the end they are a turn, and `reply` says so; else not.

    Use it in a `with` block, or read it in a plain `for`: leaving early closes the stream.
    """

    def __next__(self) -> str:
        if not self._claim.over:
            try:
                self._busy = True
                _close_left()
                piece = self._took(advance(self._steps, self._client))
            except BaseException as error:
                self._busy = False
                self.close()
                raise short(error) from error.__cause__
            if piece is not None:
                return piece
            self.close()
        raise self._ended(StopIteration)

    def close(self) -> None:
        """Stop the reply. What has not come to its end is not kept."""
        self._settle()
        if not self._busy:  # else the thread that is reading closes it
            self._leave()
            _close_left()

    def _leave(self) -> None:
        stream, self._claim.stream = self._claim.stream, None
        if stream is not None:
            _left.append(([*locks_of(self._client)], stream))

    def __enter__(self) -> Pieces:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # It may run on any thread, the practice API's too: only its own may wait for a socket's lock.
        with contextlib.suppress(Exception):
            self._settle()
            self._leave()
            if self._claim.thread is threading.current_thread() and not sys.is_finalizing():
                _close_left()


class AsyncPieces(_Reader, AsyncIterator[str]):
    """`Pieces` for `async with` and `async for`; close it with `await pieces.aclose()`."""

    async def __anext__(self) -> str:
        if not self._claim.over:
            try:
                self._busy = True
                twin = await async_client_of(self._client, self)
                piece = self._took(await aadvance(self._steps, twin))
            except BaseException as error:
                self._busy = False
                await self.aclose()
                raise short(error) from error.__cause__
            if piece is not None:
                return piece
            await self.aclose()
        raise self._ended(StopAsyncIteration)

    async def aclose(self) -> None:
        """Stop the reply. What has not come to its end is not kept."""
        self._settle()
        if not self._busy:  # else the task that is reading closes it
            stream, self._claim.stream = self._claim.stream, None
            if stream is not None:
                await stream.aclose()

    async def __aenter__(self) -> AsyncPieces:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self._settle()
            self._claim.stream = None  # an async generator that is dropped is closed by its loop


# ------------------------------------------------------------------------------ blocking connections

_left: list[tuple[list, Any]] = []
"""Streams that their readers left, to be closed by a thread that may wait."""


def _close_left() -> None:
    """Close what was left open; where the connections are locked for ever, never."""
    while _left:
        locks, stream = _left.pop()
        if any(map(is_stuck, locks)):
            given_up.append(stream)
        else:
            stream.close()


# -------------------------------------------------------------------------- asynchronous connections

_async_clients: WeakKeyDictionary[anthropic.Anthropic, dict] = WeakKeyDictionary()
"""For each client its async twins: by event loop, the twin, its readers, and what closes them."""


async def async_client_of(
    client: anthropic.Anthropic, reader: AsyncPieces | None = None
) -> anthropic.AsyncAnthropic:
    """The async twin of `client` for the running event loop, made on first use and closed with the loop."""
    loop, twins = asyncio.get_running_loop(), _async_clients.setdefault(client, {})
    if loop not in twins:
        for ended in [other for other in twins if other.is_closed()]:
            del twins[ended]
        twin, readers = clients.async_client(client), WeakSet()
        closer = _closing_with_the_loop(twin, readers, twins, loop)
        await anext(closer)
        twins[loop] = (twin, readers, closer)
    twin, readers, _ = twins[loop]
    if reader is not None:
        readers.add(reader)
    return twin


async def _closing_with_the_loop(
    twin: anthropic.AsyncAnthropic, readers: WeakSet, twins: dict, loop: asyncio.AbstractEventLoop
) -> AsyncGenerator[None, None]:
    """Waits at its `yield`: a loop that ends (`asyncio.run`) closes the generators that were begun in it."""
    try:
        yield
    finally:
        twins.pop(loop, None)
        for reader in list(readers):
            reader._settle()
        await twin.close()


async def close_async_client(client: anthropic.Anthropic) -> None:
    """Close the twin of `client` on the running loop, where that does not end as `asyncio.run` ends it."""
    _, _, closer = _async_clients.get(client, {}).get(asyncio.get_running_loop(), (None, None, None))
    if closer is not None:
        await closer.aclose()
