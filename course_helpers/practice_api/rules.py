"""What the API refuses beyond a wrong shape: rules of messages, models, versions and JSON schemas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..models import MODELS, Model
from .instances import FORMATS, schema_fault
from .schemas import ApiError, CreateMessage, CustomTool, Message, Prompt, require

OLD_VERSION, NEW_VERSION = "2023-06-01", "2026-10-21"
_IMAGES = {"iVBORw0KGgo": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp"}
"""How the data of each kind of image begins, in base64."""
FORCING = ("any", "tool")
_SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": None}
_KEYWORDS = {
    "": "type title description default examples enum const $ref $defs anyOf allOf $schema $id $comment",
    "object": "properties required additionalProperties",
    "array": "items minItems",
    "string": "format pattern",
}
"""What structured output takes in a schema: of any type, of one."""


def served_model(name: str, *, retired: bool = False) -> Model:
    """The model called `name`. Raises the 404 that unknown and retired models share. No aliases here."""
    for model in MODELS.values():
        there = (retired or model.lifecycle != "retired") and not model.limited
        if there and name in (model.id, model.snapshot):
            return model
    raise ApiError(404, f"model: {name[:256]}")


def check_headers(headers: dict[str, str], keys: set[str]) -> None:
    """Raise the error for headers without one of the `keys` and a known version."""
    key, (scheme, _, token) = headers.get("x-api-key"), headers.get("authorization", "").partition(" ")
    bearer = scheme.lower() == "bearer" and token.strip() in keys
    if not (key in keys if key else bearer):  # a wrong key is not looked at again
        missing = "invalid bearer token" if scheme else "x-api-key header is required"
        raise ApiError(401, "invalid x-api-key" if key else missing)
    version = headers.get("anthropic-version")
    require(version, "anthropic-version: header is required")
    known = version in (OLD_VERSION, NEW_VERSION)
    require(known, f'anthropic-version: "{version[:100]}" is not a valid version')
    coding = headers.get("content-encoding", "identity")[:50]
    require(coding == "identity", f"content-encoding: {coding} is not supported, send the body as it is")


def check(request: Prompt, model: Model, version: str) -> None:
    """Raise a 400 for the first rule that a request to create a message, or only its prompt, breaks."""
    _check_messages(request.messages, model)
    _check_blocks("system", request.system)
    for i, message in enumerate(request.messages):
        _check_blocks(f"messages.{i}", message.content)
    _check_schemas(request)
    _check_tools(request, model)
    _check_settings(request, model)
    if isinstance(request, CreateMessage):
        _check_limits(request, model, version)


def _check_messages(messages: list[Message], model: Model) -> None:
    require(messages, "messages: at least one message is required")
    require(messages[0].role != "assistant", 'messages: first message must use the "user" role')
    prefill = messages[-1].content if messages[-1].role == "assistant" else None
    said = f"{model.id} does not support assistant message prefill. "
    require(prefill is None or model.prefill, said + "The conversation must end with a user message.")
    end = prefill[-1].text if prefill and prefill[-1].type == "text" else ""
    said = "messages: final assistant content cannot end with trailing whitespace"
    require(end == end.rstrip() or not end.strip(), said)
    said = "all messages must have non-empty content except for the optional final assistant message"
    for i, message in enumerate(messages):
        require(message.content or message.content is prefill, f"messages.{i}: {said}")
    roles = [message.role for message in messages]
    for i in (i for i, role in enumerate(roles) if role == "system"):
        said = f'messages: Unexpected role "system" for {model.id}. The Messages API accepts a top-level '
        require(model.system_in_messages, said + "`system` parameter.")
        placed = roles[i - 1 : i] == ["user"] and roles[i + 1 : i + 2] in ([], ["assistant"])
        said = f"messages.{i}: a system message must come right after a user turn and be last or "
        require(placed, said + "followed by an assistant turn")


def _check_blocks(path: str, blocks: Iterable, *, nested: bool = False) -> None:
    """The rules of single blocks, also of those in tool results and search results."""
    for j, block in enumerate(blocks):
        here = f"{path}.content.{j}"
        if block.type in ("tool_result", "search_result"):
            _check_blocks(f"{here}.{block.type}", block.content or (), nested=True)
        elif block.type == "text":
            gist = "contain non-whitespace text" if block.text else "be non-empty"
            require(nested or block.text.strip(), f"{path}: text content blocks must {gist}")
        elif block.type == "image" and block.source.type == "base64":
            here, given = f"{here}.image.source.base64", block.source.media_type
            kind = next((k for start, k in _IMAGES.items() if block.source.data.startswith(start)), None)
            require(kind, f"{here}: Could not process image")
            said = f"The image does not match the provided media type {given}: it is {kind}"
            require(kind == given, f"{here}: {said}")


def _check_schemas(prompt: Prompt) -> None:
    tools = {i: tool.input_schema for i, tool in enumerate(prompt.tools) if isinstance(tool, CustomTool)}
    schemas = {f"tools.{i}.custom.input_schema": schema for i, schema in tools.items()}
    for path, schema in schemas.items():
        require(schema.get("type") == "object", f"{path}.type: Input should be 'object'")
    form = prompt.output_config and prompt.output_config.format
    schemas |= {"output_config.format.schema": form.schema_} if form else {}
    for path, schema in schemas.items():
        fault = schema_fault(schema)
        require(not fault, f"{path}: JSON schema is invalid, it must match draft 2020-12 ({fault})")
    if form:
        _check_supported("output_config.format.schema", form.schema_)


def _check_supported(path: str, schema: dict[str, Any]) -> None:
    """The rules for the format of a reply, which are narrower than JSON Schema."""
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    said, form = f"{path}: For '{' or '.join(kinds)}' type, ", schema.get("format")
    allowed = " ".join(_KEYWORDS.get(kind, "") for kind in ("", *kinds)).split()
    for word in schema if kinds else ():
        require(word in allowed, f"{said}property '{word[:100]}' is not supported")
    closed = "object" not in kinds or schema.get("additionalProperties") is False
    require(closed, f"{said}'additionalProperties' must be explicitly set to false")
    require(form in (None, *FORMATS), f"{said}format '{form}' is not supported")
    few = schema.get("minItems", 0) in (0, 1)
    require(few, f"{said}'minItems' values other than 0 or 1 are not supported")
    named = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()]
    for inner in (*named, schema.get("items"), *schema.get("anyOf", ()), *schema.get("allOf", ())):
        if isinstance(inner, dict):
            _check_supported(path, inner)


def _check_tools(prompt: Prompt, model: Model) -> None:
    names, choice = {tool.name for tool in prompt.tools}, prompt.tool_choice
    require(len(names) == len(prompt.tools), "tools: Tool names must be unique.")
    if choice and choice.type in FORCING:
        require(model.forced_tools, f"tool_choice: type {choice.type} is not supported for {model.id}")
        name = getattr(choice, "name", "")
        found = name in names if name else names
        require(found, f"tool_choice: Tool {name[:128]!r} not found in provided tools")
    asked: set[str] = set()
    for i, message in enumerate(prompt.turns):
        given = {block.tool_use_id for block in message.content if block.type == "tool_result"}
        if odd := given - asked:
            raise ApiError(400, f"messages.{i}: unexpected `tool_use_id` in `tool_result`: {min(odd)[:100]}")
        if missing := asked - given:
            raise ApiError(400, f"messages.{i}: `tool_use` without `tool_result`: {min(missing)[:100]}")
        asked = {block.id for block in message.content if block.type == "tool_use"}


def _check_settings(prompt: Prompt, model: Model) -> None:
    """Thinking, effort and marks for the cache."""
    effort = prompt.output_config and prompt.output_config.effort
    require(model.effort or not effort, "This model does not support the effort parameter.")
    kind = prompt.thinking and prompt.thinking.type
    require(kind not in model.refused_thinking, f"thinking.type: {kind} is not supported for {model.id}")
    blocks = [*prompt.tools, *prompt.system, *(b for m in prompt.messages for b in m.content), prompt]
    ttls = [mark.ttl for block in blocks if (mark := getattr(block, "cache_control", None))]
    require(len(ttls) <= 4, f"A maximum of 4 blocks with cache_control may be provided. Found {len(ttls)}.")
    require("5m" not in ttls[: ttls.count("1h")], "cache_control: ttl='1h' must come before ttl='5m'")


def _check_limits(request: CreateMessage, model: Model, version: str) -> None:
    for name, usual in _SAMPLING.items():
        given = name in request.model_fields_set
        require(version != NEW_VERSION or not given, f"{name}: Extra inputs are not permitted")
        changed = getattr(request, name) not in (None, usual)
        require(model.sampling or not changed, f"`{name}` is deprecated for this model.")
    both = {"temperature", "top_p"} <= request.model_fields_set
    require(not both, "`temperature` and `top_p` cannot both be specified for this model.")
    wanted, limit = request.max_tokens, model.max_output
    said = f"max_tokens: {wanted} > {limit}, which is the maximum allowed number of output tokens for "
    require(wanted <= limit, said + request.model)
    for i, sequence in enumerate(request.stop_sequences):
        require(sequence.strip(), f"stop_sequences.{i}: each stop sequence must contain non-whitespace")
    budget = getattr(request.thinking, "budget_tokens", 0)
    require(wanted or not request.stream, "max_tokens: 0 is not supported together with stream")
    require(wanted > budget or not budget, "`max_tokens` must be greater than `thinking.budget_tokens`")
