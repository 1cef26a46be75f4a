"""What a `Conversation` adds to the bare SDK, and whether a long one stays quick."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import anthropic

from course_helpers import MODEL, Conversation, practice
from course_helpers.history import last_turns, storage
from tests.benchmarks import Row, medians

ROUNDS, LONG = 400, 10_000
QUESTION = "What is the capital of France?"


def bench() -> Iterator[Row]:
    client = anthropic.Anthropic(base_url=practice.url, api_key="practice", max_retries=0)
    chat = Conversation(client, keep=last_turns(0))
    request = {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": QUESTION}]}

    def bare_stream() -> Iterator[str]:
        with client.messages.create(**request, stream=True) as events:
            for event in events:
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    yield event.delta.text

    added = added_ms(lambda: [client.messages.create(**request)], lambda: [chat.send(QUESTION)])
    yield Row("send, added to a turn", added[1], 0.3, "ms over the bare SDK")
    added = added_ms(bare_stream, lambda: chat.stream(QUESTION))
    yield Row("stream, added to the first piece", added[0], 1.0, "ms over the bare SDK")
    yield Row("stream, added to a turn", added[1], 0.3, "ms over the bare SDK")
    yield from long_conversations(client)


def added_ms(bare: Callable, ours: Callable):
    """What the medians of both times, to the first piece and to the end, are apart."""
    before, after = medians(ROUNDS, partial(timed, bare), partial(timed, ours), warm=20)
    return 1e3 * (after - before)


def timed(make: Callable) -> tuple[float, float]:
    """Seconds to the first of what `make()` gives, and to its end."""
    started = time.perf_counter()
    at = [time.perf_counter() - started for _ in make()]
    return at[0], time.perf_counter() - started


def long_conversations(client: anthropic.Anthropic) -> Iterator[Row]:
    """Seconds to save and load `LONG` turns."""
    turn = Conversation(client).send("Tell me a story about the sea, please.").turn
    kept = [turn.model_copy(update={"turn": number}) for number in range(1, LONG + 1)]
    settings = {"model": MODEL, "system": None, "max_tokens": 1024, "cache": False, "budget_usd": None}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "chat.json")
        storage.write(path, settings, kept, [turn.call for turn in kept])
        chat = Conversation.load(path, client, keep=last_turns(20))
        yield Row(f"save {LONG:,} turns", timed(lambda: [chat.save(path)])[1], 1.0, "s")
        yield Row(f"load {LONG:,} turns", timed(lambda: [Conversation.load(path, client)])[1], 1.0, "s")
