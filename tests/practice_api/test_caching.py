"""Prompt caching and its counters, and why a prompt was not read from the cache."""

from __future__ import annotations

import bisect
from typing import Any

import pytest

from course_helpers.models import available, find_model
from course_helpers.practice_api import caching
from course_helpers.practice_api.schemas import CreateMessage, parse
from tests.practice_api.conftest import Clock
from tests.practice_api.wire import ALL_5, HAIKU, HOUR, MARK, OPUS, assistant, body, text, user

RULES = "Answer in one short and friendly sentence. "
BIG = RULES * 100
TOOL = {"name": "look_up", "input_schema": {"type": "object"}, "description": BIG}
MARKED = {"system": [text(BIG, cache_control=MARK)]}
FIRST = MARKED | {"tools": [TOOL], "messages": [user("Hello!")]}
MORE = [user("Hello!"), assistant("Good day."), user([text("And now?", cache_control=MARK)])]


def counters(wire, **fields: Any) -> tuple[int, int, int]:
    """Uncached, written and read."""
    usage = wire.ok(**fields)["usage"]
    assert usage["cache_creation_input_tokens"] == sum(usage["cache_creation"].values())
    return usage["input_tokens"], usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]


def test_first_written_then_read(practice, wire):
    """The same prefix, in the counter of its lifetime; the three counters are the whole prompt."""
    for mark, ttl in ((MARK, "5m"), (HOUR, "1h")):
        practice.reset()
        fields = {"system": [text(BIG, cache_control=mark)]}
        rest, written, read = counters(wire, **fields)
        usage = practice.journal[-1].reply["usage"]
        assert usage["cache_creation"][f"ephemeral_{ttl}_input_tokens"] == written > 512 > rest
        assert (read, counters(wire, **fields)) == (0, (rest, 0, written))
        assert rest + written == wire.count(**fields).json()["input_tokens"]


@pytest.mark.parametrize("model", [model.id for model in available()])
def test_the_shortest_prefix_that_is_cached(wire, model):
    """Shorter ones are silently not cached."""

    def cached(words: int) -> int:
        system = [text("word " * words, cache_control=MARK)]
        return sum(counters(wire, model=model, max_tokens=1, system=system)[1:])

    shortest = bisect.bisect_left(range(8_000), 1, key=cached)
    assert 0 <= cached(shortest) - find_model(model).min_cacheable_tokens <= 2


def test_a_growing_conversation_reads_all_that_went_before(wire):
    """Top-level `cache_control` marks the last block by itself, turn after turn."""
    messages, before = [user(BIG)], 0
    for _ in range(4):
        rest, written, read = counters(wire, cache_control=MARK, messages=messages)
        assert (read, rest) == (before, 0)
        before = written + read
        messages += [assistant("I see."), user("Go on, please.")]
    hidden = {"messages": [user([{"type": "redacted_thinking", "data": "x"}])], "cache_control": MARK}
    assert (wire.post(**hidden).status_code, wire.count(**hidden).status_code) == (200, 200)  # none to mark


def test_the_order_is_tools_system_messages(wire):
    """A changed message leaves tools and system cached; the look-back from a mark is 20 blocks."""
    prompt = {"tools": [TOOL | {"cache_control": MARK}], **MARKED}
    _, written, _ = counters(wire, **prompt)
    assert counters(wire, **prompt | {"messages": [user("Hello!")]})[1:] == (0, written)
    assert 0 < counters(wire, **prompt | {"system": "Hello."})[2] < written
    for blocks, found in ((18, True), (19, False)):
        more = [text(f"{blocks}, {n}.") for n in range(blocks)] + [text("Well?", cache_control=MARK)]
        assert (counters(wire, tools=[TOOL], messages=[user(more)])[2] > 0) == found


BREAKING = [
    {"system": [text(BIG.replace("short", "brief", 1), cache_control=MARK)]},
    *({"model": ALL_5[1]}, {"thinking": {"type": "disabled"}}, {"output_config": {"effort": "low"}}),
    {"system": BIG},
]
HARMLESS = [{"max_tokens": 7}, {"messages": [user("Hello!")]}, {"stream": True}]


def test_what_breaks_the_cache_and_what_leaves_it_alone(practice, wire):
    """An earlier change, another model, thinking, effort, no mark; a refused request caches nothing."""
    for change in (*BREAKING, *HARMLESS):
        practice.reset()
        wire.refused(**MARKED, max_tokens=-1)
        with practice.fail_next(529):
            wire.post(**MARKED)
        assert counters(wire, **MARKED)[2] == 0
        assert wire.post(**MARKED | change).status_code == 200
        read = practice.journal[-1].reply["usage"]["cache_read_input_tokens"]
        assert (read > 0) == (change in HARMLESS), change


def test_entries_live_as_long_as_their_ttl_and_a_read_renews_them(monkeypatch):
    """Just before the end it is there; a read starts the time anew, and a short mark shortens no hour."""
    monkeypatch.setattr(caching, "MAX_ENTRIES", 3)
    clock, model = Clock(), find_model(HAIKU)
    cache = caching.PromptCache(clock)

    def reads(mark: dict[str, str], words: str = "") -> bool:
        prompt = parse(CreateMessage, body(system=[text(words + BIG, cache_control=mark)]))
        return cache.use(prompt, model)["cache_read_input_tokens"] > 512

    for mark, seconds in ((MARK, 300), (HOUR, 3600)):
        assert not reads(mark)
        for _ in range(3):
            clock.now += seconds - 1
            assert reads(MARK)
        clock.now += seconds + 1
    assert [reads(MARK, words) for words in ("a", "b", "c", "d", "b", "a")] == [False] * 4 + [True, False]


# Diagnosis

DIVERGED = [
    ({"system": [text(f"Monday. {BIG}", cache_control=MARK)]}, "system_changed", "system.0.text", "Monday."),
    ({"system": BIG + "More."}, "system_changed", "system.0.text", "sentence. More."),
    ({"tools": [TOOL, TOOL | {"name": "other"}]}, "tools_changed", "tools.1", "other"),
    ({"messages": [user("Hi."), *MORE[1:]]}, "messages_changed", "messages.0.content.0.text", "Hi."),
    ({"model": OPUS, "system": "Hm.", "messages": [user("x")]}, "model_changed", "model", OPUS),
    ({"thinking": {"type": "disabled"}}, "unavailable", "thinking", "disabled"),
]


def test_the_reason_and_the_place(practice, client):
    """Of several, the first in the API's order, also in a stream's start; the journal alone knows where."""

    def asked(change: dict[str, Any]) -> tuple[Any, Any, int]:
        practice.reset()
        first = client.messages.create(**body(**FIRST), diagnostics={"previous_message_id": None})
        assert first.diagnostics is None
        now = body(**FIRST | change) | {"diagnostics": {"previous_message_id": first.id}}
        with client.messages.create(**now, stream=True) as stream:
            found = next(iter(stream)).message.diagnostics
        return found, practice.journal[-1].cache_miss, first.usage.cache_creation_input_tokens

    assert asked({"messages": MORE})[:2] == (None, None)
    for change, kind, path, words in DIVERGED:
        found, noted, written = asked(change)
        assert (found.cache_miss_reason.type, noted.reason, noted.path) == (kind, kind, path)
        assert (words in noted.after, path in str(noted)) == (True, True)
        if kind in ("system_changed", "tools_changed", "model_changed"):
            missed = found.cache_miss_reason.cache_missed_input_tokens
            assert missed == noted.missed_tokens == written > 512


def test_who_is_told(practice, client, wire):
    """Who asks, also of a message that nobody knows; else the journal compares with the one before."""
    unknown = client.messages.create(**body(), diagnostics={"previous_message_id": "msg_unknown"}).diagnostics
    assert unknown.cache_miss_reason.type == "previous_message_not_found"
    wire.ok(**FIRST)
    assert "diagnostics" not in wire.ok(**FIRST | {"system": [text(BIG + "Now.", cache_control=MARK)]})
    assert practice.journal[-1].cache_miss.reason == "system_changed"
    wire.ok(model=HAIKU)
    assert practice.journal[-1].cache_miss is None
    for wrong in (5, "msg_1", {"previous_message_id": 5}, {"x": None}):
        assert wire.refused(diagnostics=wrong).startswith("diagnostics")
