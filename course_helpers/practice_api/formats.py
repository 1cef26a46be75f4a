"""What the API refuses in the JSON schemas of a request: of tools, and of the format of a reply."""

from __future__ import annotations

import json
from typing import Any

from .errors import require
from .instances import FORMATS, schema_fault
from .schemas import CustomTool, Prompt

MAX_CHECKED = 50_000
"""Bytes of a schema that are checked against draft 2020-12: a larger one would take seconds."""
_ANYWHERE = {
    "type",
    "title",
    "description",
    "default",
    "examples",
    "enum",
    "const",
    "$ref",
    "$defs",
    "definitions",
}
_ANYWHERE |= {"anyOf", "allOf", "$schema", "$id", "$comment"}
_OF_TYPE = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems"},
    "string": {"format", "pattern"},
    "integer": set(),
    "number": set(),
    "boolean": set(),
    "null": set(),
}


def check_schemas(prompt: Prompt) -> None:
    """Raise the 400 for the first schema of `prompt` that the API does not take."""
    for number, tool in enumerate(prompt.tools):
        if isinstance(tool, CustomTool):
            path = f"tools.{number}.custom.input_schema"
            require("type" in tool.input_schema, f"{path}.type: Field required")
            require(tool.input_schema["type"] == "object", f"{path}.type: Input should be 'object'")
            _check_draft(path, tool.input_schema)
    wanted = prompt.output_config and prompt.output_config.format
    if wanted:
        path = "output_config.format.schema"
        _check_draft(path, wanted.schema_)
        _check_supported(path, wanted.schema_)


def _check_draft(path: str, schema: dict[str, Any]) -> None:
    try:
        text = json.dumps(schema, allow_nan=False)
        fault = schema_fault(text) if len(text) <= MAX_CHECKED else ""
    except ValueError:
        fault = "a number is too large"
    require(not fault, f"{path}: JSON schema is invalid. It must match JSON Schema draft 2020-12 ({fault})")


def _check_supported(path: str, schema: Any) -> None:
    """The rules for the format of a reply, which are narrower than JSON Schema."""
    if not isinstance(schema, dict):
        return
    kinds = schema.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        require(kind in _OF_TYPE, f"{path}: type {kind!r} is not supported")
    kind = kinds if isinstance(kinds, str) else " or ".join(kinds)
    allowed = _ANYWHERE.union(*(_OF_TYPE[k] for k in (kinds if isinstance(kinds, list) else [kinds])))
    for word in schema if kinds else ():
        require(word in allowed, f"{path}: For '{kind}' type, property '{word[:100]}' is not supported")
    if "object" in kinds:
        closed = schema.get("additionalProperties") is False
        require(closed, f"{path}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    form, least = schema.get("format"), schema.get("minItems", 0)
    require(form is None or form in FORMATS, f"{path}: For 'string' type, format '{form}' is not supported")
    require(
        least in (0, 1), f"{path}: For 'array' type, 'minItems' values other than 0 or 1 are not supported"
    )
    inner = [schema.get("items"), *(v for w in ("anyOf", "allOf") for v in schema.get(w, ()))]
    for word in ("properties", "$defs", "definitions"):
        inner += schema.get(word, {}).values()
    for each in inner:
        _check_supported(path, each)
