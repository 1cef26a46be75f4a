"""What the API refuses beyond a wrong shape: rules of the message list, of models and of API versions."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from itertools import chain, groupby
from typing import Any

from ..models import Model, UnknownModelError, find_model
from .errors import ApiError, bad_request, require
from .formats import check_schemas
from .generate import is_intact
from .schemas import CreateMessage, Message, Prompt

OLD_VERSION, NEW_VERSION = "2023-06-01", "2026-10-21"
MAX_BREAKPOINTS = 4
_MAGIC = {
    "image/png": rb"\x89PNG\r\n\x1a\n",
    "image/jpeg": rb"\xff\xd8\xff",
    "image/gif": rb"GIF8[79]a",
    "image/webp": rb"RIFF....WEBP",
}
"""How the data of each kind of image begins."""
Rules = Iterator[tuple[Any, str]]
"""What must be true, and what the API says where it is not."""
_SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": None}


def check_version(version: str) -> str:
    """The API version of a request, from its header. Raises a 400."""
    known = version in (OLD_VERSION, NEW_VERSION)
    require(known, f'anthropic-version: "{version[:100]}" is not a valid version')
    return version


def served_model(name: str) -> Model:
    """The model called `name`. Raises the 404 that unknown and retired models share. No aliases here."""
    try:
        model = find_model(name)
    except UnknownModelError:
        model = None
    gone = model is None or model.lifecycle == "retired" or model.limited
    if gone or name not in (model.id, model.snapshot):
        raise ApiError(404, f"model: {name[:256]}")
    return model


def merge_turns(messages: list[Message]) -> list[Message]:
    """`messages` with consecutive turns of one role combined into one, as the API does."""
    merged: list[Message] = []
    for role, group in groupby(messages, key=lambda message: message.role):
        turns = list(group)
        if role != "system" and len(turns) > 1:
            content = [block for turn in turns for block in turn.content]
            turns = [turns[0].model_copy(update={"content": content})]
        merged += turns
    return merged


def check_prompt(prompt: Prompt, model: Model, version: str) -> None:
    """Raise a 400 for the first rule that the prompt breaks."""
    _hold(_turns(prompt.messages, model), _contents(prompt, version))
    check_schemas(prompt)
    _hold(_tools(prompt, model), _thinking(prompt, model), _cache_marks(prompt))


def check_create(request: CreateMessage, model: Model, version: str, *, batched: bool = False) -> None:
    """Raise a 400 for the first rule that a request to create a message breaks, besides its prompt's."""
    _hold(_sampling(request, model, version), _sizes(request, model, batched))


def _hold(*rules: Rules) -> None:
    for truth, said in chain(*rules):
        if not truth:
            raise bad_request(said)


def _turns(messages: list[Message], model: Model) -> Rules:
    yield messages, "messages: at least one message is required"
    yield messages[0].role != "assistant", 'messages: first message must use the "user" role'
    last = messages[-1]
    if last.role == "assistant":
        said = f"{model.id} does not support assistant message prefill. "
        yield model.prefill, said + "The conversation must end with a user message."
        text = last.content[-1].text if last.content and last.content[-1].type == "text" else ""
        clean = text == text.rstrip() or not text.strip()
        yield clean, "messages: final assistant content cannot end with trailing whitespace"
    for i, message in enumerate(messages):
        if message.role == "system":
            said = f'messages: Unexpected role "system" for {model.id}. '
            yield model.system_in_messages, said + "The Messages API accepts a top-level `system` parameter."
            before, after = messages[max(0, i - 1)].role, [later.role for later in messages[i + 1 : i + 2]]
            said = f"messages.{i}: a system message must come right after a user turn and be last or "
            yield before == "user" and after in ([], ["assistant"]), said + "followed by an assistant turn"


def _contents(prompt: Prompt, version: str) -> Rules:
    for i, message in enumerate(prompt.messages):
        final = message.role == "assistant" and i == len(prompt.messages) - 1
        said = f"messages.{i}: all messages must have non-empty content except for the optional final "
        yield message.content or final, said + "assistant message"
        for j, block in enumerate(message.content):
            path = f"messages.{i}.content.{j}"
            yield from _text(f"messages.{i}", block)
            yield from _image(path, block)
            if version == NEW_VERSION:
                misplaced = block.type == "document" and message.role == "assistant"
                yield not misplaced, f"{path}: document blocks are not permitted in assistant messages"
                cited = message.role == "user" and _has_citations(block)
                yield not cited, f"{path}: text.citations: must be empty in user messages"
    for block in prompt.system:
        yield from _text("system", block)


def _text(path: str, block: Any) -> Rules:
    if block.type == "text":
        gist = "contain non-whitespace text" if block.text else "be non-empty"
        yield block.text.strip(), f"{path}: text content blocks must {gist}"


def _image(path: str, block: Any) -> Rules:
    """Is the data of an image, or of those in a tool result, what its media type says?"""
    if block.type == "tool_result":
        for k, part in enumerate(block.content or ()):
            yield from _image(f"{path}.tool_result.content.{k}", part)
    if block.type == "image" and block.source.type == "base64":
        path, said = f"{path}.image.source.base64", block.source.media_type
        try:
            head = base64.b64decode(block.source.data[:64], validate=True)
        except ValueError:
            head = b""
        yield head, f"{path}.data: the image is not valid base64"
        kind = next((kind for kind, magic in _MAGIC.items() if re.match(magic, head, re.S)), None)
        yield kind, f"{path}: Could not process image"
        yield kind == said, f"{path}: The image does not match the provided media type {said}: it is {kind}"


def _has_citations(block: Any) -> bool:
    """Does a text, or one inside a search result or tool result, carry citations?"""
    if block.type == "text":
        return bool(block.citations)
    inner = block.content if block.type in ("search_result", "tool_result") else None
    return any(_has_citations(part) for part in inner or ())


def _tools(prompt: Prompt, model: Model) -> Rules:
    names = {tool.name for tool in prompt.tools}
    yield len(names) == len(prompt.tools), "tools: Tool names must be unique."
    choice = prompt.tool_choice
    if choice and choice.type in ("any", "tool"):
        yield model.forced_tools, f"tool_choice: type {choice.type} is not supported for {model.id}"
        name = getattr(choice, "name", None)
        found = name in names if name else names
        yield found, f"tool_choice: Tool {(name or '')[:128]!r} not found in provided tools"
    asked: set[str] = set()
    for i, message in enumerate(merge_turns(prompt.messages)):
        given = {block.tool_use_id for block in message.content if block.type == "tool_result"}
        said = (
            f"messages.{i}: unexpected `tool_use_id` found in `tool_result` blocks: {_first(given - asked)}. "
        )
        yield given <= asked, said + "Each must match a `tool_use` block of the previous message."
        said = f"messages.{i}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        yield asked <= given, said + _first(asked - given)
        asked = {block.id for block in message.content if block.type == "tool_use"}


def _first(names: set[str]) -> str:
    return min(names, default="")[:100]


def _thinking(prompt: Prompt, model: Model) -> Rules:
    effort = prompt.output_config and prompt.output_config.effort
    yield model.effort or not effort, "This model does not support the effort parameter."
    if prompt.thinking:
        kind = prompt.thinking.type
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


def _sampling(request: CreateMessage, model: Model, version: str) -> Rules:
    given = [name for name in _SAMPLING if name in request.model_fields_set]
    for name in given:
        yield version != NEW_VERSION, f"{name}: Extra inputs are not permitted"
        changed = getattr(request, name) not in (None, _SAMPLING[name])
        yield model.sampling or not changed, f"`{name}` is deprecated for this model."
    said = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    yield {"temperature", "top_p"} - {*given}, said


def _sizes(request: CreateMessage, model: Model, batched: bool) -> Rules:
    yield not (batched and request.stream), "stream: a request of a batch cannot be streamed"
    yield not batched or request.max_tokens, "max_tokens: 0 is not supported in a batch"
    wanted, limit = request.max_tokens, model.max_output
    said = f"max_tokens: {wanted} > {limit}, which is the maximum allowed number of output tokens for "
    yield wanted <= limit, said + request.model
    for i, sequence in enumerate(request.stop_sequences):
        yield sequence.strip(), f"stop_sequences.{i}: each stop sequence must contain non-whitespace"
    thinking = request.thinking
    manual = thinking is not None and thinking.type == "enabled"
    clashes = {
        "stream": request.stream,
        "thinking.type=enabled": manual,
        "output_config.format": request.output_config and request.output_config.format,
        "a forced tool_choice": request.tool_choice and request.tool_choice.type in ("any", "tool"),
    }
    for name, given in clashes.items():
        yield wanted or not given, f"max_tokens: 0 is not supported together with {name}"
    enough = not manual or wanted > thinking.budget_tokens
    yield enough, "`max_tokens` must be greater than `thinking.budget_tokens`"
