"""What a `Conversation` adds to the bare SDK, and whether a long one stays quick."""

from __future__ import annotations

import gc
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import anthropic

from course_helpers import MODEL, Conversation, practice
from course_helpers.history import Call, Turn, last_turns, responses, storage
from tests.benchmarks import Row, at_most

ROUNDS, LONG = 400, 10_000
QUESTION = "What is the capital of France?"


def bench() -> Iterator[Row]:
    client = anthropic.Anthropic(base_url=practice.url, api_key="practice", max_retries=0)
    chat = Conversation(client, keep=last_turns(0))
    request = {"model": MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": QUESTION}]}

    def bare_send() -> float:
        started = time.perf_counter()
        client.messages.create(**request)
        return time.perf_counter() - started

    def our_send() -> float:
        started = time.perf_counter()
        chat.send(QUESTION)
        return time.perf_counter() - started

    def bare_stream() -> tuple[float, float]:
        started, first = time.perf_counter(), None
        with client.messages.create(**request, stream=True) as events:
            for event in events:
                if event.type == "content_block_delta" and event.delta.type == "text_delta" and not first:
                    first = time.perf_counter() - started
        return first, time.perf_counter() - started

    def our_stream() -> tuple[float, float]:
        started, first = time.perf_counter(), None
        with chat.stream(QUESTION) as pieces:
            for _ in pieces:
                first = first or time.perf_counter() - started
        return first, time.perf_counter() - started

    bare, ours = side_by_side(bare_send, our_send)
    yield at_most("send, added to a turn", 1e3 * (median(ours) - median(bare)), 0.5, "ms over the bare SDK")
    bare, ours = side_by_side(bare_stream, our_stream)
    for place, name, goal in (
        (0, "stream, added to the first piece", 1.0),
        (1, "stream, added to a turn", 0.5),
    ):
        added = median(times[place] for times in ours) - median(times[place] for times in bare)
        yield at_most(name, 1e3 * added, goal, "ms over the bare SDK")
    yield from long_conversations(client)


def side_by_side(bare: Callable, ours: Callable) -> tuple[list, list]:
    """The figures of both, taken in turns, so that whatever else the machine does slows both."""
    for warm_up in (bare, ours) * 20:
        warm_up()
    gc.collect()
    rounds = [(bare(), ours()) if number % 2 else (ours(), bare())[::-1] for number in range(ROUNDS)]
    return [pair[0] for pair in rounds], [pair[1] for pair in rounds]


def long_conversations(client: anthropic.Anthropic) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "chat.json")
        tenth, last = own_work(load(path, client, 9)), own_work(load(path, client, LONG - 1))
        yield at_most(f"own work, turn {LONG:,} to turn 10", last / tenth, 2.0, f"× {1e6 * tenth:.0f} µs")
        chat = load(path, client, LONG)
        started = time.perf_counter()
        chat.save(path)
        saved = time.perf_counter()
        Conversation.load(path, client)
        yield at_most(f"save {LONG:,} turns", saved - started, 1.0, "s")
        yield at_most(f"load {LONG:,} turns", time.perf_counter() - saved, 1.0, "s")
        sizes = [memory(path, client, turns) for turns in (LONG // 4, LONG // 2, LONG)]
        growth = (sizes[2] - sizes[1]) / (2 * (sizes[1] - sizes[0]))
        yield at_most("memory a turn, second half to first", growth, 1.1, f"× {sizes[2] / LONG / 1e3:.1f} kB")


def load(path: Path, client: anthropic.Anthropic, turns: int) -> Conversation:
    """A conversation of `turns` turns, read from a file as `save` writes it."""
    figures = {"kind": "reply", "model": MODEL, "input_tokens": 900, "output_tokens": 60, "cost_usd": 0.0001}
    figures |= {"seconds": 1.5, "stop_reason": "end_turn"}
    texts = {"user": "Tell me one more thing about the sea, please.", "assistant": "The sea is wide. " * 15}
    kept = [Turn(turn=number, **figures, **texts) for number in range(1, turns + 1)]
    calls = [Call(turn=turn.turn, **figures) for turn in kept]
    settings = {"model": MODEL, "system": None, "max_tokens": 1024, "cache": False, "budget_usd": None}
    storage.write(path, storage.Saved(**settings, turns=kept, calls=calls))
    return Conversation.load(path, client, keep=last_turns(20))


def own_work(chat: Conversation, rounds: int = 60) -> float:
    """Median seconds that `send` takes beside its request, at this length of the conversation."""
    request, inside, own = responses.one_request, [], []

    def timed(*arguments, **named):
        started = time.perf_counter()
        try:
            return request(*arguments, **named)
        finally:
            inside.append(time.perf_counter() - started)

    responses.one_request = timed
    gc.collect()
    try:
        for _ in range(rounds):
            started = time.perf_counter()
            chat.send(QUESTION)
            own.append(time.perf_counter() - started - inside[-1])
            chat.undo()
    finally:
        responses.one_request = request
    return median(own[10:])


def memory(path: Path, client: anthropic.Anthropic, turns: int) -> int:
    """Bytes that a conversation of `turns` turns holds."""
    load(path, client, turns)
    gc.collect()
    tracemalloc.start()
    chat = Conversation.load(path, client)
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(chat.turns) == turns
    return size
