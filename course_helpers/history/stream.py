"""The two readers that carry a turn out, blocking and asynchronous; they differ by `await` alone.

All that a turn does stands in `turn.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from weakref import WeakKeyDictionary, ref

import anthropic

from ..client import async_client
from ..wire import Steps, aadvance, advance, unlocked
from .records import Reply
from .turn import Exchange


class _Reader:
    """What both kinds of pieces have in common."""

    def __init__(self, turn: Exchange, steps: Steps[Reply], client: anthropic.Anthropic) -> None:
        self._turn, self._steps, self._client = turn, steps, client
        self._pieces: list[str] = []
        self._why: Exception | None = None
        self.busy = self.over = False  # is it waiting just now? has its turn ended, in whatever way?
        self.reply: Reply | None = None  # once the last piece has been read

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._pieces)

    def end(self, why: Exception | None = None) -> None:
        """No more of this turn: what is not complete is not kept, only what it cost. `why` is said once."""
        self.over, self._why = True, why or self._why
        with contextlib.suppress(ValueError):  # it is running in another thread, which looks at `over` then
            self._steps.close()

    def _took(self, came: str | Reply | None) -> bool:
        """Is `came`, from the turn, a piece? Not at its end, also where another thread has ended it."""
        self.busy = False
        if isinstance(came, str) and not self.over:
            self._pieces.append(came)
            return True
        self.reply = came if isinstance(came, Reply) else None
        return False

    def _stopped(self, stop: Exception) -> Exception:
        why, self._why = self._why, None
        return why or stop


class Pieces(_Reader, Iterator[str]):
    """The pieces of a reply, as they come. Read to the end they are a turn, and `reply` says so; else not.

    Use it in a `with` block, or read it in a plain `for`: leaving early closes the stream.
    """

    def __next__(self) -> str:
        try:
            if not self.over:
                self.busy = True
                self._turn.ledger.begin(ref(self))
                if self._took(piece := advance(self._steps, self._client)):
                    return piece
        except BaseException:
            self.busy = False
            self.close()
            raise
        self.close()
        raise self._stopped(StopIteration())

    def close(self) -> None:
        """Stop the reply. What has not come to its end is not kept."""
        self.end()
        while self._turn.opened and not self.busy:  # else the thread that is reading closes it
            stream = self._turn.opened.pop()
            unlocked(self._client)
            stream.close()

    def __enter__(self) -> Pieces:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


class AsyncPieces(_Reader, AsyncIterator[str]):
    """`Pieces` for `async with` and `async for`; close it with `await pieces.aclose()`."""

    async def __anext__(self) -> str:
        try:
            if not self.over:
                self.busy = True
                self._turn.ledger.begin(ref(self))
                twin = await _twin_of(self._client)
                if self._took(piece := await aadvance(self._steps, twin)):
                    return piece
        except BaseException:
            self.busy = False
            await self.aclose()
            raise
        await self.aclose()
        raise self._stopped(StopAsyncIteration())

    async def aclose(self) -> None:
        """Stop the reply. What has not come to its end is not kept."""
        self.end()
        while self._turn.opened and not self.busy:  # else the task that is reading closes it
            await self._turn.opened.pop().aclose()

    async def __aenter__(self) -> AsyncPieces:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.end()
            self._turn.opened.clear()  # an async generator that is dropped is closed by its loop


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


async def close_async_client(client: anthropic.Anthropic) -> None:
    """Close the twin of `client` on the running loop, where that does not end as `asyncio.run` ends it."""
    if lender := _twins.get(client, {}).pop(asyncio.get_running_loop(), None):
        await lender.aclose()
