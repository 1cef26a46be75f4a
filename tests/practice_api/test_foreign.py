"""What clients that nobody here wrote really send, as it was seen on the wire: all of it is answered.

Seen in November 2026: anthropic 0.39 and 1.17 for Python, @anthropic-ai/sdk 1.12 for TypeScript, llm 0.36
with llm-anthropic 0.30, pydantic-ai 2.68 and litellm 1.106. Their requests stand in foreign.json.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.practice_api.wire import HAIKU, HAIKU_4, OPUS

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
