"""Instances of JSON schemas: what the practice model writes where a reply must fit a schema.

The rule, in order: what the schema fixes (const, enum); the question's proper names and numbers, where they
fit; the schema's examples and default; else the plainest value of the type. The same schema and question
always make the same instance.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from re import _compiler, _parser  # what a pattern consists of: nothing public tells
from typing import Any

MAX_DEPTH, MAX_VALUES, MAX_LENGTH, TRIES = 8, 2_000, 2_000, 8
"""Levels to which optional parts are filled in, values and characters at most, and ways to choose tried."""
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
_TYPES = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "prefixItems", "minItems"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}
"""Keywords that tell the type of a schema that does not name it."""


def instance(schema: Any, question: str = "") -> Any:
    """A value that is valid against `schema` (draft 2020-12), with what fits of `question` in it."""
    first = _Maker(schema, question, 0).value(schema)
    hints = [question] * (TRIES // 2) + [""] * (TRIES // 2)  # at last without the question's words
    others = (_Maker(schema, hint, attempt).value(schema) for attempt, hint in enumerate(hints))
    return first if is_valid(first, schema) else next((o for o in others if is_valid(o, schema)), first)


def is_valid(value: Any, schema: Any) -> bool:
    """Is `value` an instance of `schema`? What cannot be checked (no jsonschema, a foreign $ref) passes."""
    try:
        from jsonschema import Draft202012Validator
        from referencing import Registry

        return Draft202012Validator(schema, registry=Registry()).is_valid(value)
    except Exception:
        return True


@lru_cache(maxsize=256)
def schema_fault(text: str) -> str:
    """What is wrong with the JSON schema in `text`, by the rules of draft 2020-12; "" for nothing."""
    try:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match
    except ImportError:
        return ""
    fault = best_match(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(json.loads(text)))
    return fault.message[:200] if fault else ""


class _Maker:
    """Makes one instance; `attempt` decides between alternatives."""

    def __init__(self, root: Any, question: str, attempt: int) -> None:
        self.root, self.attempt, self.left = root, attempt, MAX_VALUES
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
        if choices := _as(list, schema.get("enum")):
            named = [c for c in choices if isinstance(c, str) and c and c.lower() in self.question]
            return (named or choices)[self.attempt % len(named or choices)]
        told = (kind for kind, words in _TYPES.items() if words & schema.keys())
        kind = schema.get("type") or next(told, ["string", "integer", "boolean", "null", "array", "object"])
        kind = kind[self.attempt % len(kind)] if isinstance(kind, list) else kind
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "integer" | "number":
                return self._number(schema, whole=kind == "integer")
        return True if kind == "boolean" else None

    def _flat(self, schema: Any, *, deep: bool) -> dict[str, Any]:
        """`schema` with references followed, all of allOf put together and one of anyOf chosen."""
        schema = {**_moved_bounds(_as(dict, schema)), **_as(dict, schema)}
        for _ in range(50):  # a reference may lead to itself
            word = next((w for w in ("$ref", "allOf", "anyOf", "oneOf") if w in schema), None)
            if word is None:
                break
            parts = schema.pop(word)
            if word == "$ref":
                parts = [self._referred(parts)]
            elif word != "allOf" and _as(list, parts):
                plain = [part for part in parts if deep and "type" in _as(dict, part)]
                parts = [plain[-1] if plain else parts[self.attempt % len(parts)]]
            for part in _as(list, parts):
                schema = _both(schema, _as(dict, part))
        return schema

    def _referred(self, pointer: Any) -> Any:
        """What `#/$defs/Name` stands for; {} where nothing is there."""
        found = self.root
        for step in str(pointer).removeprefix("#").split("/")[1:]:
            found = _as(dict, found).get(step.replace("~1", "/").replace("~0", "~"), {})
        return found

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """Required properties first, as the API writes them, then the optional ones."""
        known = _as(dict, schema.get("properties"))
        must = [name for name in _as(list, schema.get("required")) if isinstance(name, str)]
        may = [name for name in known if name not in must and depth < MAX_DEPTH and self.attempt % 2 == 0]
        may += [f"key_{n}" for n in range(1, 1 + int(_size(schema, "minProperties", 0)) - len(must + may))]
        may = may[: int(min(_size(schema, "maxProperties", MAX_VALUES), max(0, self.left)))]
        others = schema.get("additionalProperties", {})
        return {name: self.value(known.get(name, others), depth + 1) for name in must + may}

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        """As few items as are allowed, but one if there may be one."""
        first, rest = _as(list, schema.get("prefixItems")), schema.get("items", {})
        wanted = max(_size(schema, "minItems", 0), len(first), depth < MAX_DEPTH and rest is not False)
        wanted = int(min(wanted, _size(schema, "maxItems", MAX_LENGTH), max(self.left, 0)))
        kinds = [*first, *[schema.get("contains", rest)] * wanted][:wanted]
        made: list[Any] = []
        for number, kind in enumerate(kinds):
            item = self.value(kind, depth + 1)
            if schema.get("uniqueItems") and item in made:
                more = _as(list, self._flat(kind, deep=False).get("enum"))
                more = more or [f"{item} {number}" if isinstance(item, str) else _as(int, item) + number]
                item = next((other for other in more if other not in made), item)
            made.append(item)
        return made

    def _string(self, schema: dict[str, Any]) -> str:
        least, most = _size(schema, "minLength", 0), _size(schema, "maxLength", MAX_LENGTH)
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        if isinstance(schema.get("pattern"), str):
            return _matching(schema["pattern"], least, most)
        told = [v for v in (*_as(list, schema.get("examples")), schema.get("default")) if isinstance(v, str)]
        text = self.names.pop(0) if self.names else (told or ["example"])[0]
        return (text + " example" * math.ceil((least - len(text)) / 8))[
            : int(max(least, min(most, len(text))))
        ]

    def _number(self, schema: dict[str, Any], *, whole: bool) -> float:
        """The question's next number that fits, else the plainest that does."""
        words = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
        low, above, high, below = bounds = [_figure(schema, word) for word in words]
        step = _figure(schema, "multipleOf") or int(whole)

        def fits(number: float) -> bool:
            inside = (low is None or number >= low) and (above is None or number > above)
            inside = inside and (high is None or number <= high) and (below is None or number < below)
            return inside and not (whole and number % 1) and (not step or abs(number / step % 1) < 1e-9)

        ends = [end for end in bounds if end is not None]
        told = [v for v in (*_as(list, schema.get("examples")), schema.get("default")) if _is_figure(v)]
        near = [1, *ends, *(end + way * (step or 0.5) for end in ends for way in (1, -1)), sum(ends) / 2]
        near += [turn(end / step) * step for end in ends if step for turn in (math.ceil, math.floor)] + [step]
        number = next((number for number in (*self.numbers, *told, *near) if fits(number)), 1)
        if number in self.numbers:
            self.numbers.remove(number)
        return number if number % 1 else int(number)


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A schema that asks for what both ask for."""
    made = {**other, **one}
    for word in one.keys() & other.keys():
        mine, theirs = one[word], other[word]
        if isinstance(mine, dict) and isinstance(theirs, dict):
            made[word] = {**theirs, **mine} | {
                k: {"allOf": [mine[k], theirs[k]]} for k in mine.keys() & theirs
            }
        elif isinstance(mine, list) and isinstance(theirs, list):
            made[word] = mine + theirs if word == "required" else [value for value in mine if value in theirs]
        elif _is_figure(mine) and _is_figure(theirs):
            made[word] = max(mine, theirs) if "min" in word.lower() else min(mine, theirs)
    return made


def _moved_bounds(schema: dict[str, Any]) -> dict[str, Any]:
    """The bounds that `messages.parse` moved into a field's description: `…{minimum: 18, maximum: 99}`."""
    told = schema.get("description")
    words = ("\n\n" + told).rpartition("\n\n")[2] if isinstance(told, str) else ""
    parts = _MOVED.split(words[:-1]) if words.startswith("{") and words.endswith("}") else []
    found: dict[str, Any] = {}
    for word, text in zip(parts[1::2], parts[2::2], strict=True):
        try:
            found[word] = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found[word] = text
    return found


def _as(kind: type, value: Any) -> Any:
    """`value` if it is a `kind`, else an empty one: a schema may hold anything."""
    return value if isinstance(value, kind) else kind()


def _is_figure(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300


def _figure(schema: dict[str, Any], word: str) -> float | None:
    return schema[word] if _is_figure(schema.get(word)) else None


def _size(schema: dict[str, Any], word: str, default: int) -> float:
    """A length or number of items, bounded: nobody waits for a billion."""
    size = _figure(schema, word)
    return default if size is None else max(0, min(size, MAX_LENGTH))


def _matching(pattern: str, least: float, most: float) -> str:
    """A text that `pattern` matches, of `least` to `most` characters if there is one."""
    try:
        tree, compiled = _parser.parse(pattern), re.compile(pattern)
        made = ["".join(_pieces(tree, tree.state, more, {})) for more in (0, 1, 3, 7, 15, 40)]
    except (re.error, OverflowError, RecursionError, StopIteration, RuntimeError):
        return "example"
    return next((t for t in made if least <= len(t) <= most and compiled.search(t)), made[0])


def _pieces(tree: Any, state: Any, more: int, groups: dict[int, str]) -> Iterator[str]:
    """The pieces of a text that a parsed pattern matches; repeats are made `more` times than they must."""
    for code, what in tree:
        match str(code):
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                one = _compiler.compile(_parser.SubPattern(state, [(code, what)]))
                known = chr(what) if str(code) == "LITERAL" else "a0A_-1b .,!"
                yield next(c for c in (*known, *map(chr, range(33, 0x250))) if one.match(c))
            case "BRANCH":
                yield from _pieces(what[1][0], state, more, groups)
            case "SUBPATTERN":
                groups[what[0]] = "".join(_pieces(what[3], state, more, groups))
                yield groups[what[0]]
            case "GROUPREF":
                yield groups.get(what, "")
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, inner = what
                for _ in range(min(most, MAX_LENGTH, least if most == least else max(least, 1) + more)):
                    yield from _pieces(inner, state, more, groups)
