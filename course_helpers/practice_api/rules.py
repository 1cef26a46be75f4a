"""What the API refuses beyond a wrong shape: rules of the message list, of models and of API versions."""

from __future__ import annotations

from ..models import Model, UnknownModelError, find_model
from .errors import ApiError, bad_request
from .requests import Block, CreateMessage, Message, Prompt, Text, Thinking, ToolResult, ToolUse
from .respond import is_intact

OLD_VERSION, NEW_VERSION = "2023-06-01", "2026-10-21"
MAX_BREAKPOINTS = 4
MIN_THINKING_BUDGET = 1024
_EMPTY = "text content blocks must be non-empty"
_BLANK = "text content blocks must contain non-whitespace text"


def check_version(version: str | None) -> str:
    """The API version of a request, from its header. Raises a 400."""
    if version is None:
        raise bad_request("anthropic-version: header is required")
    if version not in (OLD_VERSION, NEW_VERSION):
        raise bad_request(f'anthropic-version: "{version[:100]}" is not a valid version')
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
    for message in messages:
        if merged and merged[-1].role == message.role != "system":
            merged[-1] = merged[-1].model_copy(update={"content": merged[-1].content + message.content})
        else:
            merged.append(message)
    return merged


def check_prompt(prompt: Prompt, model: Model, version: str) -> None:
    """Raise a 400 for the first rule that the prompt breaks."""
    _check_first_and_last(prompt.messages, model)
    _check_system_turns(prompt.messages, model)
    for i, message in enumerate(prompt.messages):
        _check_content(i, message, last=i == len(prompt.messages) - 1)
        if version == NEW_VERSION:
            _check_new_version_content(i, message)
    for block in prompt.system:
        _check_text("system", block)
    _check_tools(prompt, model)
    _check_thinking(prompt, model)
    _check_cache_control(prompt)


def check_create(request: CreateMessage, model: Model, version: str) -> None:
    """Raise a 400 for the first rule that a request to create a message breaks, besides its prompt's."""
    _check_sampling(request, model, version)
    limit = model.max_output
    if request.max_tokens > limit:
        raise bad_request(
            f"max_tokens: {request.max_tokens} > {limit}, which is the maximum allowed number of output "
            f"tokens for {request.model}"
        )
    if request.max_tokens == 0:
        _check_prewarm(request)
    for i, sequence in enumerate(request.stop_sequences):
        if not sequence.strip():
            raise bad_request(f"stop_sequences.{i}: each stop sequence must contain non-whitespace")
    budget = request.thinking.budget_tokens if request.thinking else None
    if budget is not None and budget >= request.max_tokens:
        raise bad_request("`max_tokens` must be greater than `thinking.budget_tokens`")


def _check_first_and_last(messages: list[Message], model: Model) -> None:
    if not messages:
        raise bad_request("messages: at least one message is required")
    if messages[0].role == "assistant":
        raise bad_request('messages: first message must use the "user" role')
    last = messages[-1]
    if last.role != "assistant":
        return
    if not model.prefill:
        raise bad_request(
            f"{model.id} does not support assistant message prefill. "
            "The conversation must end with a user message."
        )
    text = last.content[-1].text if last.content and isinstance(last.content[-1], Text) else ""
    if text != text.rstrip():
        raise bad_request("messages: final assistant content cannot end with trailing whitespace")


def _check_system_turns(messages: list[Message], model: Model) -> None:
    for i, message in enumerate(messages):
        if message.role != "system":
            continue
        if not model.system_in_messages:
            raise bad_request(
                f'messages: Unexpected role "system" for {model.id}. '
                "The Messages API accepts a top-level `system` parameter."
            )
        after_user = i > 0 and messages[i - 1].role == "user"
        if not after_user or (i + 1 < len(messages) and messages[i + 1].role != "assistant"):
            raise bad_request(
                f"messages.{i}: a system message must come right after a user turn and be last or "
                "followed by an assistant turn"
            )


def _check_content(i: int, message: Message, *, last: bool) -> None:
    if not message.content and not (last and message.role == "assistant"):
        raise bad_request(
            "messages: all messages must have non-empty content except for the optional final "
            "assistant message"
        )
    for block in message.content:
        _check_text(f"messages.{i}", block)


def _check_text(path: str, block: Block) -> None:
    if isinstance(block, Text):
        if not block.text:
            raise bad_request(f"{path}: {_EMPTY}")
        if not block.text.strip():
            raise bad_request(f"{path}: {_BLANK}")


def _check_new_version_content(i: int, message: Message) -> None:
    for j, block in enumerate(message.content):
        path = f"messages.{i}.content.{j}"
        if block.type == "document" and message.role == "assistant":
            raise bad_request(f"{path}: document blocks are not permitted in assistant messages")
        cited = [block] if block.type == "text" else block.content if block.type == "search_result" else []
        if message.role == "user" and any(text.citations for text in cited):
            raise bad_request(f"{path}: text.citations: must be empty in user messages")


def _check_sampling(request: CreateMessage, model: Model, version: str) -> None:
    given = {name: getattr(request, name) for name in ("temperature", "top_p", "top_k")}
    given = {name: value for name, value in given.items() if value is not None}
    if given and version == NEW_VERSION:
        raise bad_request(f"{next(iter(given))}: Extra inputs are not permitted")
    defaults = {"temperature": 1.0, "top_p": 1.0, "top_k": None}
    changed = [name for name, value in given.items() if value != defaults[name]]
    if changed and not model.sampling:
        raise bad_request(f"`{changed[0]}` is deprecated for this model.")
    if "temperature" in given and "top_p" in given:
        raise bad_request(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
        )


def _check_prewarm(request: CreateMessage) -> None:
    forced = request.tool_choice and request.tool_choice.type in ("any", "tool")
    manual = request.thinking and request.thinking.type == "enabled"
    formatted = request.output_config and request.output_config.format
    for clash, name in (
        (request.stream, "stream"),
        (manual, "thinking.type=enabled"),
        (formatted, "output_config.format"),
        (forced, "a forced tool_choice"),
    ):
        if clash:
            raise bad_request(f"max_tokens: 0 is not supported together with {name}")


def _check_tools(prompt: Prompt, model: Model) -> None:
    names = [tool.name for tool in prompt.tools]
    if len(names) != len(set(names)):
        raise bad_request("tools: Tool names must be unique.")
    choice = prompt.tool_choice
    if choice and choice.type in ("any", "tool"):
        if not model.forced_tools:
            raise bad_request(f"tool_choice: type {choice.type} is not supported for {model.id}")
        if not names or (choice.type == "tool" and choice.name not in names):
            raise bad_request(f"tool_choice: Tool {(choice.name or '')[:128]!r} not found in provided tools")
    merged = merge_turns(prompt.messages)
    for i, message in enumerate(merged):
        asked = {b.id for b in merged[i - 1].content if isinstance(b, ToolUse)} if i else set()
        given = {b.tool_use_id for b in message.content if isinstance(b, ToolResult)}
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


def _check_thinking(prompt: Prompt, model: Model) -> None:
    thinking = prompt.thinking
    if thinking is not None:
        if thinking.type in model.refused_thinking:
            raise bad_request(f"thinking.type: {thinking.type} is not supported for {model.id}")
        if thinking.type == "enabled" and (thinking.budget_tokens or 0) < MIN_THINKING_BUDGET:
            raise bad_request(
                f"thinking.enabled.budget_tokens: Input should be greater than or equal to "
                f"{MIN_THINKING_BUDGET}"
            )
        if thinking.type != "enabled" and thinking.budget_tokens is not None:
            raise bad_request(f"thinking.{thinking.type}.budget_tokens: Extra inputs are not permitted")
    answers = [(i, m) for i, m in enumerate(prompt.messages) if m.role == "assistant"]
    for i, message in answers[-1:]:
        for j, block in enumerate(message.content):
            if isinstance(block, Thinking) and not is_intact(block.thinking, block.signature):
                raise bad_request(
                    f"messages.{i}.content.{j}: `thinking` blocks in the latest assistant message cannot be "
                    "modified. They must remain as they were in the original response."
                )


def _check_cache_control(prompt: Prompt) -> None:
    blocks = [*prompt.tools, *prompt.system, *(b for m in prompt.messages for b in m.content)]
    marks = [mark for block in blocks if (mark := getattr(block, "cache_control", None))]
    marks += [prompt.cache_control] if prompt.cache_control else []
    if len(marks) > MAX_BREAKPOINTS:
        raise bad_request(
            f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. Found {len(marks)}."
        )
    ttls = [mark.ttl for mark in marks]
    if "1h" in ttls[ttls.index("5m") :] if "5m" in ttls else False:
        raise bad_request(
            "cache_control: a ttl='1h' block must not come after a ttl='5m' block "
            "(order: tools, system, messages)"
        )
