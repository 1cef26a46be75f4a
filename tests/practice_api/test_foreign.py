"""What clients that nobody here wrote really send, as it was seen on the wire: all of it is answered.

Seen in November 2026: anthropic 0.39 and 1.17 for Python, @anthropic-ai/sdk 1.12 for TypeScript, llm 0.36
with llm-anthropic 0.30, pydantic-ai 2.68 and litellm 1.106. Their requests stand in foreign.json.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.practice_api.wire import HAIKU, HAIKU_4, OPUS, assistant, body, text, user

REQUESTS = json.loads(Path(__file__).with_name("foreign.json").read_text("utf-8"))
MODELS = {"claude-haiku-5-5": HAIKU, "claude-haiku-4-5": HAIKU_4, "claude-opus-5-5": OPUS}
"""The models that they named, and what stands for them today."""


@pytest.mark.parametrize("seen", REQUESTS, ids=lambda seen: seen["client"])
def test_what_they_send_is_answered(wire, seen):
    """With the capital of France."""
    sent = seen["body"] | {"model": MODELS.get(seen["body"]["model"], HAIKU_4)}
    answer = wire.http.post("/v1/messages?beta=true", json=sent, headers=seen["headers"])
    assert answer.status_code == 200, answer.text
    assert "Paris" in answer.text


def test_tool_rounds_in_the_order_of_keys_of_each_client(wire):
    """The call comes back as it was, with its result, in whatever order of keys, or with nulls."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"name": "get_weather", "description": "The weather.", "input_schema": schema}]
    asked = user("What is the weather in Paris?")
    [call] = wire.ok(tools=tools, messages=[asked])["content"]
    back = {
        "id": call["id"],
        "type": "tool_use",
        "name": call["name"],
        "input": call["input"],
        "caller": None,
    }
    given = {"tool_use_id": call["id"], "type": "tool_result", "content": "19 degrees", "is_error": False}
    said = text("One moment.", citations=None, cache_control=None)
    for result in (given, given | {"content": [{"text": "19 degrees", "type": "text"}], "is_error": None}):
        turns = [asked, assistant([said, back]), user([result])]
        nulls = {"stream": False, "metadata": {"user_id": None}, "container": None}
        reply = wire.send("/v1/messages", body(tools=tools, messages=turns) | nulls).json()
        assert reply["content"][-1]["text"] == "The tool answered: 19 degrees"
    empty = [asked, assistant([back]), user([given | {"content": None}])]
    wire.ok(tools=tools, messages=empty)
