"""What a `Conversation` adds to the bare SDK, and whether a long one stays quick."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import anthropic

from course_helpers import MODEL, Conversation, practice
from course_helpers.history import Turn, last_turns, storage
from tests.benchmarks import Row, at_most

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

    bare, ours = side_by_side(lambda: [client.messages.create(**request)], lambda: [chat.send(QUESTION)])
    added = added_ms(bare, ours)
    yield at_most("send, added to a turn", added[1], 0.3, "ms over the bare SDK")
    added = added_ms(*side_by_side(bare_stream, lambda: chat.stream(QUESTION)))
    yield at_most("stream, added to the first piece", added[0], 1.0, "ms over the bare SDK")
    yield at_most("stream, added to a turn", added[1], 0.3, "ms over the bare SDK")
    yield from long_conversations(client)


def added_ms(bare: list, ours: list) -> list[float]:
    """What the medians of both times, to the first piece and to the end, are apart."""
    medians = [[median(column) for column in zip(*times, strict=True)] for times in (bare, ours)]
    return [1e3 * (own - other) for other, own in zip(*medians, strict=True)]


def timed(make: Callable) -> tuple[float, float]:
    """Seconds to the first of what `make()` gives, and to its end."""
    started, first = time.perf_counter(), None
    for _ in make():
        first = first or time.perf_counter() - started
    return first, time.perf_counter() - started


def side_by_side(bare: Callable, ours: Callable) -> tuple[list, list]:
    """The times of both, taken in turns, so that whatever else the machine does slows both."""
    for warm_up in (bare, ours) * 20:
        timed(warm_up)
    gc.collect()
    pairs = [(bare, ours)[:: (-1) ** number] for number in range(ROUNDS)]
    rounds = [{make: timed(make) for make in pair} for pair in pairs]
    return [each[bare] for each in rounds], [each[ours] for each in rounds]


def long_conversations(client: anthropic.Anthropic) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "chat.json")
        chat = load(path, client, LONG)
        started = time.perf_counter()
        chat.save(path)
        saved = time.perf_counter()
        Conversation.load(path, client)
        yield at_most(f"save {LONG:,} turns", saved - started, 1.0, "s")
        yield at_most(f"load {LONG:,} turns", time.perf_counter() - saved, 1.0, "s")


def load(path: Path, client: anthropic.Anthropic, turns: int) -> Conversation:
    """A conversation of `turns` turns, read from a file as `save` writes it."""
    figures = {"kind": "reply", "model": MODEL, "input_tokens": 900, "output_tokens": 60, "cost_usd": 0.0001}
    figures |= {"seconds": 1.5, "stop_reason": "end_turn"}
    texts = {"user": "Tell me one more thing about the sea, please.", "assistant": "The sea is wide. " * 15}
    kept = [Turn(turn=number, **figures, **texts) for number in range(1, turns + 1)]
    settings = {"model": MODEL, "system": None, "max_tokens": 1024, "cache": False, "budget_usd": None}
    storage.write(path, settings, kept, [turn.call for turn in kept])
    return Conversation.load(path, client, keep=last_turns(20))
