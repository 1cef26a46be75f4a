"""What is answered: usage, stop reasons, thinking, the models and their list."""

from __future__ import annotations

import json
from pathlib import Path

import anthropic
import pytest

from course_helpers.models import ALIASES, MODELS, find_model
from tests.practice_api.wire import ALL_4, ALL_5, CALL, HAIKU, HAIKU_4, RESULT, SONNET, assistant, text, user

COUNT = "/v1/messages/count_tokens"
TOOL = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
HARD = user("Explain step by step why the sky is blue.")
EFFORTS = ("low", "medium", "high", "max")
MANUAL = {"type": "enabled", "budget_tokens": 1024}
SERVED = [model for model in MODELS.values() if model.lifecycle != "retired" and not model.limited]
RETIRED = [model for model in MODELS.values() if model.lifecycle == "retired"]


def kinds(reply: dict) -> list[str]:
    """The types of its blocks."""
    return [block["type"] for block in reply["content"]]


def thought(reply: dict) -> int:
    """The tokens that its thinking took."""
    return reply["usage"]["output_tokens_details"]["thinking_tokens"]


def test_turns_of_one_role_are_one_turn(wire):
    """The same answer as for one message of two blocks."""
    told, asked = "My name is Ada.", "What is my name?"
    apart = wire.ok(messages=[user(told), user(asked)])
    together = wire.ok(messages=[user([text(told), text(asked)])])
    assert "Ada" in apart["content"][0]["text"]
    assert together["content"] == apart["content"]


def test_stop_sequences_stop_and_prefill_is_gone_on_from(wire):
    """The first in the text; the reply says which, and leaves it out. Older models take a prefill."""
    reply = wire.ok(stop_sequences=["Paris", "is"])
    assert reply["content"][0]["text"] == "The capital of France "
    assert (reply["stop_reason"], reply["stop_sequence"]) == ("stop_sequence", "is")
    assert wire.ok(stop_sequences=["The capital"])["content"] == []
    for model in ALL_4:
        [block] = wire.ok(model=model, messages=[user(), assistant("The capital")])["content"]
        assert block["text"] == " of France is Paris."


@pytest.mark.parametrize("model", [*ALL_4, *ALL_5])
def test_counting_equals_what_is_billed(wire, model):
    """System prompt, tools, several turns, images, whatever is cached; newer models count 30 % more."""
    picture = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    turns = [user([picture, text("Weather?")]), assistant([CALL]), user([RESULT, text("Is that warm?")])]
    mark = {"type": "ephemeral"}
    fields = {"model": model, "system": "Terse.", "tools": [TOOL], "messages": turns, "cache_control": mark}
    counted = wire.count(**fields).json()
    for _ in range(2):
        usage = wire.ok(**fields)["usage"]
        parts = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        assert counted == {"input_tokens": sum(usage[part] for part in parts)}
    assert counted["input_tokens"] > 1_000 + wire.count(model=model).json()["input_tokens"]
    prose = user("It was a bright cold day in April, and the clocks were striking thirteen. " * 40)
    old, new = (wire.count(model=m, messages=[prose]).json()["input_tokens"] for m in (HAIKU_4, model))
    assert new / old == pytest.approx(find_model(model).tokenizer_factor, abs=0.03)


# Thinking


def test_who_thinks_and_when(wire):
    """Older models where they are asked to, newer ones about hard questions; what is off costs nothing."""
    cases = [(model, HARD, None, False) for model in ALL_4]
    cases += [(model, HARD, MANUAL, True) for model in ALL_4]
    cases += [(model, HARD, None, True) for model in ALL_5]
    cases += [(model, user(), None, find_model(model).thinking == "always") for model in ALL_5]
    off = ((HAIKU, "disabled"), (SONNET, "between_tools"), (HAIKU_4, "disabled"))
    cases += [(model, HARD, {"type": type}, False) for model, type in off]
    for model, asked, thinking, thinks in cases:
        reply = wire.ok(model=model, messages=[asked], thinking=thinking, max_tokens=2_000)
        told = kinds(reply), thought(reply) > 0
        assert told == (["thinking"] * thinks + ["text"], thinks), (model, thinking)
        # Older models show what they think, newer ones do not.
        assert not thinks or bool(reply["content"][0]["thinking"]) == (model in ALL_4), model


@pytest.mark.parametrize("model", ALL_5)
def test_thinking_of_newer_models(wire, model):
    """Billed as output, shown on request alike; stopped by a tight `max_tokens`; more with more effort."""

    def ask(**fields) -> dict:
        return wire.ok(model=model, messages=[HARD], **fields)

    hidden, shown = ask(), ask(thinking={"type": "adaptive", "display": "summarized"})
    assert len(hidden["content"][0]["signature"]) > 40
    assert 0 < thought(hidden) < hidden["usage"]["output_tokens"] == shown["usage"]["output_tokens"]
    assert shown["content"][0]["thinking"]
    tight = ask(max_tokens=5)
    assert (kinds(tight), tight["stop_reason"], thought(tight)) == (["thinking"], "max_tokens", 5)
    efforts = {effort: thought(ask(output_config={"effort": effort})) for effort in EFFORTS}
    assert efforts["low"] < efforts["high"] < efforts["max"]
    assert thought(hidden) == efforts[find_model(model).effort]


# The models


def test_the_list_of_models(wire, client):
    """Each once, newest first, in pages of any size, in the SDK's fields; retired ones on request."""
    for limit in (3, 20):
        assert [model.id for model in client.models.list(limit=limit)] == [m.snapshot or m.id for m in SERVED]
    page = wire.get("/v1/models", limit=100).json()
    ids = [item["id"] for item in page["data"]]
    assert (page["has_more"], page["first_id"], page["last_id"]) == (False, ids[0], ids[-1])
    assert page["data"][0].keys() == anthropic.types.ModelInfo.model_fields.keys()
    before = wire.get("/v1/models", before_id=ids[4], limit=2).json()
    assert ([item["id"] for item in before["data"]], before["has_more"]) == (ids[2:4], True)
    retired = {model.id for model in client.models.list(lifecycle=["retired"], limit=100)}
    assert retired == {model.snapshot or model.id for model in RETIRED}
    wrong = [{"limit": n} for n in ("0", "1001", "-1", "x", "", "1.5", "²")]
    for query in (*wrong, {"after_id": "nothing"}, {"before_id": ""}, {"lifecycle": "old"}):
        answer = wire.get("/v1/models", **query)
        assert (answer.status_code, next(iter(query)) in answer.text) == (400, True)


def test_models_by_name(wire, client):
    """By id and dated id, as what they are; unknown and retired ones are a 404 in the same words."""
    for model in SERVED:
        for name in filter(None, (model.id, model.snapshot)):
            found = client.models.retrieve(name)
            assert (found.max_input_tokens, found.max_tokens) == (model.context_window, model.max_output)
            wire.ok(model=name, max_tokens=5)
    for name in ("claude-2", "haiku", "CLAUDE-HAIKU-5-5", f"{HAIKU}-20261007", *(m.id for m in RETIRED)):
        assert wire.refused(404, model=name) == f"model: {name}"
        assert wire.refused(404, path=COUNT, max_tokens=None, model=name) == f"model: {name}"
    assert wire.get("/v1/models/claude-2").json()["error"]["message"] == "model: claude-2"


FOREIGN = json.loads(Path(__file__).with_name("foreign.json").read_text("utf-8"))
MODELS_THEN = {"claude-haiku-5-5": HAIKU, "claude-opus-5-5": ALIASES["opus"]}


@pytest.mark.parametrize("seen", FOREIGN, ids=lambda seen: seen["client"])
def test_what_clients_that_nobody_here_wrote_really_send_is_answered(wire, seen):
    """As seen in November 2026, of anthropic 0.39 and 1.17 for Python, @anthropic-ai/sdk 1.12, llm 0.36 with
    llm-anthropic 0.30, pydantic-ai 2.68 and litellm 1.106."""
    sent = seen["body"] | {"model": MODELS_THEN.get(seen["body"]["model"], HAIKU_4)}
    answer = wire.http.post("/v1/messages?beta=true", json=sent, headers=seen["headers"])
    assert (answer.status_code, "Paris" in answer.text) == (200, True), answer.text
