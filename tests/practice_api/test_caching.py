"""Prompt caching and its counters, and why a prompt was not read from the cache."""

from __future__ import annotations

import bisect
from typing import Any

import pytest

from course_helpers.models import available, find_model
from course_helpers.practice_api import caching
from course_helpers.practice_api.schemas import CreateMessage, parse
from tests.practice_api.wire import ALL_5, HAIKU, HOUR, MARK, OPUS, assistant, body, text, user

BIG = "Answer in one short and friendly sentence. " * 100
TOOL = {"name": "look_up", "input_schema": {"type": "object"}, "description": BIG}
FIRST = {"tools": [TOOL], "system": [text(BIG, cache_control=MARK)], "messages": [user("Hello!")]}
MORE = [user("Hello!"), assistant("Good day."), user([text("And now?", cache_control=MARK)])]


def counters(wire, **fields: Any) -> tuple[int, int, int]:
    """Uncached, written and read."""
    usage = wire.ok(**fields)["usage"]
    assert usage["cache_creation_input_tokens"] == sum(usage["cache_creation"].values())
    return usage["input_tokens"], usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]


def test_first_written_then_read(practice, wire):
    """The same prefix, in the counter of its lifetime; `max_tokens` 0 only warms, and bills no output."""
    for mark, ttl in ((MARK, "5m"), (HOUR, "1h")):
        practice.reset()
        fields = {"system": [text(BIG, cache_control=mark)]}
        rest, written, read = counters(wire, **fields, max_tokens=0)
        warmed = practice.journal[-1].reply
        usage = warmed["usage"]
        assert (warmed["content"], warmed["stop_reason"], usage["output_tokens"]) == ([], "max_tokens", 0)
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
    """Top-level `cache_control` marks the last block, turn after turn; the look-back is 20 blocks."""
    messages, before = [user(BIG)], 0
    for _ in range(4):
        rest, written, read = counters(wire, cache_control=MARK, messages=messages)
        assert (read, rest) == (before, 0)
        before = written + read
        messages += [assistant("I see."), user("Go on, please.")]
    hidden = {"messages": [user([{"type": "redacted_thinking", "data": "x"}])], "cache_control": MARK}
    assert (wire.post(**hidden).status_code, wire.count(**hidden).status_code) == (200, 200)  # none to mark
    for blocks, found in ((19, True), (20, False)):
        more = [text(f"{blocks}, {n}.") for n in range(blocks)]
        assert (counters(wire, messages=[user([text(BIG), *more])], cache_control=MARK)[2] > 0) == found


READ = {
    "all": [{"max_tokens": 7}, {"messages": [user("Hello again!")]}, {"stream": True}],
    "tools": [{"system": BIG}, {"system": [text("Be brief. " + BIG, cache_control=MARK)]}],
    "none": [{"model": ALL_5[1]}, {"thinking": {"type": "disabled"}}, {"output_config": {"effort": "low"}}],
}


def test_what_a_change_leaves_to_read(practice, wire):
    """Tools, system, messages: what stands before it; a refused request caches nothing."""
    prompt = FIRST | {"tools": [TOOL | {"cache_control": MARK}]}
    for left, change in ((left, change) for left, changes in READ.items() for change in changes):
        practice.reset()
        wire.refused(**prompt, max_tokens=-1)
        with practice.fail_next(529):
            wire.post(**prompt)
        _, written, read = counters(wire, **prompt)
        assert (read, wire.post(**prompt | change).status_code) == (0, 200)
        read = practice.journal[-1].reply["usage"]["cache_read_input_tokens"]
        assert {0: "none", written: "all"}.get(read, "tools") == left, change


def test_entries_live_as_long_as_their_ttl_and_a_read_renews_them(monkeypatch):
    """Just before the end it is there; a read starts the time anew, and a short mark shortens no hour."""
    monkeypatch.setattr(caching, "MAX_ENTRIES", 3)
    now, model = [0], find_model(HAIKU)
    cache = caching.PromptCache(lambda: now[0])

    def reads(mark: dict[str, str], words: str = "") -> bool:
        prompt = parse(CreateMessage, body(system=[text(words + BIG, cache_control=mark)]))
        return cache.use(prompt, model, lambda tokens: None)["cache_read_input_tokens"] > 512

    for mark, seconds in ((MARK, 300), (HOUR, 3600)):
        assert not reads(mark)
        for _ in range(3):
            now[0] += seconds - 1
            assert reads(MARK)
        now[0] += seconds + 1
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
