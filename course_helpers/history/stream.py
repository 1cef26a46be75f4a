"""The reader that carries a turn out; its two faces, blocking and asynchronous, differ by `await` alone.

All that a turn does stands in `turn.py`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from weakref import WeakKeyDictionary

import anthropic

from ..client import async_client
from ..wire import aadvance, advance, unlocked
from .records import Reply
from .turn import Exchange


class Pieces(Iterator[str], AsyncIterator[str], AbstractContextManager, AbstractAsyncContextManager):
    """The pieces of a reply, as they come. Read to the end they are a turn, and `reply` says so; else not.

    Use it in a `with` block, or read it in a plain `for`: leaving early closes the stream. `async with` and
    `async for` do the same and wait for nobody; it is closed there with `await pieces.aclose()`.
    """

    def __init__(self, turn: Exchange, client: anthropic.Anthropic) -> None:
        self._turn, self._client = turn, client

    @property
    def reply(self) -> Reply | None:
        """The whole reply, once the last piece has been read."""
        return self._turn.reply

    def __next__(self) -> str:
        try:
            if piece := advance(self._turn.piece(), self._client):
                return piece
            raise StopIteration
        except BaseException:
            self._turn.busy = False
            self.close()
            raise

    async def __anext__(self) -> str:
        try:
            if piece := await aadvance(self._turn.piece(), await _twin_of(self._client)):
                return piece
            raise StopAsyncIteration
        except BaseException:
            self._turn.busy = False
            await self.aclose()
            raise

    def close(self) -> None:
        """Stop the reply. What has not come to its end is not kept."""
        unlocked(self._client)
        advance(self._turn.close())

    async def aclose(self) -> None:
        """`close` to await."""
        await aadvance(self._turn.close())

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        with suppress(Exception):
            # A process that ends closes all that it has; and httpx2 notes with `datetime` how long a response
            # was open, which by then crashes CPython 3.13.0. The SDK's own streams take the same care.
            # Where nothing is open nothing is done: a Ctrl-C that comes within a finalizer is lost.
            if self._turn.opened and not sys.is_finalizing():
                if hasattr(self._turn.opened[-1], "aclose"):  # what is dropped, its loop closes
                    self._turn.end()
                    self._turn.opened.clear()
                else:
                    self.close()


_twins: WeakKeyDictionary[anthropic.Anthropic, dict] = WeakKeyDictionary()  # by event loop, what lends them


async def _twin_of(client: anthropic.Anthropic) -> anthropic.AsyncAnthropic:
    """The async twin of `client`: one for each event loop, made on first use, closed with it."""
    loop, twins = asyncio.get_running_loop(), _twins.setdefault(client, {})
    for ended in [other for other in twins if other.is_closed()]:
        del twins[ended]
    if loop not in twins:
        twins[loop] = _lent(async_client(client))
    return await anext(twins[loop])


async def _lent(twin: anthropic.AsyncAnthropic) -> AsyncGenerator[anthropic.AsyncAnthropic, None]:
    """Lends `twin` until its loop ends, which closes the generators that were begun in it (`asyncio.run`)."""
    async with twin:
        while True:
            yield twin
