"""From a request to the reply and its stream events, in the SDK's own types, so their shape is right."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from anthropic import types

from ..models import Model
from . import replies, tokens
from .caching import InputTokens
from .requests import CreateMessage, CustomTool, Message

# The order in which the real API sends these fields.
_MESSAGE = ("id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage")
_BLOCK = ("type", "text", "thinking", "signature", "id", "name", "input")
_USAGE = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation")
_EFFORT = {"low": 0.5, "medium": 1, "high": 2, "xhigh": 4, "max": 8}
_ALWAYS_THINKS = "The question is clear. I recall what I know and answer it."
_REFUSAL = types.RefusalStopDetails(type="refusal", category=None, explanation="Refused on purpose.")


@dataclass
class Draft:
    """A reply before it is cut to size."""

    thinking: str | None = None
    text: str = ""
    tool: dict[str, Any] | None = None
    stop_reason: str = "end_turn"


def reply(
    request: CreateMessage, messages: list[Message], model: Model, used: InputTokens, shape: str | None = None
) -> types.Message:
    """The reply to `request`: the same request always gets the same text, id and output tokens."""
    draft = _draft(request, messages, model, shape)
    limit, overflow = request.max_tokens, model.context_window - used.total
    if overflow < limit:
        limit, cut_reason = max(0, overflow), "model_context_window_exceeded"
    else:
        cut_reason = "max_tokens"
    thought = 0
    if draft.thinking is not None:
        thought = min(limit, tokens.reply_tokens(draft.thinking, model))
        if thought == limit:
            draft.text, draft.tool, draft.stop_reason = "", None, cut_reason
    stop_sequence = _stop_at_sequence(draft, request.stop_sequences)
    spoken = 0
    if draft.text or draft.tool or thought < limit:
        said = draft.text + (json.dumps(draft.tool["input"]) if draft.tool else "")
        spoken = tokens.reply_tokens(said, model)
    if thought + spoken > limit:
        draft.text = tokens.fit(draft.text, limit - thought, model)
        spoken, draft.tool, draft.stop_reason, stop_sequence = limit - thought, None, cut_reason, None
    content = _content(draft, request, model)
    refused = draft.stop_reason == "refusal"
    return types.Message(
        id=message_id(request),
        type="message",
        role="assistant",
        model=request.model,
        content=content,
        stop_reason=draft.stop_reason,
        stop_sequence=stop_sequence,
        stop_details=_REFUSAL if refused else None,
        usage=_usage(used, 0 if refused else thought + spoken, thought),
    )


def message_id(request: CreateMessage) -> str:
    """An id that depends on the request alone."""
    digest = hashlib.sha256(request.model_dump_json(exclude={"stream"}).encode()).hexdigest()
    return f"msg_practice_{digest[:20]}"


def _draft(request: CreateMessage, messages: list[Message], model: Model, shape: str | None) -> Draft:
    if request.max_tokens == 0:  # only warms the cache
        return Draft(stop_reason="max_tokens")
    if shape == "refusal":
        return Draft(stop_reason="refusal")
    answer = replies.answer(request, messages, model)
    thinking = _thinking(request, model, answer)
    if shape in ("thinking_first", "thinking_only"):
        thinking = thinking or answer.thinks or _ALWAYS_THINKS
    if shape == "thinking_only":
        return Draft(thinking=thinking, stop_reason="max_tokens")
    if shape == "empty":
        return Draft()
    tool = _tool_call(request, messages)
    if tool:
        return Draft(thinking=thinking, tool=tool, stop_reason="tool_use")
    prefill = replies.text_of(messages[-1]) if messages[-1].role == "assistant" else ""
    return Draft(thinking=thinking, text=answer.text.removeprefix(prefill))


def _thinking(request: CreateMessage, model: Model, answer: replies.Answer) -> str | None:
    """What the model thinks first; None where it does not think."""
    asked = request.thinking.type if request.thinking else None
    if asked in ("disabled", "between_tools") or (asked is None and model.thinking == "off"):
        return None
    always = asked == "enabled" or model.thinking == "always"
    thought = answer.thinks or (_ALWAYS_THINKS if always else "")
    effort = (request.output_config.effort if request.output_config else None) or "medium"
    words = thought.split()
    share = int(len(words) * _EFFORT[effort])
    return " ".join((words * 8)[:share]) or None


def _tool_call(request: CreateMessage, messages: list[Message]) -> dict[str, Any] | None:
    """A call of the tool that is forced or that the last user turn names; its input fits the schema."""
    tools = {tool.name: tool for tool in request.tools if isinstance(tool, CustomTool)}
    choice = request.tool_choice
    kind = choice.type if choice else "auto"
    last = replies.text_of(messages[-1]).lower()
    if kind == "none" or not tools or messages[-1].role != "user":
        return None
    if kind == "tool":
        name = choice.name
    else:
        words = {word for word in last.replace("?", " ").split() if len(word) > 3}
        named = [name for name in tools if words & set(name.lower().split("_"))]
        name = named[0] if named else next(iter(tools)) if kind == "any" else None
    if name not in tools:
        return None
    schema = tools[name].input_schema
    fields = schema.get("properties") if isinstance(schema.get("properties"), dict) else {}
    return {"name": name, "input": {key: _example(rule) for key, rule in fields.items()}}


def _example(rule: Any) -> Any:
    rule = rule if isinstance(rule, dict) else {}
    if isinstance(rule.get("enum"), list) and rule["enum"]:
        return rule["enum"][0]
    kinds = {"integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}
    return kinds.get(rule.get("type") if isinstance(rule.get("type"), str) else "", "example")


def _stop_at_sequence(draft: Draft, sequences: list[str]) -> str | None:
    found = [(draft.text.find(sequence), sequence) for sequence in sequences if sequence in draft.text]
    if not found:
        return None
    at, sequence = min(found)
    draft.text, draft.stop_reason = draft.text[:at], "stop_sequence"
    return sequence


def _content(draft: Draft, request: CreateMessage, model: Model) -> list[types.ContentBlock]:
    content: list[types.ContentBlock] = []
    if draft.thinking is not None:
        # The 4.5 models show their thinking unless asked not to; the 5.5 models the other way round.
        default = "summarized" if model.thinking == "off" else "omitted"
        display = (request.thinking.display if request.thinking else None) or default
        shown = draft.thinking if display == "summarized" else ""
        signature = sign(shown, draft.thinking)
        content.append(types.ThinkingBlock(type="thinking", thinking=shown, signature=signature))
    if draft.text:
        content.append(types.TextBlock(type="text", text=draft.text))
    if draft.tool:
        identity = f"toolu_practice_{message_id(request)[-16:]}"
        content.append(types.ToolUseBlock(type="tool_use", id=identity, **draft.tool))
    return content


def sign(shown: str, hidden: str) -> str:
    """The signature of a thinking block that shows `shown` of the thinking `hidden`."""
    digest = hashlib.sha256(f"practice thinking\0{shown}".encode()).digest()
    return base64.b64encode(digest + hashlib.sha256(hidden.encode()).digest()).decode()


def is_intact(shown: str, signature: str) -> bool:
    """Is `signature` one that `sign` made for this very text?"""
    try:
        digest = base64.b64decode(signature, validate=True)
    except ValueError:
        return False
    return len(digest) == 64 and digest[:32] == base64.b64decode(sign(shown, ""))[:32]


def _usage(used: InputTokens, output: int, thinking: int) -> types.Usage:
    return types.Usage(
        input_tokens=used.uncached,
        cache_creation_input_tokens=used.written_5m + used.written_1h,
        cache_read_input_tokens=used.read,
        cache_creation=types.CacheCreation(
            ephemeral_5m_input_tokens=used.written_5m, ephemeral_1h_input_tokens=used.written_1h
        ),
        output_tokens=output,
        output_tokens_details=types.OutputTokensDetails(thinking_tokens=thinking),
        service_tier="standard",
    )


def wire(value: Any) -> dict[str, Any]:
    """An SDK object as the JSON that the API sends."""
    data = value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, types.Message):
        data["content"] = [_in_order(block, _BLOCK) for block in data["content"]]
        data["usage"] = _in_order(data["usage"], _USAGE)
        return _in_order(data, _MESSAGE)
    return _in_order(data, _BLOCK)


def _in_order(data: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: data[key] for key in keys if key in data} | data


def events(message: types.Message) -> Iterator[dict[str, Any]]:
    """The stream events that build up `message`; text comes in pieces of about a word."""
    start = wire(message)
    usage = start["usage"]
    opening = {**usage, "output_tokens": 1 if usage["output_tokens"] else 0, "output_tokens_details": None}
    empty = {
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": opening,
    }
    yield {"type": "message_start", "message": start | empty}
    yield {"type": "ping"}
    for index, block in enumerate(message.content):
        opened, deltas = _deltas(block)
        yield {"type": "content_block_start", "index": index, "content_block": opened}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ending = {key: start[key] for key in ("stop_reason", "stop_sequence", "stop_details")}
    yield {"type": "message_delta", "delta": ending, "usage": usage}
    yield {"type": "message_stop"}


def _deltas(block: types.ContentBlock) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it opens, and the deltas that fill it."""
    if block.type == "text":
        pieces = tokens.pieces(block.text)
        return wire(block) | {"text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces]
    if block.type == "thinking":
        shown = [{"type": "thinking_delta", "thinking": piece} for piece in tokens.pieces(block.thinking)]
        signed = {"type": "signature_delta", "signature": block.signature}
        return wire(block) | {"thinking": "", "signature": ""}, [*shown, signed]
    arguments = json.dumps(block.input)
    parts = [arguments[i : i + 16] for i in range(0, len(arguments), 16)]
    deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts]
    return wire(block) | {"input": {}}, deltas
