"""The shape of a request: pydantic models that forbid extra fields, so messages read like the real ones."""

from __future__ import annotations

from functools import cache
from itertools import islice
from typing import Annotated, Any, Literal, Union, get_args, get_type_hints

import pydantic_core
from anthropic import types
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
    with_config,
)
from pydantic_core import PydanticCustomError

from .errors import bad_request, require

MAX_MESSAGES = 100_000
MAX_FIELDS = 100
"""More than any object of the API has: a million unknown fields would make a million errors."""


class Strict(BaseModel):
    """Types are not coerced, and a field that the API does not know is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _bounded(cls, data: Any) -> Any:
        large = isinstance(data, dict) and len(data) > MAX_FIELDS
        return dict(islice(data.items(), MAX_FIELDS)) if large else data


def variant(tag: str, base: type[Strict] = Strict, **fields: Any) -> type[Strict]:
    """A model of what has the `type` `tag`. Of `fields`, those that may be None may be left out."""
    optional = {name for name, kind in fields.items() if type(None) in getattr(kind, "__args__", ())}
    rules = {name: (kind, None if name in optional else ...) for name, kind in fields.items()}
    return create_model(tag, __base__=base, type=(Literal[tag], ...), **rules)


def one_of(*kinds: type[Strict]) -> Any:
    """Any of `kinds`, told apart by `type`."""
    return Annotated[Union[kinds], Discriminator("type")]  # noqa: UP007


def many(kind: Any) -> Any:
    """A list of `kind`, checked up to its first fault."""
    return Annotated[list[kind], Field(fail_fast=True)]


def _as_blocks(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _as_content(content: Any) -> Any:
    return [] if content == "" else _as_blocks(content)


class CacheControl(Strict):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] = "5m"


class Cacheable(Strict):
    cache_control: CacheControl | None = None


Object = dict[str, Any]
_FILES = (variant("url", url=str), variant("file", file_id=str))
_PICTURE = variant(
    "base64", media_type=Literal["image/jpeg", "image/png", "image/gif", "image/webp"], data=str
)
_TEXTS = (
    variant("text", media_type=Literal["text/plain"], data=str),
    variant("content", content=str | many(Object)),
)
Text = variant("text", Cacheable, text=str, citations=many(Object) | None)
Image = variant("image", Cacheable, source=one_of(_PICTURE, *_FILES), transformations=Object | None)
Document = variant(
    "document",
    Cacheable,
    source=one_of(variant("base64", media_type=str, data=str), *_FILES, *_TEXTS),
    title=str | None,
    context=str | None,
    citations=Object | None,
)
SearchResult = variant(
    "search_result", Cacheable, source=str, title=str, content=many(Text), citations=Object | None
)
ToolReference = variant("tool_reference", Cacheable, tool_name=str)
Results = Annotated[
    many(one_of(Text, Image, Document, SearchResult, ToolReference)), BeforeValidator(_as_content)
]
_BLOCKS = (
    Text,
    Image,
    Document,
    SearchResult,
    variant("thinking", thinking=str, signature=str),
    variant("redacted_thinking", data=str),
    variant(
        "tool_use",
        Cacheable,
        id=Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$")],
        name=str,
        input=Object,
        caller=Object | None,
        toolset_name=str | None,
    ),
    variant(
        "tool_result",
        Cacheable,
        tool_use_id=str,
        content=Results | None,
        is_error=bool | None,
        toolset_name=str | None,
    ),
)


def _tag(kind: Any) -> str:
    """The `type` of a block, from the SDK's types or ours."""
    return get_args(get_type_hints(kind)["type"])[0]


_SDK_BLOCKS = {_tag(kind): kind for kind in get_args(types.ContentBlockParam)}
_checker = cache(lambda tag: TypeAdapter(with_config(arbitrary_types_allowed=True)(_SDK_BLOCKS[tag])))


class ServerBlock(BaseModel):
    """A block that only the real API makes (web search, code execution …): taken along if it is whole."""

    model_config = ConfigDict(extra="allow")

    cache_control: CacheControl | None = None

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, data: Any) -> Any:
        try:
            _checker(data["type"]).validate_python(data)
        except ValidationError as error:
            raise PydanticCustomError("block", "{fault}", {"fault": first_fault(error)}) from None
        return data


_SERVER_BLOCKS = [variant(tag, ServerBlock) for tag in _SDK_BLOCKS.keys() - {_tag(kind) for kind in _BLOCKS}]
Block = one_of(*_BLOCKS, *_SERVER_BLOCKS)
Display = Literal["summarized", "omitted"] | None
Thinking = one_of(
    variant("enabled", budget_tokens=Annotated[int, Field(ge=1024)], display=Display),
    variant("adaptive", display=Display),
    variant("disabled"),
    variant("between_tools"),
)
ToolChoice = one_of(
    variant("auto", disable_parallel_tool_use=bool | None),
    variant("any", disable_parallel_tool_use=bool | None),
    variant("tool", name=str, disable_parallel_tool_use=bool | None),
    variant("none"),
)


class CustomTool(Cacheable):
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")
    input_schema: Object
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool | None = None
    eager_input_streaming: bool | None = None
    defer_loading: bool | None = None
    allowed_callers: many(str) | None = None
    input_examples: many(Object) | None = None


class ServerTool(BaseModel):
    """A tool that the real API runs itself. The practice API takes it along and never calls it."""

    model_config = ConfigDict(extra="allow", strict=True)

    type: str = Field(pattern=r"^[a-z_]+_\d{8}$")
    name: str
    cache_control: CacheControl | None = None


def _tool_kind(tool: Any) -> str:
    kind = tool.get("type") if isinstance(tool, dict) else getattr(tool, "type", None)
    return "custom" if kind in (None, "custom") else "server"


Tool = Annotated[
    Annotated[CustomTool, Tag("custom")] | Annotated[ServerTool, Tag("server")], Discriminator(_tool_kind)
]


class Format(Strict):
    type: Literal["json_schema"]
    schema_: Object = Field(alias="schema")


class OutputConfig(Strict):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: Format | None = None


class Diagnostics(Strict):
    previous_message_id: str | None = None


class Metadata(Strict):
    user_id: str | None = None


class Message(Strict):
    role: Literal["user", "assistant", "system"]
    content: Annotated[many(Block), BeforeValidator(_as_content)]


class Prompt(Strict):
    """What counting tokens and creating a message have in common."""

    model: str = Field(min_length=1, max_length=256)
    messages: many(Message)
    system: Annotated[many(Text), BeforeValidator(_as_blocks)] = []
    tools: many(Tool) = []
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    cache_control: CacheControl | None = None
    speed: Literal["standard", "fast"] | None = None


class CreateMessage(Prompt):
    max_tokens: int = Field(ge=0)
    stream: bool = False
    stop_sequences: many(str) = []
    metadata: Metadata | None = None
    temperature: float | None = Field(None, ge=0, le=1)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=0)
    service_tier: Literal["auto", "standard_only"] | None = None
    container: Any = None
    diagnostics: Diagnostics | None = None
    inference_geo: str | None = None


def read_json(body: bytes) -> Object:
    """The JSON object in `body`. Raises a 400 for anything else: bad UTF-8, NaN, nesting too deep."""
    try:
        value = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise bad_request(f"The request body is not valid JSON: {str(error)[:200]}") from None
    require(isinstance(value, dict), "The request body must be a JSON object.")
    return value


def parse(kind: type[Strict], data: Object) -> Any:
    """`data` as a `kind`. Raises the 400 that names the first field at fault."""
    messages = data.get("messages")
    count = len(messages) if isinstance(messages, list) else 0
    require(count <= MAX_MESSAGES, f"messages: List should have at most {MAX_MESSAGES} items, not {count}")
    renamed = "output_format: This field was renamed: use output_config.format instead."
    require("output_format" not in data, renamed)
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise bad_request(first_fault(error)) from None


def first_fault(error: ValidationError) -> str:
    """The path to the first field at fault, and what is wrong with it."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"[:500]
