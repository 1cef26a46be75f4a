"""The shape of a request: pydantic models that forbid extra fields, so messages read like the real ones."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic_core
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError

from .errors import ApiError, bad_request

MAX_MESSAGES = 100_000


class Strict(BaseModel):
    """Types are not coerced, and a field that the API does not know is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class CacheControl(Strict):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] = "5m"


class Cacheable(Strict):
    cache_control: CacheControl | None = None


class Text(Cacheable):
    type: Literal["text"]
    text: str
    citations: list[dict[str, Any]] | None = None


class Source(Strict):
    type: Literal["base64", "url", "file", "text", "content"]
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: Any = None


class Image(Cacheable):
    type: Literal["image"]
    source: Source


class Document(Cacheable):
    type: Literal["document"]
    source: Source
    title: str | None = None
    context: str | None = None
    citations: dict[str, Any] | None = None


class SearchResult(Cacheable):
    type: Literal["search_result"]
    source: str
    title: str
    content: list[Text]
    citations: dict[str, Any] | None = None


class Thinking(Strict):
    type: Literal["thinking"]
    thinking: str
    signature: str


class RedactedThinking(Strict):
    type: Literal["redacted_thinking"]
    data: str


class ToolUse(Cacheable):
    type: Literal["tool_use"]
    id: str = Field(pattern=r"^[a-zA-Z0-9_-]+$")
    name: str
    input: dict[str, Any]
    caller: dict[str, Any] | None = None


def _as_blocks(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class ToolResult(Cacheable):
    type: Literal["tool_result"]
    tool_use_id: str
    content: Annotated[list[dict[str, Any]], BeforeValidator(_as_blocks)] | None = None
    is_error: bool | None = None


Block = Annotated[
    Text | Image | Document | SearchResult | Thinking | RedactedThinking | ToolUse | ToolResult,
    Discriminator("type"),
]


class Message(Strict):
    role: Literal["user", "assistant", "system"]
    content: Annotated[list[Block], BeforeValidator(_as_blocks)]


class ThinkingConfig(Strict):
    type: Literal["enabled", "adaptive", "disabled", "between_tools"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None


class OutputConfig(Strict):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: dict[str, Any] | None = None


class CustomTool(Cacheable):
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")
    input_schema: dict[str, Any]
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool | None = None
    eager_input_streaming: bool | None = None
    defer_loading: bool | None = None
    allowed_callers: list[str] | None = None
    input_examples: list[dict[str, Any]] | None = None


class ServerTool(BaseModel):
    """A tool that the real API runs itself. The practice API takes it along and never calls it."""

    model_config = ConfigDict(extra="allow", strict=True)

    type: str
    name: str
    cache_control: CacheControl | None = None


def _tool_kind(tool: Any) -> str:
    kind = tool.get("type") if isinstance(tool, dict) else getattr(tool, "type", None)
    return "custom" if kind in (None, "custom") else "server"


Tool = Annotated[
    Annotated[CustomTool, Tag("custom")] | Annotated[ServerTool, Tag("server")], Discriminator(_tool_kind)
]


class ToolChoice(Strict):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Metadata(Strict):
    user_id: str | None = None


class Prompt(Strict):
    """What counting tokens and creating a message have in common."""

    model: str = Field(min_length=1, max_length=256)
    messages: list[Message]
    system: Annotated[list[Text], BeforeValidator(_as_blocks)] = []
    tools: list[Tool] = []
    tool_choice: ToolChoice | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    cache_control: CacheControl | None = None
    speed: Literal["standard", "fast"] | None = None


class CreateMessage(Prompt):
    max_tokens: int = Field(ge=0)
    stream: bool = False
    stop_sequences: list[str] = []
    metadata: Metadata | None = None
    temperature: Annotated[float, Field(ge=0, le=1, strict=False)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, strict=False)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    container: Any = None
    diagnostics: dict[str, Any] | None = None
    inference_geo: str | None = None


class CountTokens(Prompt):
    pass


def read_json(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises a 400 for anything else: bad UTF-8, NaN, nesting too deep."""
    try:
        value = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise bad_request(f"The request body is not valid JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise bad_request("The request body must be a JSON object.")
    return value


def parse(kind: type[Prompt], data: dict[str, Any]) -> Prompt:
    """`data` as a `kind`. Raises the 400 that names the first field at fault, 413 for too many messages."""
    messages = data.get("messages")
    if isinstance(messages, list) and len(messages) > MAX_MESSAGES:
        raise bad_request(f"messages: List should have at most {MAX_MESSAGES} items, not {len(messages)}")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        path = ".".join(str(part) for part in first["loc"])
        raise bad_request(f"{path}: {first['msg']}"[:500]) from None
    except RecursionError:
        raise ApiError(400, "The request body is nested too deeply.") from None
