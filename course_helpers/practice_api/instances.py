"""Instances of JSON schemas: what the practice model writes where a tool or a reply must fit a schema.

The rule, in order: what the schema fixes (const, enum); the question's proper names and numbers, where they
fit; the schema's examples and default; else the plainest value of the type. The same schema and question
always make the same instance.
"""

from __future__ import annotations

import json
import math
import re
from ast import literal_eval
from contextlib import suppress
from functools import lru_cache, reduce
from itertools import accumulate, product
from typing import Any

from pydantic_core import SchemaError, SchemaValidator, core_schema

from .knowledge import loud
from .schemas import CreateMessage, CustomTool, Object

MAX_DEPTH, MAX_SIZE = 8, 2_000
"""Levels to which optional parts are filled in, values or characters at most."""
FORMATS = {"date-time": "2026-11-24T12:00:00Z", "date": "2026-11-24", "time": "12:00:00Z", "duration": "PT1H"}
FORMATS |= {"email": "ada@example.com", "hostname": "example.com", "uri": "https://example.com/"}
FORMATS |= {"ipv4": "192.0.2.1", "ipv6": "2001:db8::1", "uuid": "123e4567-e89b-42d3-a456-426614174000"}
"""The string formats that structured output supports, and an example of each."""
_WORD = r"[A-ZÀ-ÖØ-Þ][\w'’-]+"
_NAME = re.compile(
    r"(?<!\w)['\"“‘]([^'\"“”‘’\n]{1,80})['\"”’](?!\w)"
    rf"|(?<=[\w,;:(] )({_WORD}(?: {_WORD})*)|(?m:^)({_WORD} {_WORD})(?= (?:\(|is\b|was\b|would\b))"
)
"""Words in quotes, or proper names: capital letters within a sentence, or two before what follows a name."""
_NUMBER = re.compile(r"(?<![\w.-])-?\d+(?:,\d{3})*(?:\.\d+)?\b")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")
_LETTERS, _DIGITS = ("", "a", "A", "ab", "AB", "abc", "ABC"), ("", *accumulate("12345678"))
_CODES = ["".join(parts) for parts in product(_LETTERS, ("", "-"), _DIGITS)]
"""What is tried where a pattern must fit: `1234`, `abc`, `AB-12` and so on."""
_MOVED = re.compile(
    r"(?:^\{|, )(pattern|prefixItems|uniqueItems|multipleOf|(?:min|max)[ILi]\w+|exclusive\w+): "
    r"(.+?)(?=, \w+: |\}$)"
)
"""What `messages.parse` moves into a field's description, in Python's words: `{minimum: 18, pattern: ^a}`."""
_BOUNDS = {"minimum": "ge", "exclusiveMinimum": "gt", "maximum": "le", "exclusiveMaximum": "lt"}
"""The bounds of a number, and what pydantic calls them."""


def instance(schema: Any, question: str = "") -> Any:
    """A value valid against `schema` (but for not, if, odd patterns), with what fits of `question` in it."""
    try:
        return _Maker(schema, question).value(schema)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return {}  # a schema that requires itself has none, and one too large to be checked may be anything


def schema_fault(schema: Any) -> str:
    """What is wrong with a JSON schema by draft 2020-12; "" for nothing, or where jsonschema is missing."""
    try:
        text = json.dumps(schema, allow_nan=False)
    except ValueError as error:
        return str(error)
    return _fault(text) if len(text) <= 50_000 else ""  # a larger one would take seconds


@lru_cache  # the tools of a conversation come with each of its requests
def _fault(text: str) -> str:
    with suppress(ImportError):
        from jsonschema import Draft202012Validator

        checker = Draft202012Validator(Draft202012Validator.META_SCHEMA)
        return next((error.message[:200] for error in checker.iter_errors(json.loads(text))), "")
    return ""


class _Maker:
    def __init__(self, root: Any, question: str) -> None:
        self.root, self.left = root, MAX_SIZE
        self.question, self.names = question, ["".join(found) for found in _NAME.findall(question)]
        self.numbers = [float(number.replace(",", "")) for number in _NUMBER.findall(question)]

    def value(self, schema: Any, depth: int = 0, place: str = "") -> Any:
        """A value for `schema`, which stands in the property `place`."""
        self.left -= 1
        schema = self._flat(schema, last=depth >= MAX_DEPTH or self.left < 0)
        if "const" in schema:
            return schema["const"]
        if choices := schema.get("enum"):
            asked = [c for c in choices if isinstance(c, str) and c and c.lower() in self.question.lower()]
            return (asked or choices)[0]
        kind = schema.get("type") or ("object" if "properties" in schema else "string")
        kind = kind[0] if isinstance(kind, list) else kind
        if kind in ("boolean", "null"):
            return True if kind == "boolean" else None
        if kind in ("object", "array"):
            return (self._object if kind == "object" else self._array)(schema, depth)
        return self._string(schema, place) if kind == "string" else self._number(schema, kind)

    def _flat(self, schema: Any, *, last: bool) -> dict[str, Any]:
        """`schema` with references followed, all of allOf put together, and the first or last of anyOf."""
        schema = {**schema} if isinstance(schema, dict) else {}
        for word, told in _MOVED.findall(str(schema.get("description")).rpartition("\n\n")[2]):
            schema = {word: told if word == "pattern" else literal_eval(told)} | schema
        for _ in range(50):  # a reference may lead to itself
            word = next((w for w in ("$ref", "allOf", "anyOf", "oneOf") if w in schema), None)
            if word is None:
                break
            parts = schema.pop(word)
            if word == "$ref":  # as in #/$defs/Name
                parts = [reduce(lambda found, name: found.get(name, {}), parts.split("/")[1:], self.root)]
            elif word != "allOf":  # the last one is mostly null, with which a recursion ends
                parts = [parts[-1 if last else 0]]
            for part in parts:
                required = [*part.get("required", ()), *schema.get("required", ())]
                known = part.get("properties", {}) | schema.get("properties", {})
                schema = part | schema | {"required": required} | ({"properties": known} if known else {})
        return schema

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """Required properties first, as the API writes them, then the optional ones."""
        known, must = schema.get("properties", {}), schema.get("required", [])
        may = [name for name in known if name not in must and depth < MAX_DEPTH][: max(0, self.left)]
        return {name: self.value(known.get(name, {}), depth + 1, name) for name in must + may}

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        """As few items as are allowed, but one if there may be one."""
        first, rest = schema.get("prefixItems", []), schema.get("items", {})
        wanted = max(schema.get("minItems", 0), len(first), depth < MAX_DEPTH and rest is not False)
        wanted = min(wanted, schema.get("maxItems", MAX_SIZE), max(self.left, 0))
        made: list[Any] = []
        for kind in [*first, *[rest] * wanted][:wanted]:
            item = self.value(kind, depth + 1)
            if schema.get("uniqueItems") and item in made:
                item = f"{item} {len(made)}" if isinstance(item, str) else item + len(made)
            made.append(item)
        return made

    def _string(self, schema: dict[str, Any], place: str) -> str:
        """The question's next name, or the plainest text, of the length and pattern that are wanted."""
        if "email" in (place.lower(), schema.get("format")) and (mail := _MAIL.search(self.question)):
            return mail[0]
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        told = (*self.names[:1], *schema.get("examples", ()), schema.get("default"), "example")
        least, most = min(schema.get("minLength", 0), MAX_SIZE), schema.get("maxLength")
        texts = [text for text in told if isinstance(text, str)]
        texts = [text[:most] + (" example" * least)[: max(0, least - len(text))] for text in texts]
        self.names = self.names[1:]
        if pattern := schema.get("pattern"):
            with suppress(SchemaError):  # one that pydantic does not know is left alone
                rule = core_schema.str_schema(pattern=pattern, min_length=least, max_length=most)
                fits = SchemaValidator(rule).isinstance_python
                return next(filter(fits, (*texts, *self.question.split(), *_CODES)), texts[0])
        return texts[0]

    def _number(self, schema: dict[str, Any], kind: str) -> float:
        """The question's next number that fits, else the plainest that does."""
        step = schema.get("multipleOf", 1 if kind == "integer" else None)
        bounds = {rule: schema[word] for word, rule in _BOUNDS.items() if word in schema}
        rule = core_schema.float_schema(strict=True, multiple_of=step, **bounds)
        ends, by = [*bounds.values()], step or 0.5
        near = [1, *ends, *(end + way * by for end in ends for way in (1, -1)), sum(ends) / 2]
        near += [turn(end / by) * by for end in ends for turn in (math.ceil, math.floor)] + [by]
        told = (*self.numbers, *schema.get("examples", ()), schema.get("default"), *near)
        number = next(filter(SchemaValidator(rule).isinstance_python, told), 1)
        if number in self.numbers:
            self.numbers.remove(number)
        return number if number % 1 else int(number)


def call_tool(request: CreateMessage) -> Object | None:
    """Name and input of the tool that is called in answer to `request`, if one is.

    A forced tool is called. Else the one whose name and description share most words with the last question,
    the first of several; where no word is shared, none. What counts as a word `knowledge.loud` says.
    """
    choice = request.tool_choice.type if request.tool_choice else "auto"
    wanted = request.tool_choice.name if choice == "tool" else None
    tools = [tool for tool in request.tools if isinstance(tool, CustomTool) and wanted in (None, tool.name)]
    last = next(message for message in reversed(request.turns) if message.role != "system")
    if not tools or choice == "none" or last.role == "assistant":
        return None
    said = {*loud(last.text[:2_000])}
    shared = [len(said & {*loud(f"{tool.name} {tool.description or ''}"[:2_000])}) for tool in tools]
    chosen = tools[shared.index(max(shared))]
    if choice == "auto" and not any(shared):
        return None
    return {"name": chosen.name, "input": instance(chosen.input_schema, last.text)}


def quote_results(results: list[Any]) -> str:
    """What the model says once the results of its calls (blocks of type tool_result) are there."""
    said = []
    for result in results:
        parts = [part.text if part.type == "text" else part.type for part in result.content or ()]
        said.append(f"The tool {'failed' if result.is_error else 'answered'}: {' '.join(parts)[:500]}")
    return "\n".join(said)
