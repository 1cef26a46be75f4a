"""What the API refuses beyond a wrong shape: rules of the message list, of models and of API versions."""

from __future__ import annotations

import base64
import re
from itertools import groupby

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
    _check_first_and_last(prompt.messages, model)
    for i, message in enumerate(prompt.messages):
        if message.role == "system":
            _check_system_turn(i, prompt.messages, model)
        _check_content(i, message, last=i == len(prompt.messages) - 1)
        if version == NEW_VERSION:
            _check_new_version(i, message)
    for block in prompt.system:
        _check_text("system", block)
    check_schemas(prompt)
    _check_tools(prompt, model)
    _check_thinking(prompt, model)
    _check_cache_control(prompt)


def check_create(request: CreateMessage, model: Model, version: str, *, batched: bool = False) -> None:
    """Raise a 400 for the first rule that a request to create a message breaks, besides its prompt's."""
    require(not (batched and request.stream), "stream: a request of a batch cannot be streamed")
    require(not batched or request.max_tokens, "max_tokens: 0 is not supported in a batch")
    _check_sampling(request, model, version)
    wanted, limit = request.max_tokens, model.max_output
    require(
        wanted <= limit,
        f"max_tokens: {wanted} > {limit}, which is the maximum allowed number of output tokens for "
        f"{request.model}",
    )
    for i, sequence in enumerate(request.stop_sequences):
        require(sequence.strip(), f"stop_sequences.{i}: each stop sequence must contain non-whitespace")
    thinking = request.thinking
    manual = thinking is not None and thinking.type == "enabled"
    if wanted == 0:
        clashes = {
            "stream": request.stream,
            "thinking.type=enabled": manual,
            "output_config.format": request.output_config and request.output_config.format,
            "a forced tool_choice": request.tool_choice and request.tool_choice.type in ("any", "tool"),
        }
        for name, given in clashes.items():
            require(not given, f"max_tokens: 0 is not supported together with {name}")
    if manual:
        enough = wanted > thinking.budget_tokens
        require(enough, "`max_tokens` must be greater than `thinking.budget_tokens`")


def _check_first_and_last(messages: list[Message], model: Model) -> None:
    require(messages, "messages: at least one message is required")
    require(messages[0].role != "assistant", 'messages: first message must use the "user" role')
    last = messages[-1]
    if last.role != "assistant":
        return
    require(
        model.prefill,
        f"{model.id} does not support assistant message prefill. "
        "The conversation must end with a user message.",
    )
    text = last.content[-1].text if last.content and last.content[-1].type == "text" else ""
    require(
        text == text.rstrip() or not text.strip(),
        "messages: final assistant content cannot end with trailing whitespace",
    )


def _check_system_turn(i: int, messages: list[Message], model: Model) -> None:
    require(
        model.system_in_messages,
        f'messages: Unexpected role "system" for {model.id}. '
        "The Messages API accepts a top-level `system` parameter.",
    )
    before, after = messages[max(0, i - 1)].role, [message.role for message in messages[i + 1 : i + 2]]
    require(
        before == "user" and after in ([], ["assistant"]),
        f"messages.{i}: a system message must come right after a user turn and be last or followed by an "
        "assistant turn",
    )


def _check_content(i: int, message: Message, *, last: bool) -> None:
    require(
        message.content or (last and message.role == "assistant"),
        f"messages.{i}: all messages must have non-empty content except for the optional final "
        "assistant message",
    )
    for j, block in enumerate(message.content):
        _check_text(f"messages.{i}", block)
        _check_image(f"messages.{i}.content.{j}", block)


def _check_text(path: str, block) -> None:
    if block.type == "text" and not block.text.strip():
        gist = "contain non-whitespace text" if block.text else "be non-empty"
        raise bad_request(f"{path}: text content blocks must {gist}")


def _check_image(path: str, block) -> None:
    """Is the data of an image, or of those in a tool result, what its media type says?"""
    if block.type == "tool_result":
        for k, part in enumerate(block.content or ()):
            _check_image(f"{path}.tool_result.content.{k}", part)
    if block.type == "image" and block.source.type == "base64":
        path, said = f"{path}.image.source.base64", block.source.media_type
        try:
            head = base64.b64decode(block.source.data[:64], validate=True)
        except ValueError:
            raise bad_request(f"{path}.data: the image is not valid base64") from None
        kind = next((kind for kind, magic in _MAGIC.items() if re.match(magic, head, re.S)), None)
        require(kind, f"{path}: Could not process image")
        require(
            kind == said, f"{path}: The image does not match the provided media type {said}: it is {kind}"
        )


def _check_new_version(i: int, message: Message) -> None:
    for j, block in enumerate(message.content):
        path = f"messages.{i}.content.{j}"
        misplaced = block.type == "document" and message.role == "assistant"
        require(not misplaced, f"{path}: document blocks are not permitted in assistant messages")
        cited = message.role == "user" and _has_citations(block)
        require(not cited, f"{path}: text.citations: must be empty in user messages")


def _has_citations(block) -> bool:
    """Does a text, or one inside a search result or tool result, carry citations?"""
    if block.type == "text":
        return bool(block.citations)
    inner = block.content if block.type in ("search_result", "tool_result") else None
    return any(_has_citations(part) for part in inner or ())


def _check_sampling(request: CreateMessage, model: Model, version: str) -> None:
    given = [name for name in _SAMPLING if name in request.model_fields_set]
    if given and version == NEW_VERSION:
        raise bad_request(f"{given[0]}: Extra inputs are not permitted")
    for name in given:
        changed = getattr(request, name) not in (None, _SAMPLING[name])
        require(model.sampling or not changed, f"`{name}` is deprecated for this model.")
    require(
        {"temperature", "top_p"} - {*given},
        "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
    )


def _check_tools(prompt: Prompt, model: Model) -> None:
    names = {tool.name for tool in prompt.tools}
    require(len(names) == len(prompt.tools), "tools: Tool names must be unique.")
    choice = prompt.tool_choice
    if choice and choice.type in ("any", "tool"):
        require(model.forced_tools, f"tool_choice: type {choice.type} is not supported for {model.id}")
        name = getattr(choice, "name", None)
        found = name in names if name else names
        require(found, f"tool_choice: Tool {(name or '')[:128]!r} not found in provided tools")
    asked: set[str] = set()
    for i, message in enumerate(merge_turns(prompt.messages)):
        given = {block.tool_use_id for block in message.content if block.type == "tool_result"}
        if given - asked:
            raise bad_request(
                f"messages.{i}: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{min(given - asked)[:100]}. Each must match a `tool_use` block of the previous message."
            )
        if asked - given:
            raise bad_request(
                f"messages.{i}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{min(asked - given)[:100]}"
            )
        asked = {block.id for block in message.content if block.type == "tool_use"}


def _check_thinking(prompt: Prompt, model: Model) -> None:
    effort = prompt.output_config and prompt.output_config.effort
    require(model.effort or not effort, "This model does not support the effort parameter.")
    if prompt.thinking:
        kind = prompt.thinking.type
        require(kind not in model.refused_thinking, f"thinking.type: {kind} is not supported for {model.id}")
        require(
            kind != "disabled" or effort not in ("xhigh", "max"),
            f"thinking.type: disabled is not supported at effort {effort}",
        )
    latest = max((i for i, message in enumerate(prompt.messages) if message.role == "assistant"), default=0)
    for j, block in enumerate(prompt.messages[latest].content):
        require(
            block.type != "thinking" or is_intact(block.thinking, block.signature),
            f"messages.{latest}.content.{j}: `thinking` blocks in the latest assistant message cannot be "
            "modified. They must remain as they were in the original response.",
        )


def _check_cache_control(prompt: Prompt) -> None:
    blocks = [*prompt.tools, *prompt.system, *(b for m in prompt.messages for b in m.content), prompt]
    ttls = [mark.ttl for block in blocks if (mark := getattr(block, "cache_control", None))]
    require(
        len(ttls) <= MAX_BREAKPOINTS,
        f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. Found {len(ttls)}.",
    )
    require(
        ttls == sorted(ttls),  # "1h" sorts before "5m"
        "cache_control: a ttl='1h' block must not come after a ttl='5m' block "
        "(order: tools, system, messages)",
    )
