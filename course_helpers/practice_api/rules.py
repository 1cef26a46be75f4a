"""What the API refuses beyond a wrong shape: rules of the message list, of models and of API versions."""

from itertools import groupby
from typing import Any

from ..models import Model, UnknownModelError, find_model
from .errors import ApiError, require
from .requests import CreateMessage, Message, Prompt
from .respond import is_intact

OLD_VERSION, NEW_VERSION = "2023-06-01", "2026-10-21"
MAX_BREAKPOINTS = 4
_SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": None}


def check_version(versions: list[str]) -> str:
    """The API version of a request, from its headers of that name. Raises a 400."""
    require(versions, "anthropic-version: header is required")
    version = ", ".join(versions)
    known = version in (OLD_VERSION, NEW_VERSION)
    require(known, f'anthropic-version: "{version[:100]}" is not a valid version')
    return version


def served_model(name: str) -> Model:
    """The model called `name`. Raises the 404 that unknown and retired models share. No aliases here."""
    try:
        model = find_model(name)
    except UnknownModelError:
        model = None
    if model is None or model.lifecycle == "retired" or name not in (model.id, model.snapshot):
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
    messages = prompt.messages
    _check_ends(messages, model)
    for i, message in enumerate(messages):
        at = f"messages.{i}"
        if message.role == "system":
            after_user = i > 0 and messages[i - 1].role == "user"
            before_assistant = all(later.role == "assistant" for later in messages[i + 1 : i + 2])
            require(model.system_in_messages, f'{at}: Unexpected role "system". Use the `system` parameter.')
            require(after_user, f"{at}: role 'system' must come right after a user turn")
            require(before_assistant, f"{at}: role 'system' must be last or followed by an assistant turn")
        final = message is messages[-1] and message.role == "assistant"
        required = "all messages must have non-empty content except for the optional final assistant message"
        require(message.content or final, f"{at}: {required}")
        for j, block in enumerate(message.content):
            _check_text(block, at)
            if version == NEW_VERSION:
                _check_new_version(block, message.role, f"{at}.content.{j}")
    for block in prompt.system:
        _check_text(block, "system")
    _check_tools(prompt, model)
    _check_thinking(prompt, model)
    _check_cache_control(prompt)


def check_create(request: CreateMessage, model: Model, version: str) -> None:
    """Raise a 400 for the first rule that a request to create a message breaks, besides its prompt's."""
    given = [name for name in _SAMPLING if name in request.model_fields_set]
    require(not given or version == OLD_VERSION, f"{given and given[0]}: Extra inputs are not permitted")
    for name in given:
        changed = getattr(request, name) not in (None, _SAMPLING[name])
        require(model.sampling or not changed, f"`{name}` is deprecated for this model.")
    both = {"temperature", "top_p"} <= {*given}
    require(not both, "`temperature` and `top_p` cannot both be specified. Please use only one.")
    wanted, limit = request.max_tokens, model.max_output
    allowed = f"which is the maximum allowed number of output tokens for {request.model}"
    require(wanted <= limit, f"max_tokens: {wanted} > {limit}, {allowed}")
    for i, sequence in enumerate(request.stop_sequences):
        require(sequence.strip(), f"stop_sequences.{i}: each stop sequence must contain non-whitespace")
    budget = getattr(request.thinking, "budget_tokens", None)
    clashes = {
        "stream": request.stream,
        "thinking.type=enabled": budget,
        "output_config.format": request.output_config and request.output_config.format,
        "a forced tool_choice": request.tool_choice and request.tool_choice.type in ("any", "tool"),
    }
    for name, clash in clashes.items():
        require(wanted or not clash, f"max_tokens: 0 is not supported together with {name}")
    require(wanted > (budget or -1), "`max_tokens` must be greater than `thinking.budget_tokens`")


def _check_ends(messages: list[Message], model: Model) -> None:
    require(messages, "messages: at least one message is required")
    require(messages[0].role != "assistant", 'messages: first message must use the "user" role')
    last = messages[-1]
    if last.role == "assistant":
        end = "The conversation must end with a user message."
        require(model.prefill, f"This model does not support assistant message prefill. {end}")
        text = last.content[-1].text if last.content and last.content[-1].type == "text" else ""
        trimmed = text == text.rstrip() or not text.strip()
        require(trimmed, "messages: final assistant content cannot end with trailing whitespace")


def _check_text(block: Any, at: str) -> None:
    if block.type == "text":
        require(block.text, f"{at}: text content blocks must be non-empty")
        require(block.text.strip(), f"{at}: text content blocks must contain non-whitespace text")


def _check_new_version(block: Any, role: str, at: str) -> None:
    misplaced = block.type == "document" and role == "assistant"
    require(not misplaced, f"{at}: document blocks are not permitted in assistant messages")
    cited = role == "user" and _has_citations(block)
    require(not cited, f"{at}: text.citations: must be empty in user messages")


def _has_citations(block: Any) -> bool:
    """Does a text, or one inside a search result or tool result, carry citations?"""
    if block.type == "text":
        return bool(block.citations)
    inner = block.content if block.type in ("search_result", "tool_result") else None
    return any(_has_citations(part) for part in inner or ())


def _check_tools(prompt: Prompt, model: Model) -> None:
    names = {tool.name for tool in prompt.tools}
    require(len(names) == len(prompt.tools), "tools: Tool names must be unique.")
    choice = prompt.tool_choice
    if choice and choice.type in ("any", "tool"):
        require(model.forced_tools, f"tool_choice: type {choice.type} is not supported for {model.id}")
        name = getattr(choice, "name", None)
        require(name in names if name else names, f"tool_choice: Tool {name!r} not found in provided tools")
    asked: set[str] = set()
    for i, message in enumerate(merge_turns(prompt.messages)):
        given = {block.tool_use_id for block in message.content if block.type == "tool_result"}
        unasked = f"messages.{i}: unexpected `tool_use_id` found in `tool_result` blocks: "
        require(given <= asked, unasked + min(given - asked, default=""))
        missing = f"messages.{i}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        require(asked <= given, missing + min(asked - given, default=""))
        asked = {block.id for block in message.content if block.type == "tool_use"}


def _check_thinking(prompt: Prompt, model: Model) -> None:
    effort = prompt.output_config and prompt.output_config.effort
    require(model.effort or not effort, "This model does not support the effort parameter.")
    if prompt.thinking:
        kind = prompt.thinking.type
        require(kind not in model.refused_thinking, f"thinking.type: {kind} is not supported for {model.id}")
        off = kind == "disabled" and effort in ("xhigh", "max")
        require(not off, f"thinking.type: disabled is not supported at effort {effort}")
    latest = max((i for i, message in enumerate(prompt.messages) if message.role == "assistant"), default=0)
    for j, block in enumerate(prompt.messages[latest].content):
        edited = block.type == "thinking" and not is_intact(block.thinking, block.signature)
        fault = "`thinking` blocks in the latest assistant message cannot be modified."
        require(not edited, f"messages.{latest}.content.{j}: {fault}")


def _check_cache_control(prompt: Prompt) -> None:
    blocks = [*prompt.tools, *prompt.system, *(b for m in prompt.messages for b in m.content), prompt]
    ttls = [mark.ttl or "5m" for block in blocks if (mark := getattr(block, "cache_control", None))]
    most = f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided."
    require(len(ttls) <= MAX_BREAKPOINTS, f"{most} Found {len(ttls)}.")
    ordered = ttls == sorted(ttls)  # "1h" sorts before "5m"
    require(ordered, "cache_control: a ttl='1h' block must not come after a ttl='5m' block")
