"""What clients that nobody here wrote really send, as it was seen on the wire: all of it is answered.

Seen in November 2026: anthropic 0.39 and 1.17 for Python, @anthropic-ai/sdk 1.12 for TypeScript, llm 0.36
with llm-anthropic 0.30, pydantic-ai 2.68 and litellm 1.106.
"""

from __future__ import annotations

import json

import pytest

from tests.practice_api.conftest import BOTH_WAYS
from tests.practice_api.wire import KEY, NEW, OLD, error_message

pytestmark = BOTH_WAYS

PARIS = [{"role": "user", "content": "What is the capital of France?"}]
PARIS_BLOCKS = [{"role": "user", "content": [{"type": "text", "text": "What is the capital of France?"}]}]
KEYED = KEY | {"anthropic-version": OLD}
BEARER = {"authorization": "Bearer practice", "anthropic-version": NEW}
WEATHER = [{"role": "user", "content": [{"type": "text", "text": "What is the weather in Paris?"}]}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "additionalProperties": False,
    "required": ["city", "people"],
}
TOOL = {"name": "get_weather", "description": "The weather.", "input_schema": SCHEMA}
SUMMARIZED = {"type": "adaptive", "display": "summarized"}

REQUESTS = {
    "anthropic 0.39": (
        KEYED,
        {"max_tokens": 60, "messages": PARIS, "model": "claude-haiku-4-5", "temperature": 0.5},
    ),
    "anthropic 0.39, beta": (
        KEYED | {"anthropic-beta": "x"},
        {"max_tokens": 60, "messages": PARIS, "model": "claude-haiku-4-5"},
    ),
    "anthropic 1.17, stream": (
        KEYED,
        {"max_tokens": 60, "messages": PARIS, "model": "claude-haiku-5-5", "stream": True},
    ),
    "TypeScript 1.12": (BEARER, {"model": "claude-haiku-5-5", "max_tokens": 60, "messages": PARIS}),
    "TypeScript 1.12, cached": (
        BEARER,
        {
            "model": "claude-haiku-5-5",
            "max_tokens": 60,
            "cache_control": {"type": "ephemeral"},
            "system": "Be brief. " * 600,
            "messages": PARIS,
        },
    ),
    "llm, old model": (
        KEYED,
        {
            "max_tokens": 64000,
            "messages": PARIS_BLOCKS,
            "model": "claude-haiku-4-5-20251001",
            "system": "Be brief.",
            "stream": True,
            "temperature": 1.0,
        },
    ),
    "llm, new model": (
        KEYED,
        {
            "max_tokens": 128000,
            "messages": PARIS_BLOCKS,
            "model": "claude-opus-5-5",
            "output_config": {"effort": "low"},
            "thinking": SUMMARIZED,
            "stream": True,
            "temperature": 1.0,
        },
    ),
    "pydantic-ai, history": (
        BEARER,
        {
            "max_tokens": 128000,
            "messages": [
                {"role": "user", "content": [{"text": "Hello!", "type": "text"}]},
                {"role": "assistant", "content": [{"text": "Hello! What else?", "type": "text"}]},
                *PARIS_BLOCKS,
            ],
            "model": "claude-haiku-5-5",
            "stream": True,
            "system": [{"type": "text", "text": "Be brief."}],
            "tool_choice": {"type": "auto"},
            "tools": [TOOL],
        },
    ),
    "litellm": (
        KEYED,
        {
            "model": "claude-haiku-5-5",
            "messages": PARIS_BLOCKS,
            "max_tokens": 50,
            "system": [{"type": "text", "text": "Be brief."}],
        },
    ),
}


def told(answer) -> str:
    """The text of a plain or streamed answer."""
    assert answer.status_code == 200, answer.text
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return "".join(block.get("text", "") for block in answer.json()["content"])
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    return "".join(
        event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta"
    )


@pytest.mark.parametrize("name", REQUESTS)
def test_what_they_send_is_answered(wire, name):
    """With the capital of France."""
    headers, data = REQUESTS[name]
    path = "/v1/messages?beta=true" if "beta" in name else "/v1/messages"
    assert told(wire.http.post(path, json=data, headers=headers)) == "The capital of France is Paris."


def test_an_old_sdk_counts_tokens_in_its_beta_path(wire):
    """As 0.39 does."""
    headers = KEYED | {"anthropic-beta": "token-counting-2024-11-01"}
    data = {"messages": PARIS, "model": "claude-haiku-4-5"}
    answer = wire.http.post("/v1/messages/count_tokens?beta=true", json=data, headers=headers)
    assert answer.json() == {"input_tokens": 14}


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-haiku-5-5"])
def test_structured_output_fits_its_schema(wire, model):
    """As llm's --schema and pydantic-ai's output_type ask for it: JSON, and nothing beside it."""
    data = {
        "max_tokens": 16384,
        "messages": PARIS_BLOCKS,
        "model": model,
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        "stream": True,
    }
    said = told(wire.http.post("/v1/messages", json=data, headers=BEARER))
    assert json.loads(said) == {"city": "Paris", "people": 1}


def test_tool_rounds_in_the_order_of_keys_of_each_client(wire):
    """The call comes back as it was, with its result, in whatever order of keys."""
    data = {"max_tokens": 500, "model": "claude-haiku-5-5", "tools": [TOOL]}
    first = wire.http.post("/v1/messages", json=data | {"messages": WEATHER}, headers=BEARER).json()
    [call] = first["content"]
    assert call["input"] == {"city": "Paris", "people": 1}
    sent_back = {"id": call["id"], "type": "tool_use", "name": call["name"], "input": call["input"]}
    results = [
        {"tool_use_id": call["id"], "type": "tool_result", "content": "19 degrees", "is_error": False},
        {
            "type": "tool_result",
            "tool_use_id": call["id"],
            "content": [{"text": "19 degrees", "type": "text"}],
        },
    ]
    for result in results:
        turns = [
            *WEATHER,
            {"role": "assistant", "content": [sent_back]},
            {"role": "user", "content": [result]},
        ]
        answer = wire.http.post("/v1/messages", json=data | {"messages": turns}, headers=BEARER)
        assert told(answer) == "The tool answered: 19 degrees"


def test_nulls_that_sdks_send_back(wire):
    """Optional fields of replies come back as null from clients that dump whole objects."""
    said = {"type": "text", "text": "Paris.", "citations": None, "cache_control": None}
    call = {"type": "tool_use", "id": "toolu_1", "name": "x", "input": {}, "caller": None}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": None, "is_error": None}
    turns = [*PARIS, {"role": "assistant", "content": [said, call]}, {"role": "user", "content": [result]}]
    data = {
        "model": "claude-haiku-5-5",
        "max_tokens": 50,
        "messages": turns,
        "stream": False,
        "metadata": {"user_id": None},
        "container": None,
    }
    assert wire.http.post("/v1/messages", json=data, headers=BEARER).status_code == 200


def test_errors_as_they_meet_them(wire):
    """A wrong model and a wrong key, in the dialect of each."""
    data = {"model": "claude-nope", "max_tokens": 16384, "messages": PARIS, "stream": False}
    for headers in (KEYED, BEARER):
        assert error_message(wire.http.post("/v1/messages", json=data, headers=headers), 404) == (
            "model: claude-nope"
        )
    wrong = wire.http.post("/v1/messages", json=data, headers=KEYED | {"x-api-key": "wrong"})
    assert error_message(wrong, 401) == "invalid x-api-key"
    wrong = wire.http.post("/v1/messages", json=data, headers=BEARER | {"authorization": "Bearer wrong"})
    assert error_message(wrong, 401) == "invalid bearer token"
