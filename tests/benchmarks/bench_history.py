"""What a `Conversation` adds to the bare SDK."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import anthropic

from course_helpers import MODEL, Conversation, practice
from course_helpers.history import last_turns
from tests.benchmarks import Row, medians

ROUNDS = 400
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


def added_ms(bare: Callable, ours: Callable):
    """What the medians of both times, to the first piece and to the end, are apart."""
    before, after = medians(ROUNDS, partial(timed, bare), partial(timed, ours), warm=20)
    return 1e3 * (after - before)


def timed(make: Callable) -> tuple[float, float]:
    """Seconds to the first of what `make()` gives, and to its end."""
    started = time.perf_counter()
    at = [time.perf_counter() - started for _ in make()]
    return at[0], time.perf_counter() - started
