"""Prompt caching and its counters."""

from __future__ import annotations

from typing import Any

import pytest

from course_helpers.models import available, find_model
from course_helpers.practice_api.caching import PromptCache
from course_helpers.practice_api.schemas import CreateMessage, parse
from tests.practice_api.wire import ALL_5, HAIKU, assistant, body, text, user

MARK, HOUR = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
RULES = "Answer in one short and friendly sentence. "
TOOL = {"name": "look_up", "input_schema": {"type": "object"}, "description": RULES * 100}
BIG = RULES * 100
MARKED = {"system": [text(BIG, cache_control=MARK)]}


def counters(wire, **fields: Any) -> tuple[int, int, int]:
    """Uncached, written and read."""
    usage = wire.ok(**fields)["usage"]
    assert usage["cache_creation_input_tokens"] == sum(usage["cache_creation"].values())
    return usage["input_tokens"], usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]


@pytest.mark.parametrize("mark", [MARK, HOUR])
def test_first_written_then_read(practice, wire, mark):
    """The same prefix, in the counter of its lifetime; the three counters are the whole prompt."""
    fields = {"system": [text(BIG, cache_control=mark)]}
    rest, written, read = counters(wire, **fields)
    assert practice.journal[-1].reply["usage"]["cache_creation"] == {
        "ephemeral_5m_input_tokens": 0 if "ttl" in mark else written,
        "ephemeral_1h_input_tokens": written if "ttl" in mark else 0,
    }
    assert (read, counters(wire, **fields)) == (0, (rest, 0, written))
    assert rest + written == wire.count(**fields).json()["input_tokens"]
    assert rest < 40 < 512 < written
    practice.reset()
    assert counters(wire, **fields)[2] == 0


@pytest.mark.parametrize("model", [model.id for model in available()])
def test_the_shortest_prefix_that_is_cached(wire, model):
    """Shorter ones are silently not cached; the longest such is just below the limit of the model."""

    def cached(words: int) -> int:
        system = [text("word " * words, cache_control=MARK)]
        return sum(counters(wire, model=model, max_tokens=1, system=system)[1:])

    low, high = 1, 8_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if cached(middle) else (middle, high)
    assert 0 <= cached(high) - find_model(model).min_cacheable_tokens <= 2


def test_a_growing_conversation_reads_all_that_went_before(wire):
    """Top-level `cache_control` marks the last block by itself, turn after turn."""
    messages, before = [user(BIG)], 0
    for _ in range(4):
        rest, written, read = counters(wire, cache_control=MARK, messages=messages)
        assert (read, rest) == (before, 0)
        before = written + read
        messages += [assistant("I see."), user("Go on, please.")]


def test_the_order_is_tools_system_messages(wire):
    """A changed message leaves tools and system cached; a changed tool leaves nothing."""
    prompt = {
        "tools": [TOOL | {"cache_control": MARK}],
        "system": [text(BIG, cache_control=MARK)],
        "messages": [user([text(BIG, cache_control=MARK)])],
    }
    _, all_of_it, _ = counters(wire, **prompt)
    _, written, read = counters(wire, **prompt | {"messages": [user("Hello!")]})
    assert (written, 0 < read < all_of_it) == (0, True)
    only_tools = counters(wire, **prompt | {"system": "Hello."})[2]
    assert 0 < only_tools < read
    assert (
        counters(wire, **prompt | {"tools": [prompt["tools"][0] | {"description": "Other. " + BIG}]})[2] == 0
    )


@pytest.mark.parametrize(
    ("change", "hits"),
    [
        ({"system": [text(BIG.replace("short", "brief", 1), cache_control=MARK)]}, False),
        ({"model": ALL_5[1]}, False),
        ({"thinking": {"type": "disabled"}}, False),
        ({"thinking": {"type": "adaptive", "display": "summarized"}}, False),
        ({"output_config": {"effort": "low"}}, False),
        ({"system": BIG}, False),
        ({"max_tokens": 7}, True),
        ({"stop_sequences": ["x"]}, True),
        ({"metadata": {"user_id": "u"}}, True),
        ({"messages": [user("Hello!")]}, True),
        ({"stream": True}, True),
    ],
)
def test_what_breaks_the_cache_and_what_leaves_it_alone(practice, wire, change, hits):
    """Any earlier change, another model, thinking, effort, no mark; not what is no part of the prefix."""
    wire.ok(**MARKED)
    assert wire.post(**MARKED | change).status_code == 200
    assert (practice.journal[-1].reply["usage"]["cache_read_input_tokens"] > 0) == hits
    assert counters(wire, **MARKED)[2] > 0


def test_a_refused_request_caches_nothing(practice, wire):
    """400 and provoked failures come before the model."""
    wire.refused(**MARKED, max_tokens=-1)
    practice.fail_next(529)
    wire.post(**MARKED)
    assert counters(wire, **MARKED)[2] == 0


@pytest.mark.parametrize(("between", "found"), [(18, True), (19, False)])
def test_the_look_back_is_20_blocks(wire, between, found):
    """Counting the marked block: an earlier entry further back is not seen."""
    wire.ok(messages=[user([text(BIG, cache_control=MARK)])])
    more = [text(f"Point {n}.") for n in range(between)] + [text("Well?", cache_control=MARK)]
    assert (counters(wire, messages=[user([text(BIG), *more])])[2] > 0) == found


def test_nothing_to_mark(wire):
    """A prompt of hidden thinking alone has no block that may be marked, and is counted all the same."""
    hidden = [{"type": "redacted_thinking", "data": "x"}]
    fields = {"messages": [{"role": "user", "content": hidden}], "cache_control": MARK}
    assert (wire.post(**fields).status_code, wire.count(**fields).status_code) == (200, 200)


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("mark", "seconds"), [(MARK, 300), (HOUR, 3600)])
def test_entries_live_as_long_as_their_ttl_and_a_read_renews_them(mark, seconds):
    """Just before the end it is there; a read starts the time anew, and a short mark shortens no hour."""
    clock = Clock()
    cache, model = PromptCache(clock), find_model(HAIKU)
    prompt, short = (
        parse(CreateMessage, body(system=[text(BIG, cache_control=each)])) for each in (mark, MARK)
    )
    assert cache.use(prompt, model)["cache_read_input_tokens"] == 0
    for _ in range(3):
        clock.now += seconds - 1
        assert cache.use(short, model)["cache_read_input_tokens"] > 512
    clock.now += seconds + 1
    assert cache.use(prompt, model)["cache_read_input_tokens"] == 0


def test_the_cache_is_bounded():
    """The oldest make room."""
    cache, model = PromptCache(), find_model(HAIKU)
    for n in range(4200):
        cache.use(parse(CreateMessage, body(system=[text(f"{n} {BIG}", cache_control=MARK)])), model)
    assert len(cache._entries) == 4096
