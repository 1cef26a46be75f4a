"""Prompt caching and its counters."""

from __future__ import annotations

import pytest

from course_helpers.models import find_model
from course_helpers.practice_api.caching import PromptCache
from course_helpers.practice_api.schemas import CreateMessage, parse
from tests.practice_api.wire import ALL_5, HAIKU, HAIKU_4, OPUS_4, assistant, body, text, user

MARK, HOUR = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
RULES = "Answer in one short and friendly sentence. "
TOOL = {"name": "look_up", "input_schema": {"type": "object"}, "description": RULES * 100}
BIG = RULES * 100


def counters(usage) -> tuple[int, int, int]:
    """Uncached, written and read."""
    return (
        usage["input_tokens"],
        usage["cache_creation_input_tokens"],
        usage["cache_read_input_tokens"],
    )


def test_first_written_then_read(wire):
    """The same prefix: 5 minutes by default, and the three counters are the whole prompt."""
    fields = {"system": [text(BIG, cache_control=MARK)]}
    first, second = wire.ok(**fields)["usage"], wire.ok(**fields)["usage"]
    rest, written, read = counters(first)
    assert (read, counters(second)) == (0, (rest, 0, written))
    assert first["cache_creation"] == {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0}
    assert rest + written == wire.count(**fields).json()["input_tokens"]
    assert rest < 40 < 512 < written


def test_without_marks_nothing_is_cached(wire):
    """Both counters stay 0."""
    for _ in range(2):
        assert counters(wire.ok(system=BIG)["usage"])[1:] == (0, 0)


def test_an_hour(wire):
    """Its own counter; the sum of the two is what was written."""
    fields = {"system": [text(BIG, cache_control=HOUR), text(BIG + "More.", cache_control=MARK)]}
    usage = wire.ok(**fields)["usage"]
    parts = usage["cache_creation"]
    assert min(parts.values()) > 512
    assert usage["cache_creation_input_tokens"] == sum(parts.values())
    assert counters(wire.ok(**fields)["usage"])[2] == sum(parts.values())


def test_nothing_to_mark(wire):
    """A prompt of hidden thinking alone has no block that may be marked, and is counted all the same."""
    hidden = [{"type": "redacted_thinking", "data": "x"}]
    fields = {"messages": [{"role": "user", "content": hidden}], "cache_control": {"type": "ephemeral"}}
    assert wire.post(**fields).status_code == 200
    assert wire.count(**fields).status_code == 200


@pytest.mark.parametrize(("model", "least"), [(m, 512) for m in ALL_5] + [(HAIKU_4, 4096), (OPUS_4, 4096)])
def test_the_shortest_prefix_that_is_cached(wire, model, least):
    """Shorter ones are silently not cached; the longest such is just below the limit of the model."""

    def written(words: int) -> int:
        usage = wire.ok(model=model, max_tokens=1, system=[text("word " * words, cache_control=MARK)])[
            "usage"
        ]
        return usage["cache_creation_input_tokens"] + usage["cache_read_input_tokens"]

    low, high = 1, 8_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if written(middle) else (middle, high)
    assert 0 <= written(high) - least <= 2


def test_a_growing_conversation_reads_all_that_went_before(wire):
    """Top-level `cache_control` marks the last block by itself, turn after turn."""
    messages, before = [user(BIG)], 0
    for _ in range(4):
        usage = wire.ok(cache_control=MARK, messages=messages)["usage"]
        rest, written, read = counters(usage)
        assert read == before
        assert rest == 0
        before = written + read
        messages += [assistant("I see."), user("Go on, please.")]


def test_the_top_level_mark_takes_one_of_four_places(wire):
    """Four marks are the most, wherever they stand."""
    marked = [text(f"{n} {BIG}", cache_control=MARK) for n in range(5)]
    wire.ok(messages=[user(marked[:4])])
    assert "maximum of 4" in wire.refused(messages=[user(marked)])
    assert "maximum of 4" in wire.refused(messages=[user(marked[:4])], cache_control=MARK)
    tools = [TOOL | {"cache_control": MARK}]
    assert "maximum of 4" in wire.refused(tools=tools, system=marked[:2], messages=[user(marked[:2])])


def test_the_order_is_tools_system_messages(wire):
    """A changed message leaves tools and system cached; a changed tool leaves nothing."""
    tool = TOOL | {"cache_control": MARK}
    system = [text(BIG, cache_control=MARK)]
    asked = [user([text(BIG, cache_control=MARK)])]
    _, all_of_it, _ = counters(wire.ok(tools=[tool], system=system, messages=asked)["usage"])
    _, written, read = counters(wire.ok(tools=[tool], system=system, messages=[user("Hello!")])["usage"])
    assert written == 0
    assert 0 < read < all_of_it
    _, _, only_tools = counters(wire.ok(tools=[tool], system="Hello.", messages=asked)["usage"])
    assert 0 < only_tools < read
    other = tool | {"description": "Looks things up. " + BIG}
    assert counters(wire.ok(tools=[other], system=system, messages=asked)["usage"])[2] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"system": [text(BIG.replace("short", "brief", 1), cache_control=MARK)]},
        {"model": ALL_5[1]},
        {"thinking": {"type": "disabled"}},
        {"thinking": {"type": "adaptive", "display": "summarized"}},
        {"output_config": {"effort": "low"}},
    ],
)
def test_what_breaks_the_cache(wire, change):
    """Any earlier change, another model, thinking settings, effort."""
    fields = {"system": [text(BIG, cache_control=MARK)]}
    wire.ok(**fields)
    assert counters(wire.ok(**fields | change)["usage"])[2] == 0
    assert counters(wire.ok(**fields)["usage"])[2] > 0


@pytest.mark.parametrize(
    "change",
    [
        {"max_tokens": 7},
        {"stop_sequences": ["x"]},
        {"metadata": {"user_id": "u"}},
        {"stream": True},
        {"messages": [user("Hello!")]},
    ],
)
def test_what_leaves_the_cache_alone(practice, wire, change):
    """What is no part of the prefix."""
    fields = {"system": [text(BIG, cache_control=MARK)]}
    wire.ok(**fields)
    wire.post(**fields | change)
    assert counters(practice.journal[-1].reply["usage"])[2] > 0


@pytest.mark.parametrize(("between", "found"), [(18, True), (19, False)])
def test_the_look_back_is_20_blocks(wire, between, found):
    """Counting the marked block: an earlier entry further back is not seen."""
    wire.ok(messages=[user([text(BIG, cache_control=MARK)])])
    more = [text(f"Point {n}.") for n in range(between)] + [text("Well?", cache_control=MARK)]
    usage = wire.ok(messages=[user([text(BIG), *more])])["usage"]
    assert (counters(usage)[2] > 0) == found


@pytest.mark.parametrize(
    ("first", "second", "fine"), [(HOUR, MARK, True), (MARK, HOUR, False), (HOUR, HOUR, True)]
)
def test_longer_lifetimes_come_first(wire, first, second, fine):
    """In the order tools, system, messages, and top-level last."""
    system = [text(BIG, cache_control=first)]
    asked = [user([text("Hello!", cache_control=second)])]
    assert (wire.post(system=system, messages=asked).status_code == 200) == fine
    assert (wire.post(system=system, cache_control=second).status_code == 200) == fine
    tools = [TOOL | {"cache_control": first}]
    assert (wire.post(tools=tools, messages=asked).status_code == 200) == fine


def test_where_a_mark_may_not_stand(wire):
    """Not on thinking, not on empty text, not of another type or lifetime."""
    asked = user("Explain step by step why the sky is blue.")
    thought, said = wire.ok(messages=[asked])["content"]
    marked = [asked, assistant([thought | {"cache_control": MARK}, said]), user("Go on.")]
    assert "messages.1.content.0.thinking.cache_control: Extra inputs" in wire.refused(messages=marked)
    assert "non-empty" in wire.refused(messages=[user([text("Hi"), text("", cache_control=MARK)])])
    for wrong in ({"type": "persistent"}, {"type": "ephemeral", "ttl": "2h"}, {}, "ephemeral", True):
        assert "cache_control" in wire.refused(system=[text(BIG, cache_control=wrong)])


def test_a_refused_request_caches_nothing(practice, wire):
    """400 and provoked failures come before the model."""
    fields = {"system": [text(BIG, cache_control=MARK)]}
    wire.refused(**fields, max_tokens=-1)
    practice.fail_next(529)
    wire.post(**fields)
    assert counters(wire.ok(**fields)["usage"])[2] == 0


def test_reset_forgets_the_cache(practice, wire):
    """As new."""
    fields = {"system": [text(BIG, cache_control=MARK)]}
    wire.ok(**fields)
    practice.reset()
    assert counters(wire.ok(**fields)["usage"])[2] == 0


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("mark", "seconds"), [(MARK, 300), (HOUR, 3600)])
def test_entries_live_as_long_as_their_ttl_and_a_read_renews_them(mark, seconds):
    """Just before the end it is there; each read starts the time anew."""
    clock = Clock()
    cache = PromptCache(clock)
    model = find_model(HAIKU)
    prompt = parse(CreateMessage, body(system=[text(BIG, cache_control=mark)]))
    assert cache.use(prompt, model).read == 0
    for _ in range(3):
        clock.now += seconds - 1
        assert cache.use(prompt, model).read > 512
    clock.now += seconds + 1
    assert cache.use(prompt, model).read == 0


def test_a_short_mark_does_not_shorten_an_hour():
    """Read by a request that marks it for 5 minutes, an hour's entry keeps its hour."""
    clock = Clock()
    cache = PromptCache(clock)
    model = find_model(HAIKU)
    hour, minutes = (
        parse(CreateMessage, body(system=[text(BIG, cache_control=mark)])) for mark in (HOUR, MARK)
    )
    cache.use(hour, model)
    cache.use(minutes, model)
    clock.now += 3000
    assert cache.use(minutes, model).read > 512


def test_the_cache_is_bounded():
    """The oldest make room."""
    cache = PromptCache()
    model = find_model(HAIKU)
    for n in range(4200):
        cache.use(parse(CreateMessage, body(system=[text(f"{n} {BIG}", cache_control=MARK)])), model)
    assert len(cache._entries) == 4096
