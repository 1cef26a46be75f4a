"""The four ways to take a turn, in one shape, and conversations for tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anthropic
import pytest

from course_helpers import client as clients
from course_helpers.history import Call, Conversation, Reply, Turn


def send(chat: Conversation, text: str) -> Reply:
    return chat.send(text)


def stream(chat: Conversation, text: str) -> Reply:
    with chat.stream(text) as pieces:
        came = "".join(pieces)
    assert str(pieces.reply) in (came, "")
    return pieces.reply


def asend(chat: Conversation, text: str) -> Reply:
    return asyncio.run(chat.asend(text))


def astream(chat: Conversation, text: str) -> Reply:
    async def turn() -> Reply:
        async with chat.astream(text) as pieces:
            came = "".join([piece async for piece in pieces])
        assert str(pieces.reply) in (came, "")
        return pieces.reply

    return asyncio.run(turn())


ALL = (send, stream, asend, astream)
all_drivers = pytest.mark.parametrize("take", ALL)
streaming_drivers = pytest.mark.parametrize("take", [stream, astream])


class Waits(list):
    """An `on_wait` that keeps what it is told."""

    __call__ = list.append


def chat_with(url: str, *, read_timeout: float = 5.0, **settings: object) -> Conversation:
    """A conversation with the server at `url`; it does not wait before it tries again."""
    client = anthropic.Anthropic(base_url=url, api_key="key-of-a-test", timeout=read_timeout)
    chat = Conversation(client, **settings)
    chat.waits = {"sleep": lambda seconds: None}
    return chat


@contextmanager
def standing_in_for_live(url: str) -> Iterator[None]:
    """For the time of the block, calls to `url` cost what they would cost at the real API."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, "_live_urls", {url})
        yield


def state(chat: Conversation) -> tuple:
    """What a turn that fails must leave as it was."""
    return chat.messages, chat.turns


def entry_of(turn: Turn) -> Call:
    """What the ledger holds of `turn`: the same figures, without the texts."""
    return Call(**turn.model_dump(exclude={"user", "assistant"}))


def wait_until(truth: Callable[[], object]) -> None:
    """Comes back once it is true, and fails where that takes longer than 20 seconds."""
    deadline = time.monotonic() + 20
    while not truth():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.01)
