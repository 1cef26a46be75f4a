"""From a request to the reply and its stream events."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator

from ..models import Model
from . import replies, tokens
from .instances import call_tool, instance
from .schemas import CreateMessage, Object

_EFFORT = {"low": 0.5, "medium": 1, "high": 2, "xhigh": 4, "max": 8}
_ALWAYS_THINKS = "The question is clear. I recall what I know and answer it."
_OPENED = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}
_REFUSED = {"type": "refusal", "category": None, "explanation": "Refused on purpose."}


def reply(request: CreateMessage, model: Model, used: Object, shape: str | None = None) -> Object:
    """The reply to `request`: the same request always gets the same text, id and output tokens.

    `used` is the input's part of the usage, as the cache says it.
    """
    asked = request.model_dump_json(exclude={"stream"}, exclude_defaults=True)
    id = hashlib.sha256(asked.encode()).hexdigest()[:20]
    thinking, text, tool = _draft(request, model, shape)
    reason = "refusal" if shape == "refusal" else "tool_use" if tool else "end_turn"
    at, sequence = min(((text.find(s), s) for s in request.stop_sequences if s in text), default=(None, None))
    if sequence:
        text, reason = text[:at], "stop_sequence"
    sent = used["input_tokens"] + used["cache_creation_input_tokens"] + used["cache_read_input_tokens"]
    room = model.context_window - sent
    limit = min(request.max_tokens, room)
    thought = min(limit, tokens.reply_tokens(thinking, model)) if thinking else 0
    thought = limit if shape == "thinking_only" else thought
    said = text + (json.dumps(tool["input"]) if tool else "")
    spoken = 0 if shape == "refusal" else tokens.reply_tokens(said, model)
    if thought + spoken > limit:
        spoken = limit - thought
        text, tool, sequence = tokens.fit(text, spoken, model), None, None
        reason = "max_tokens" if request.max_tokens <= room else "model_context_window_exceeded"
    content = []
    if thinking and limit:
        # The 4.5 models show their thinking unless asked not to; the 5.5 models the other way round.
        default = "summarized" if model.thinking == "off" else "omitted"
        display = getattr(request.thinking, "display", None) or default
        signature = base64.b64encode(hashlib.sha512(thinking.encode()).digest()).decode()
        seen = thinking if display == "summarized" else ""
        content = [{"type": "thinking", "thinking": seen, "signature": signature}]
    content += [{"type": "text", "text": text}] if text else []
    content += [{"type": "tool_use", "id": f"toolu_practice_{id[-16:]}", **tool}] if tool else []
    usage = {"output_tokens": thought + spoken, "output_tokens_details": {"thinking_tokens": thought}}
    return {
        "id": f"msg_practice_{id}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": sequence,
        "stop_details": _REFUSED if shape == "refusal" else None,
        "usage": used | usage | {"service_tier": "standard"},
    }


def _draft(request: CreateMessage, model: Model, shape: str | None):
    """What is thought, said, and called, before it is cut to size."""
    if shape in ("refusal", "empty"):
        return "", "", None
    (said, thinks), last = replies.answer(request), request.turns[-1]
    thinking = _thinking(request, model, thinks)
    if shape in ("thinking_first", "thinking_only"):
        thinking = thinking or thinks or _ALWAYS_THINKS
    if tool := call_tool(request):
        return thinking, "", tool
    if request.output_config and request.output_config.format:
        # What a short answer says beyond the question goes first: Paris, not France.
        news = " ".join(word for word in said.split() if word not in last.text) if len(said) < 100 else ""
        return (
            thinking,
            json.dumps(instance(request.output_config.format.schema_, f"{news}\n{last.text}")),
            None,
        )
    return thinking, said.removeprefix(last.text if last.role == "assistant" else ""), None


def _thinking(request: CreateMessage, model: Model, thinks: str) -> str:
    """What the model thinks first; "" where it does not think."""
    asked = request.thinking.type if request.thinking else model.thinking
    if asked in ("disabled", "between_tools", "off"):
        return ""
    effort = (request.output_config and request.output_config.effort) or model.effort or "medium"
    always = asked == "enabled" or model.thinking == "always"
    words = (thinks or _ALWAYS_THINKS * always).split()
    return " ".join((words * 8)[: int(len(words) * _EFFORT[effort])])


def events(message: Object) -> Iterator[Object]:
    """The stream events that build up `message`; text comes in pieces of about a word."""
    ending = {key: message[key] for key in ("stop_reason", "stop_sequence", "stop_details")}
    usage = message["usage"]
    begun = usage | {"output_tokens": min(1, usage["output_tokens"]), "output_tokens_details": None}
    opening = message | dict.fromkeys(ending) | {"content": [], "usage": begun}
    yield {"type": "message_start", "message": opening}
    yield {"type": "ping"}
    for index, block in enumerate(message["content"]):
        yield {"type": "content_block_start", "index": index, "content_block": block | _OPENED[block["type"]]}
        for delta in _deltas(block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_delta", "delta": ending, "usage": usage}
    yield {"type": "message_stop"}


def _deltas(block: Object) -> list[Object]:
    """What fills a block that was opened empty."""
    kind = block["type"]
    if kind == "tool_use":
        parts = re.findall(r"(?s).{1,16}", json.dumps(block["input"]))
        return [{"type": "input_json_delta", "partial_json": part} for part in parts]
    deltas = [{"type": f"{kind}_delta", kind: piece} for piece in tokens.pieces(block[kind])]
    signed = [{"type": "signature_delta", "signature": block["signature"]}] if kind == "thinking" else []
    return deltas + signed
