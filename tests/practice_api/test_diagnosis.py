"""Cache diagnosis: why a prompt was not read from the cache, and what the journal adds to it."""

from __future__ import annotations

import pytest

from tests.practice_api.conftest import BOTH_WAYS
from tests.practice_api.wire import HAIKU, OPUS, assistant, body, text, user

pytestmark = BOTH_WAYS

MARK = {"type": "ephemeral"}
RULES = "Answer in one short and friendly sentence. " * 60
TOOL = {"name": "look_up", "input_schema": {"type": "object"}}
FIRST = {"system": [text(RULES, cache_control=MARK)], "tools": [TOOL], "messages": [user("Hello!")]}
MORE = [user("Hello!"), assistant("Good day."), user([text("And now?", cache_control=MARK)])]


def reason(client, before: str | None, **fields) -> tuple[str | None, int]:
    """What the reply says of the cache: the reason, and the tokens missed."""
    reply = client.messages.create(**body(**FIRST | fields), diagnostics={"previous_message_id": before})
    found = reply.diagnostics and reply.diagnostics.cache_miss_reason
    return (found.type, getattr(found, "cache_missed_input_tokens", 0)) if found else (None, 0)


@pytest.mark.parametrize(
    ("change", "kind", "path", "words"),
    [
        ({}, None, "", ""),
        ({"messages": MORE}, None, "", ""),
        ({"messages": [user([text("Hello!", cache_control=MARK)])]}, None, "", ""),
        ({"max_tokens": 7}, None, "", ""),
        ({"model": OPUS}, "model_changed", "model", OPUS),
        (
            {"system": [text(f"Monday. {RULES}", cache_control=MARK)]},
            "system_changed",
            "system.0.text",
            "Monday.",
        ),
        ({"system": RULES + "More."}, "system_changed", "system.0.text", "More."),
        ({"tools": [TOOL, TOOL | {"name": "other"}]}, "tools_changed", "tools.1", "other"),
        ({"messages": [user("Hallo!")]}, "messages_changed", "messages.0.content.0.text", "Hallo!"),
        ({"messages": [user("Hi."), *MORE[1:]]}, "messages_changed", "messages.0.content.0.text", "Hi."),
        ({"model": OPUS, "system": "Hm.", "messages": [user("x")]}, "model_changed", "model", OPUS),
        ({"thinking": {"type": "disabled"}}, "unavailable", "thinking", "disabled"),
    ],
)
def test_the_reason_and_the_place(practice, client, change, kind, path, words):
    """Of several, the first in the API's order; only the journal knows where and what."""
    first = client.messages.create(**body(**FIRST), diagnostics={"previous_message_id": None})
    assert first.diagnostics is None
    found, missed = reason(client, first.id, **change)
    assert found == kind
    written = first.usage.cache_creation_input_tokens
    assert missed == (written if kind and kind.endswith("changed") and kind != "messages_changed" else missed)
    noted = practice.journal[-1].cache_miss
    assert (noted and (noted.reason, noted.path)) == (kind and (kind, path))
    assert words in (noted.after if noted else "")
    if path:
        assert path in str(noted)
        assert noted.after in str(noted)


def test_a_previous_message_that_is_not_known(practice, client):
    """Never made, or forgotten."""
    assert reason(client, "msg_unknown") == ("previous_message_not_found", 0)
    first = client.messages.create(**body(**FIRST))
    practice.journal.clear()
    assert reason(client, first.id)[0] == "previous_message_not_found"


def test_in_a_stream_it_comes_with_the_start(practice, client):
    """Before the first word."""
    first = client.messages.create(**body(**FIRST))
    asked = {"diagnostics": {"previous_message_id": first.id}, "system": "Be brief."}
    with client.messages.create(**body(**FIRST | asked), stream=True) as stream:
        opened = next(iter(stream)).message
    assert opened.diagnostics.cache_miss_reason.type == "system_changed"


def test_who_did_not_ask_is_not_told(practice, client, wire):
    """The reply is as always; where a cache is used, the journal compares with the message before."""
    wire.ok(**FIRST)
    assert "diagnostics" not in wire.ok(**FIRST | {"system": [text(RULES + "Now.", cache_control=MARK)]})
    assert practice.journal[-1].cache_miss.reason == "system_changed"
    wire.ok(model=HAIKU)
    assert practice.journal[-1].cache_miss is None


@pytest.mark.parametrize("wrong", [5, "msg_1", {"previous_message_id": 5}, {"x": None}])
def test_malformed_diagnostics_are_refused(wire, wrong):
    """With the field's name."""
    assert wire.refused(diagnostics=wrong).startswith("diagnostics")
