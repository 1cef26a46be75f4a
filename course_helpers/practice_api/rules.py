"""What the API refuses beyond a wrong shape: rules of messages, models, versions and JSON schemas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from ..models import MODELS, Model
from .errors import ApiError, require
from .generate import is_intact
from .instances import FORMATS, fault
from .schemas import CreateMessage, CustomTool, Message, Prompt

OLD_VERSION, NEW_VERSION = "2023-06-01", "2026-10-21"
MAX_BREAKPOINTS = 4
MAX_CHECKED = 50_000
"""Bytes of a schema that are checked against draft 2020-12: a larger one would take seconds."""
Rules = Iterator[tuple[Any, str]]
"""What must be true, and what the API says where it is not: each is looked at if all before it hold."""
_IMAGES = {"iVBORw0KGgo": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp"}
"""How the data of each kind of image begins, in base64."""
_SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": None}
_KEYWORDS = {
    "": "type title description default examples enum const $ref $defs anyOf allOf $schema $id $comment",
    "object": "properties required additionalProperties",
    "array": "items minItems",
    "string": "format pattern",
}
"""What structured output takes in a schema: of any type, of one."""


def served_model(name: str) -> Model:
    """The model called `name`. Raises the 404 that unknown and retired models share. No aliases here."""
    for model in MODELS.values():
        if name in (model.id, model.snapshot) and model.lifecycle != "retired" and not model.limited:
            return model
    raise ApiError(404, f"model: {name[:256]}")


def merge_turns(messages: list[Message]) -> list[Message]:
    """`messages` with consecutive turns of one role combined into one, as the API does."""
    merged: list[Message] = []
    for message in messages:
        if merged and message.role == merged[-1].role != "system":
            merged[-1].content.extend(message.content)
        else:
            merged.append(message.model_copy(update={"content": [*message.content]}))
    return merged


def check(request: Prompt, model: Model, version: str, *, batched: bool = False) -> None:
    """Raise a 400 for the first rule that a request to create a message, or only its prompt, breaks."""
    rules = [_messages(request, model, version), _schemas(request), _tools(request, model)]
    rules += [_settings(request, model), _cache_marks(request)]
    if isinstance(request, CreateMessage):
        rules.append(_limits(request, model, version, batched))
    for truth, said in chain(*rules):
        require(truth, said)


def _messages(prompt: Prompt, model: Model, version: str) -> Rules:
    messages = prompt.messages
    yield messages, "messages: at least one message is required"
    yield messages[0].role != "assistant", 'messages: first message must use the "user" role'
    prefill = messages[-1].content if messages[-1].role == "assistant" else None
    said = f"{model.id} does not support assistant message prefill. "
    yield model.prefill or prefill is None, said + "The conversation must end with a user message."
    text = prefill[-1].text if prefill and prefill[-1].type == "text" else ""
    clean = text == text.rstrip() or not text.strip()
    yield clean, "messages: final assistant content cannot end with trailing whitespace"
    for i, message in enumerate(messages):
        if message.role == "system":
            said = f'messages: Unexpected role "system" for {model.id}. '
            yield model.system_in_messages, said + "The Messages API accepts a top-level `system` parameter."
            before, after = messages[max(0, i - 1)].role, [later.role for later in messages[i + 1 : i + 2]]
            said = f"messages.{i}: a system message must come right after a user turn and be last or "
            yield before == "user" and after in ([], ["assistant"]), said + "followed by an assistant turn"
        said = f"messages.{i}: all messages must have non-empty content except for the optional final "
        yield message.content or message.content is prefill, said + "assistant message"
        yield from _texts(f"messages.{i}", message.content)
        for path, block in _walk(f"messages.{i}", message.content):
            yield from _block(path, block, message.role == "user", version)
    yield from _texts("system", prompt.system)


def _texts(path: str, blocks: Iterable[Any]) -> Rules:
    for block in blocks:
        if block.type == "text":
            gist = "contain non-whitespace text" if block.text else "be non-empty"
            yield block.text.strip(), f"{path}: text content blocks must {gist}"


def _walk(path: str, blocks: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """The blocks, and those in their tool results and search results, each with its place."""
    for number, block in enumerate(blocks):
        here = f"{path}.content.{number}"
        yield here, block
        if block.type in ("tool_result", "search_result"):
            yield from _walk(f"{here}.{block.type}", block.content or ())


def _block(path: str, block: Any, by_user: bool, version: str) -> Rules:
    if version == NEW_VERSION:
        placed = by_user or block.type != "document"
        yield placed, f"{path}: document blocks are not permitted in assistant messages"
        cited = by_user and block.type == "text" and block.citations
        yield not cited, f"{path}: text.citations: must be empty in user messages"
    if block.type == "image" and block.source.type == "base64":
        path, said = f"{path}.image.source.base64", block.source.media_type
        kind = next((kind for start, kind in _IMAGES.items() if block.source.data.startswith(start)), None)
        yield kind, f"{path}: Could not process image"
        yield kind == said, f"{path}: The image does not match the provided media type {said}: it is {kind}"


def _schemas(prompt: Prompt) -> Rules:
    for number, tool in enumerate(prompt.tools):
        if isinstance(tool, CustomTool):
            path = f"tools.{number}.custom.input_schema"
            yield "type" in tool.input_schema, f"{path}.type: Field required"
            yield tool.input_schema["type"] == "object", f"{path}.type: Input should be 'object'"
            yield from _draft(path, tool.input_schema)
    if wanted := prompt.output_config and prompt.output_config.format:
        path = "output_config.format.schema"
        yield from chain(_draft(path, wanted.schema_), _supported(path, wanted.schema_))


def _draft(path: str, schema: dict[str, Any]) -> Rules:
    try:
        wrong = fault(schema) if len(json.dumps(schema, allow_nan=False)) <= MAX_CHECKED else ""
    except ValueError:
        wrong = "a number is too large"
    yield not wrong, f"{path}: JSON schema is invalid. It must match JSON Schema draft 2020-12 ({wrong})"


def _supported(path: str, schema: Any) -> Rules:
    """The rules for the format of a reply, which are narrower than JSON Schema."""
    schema = schema if isinstance(schema, dict) else {}
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    said = f"{path}: For '{' or '.join(kinds)}' type, "
    allowed = " ".join(_KEYWORDS.get(kind, "") for kind in ("", *kinds)).split()
    for word in schema if kinds else ():
        yield word in allowed, f"{said}property '{word[:100]}' is not supported"
    closed = "object" not in kinds or schema.get("additionalProperties") is False
    yield closed, f"{said}'additionalProperties' must be explicitly set to false"
    yield schema.get("format") in (None, *FORMATS), f"{said}format '{schema.get('format')}' is not supported"
    few = schema.get("minItems", 0) in (0, 1)
    yield few, f"{said}'minItems' values other than 0 or 1 are not supported"
    inner = [schema.get("items"), *schema.get("anyOf", ()), *schema.get("allOf", ())]
    for each in (*inner, *schema.get("properties", {}).values(), *schema.get("$defs", {}).values()):
        yield from _supported(path, each) if each else ()


def _forced(prompt: Prompt) -> Any:
    """The choice of a tool that must be called, if one must."""
    return prompt.tool_choice if prompt.tool_choice and prompt.tool_choice.type in ("any", "tool") else None


def _tools(prompt: Prompt, model: Model) -> Rules:
    names = {tool.name for tool in prompt.tools}
    yield len(names) == len(prompt.tools), "tools: Tool names must be unique."
    if choice := _forced(prompt):
        yield model.forced_tools, f"tool_choice: type {choice.type} is not supported for {model.id}"
        name = getattr(choice, "name", "")
        found = name in names if name else names
        yield found, f"tool_choice: Tool {name[:128]!r} not found in provided tools"
    asked: set[str] = set()
    for i, message in enumerate(merge_turns(prompt.messages)):
        given = {block.tool_use_id for block in message.content if block.type == "tool_result"}
        odd, missing = (min(names, default="")[:100] for names in (given - asked, asked - given))
        said = f"messages.{i}: unexpected `tool_use_id` found in `tool_result` blocks: {odd}. "
        yield given <= asked, said + "Each must match a `tool_use` block of the previous message."
        said = f"messages.{i}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        yield asked <= given, said + missing
        asked = {block.id for block in message.content if block.type == "tool_use"}


def _settings(prompt: Prompt, model: Model) -> Rules:
    effort = prompt.output_config and prompt.output_config.effort
    yield model.effort or not effort, "This model does not support the effort parameter."
    kind = prompt.thinking and prompt.thinking.type
    yield kind not in model.refused_thinking, f"thinking.type: {kind} is not supported for {model.id}"
    off = kind == "disabled" and effort in ("xhigh", "max")
    yield not off, f"thinking.type: disabled is not supported at effort {effort}"
    latest = max((i for i, message in enumerate(prompt.messages) if message.role == "assistant"), default=0)
    for j, block in enumerate(prompt.messages[latest].content):
        intact = block.type != "thinking" or is_intact(block.thinking, block.signature)
        said = f"messages.{latest}.content.{j}: `thinking` blocks in the latest assistant message cannot be "
        yield intact, said + "modified. They must remain as they were in the original response."


def _cache_marks(prompt: Prompt) -> Rules:
    blocks = [*prompt.tools, *prompt.system, *(b for m in prompt.messages for b in m.content), prompt]
    ttls = [mark.ttl for block in blocks if (mark := getattr(block, "cache_control", None))]
    said = f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. Found {len(ttls)}."
    yield len(ttls) <= MAX_BREAKPOINTS, said
    said = "cache_control: a ttl='1h' block must not come after a ttl='5m' block "
    yield ttls == sorted(ttls), said + "(order: tools, system, messages)"  # "1h" sorts before "5m"


def _limits(request: CreateMessage, model: Model, version: str, batched: bool) -> Rules:
    for name in (given := [name for name in _SAMPLING if name in request.model_fields_set]):
        yield version != NEW_VERSION, f"{name}: Extra inputs are not permitted"
        changed = getattr(request, name) not in (None, _SAMPLING[name])
        yield model.sampling or not changed, f"`{name}` is deprecated for this model."
    said = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    yield not {"temperature", "top_p"} <= {*given}, said
    wanted, limit = request.max_tokens, model.max_output
    yield not (batched and request.stream), "stream: a request of a batch cannot be streamed"
    yield not batched or wanted, "max_tokens: 0 is not supported in a batch"
    said = f"max_tokens: {wanted} > {limit}, which is the maximum allowed number of output tokens for "
    yield wanted <= limit, said + request.model
    for i, sequence in enumerate(request.stop_sequences):
        yield sequence.strip(), f"stop_sequences.{i}: each stop sequence must contain non-whitespace"
    budget = getattr(request.thinking, "budget_tokens", 0)
    clashes = {
        "stream": request.stream,
        "thinking.type=enabled": budget,
        "output_config.format": request.output_config and request.output_config.format,
        "a forced tool_choice": _forced(request),
    }
    for name, clash in clashes.items():
        yield wanted or not clash, f"max_tokens: 0 is not supported together with {name}"
    yield wanted > budget or not budget, "`max_tokens` must be greater than `thinking.budget_tokens`"
