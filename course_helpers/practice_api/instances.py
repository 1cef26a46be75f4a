"""Instances of JSON schemas: what the practice model writes where a reply must fit a schema.

The rule, in order: what the schema fixes (const, enum); the question's proper names and numbers, where they
fit; the schema's examples and default; else the plainest value of the type. The same schema and question
always make the same instance.
"""

from __future__ import annotations

import ast
import contextlib
import math
import re
import string
from functools import reduce
from re import _compiler, _parser  # what a pattern consists of: nothing public tells
from typing import Any

from pydantic_core import SchemaValidator, core_schema

MAX_DEPTH, MAX_SIZE, TRIES = 8, 2_000, 8
"""Levels to which optional parts are filled in, values or characters at most, and ways to choose tried."""
FORMATS = {
    "date-time": "2026-11-24T12:00:00Z",
    "date": "2026-11-24",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
}
"""The string formats that structured output supports, and an example of each."""
_NAME = re.compile(
    r"(?<!\w)['\"“‘]([^'\"“”‘’\n]{1,80})['\"”’](?!\w)"
    r"|(?<=[\w,;:(] )([A-ZÀ-ÖØ-Þ][\w'’-]+(?: [A-ZÀ-ÖØ-Þ][\w'’-]+)*)"
)
"""Words in quotes, or proper names: capital letters within a sentence."""
_NUMBER = re.compile(r"(?<![\w.-])-?\d+(?:,\d{3})*(?:\.\d+)?\b")
_MOVED = re.compile(r"(?:^\{|, )([A-Za-z]+): ")
"""Before a bound that `messages.parse` moved into a field's description: `…{minimum: 18, maximum: 99}`."""
_BOUNDS = {"minimum": "ge", "exclusiveMinimum": "gt", "maximum": "le", "exclusiveMaximum": "lt"}
"""The bounds of a number, and what pydantic calls them."""


def instance(schema: Any, question: str = "") -> Any:
    """A value that is valid against `schema` (draft 2020-12), with what fits of `question` in it."""
    made = []
    for attempt in range(TRIES):
        hint = question if attempt < TRIES / 2 else ""  # at last without the question's words
        try:
            made.append(_Maker(schema, hint, attempt).value(schema))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            made.append({})  # a schema that is too large to be checked may hold anything
        if not fault(made[-1], schema):
            return made[-1]
    return made[0]


def fault(value: Any, schema: Any = None) -> str:
    """What is wrong with `value` by `schema`, or as a schema itself if there is none; "" for nothing.

    What cannot be checked (no jsonschema, a foreign $ref) passes.
    """
    try:
        from jsonschema import Draft202012Validator as Validator
        from jsonschema.exceptions import best_match
        from jsonschema_specifications import REGISTRY

        schema = Validator.META_SCHEMA if schema is None else schema
        found = best_match(Validator(schema, registry=REGISTRY).iter_errors(value))
    except Exception:
        return ""
    return found.message[:200] if found else ""


class _Maker:
    """Makes one instance; `attempt` decides between alternatives."""

    def __init__(self, root: Any, question: str, attempt: int) -> None:
        self.root, self.attempt, self.left = root, attempt, MAX_SIZE
        self.question, self.names = question.lower(), [a or b for a, b in _NAME.findall(question)]
        self.numbers = [float(number.replace(",", "")) for number in _NUMBER.findall(question)]

    def value(self, schema: Any, depth: int = 0) -> Any:
        """A value for `schema`."""
        self.left -= 1
        if depth > 10 * MAX_DEPTH:  # a schema that requires itself has no instance
            return None
        schema = self._flat(schema, deep=depth >= MAX_DEPTH or self.left < 0)
        if "const" in schema:
            return schema["const"]
        if choices := schema.get("enum"):
            asked = [c for c in choices if isinstance(c, str) and c and c.lower() in self.question]
            return (asked or choices)[self.attempt % len(asked or choices)]
        kind = schema.get("type") or ("object" if "properties" in schema else "string")
        kind = kind[self.attempt % len(kind)] if isinstance(kind, list) else kind
        if kind in ("object", "array"):
            return (self._object if kind == "object" else self._array)(schema, depth)
        if kind in ("boolean", "null"):
            return True if kind == "boolean" else None
        return self._string(schema) if kind == "string" else self._number(schema, whole=kind == "integer")

    def _flat(self, schema: Any, *, deep: bool) -> dict[str, Any]:
        """`schema` with references followed, all of allOf put together and one of anyOf chosen."""
        schema = {**_moved(schema), **schema} if isinstance(schema, dict) else {}
        for _ in range(50):  # a reference may lead to itself
            word = next((w for w in ("$ref", "allOf", "anyOf", "oneOf") if w in schema), None)
            if word is None:
                break
            parts = schema.pop(word)
            if word == "$ref":  # as in #/$defs/Name
                parts = [reduce(lambda found, name: found.get(name, {}), parts.split("/")[1:], self.root)]
            elif word != "allOf":  # the last one is mostly null, with which a recursion ends
                parts = [parts[-1 if deep else self.attempt % len(parts)]]
            for part in parts:
                required = [*part.get("required", ()), *schema.get("required", ())]
                known = part.get("properties", {}) | schema.get("properties", {})
                both = {"required": required} | ({"properties": known} if known else {})
                schema = {**part, **schema, **both}
        return schema

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """Required properties first, as the API writes them, then the optional ones."""
        known, must = schema.get("properties", {}), schema.get("required", [])
        more = depth < MAX_DEPTH and self.attempt % 2 == 0
        may = [name for name in known if name not in must and more][: max(0, self.left)]
        return {name: self.value(known.get(name, {}), depth + 1) for name in must + may}

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        """As few items as are allowed, but one if there may be one."""
        first, rest = schema.get("prefixItems", []), schema.get("items", {})
        wanted = max(schema.get("minItems", 0), len(first), depth < MAX_DEPTH and rest is not False)
        wanted = int(min(wanted, schema.get("maxItems", MAX_SIZE), max(self.left, 0)))
        made: list[Any] = []
        for kind in [*first, *[rest] * wanted][:wanted]:
            item = self.value(kind, depth + 1)
            if schema.get("uniqueItems") and item in made:
                item = f"{item} {len(made)}" if isinstance(item, str) else item + len(made)
            made.append(item)
        return made

    def _string(self, schema: dict[str, Any]) -> str:
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        if "pattern" in schema:
            with contextlib.suppress(re.error):  # \\p{L}, for instance, is not Python's
                return _matching(_parser.parse(schema["pattern"]), 1 + 5 * self.attempt)
        told = (*self.names[:1], *schema.get("examples", ()), schema.get("default"), "example")
        text, self.names = next(text for text in told if isinstance(text, str)), self.names[1:]
        least = min(schema.get("minLength", 0), MAX_SIZE)
        return text[: schema.get("maxLength")] + (" example" * least)[: max(0, least - len(text))]

    def _number(self, schema: dict[str, Any], *, whole: bool) -> float:
        """The question's next number that fits, else the plainest that does."""
        step = schema.get("multipleOf", 1 if whole else None)
        bounds = {rule: schema[word] for word, rule in _BOUNDS.items() if word in schema}
        checker = SchemaValidator(core_schema.float_schema(strict=True, multiple_of=step, **bounds))
        ends, by = [*bounds.values()], step or 0.5
        near = [1, *ends, *(end + way * by for end in ends for way in (1, -1)), sum(ends) / 2]
        near += [turn(end / by) * by for end in ends for turn in (math.ceil, math.floor)] + [by]
        told = (*self.numbers, *schema.get("examples", ()), schema.get("default"), *near)
        number = next((number for number in told if checker.isinstance_python(number)), 1)
        if number in self.numbers:
            self.numbers.remove(number)
        return number if number % 1 else int(number)


def _moved(schema: dict[str, Any]) -> dict[str, Any]:
    told = str(schema.get("description")).rpartition("\n\n")[2]
    parts = _MOVED.split(told[:-1]) if told.startswith("{") and told.endswith("}") else ()
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    for word, text in found.items():
        with contextlib.suppress(ValueError, SyntaxError):  # a pattern is no literal, and stays a string
            found[word] = ast.literal_eval(text)
    return found


def _matching(pattern: Any, times: int) -> str:
    """A text that a parsed pattern matches; what may be repeated comes so many `times`."""
    made = ""
    for code, what in pattern:
        match str(code):
            case "BRANCH":
                made += _matching(what[1][0], times)
            case "SUBPATTERN":
                made += _matching(what[3], times)
            case "MAX_REPEAT" | "MIN_REPEAT":
                made += _matching(what[2], times) * min(max(what[0], times), what[1], MAX_SIZE)
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                one = _compiler.compile(_parser.SubPattern(pattern.state, [(code, what)]))
                made += next(c for c in "aA0" + string.printable if one.match(c))
    return made
