"""Replies that come piece by piece, blocking or asynchronous, and the async client of each event loop."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, closing
from weakref import WeakKeyDictionary, WeakSet

import anthropic

from .. import client as clients
from .records import Reply
from .responses import aread, read
from .steps import adrive, drive
from .turn import OneTurn, short


class _Reader:
    """What both kinds of pieces have in common."""

    def __init__(self, turn: OneTurn) -> None:
        self._turn = turn
        self._pieces: list[str] = []
        self._closed = False
        self.reply: Reply | None = None
        """The whole reply, once the last piece has been read."""

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._pieces)

    def _settle(self) -> None:
        self._closed = True
        if self.reply is None:
            self._turn.settle()

    def __repr__(self) -> str:
        state = "complete" if self.reply else "closed" if self._closed else "open"
        return f"{type(self).__name__}({state}, {len(self.text):,} characters so far)"


class Pieces(_Reader, Iterator[str]):
    """The pieces of a reply, as they come. Read to the end they are a turn, and `reply` says so; else not.

    Use it in a `with` block, or read it in a plain `for`: leaving early closes the stream.
    """

    def __init__(self, turn: OneTurn) -> None:
        super().__init__(turn)
        self._source = _source(turn)
        turn.stop = self._source.close
        _open.add(self)

    def __next__(self) -> str:
        if not self._closed:
            try:
                piece = next(self._source, None)
                if self._closed:  # by another thread, meanwhile
                    self.close()
                    raise StopIteration
                if piece is not None and not self._turn.done:
                    self._pieces.append(piece)
                    return piece
                self.reply = self._turn.commit()
            except BaseException as error:
                self._settle()
                raise short(error) from error.__cause__
            self._closed = True
        raise StopIteration

    def close(self) -> None:
        """Stop the reply. What has not come to its end is not kept."""
        self._settle()
        with contextlib.suppress(ValueError):  # another thread is reading: it stops at its next piece
            self._source.close()

    def __enter__(self) -> Pieces:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


_open: WeakSet[Pieces] = WeakSet()


@atexit.register
def _close_all() -> None:
    """Close what is still open while that is safe: later, as CPython 3.13 goes down, it can crash."""
    for pieces in list(_open):
        pieces.close()


class AsyncPieces(_Reader, AsyncIterator[str]):
    """`Pieces` for `async with` and `async for`; close it with `await pieces.aclose()`."""

    def __init__(self, turn: OneTurn) -> None:
        super().__init__(turn)
        self._source = _asource(turn)

    async def __anext__(self) -> str:
        if not self._closed:
            try:
                piece = await anext(self._source, None)
                if self._closed:  # by another task, meanwhile
                    await self.aclose()
                    raise StopAsyncIteration
                if piece is not None and not self._turn.done:
                    self._pieces.append(piece)
                    return piece
                self.reply = self._turn.commit()
            except BaseException as error:
                await self.aclose()
                raise short(error) from error.__cause__
            self._closed = True
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop the reply. What has not come to its end is not kept."""
        self._settle()
        with contextlib.suppress(RuntimeError):  # another task is reading: it stops at its next piece
            await self._source.aclose()

    async def __aenter__(self) -> AsyncPieces:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self._settle()


def _source(turn: OneTurn) -> Generator[str, None, None]:
    """The pieces of text. What fails before the first is tried again, what fails later is not."""
    client = turn.chat.client
    request = drive(turn.prepare(), client)

    def opened() -> tuple[str, Generator[str, None, None]]:
        source = read(client, request, turn.attempt())
        return next(source, ""), source

    first, rest = turn.retries.run(opened)
    with closing(rest):
        if first:
            turn.flows()
            yield first
            yield from rest


async def _asource(turn: OneTurn) -> AsyncGenerator[str, None]:
    """`_source` on the async client of the running loop."""
    client = await async_client_of(turn.chat.client)
    request = await adrive(turn.prepare(), client)

    async def opened() -> tuple[str, AsyncGenerator[str, None]]:
        source = aread(client, request, turn.attempt())
        return await anext(source, ""), source

    first, rest = await turn.retries.arun(opened)
    async with aclosing(rest):
        if first:
            turn.flows()
            yield first
            async for piece in rest:
                yield piece


_async_clients: WeakKeyDictionary[anthropic.Anthropic, dict] = WeakKeyDictionary()
"""For each client its async twins: by event loop, the twin and what closes it."""


async def async_client_of(client: anthropic.Anthropic) -> anthropic.AsyncAnthropic:
    """The async twin of `client` for the running event loop, made on first use and closed with the loop."""
    loop, twins = asyncio.get_running_loop(), _async_clients.setdefault(client, {})
    if loop not in twins:
        for ended in [other for other in twins if other.is_closed()]:
            del twins[ended]
        twin = clients.async_client(client)
        closer = _closing_with_the_loop(twin, twins, loop)
        await anext(closer)
        twins[loop] = (twin, closer)
    return twins[loop][0]


async def _closing_with_the_loop(
    twin: anthropic.AsyncAnthropic, twins: dict, loop: asyncio.AbstractEventLoop
) -> AsyncGenerator[None, None]:
    """Waits at its `yield`: a loop that ends (`asyncio.run`) closes the generators that were begun in it."""
    try:
        yield
    finally:
        twins.pop(loop, None)
        await twin.close()
