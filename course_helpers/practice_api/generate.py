"""From a request to the reply and its stream events, checked by the SDK's own types."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from anthropic import types

from ..models import Model
from . import replies, tokens, tools
from .instances import instance
from .schemas import CreateMessage, Message

_EFFORT = {"low": 0.5, "medium": 1, "high": 2, "xhigh": 4, "max": 8}
_ALWAYS_THINKS = "The question is clear. I recall what I know and answer it."


@dataclass
class Draft:
    """A reply before it is cut to size."""

    thinking: str = ""
    text: str = ""
    tool: dict[str, Any] | None = None
    stop_reason: str = "end_turn"
    stop_sequence: str | None = None


def reply(
    request: CreateMessage,
    messages: list[Message],
    model: Model,
    used: dict[str, Any],
    shape: str | None = None,
) -> dict[str, Any]:
    """The reply to `request`: the same request always gets the same text, id and output tokens.

    `used` is the input's part of the usage, as the cache says it.
    """
    draft = _draft(request, messages, model, shape)
    sent = used["input_tokens"] + used["cache_creation_input_tokens"] + used["cache_read_input_tokens"]
    room = model.context_window - sent
    limit = min(request.max_tokens, room)
    thought = min(limit, tokens.reply_tokens(draft.thinking, model)) if draft.thinking else 0
    said = draft.text + (json.dumps(draft.tool["input"]) if draft.tool else "")
    spoken = 0 if shape == "refusal" else tokens.reply_tokens(said, model)
    if shape == "thinking_only":
        thought = limit
    if thought + spoken > limit:
        spoken = limit - thought
        draft.text, draft.tool, draft.stop_sequence = tokens.fit(draft.text, spoken, model), None, None
        draft.stop_reason = "max_tokens" if request.max_tokens <= room else "model_context_window_exceeded"
    refusal = {"type": "refusal", "category": None, "explanation": "Refused on purpose."}
    message = {
        "id": message_id(request),
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": _content(draft, request, model) if limit else [],
        "stop_reason": draft.stop_reason,
        "stop_sequence": draft.stop_sequence,
        "stop_details": refusal if draft.stop_reason == "refusal" else None,
        "usage": used
        | {
            "output_tokens": thought + spoken,
            "output_tokens_details": {"thinking_tokens": thought},
            "service_tier": "standard",
        },
    }
    types.Message.model_validate(message)
    return message


def message_id(request: CreateMessage) -> str:
    """An id that depends on the request alone, streamed or not."""
    text = request.model_dump_json(exclude={"stream"}, exclude_defaults=True)
    return f"msg_practice_{hashlib.sha256(text.encode()).hexdigest()[:20]}"


def _draft(request: CreateMessage, messages: list[Message], model: Model, shape: str | None) -> Draft:
    if shape in ("refusal", "empty"):
        return Draft(stop_reason="refusal" if shape == "refusal" else "end_turn")
    answer = replies.answer(request, messages, model)
    thinking = _thinking(request, model, answer)
    if shape in ("thinking_first", "thinking_only"):
        thinking = thinking or answer.thinks or _ALWAYS_THINKS
    tool = tools.call(request, messages)
    if tool:
        return Draft(thinking, tool=tool, stop_reason="tool_use")
    prefill = replies.text_of(messages[-1]) if messages[-1].role == "assistant" else ""
    text = answer.text.removeprefix(prefill)
    if request.output_config and request.output_config.format:
        question = replies.text_of(messages[-1])
        # What a short answer says beyond the question goes first: Paris, not France.
        news = " ".join(word for word in answer.text.split() if word not in question)
        hints = f"{news if len(answer.text) < 100 else ''}\n{question}"
        text = json.dumps(instance(request.output_config.format.schema_, hints))
    at, sequence = min(((text.find(s), s) for s in request.stop_sequences if s in text), default=(None, None))
    return Draft(thinking, text[:at], None, "stop_sequence" if sequence else "end_turn", sequence)


def _thinking(request: CreateMessage, model: Model, answer: replies.Answer) -> str:
    """What the model thinks first; "" where it does not think."""
    asked = request.thinking.type if request.thinking else None
    if asked in ("disabled", "between_tools") or (asked is None and model.thinking == "off"):
        return ""
    always = asked == "enabled" or model.thinking == "always"
    effort = (request.output_config and request.output_config.effort) or model.effort or "medium"
    words = (answer.thinks or (_ALWAYS_THINKS if always else "")).split()
    return " ".join((words * 8)[: int(len(words) * _EFFORT[effort])])


def _content(draft: Draft, request: CreateMessage, model: Model) -> list[dict[str, Any]]:
    content = []
    if draft.thinking:
        # The 4.5 models show their thinking unless asked not to; the 5.5 models the other way round.
        default = "summarized" if model.thinking == "off" else "omitted"
        display = getattr(request.thinking, "display", None) or default
        shown = draft.thinking if display == "summarized" else ""
        content.append({"type": "thinking", "thinking": shown, "signature": sign(shown, draft.thinking)})
    if draft.text:
        content.append({"type": "text", "text": draft.text})
    if draft.tool:
        content.append(
            {"type": "tool_use", "id": f"toolu_practice_{message_id(request)[-16:]}", **draft.tool}
        )
    return content


def sign(shown: str, hidden: str) -> str:
    """The signature of a thinking block that shows `shown` of the thinking `hidden`."""
    digest = hashlib.sha256(f"practice thinking\0{shown}".encode()).digest()
    return base64.b64encode(digest + hashlib.sha256(hidden.encode()).digest()).decode()


def is_intact(shown: str, signature: str) -> bool:
    """Is `signature` one that `sign` made for this very text?"""
    return len(signature) == 88 and signature[:40] == sign(shown, "")[:40]


def events(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The stream events that build up `message`; text comes in pieces of about a word."""
    ending = {key: message[key] for key in ("stop_reason", "stop_sequence", "stop_details")}
    usage = message["usage"]
    opening = usage | {"output_tokens": min(1, usage["output_tokens"]), "output_tokens_details": None}
    yield {
        "type": "message_start",
        "message": message | dict.fromkeys(ending) | {"content": [], "usage": opening},
    }
    yield {"type": "ping"}
    for index, block in enumerate(message["content"]):
        opened, deltas = _deltas(block)
        yield {"type": "content_block_start", "index": index, "content_block": opened}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_delta", "delta": ending, "usage": usage}
    yield {"type": "message_stop"}


def _deltas(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it opens, and the deltas that fill it."""
    kind = block["type"]
    if kind == "tool_use":
        arguments = json.dumps(block["input"])
        parts = [arguments[i : i + 16] for i in range(0, len(arguments), 16)]
        return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in parts]
    deltas = [{"type": f"{kind}_delta", kind: piece} for piece in tokens.pieces(block[kind])]
    if kind == "text":
        return block | {"text": ""}, deltas
    deltas.append({"type": "signature_delta", "signature": block["signature"]})
    return block | {"thinking": "", "signature": ""}, deltas
