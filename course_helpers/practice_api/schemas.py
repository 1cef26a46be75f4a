"""The shapes of the wire: requests as strict pydantic models, made from the SDK's own types, and errors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import groupby
from typing import Annotated, Any, Literal, Required, Union, get_args, get_origin, get_type_hints

import pydantic
import pydantic_core
from anthropic import types
from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag
from typing_extensions import is_typeddict

MAX_MESSAGES = MAX_REQUESTS = 100_000
Object = dict[str, Any]
Headers = list[tuple[bytes, bytes]]  # as ASGI has them
STATUSES = {
    400: ("invalid_request_error", "The practice API was told to refuse this request."),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your credit balance is too low."),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "The requested resource could not be found."),
    405: ("invalid_request_error", "Method not allowed"),
    408: ("invalid_request_error", "The request timed out."),
    409: ("conflict_error", "The resource was changed by another request."),
    413: ("request_too_large", "Request exceeds the maximum allowed number of bytes."),
    422: ("invalid_request_error", "The request could not be processed."),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    500: ("api_error", "Internal server error"),
    501: ("api_error", "Not implemented"),
    502: ("api_error", "Bad gateway"),
    503: ("api_error", "Service unavailable"),
    504: ("timeout_error", "The request took too long: use streaming for long requests."),
    529: ("overloaded_error", "Overloaded"),
}
"""Every status the practice API can answer with, besides 200: its error type and its usual message."""


class Dropped(Exception):
    """Raised where the connection drops without a word."""


@dataclass(eq=False)
class ApiError(Exception):
    """An answer other than 200: raised anywhere in the practice API, sent by the application."""

    status: int
    message: str | None = None
    error_code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def body(self, request_id: str) -> Object:
        """The error as the API sends it."""
        kind, usual = STATUSES[self.status]
        error: Object = {"type": kind, "message": (self.message or usual)[:1_000]}  # it may quote
        if self.error_code:
            error["details"] = {"error_code": self.error_code}
        return {"type": "error", "error": error, "request_id": request_id}


def require(truth: object, message: str) -> None:
    """Raise a 400 with `message` unless `truth`: the request itself must be mended."""
    if not truth:
        raise ApiError(400, message)


class Strict(BaseModel, extra="forbid", strict=True):
    """Types are not coerced, and a field that the API does not know is refused."""


class Format(Strict):
    type: Literal["json_schema"]
    schema_: Object = Field(alias="schema")


_OWN = {
    (types.Base64ImageSourceParam, "data"): (str, ...),
    (types.Base64PDFSourceParam, "data"): (str, ...),
    (types.CacheControlEphemeralParam, "ttl"): (Literal["5m", "1h"], "5m"),
    (types.OutputConfigParam, "format"): (Format | None, None),
    (types.ThinkingConfigEnabledParam, "budget_tokens"): (Annotated[int, Field(ge=1024)], ...),
    (types.ToolParam, "input_schema"): (Object, ...),
    (types.ToolParam, "name"): (Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")], ...),
    (types.ToolUseBlockParam, "id"): (Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$")], ...),
}
"""Where the wire knows a field more exactly than the SDK's types do: its type and default."""


@cache
def strict(kind: Any) -> Any:
    """A type of the SDK as pydantic is to check it: TypedDicts as `Strict` models, `type` their first field.

    Members of a union are told apart by their `type`; a string stands for a list of one text block.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if is_typeddict(kind):
        hints = sorted(get_type_hints(kind, include_extras=True).items(), key=lambda hint: hint[0] != "type")
        fields = {name: _OWN.get((kind, name)) or _field(hint) for name, hint in hints}
        return pydantic.create_model(kind.__name__, __base__=Strict, **fields)
    if origin is Union:
        for part in parts if str in parts else ():
            if get_origin(part) is Iterable:
                return Annotated[strict(part), BeforeValidator(_as_content)]
        union = Union[tuple(strict(part) for part in parts)]  # noqa: UP007
        return Annotated[union, Discriminator("type")] if all(map(is_typeddict, parts)) else union
    if origin in (Required, Annotated):
        return strict(parts[0])
    return many(strict(parts[0])) if origin in (Iterable, list) else kind


def _field(hint: Any) -> tuple[Any, Any]:
    return (strict(hint), ...) if get_origin(hint) is Required else (strict(hint) | None, None)


def many(kind: Any) -> Any:
    """A list of `kind`, checked up to its first fault."""
    return Annotated[list[kind], Field(fail_fast=True)]


def _as_content(content: Any) -> Any:
    return [] if content == "" else _as_blocks(content)


def _as_blocks(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


CacheControl = strict(types.CacheControlEphemeralParam)
CustomTool = strict(types.ToolParam)


class ServerTool(BaseModel, extra="allow", strict=True):
    """A tool that the real API runs itself. The practice API takes it along and never calls it."""

    type: str = Field(pattern=r"^[a-z_]+_\d{8}$")
    name: str
    cache_control: CacheControl | None = None


def _tool_kind(tool: Any) -> str:
    kind = tool.get("type") if isinstance(tool, dict) else getattr(tool, "type", None)
    return "custom" if kind in (None, "custom") else "server"


Tool = Annotated[CustomTool, Tag("custom")] | Annotated[ServerTool, Tag("server")]


class Message(Strict):
    role: Literal["user", "assistant", "system"]
    content: strict(Union[str, Iterable[types.ContentBlockParam]])  # noqa: UP007

    @property
    def text(self) -> str:
        """Its text blocks, a line each."""
        return "\n".join(block.text for block in self.content if block.type == "text")


class Prompt(Strict):
    """What counting tokens and creating a message have in common."""

    model: str = Field(min_length=1, max_length=256)
    messages: many(Message) = Field(max_length=MAX_MESSAGES)
    system: Annotated[many(strict(types.TextBlockParam)), BeforeValidator(_as_blocks)] = []
    tools: many(Annotated[Tool, Discriminator(_tool_kind)]) = []
    tool_choice: strict(types.ToolChoiceParam) | None = None
    thinking: strict(types.ThinkingConfigParam) | None = None
    output_config: strict(types.OutputConfigParam) | None = None
    cache_control: CacheControl | None = None
    speed: Literal["standard", "fast"] | None = None

    @cached_property
    def turns(self) -> list[Message]:
        """The messages with consecutive turns of one role combined into one, as the API does."""
        merged: list[Message] = []
        for role, several in groupby(self.messages, lambda message: message.role):
            one, *more = several
            content = [block for message in (one, *more) for block in message.content]
            merged.append(Message.model_construct(role=role, content=content) if more else one)
        return merged


class CreateMessage(Prompt):
    max_tokens: int = Field(ge=0)
    stream: bool = False
    stop_sequences: many(str) = []
    metadata: strict(types.MetadataParam) | None = None
    temperature: float | None = Field(None, ge=0, le=1)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=0)
    service_tier: Literal["auto", "standard_only"] | None = None
    container: Any = None
    diagnostics: strict(types.DiagnosticsParam) | None = None
    inference_geo: str | None = None


class BatchRequest(Strict):
    custom_id: str = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")
    params: Object


class CreateBatch(Strict):
    requests: many(BatchRequest) = Field(min_length=1, max_length=MAX_REQUESTS)


def read_json(body: bytes) -> Object:
    """The JSON object in `body`. Raises a 400 for anything else: bad UTF-8, NaN, nesting too deep."""
    try:
        value = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise ApiError(400, f"The request body is not valid JSON: {str(error)[:200]}") from None
    require(isinstance(value, dict), "The request body must be a JSON object.")
    return value


def parse(kind: type[Strict], data: Object) -> Any:
    """`data` as a `kind`. Raises the 400 that names the first field at fault."""
    renamed = "output_format: This field was renamed: use output_config.format instead."
    require("output_format" not in data, renamed)
    try:
        return kind.model_validate(data)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    raise ApiError(400, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"[:500])
