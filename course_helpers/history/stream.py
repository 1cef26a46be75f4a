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
    `async for` do the same without blocking; it is closed there with `await pieces.aclose()`.
    """

    def __init__(self, turn: Exchange, client: anthropic.Anthropic) -> None:
        self._turn, self._client, self._awaited = turn, client, _awaited(turn, client)

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
        return await anext(self._awaited)

    def close(self) -> None:
        """Stop the reply. What has not come to its end is not kept."""
        unlocked(self._client)
        advance(self._turn.close())

    async def aclose(self) -> None:
        """`close` to await."""
        self._turn.end()
        with suppress(RuntimeError):  # somebody waits for a piece: that closes it, when it comes
            await self._awaited.aclose()

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
                if isinstance(self._turn.opened[-1], anthropic.Stream):
                    self.close()
                else:  # its loop closes it
                    self._turn.end()


async def _awaited(turn: Exchange, client: anthropic.Anthropic) -> AsyncGenerator[str, None]:
    """The pieces of `turn`. A generator, as its loop closes it where nobody else does: so nothing is lost."""
    try:
        while piece := await aadvance(turn.piece(), await _twin_of(client)):
            yield piece
    finally:
        turn.busy = False
        await aadvance(turn.close())


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
