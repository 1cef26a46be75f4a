"""Schemas: replies and tool inputs that are valid against theirs, and tool rounds.

Lesson 9 shows the tool runner, which falls back to the whole history.
"""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated, Literal

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from course_helpers.practice_api.instances import instance
from tests.practice_api.wire import CALL, HAIKU, RESULT, WEATHER, assistant, body, form, text, user

NODE = {
    "type": "object",
    "properties": {
        "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
        "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
    },
    "required": ["next"],
}
SCHEMAS = [
    {"$defs": {"Node": NODE}, "$ref": "#/$defs/Node"},
    *({"enum": [None, 2]}, {"const": {"a": [1]}}, {"type": ["null", "string"]}, True, {}),
    {"anyOf": [{"type": "integer", "minimum": 5}, {"type": "string"}]},
    {"allOf": [{"required": ["a"]}, {"properties": {"b": {"const": 3}}, "required": ["b"]}]},
    {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 4}]},
    {"type": "array", "minItems": 3, "items": {"type": "string"}, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
    {"type": "array", "maxItems": 0},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.1},
    {"type": "integer", "exclusiveMinimum": 20, "multipleOf": 7},
    *({"type": "string", **size} for size in ({"minLength": 50}, {"maxLength": 2})),
    *({"type": "string", "format": form} for form in ("date-time", "date", "email", "ipv6", "uuid", "uri")),
]
ENDLESS = [
    {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},  # has no finite instance
    {"$ref": "https://example.com/schema"},
    {"type": "string", "minLength": 10**12},
    {"type": "array", "minItems": 10**9, "items": {"type": "array", "minItems": 10**9}},
    {"enum": "x", "required": 5, "properties": [], "items": 3, "type": {"a": 1}},
    {"type": "object", "properties": {f"f{n}": {} for n in range(50_000)}},
]


def test_an_instance_is_valid_and_always_the_same():
    """Whatever the schema says, and whatever was asked; odd schemas end too, with not too much."""
    for schema in SCHEMAS:
        checker = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
        for question in ("", "Compare 12 and 3.5 in New York, please: is Ada right about 'blue'?"):
            made = instance(schema, question)
            assert [error.message for error in checker.iter_errors(made)] == []
            assert json.dumps(instance(schema, question)) == json.dumps(made)
    assert max(len(json.dumps(instance(schema, "Well?"))) for schema in ENDLESS) < 200_000


class Person(BaseModel):
    name: str = Field(min_length=3)
    email: str
    age: int = Field(ge=18, le=99)
    share: float = Field(gt=0, lt=1, description="A share.")
    tags: set[str] = Field(min_length=3)
    mood: Literal["good", "bad"] | date
    code: str = Field(pattern=r"^(?:[A-Z]{2}|x)-\d+[^.]$", min_length=8)
    spot: tuple[float, Annotated[str, Field(pattern=r"^\w+$", max_length=3)]]


def test_messages_parse_gets_what_its_model_takes(client, wire):
    """Bounds, patterns, tuples, which the SDK moves into descriptions; the question's names and numbers.

    What a short answer adds to the question comes first: Paris, not France.
    """
    asked = [user("A mail.\nAda Lovelace (ada@example.com), aged 36, would like a demo on Friday.")]
    reply = client.messages.parse(model=HAIKU, max_tokens=900, messages=asked, output_format=Person)
    made = reply.parsed_output
    assert (made.name, made.email, made.age) == ("Ada Lovelace", "ada@example.com", 36)
    assert json.loads(wire.ok(**form(city={"type": "string"}))["content"][-1]["text"]) == {"city": "Paris"}


FILTER = {
    "sort": {"enum": ["price", "rating"]},
    "query": {"type": "string"},
    "most": {"type": "number", "exclusiveMinimum": 10, "maximum": 500},
}
SHOP = {
    "name": "search_products",
    "description": "Search the shop's catalogue.",
    "input_schema": {"type": "object", "properties": FILTER, "required": ["query", "most"]},
}
CALLED = [
    ("'teapot' in the catalogue, 40 euros, by rating", {"query": "teapot", "most": 40, "sort": "rating"}, {}),
    ("Is there a product below 5 or 40, in Oslo?", {"query": "Oslo", "most": 40}, {}),
    ("What is the weather in New York?", {"city": "New York"}, {}),
    ("What is the capital of France?", None, {}),
    ("What is the capital of France?", {"query": "France", "most": 500}, {"type": "any"}),
    ("The weather in Oslo?", {"query": "Oslo"}, {"type": "tool", "name": "search_products"}),
    ("The weather in Oslo?", None, {"type": "none"}),
]


@pytest.mark.parametrize(("question", "called", "choice"), CALLED)
def test_which_tool_is_called_and_with_what(wire, question, called, choice):
    """The one whose words the question shares, or the forced one; the question's words where they fit."""
    reply = wire.ok(tools=[SHOP, WEATHER], tool_choice=choice or None, messages=[user(question)])
    given = [block for block in reply["content"] if block["type"] == "tool_use"]
    assert (reply["stop_reason"] == "tool_use", len(given)) == (called is not None, called is not None)
    for block in given:
        tool = SHOP if "query" in called else WEATHER
        Draft202012Validator(tool["input_schema"]).validate(block["input"])
        assert called.items() <= block["input"].items()


def test_the_answer_quotes_the_result(wire):
    """Also of a call that failed, and of several at once, whatever nulls and order of keys a client sends."""
    calls = [text("One moment.", citations=None), CALL | {"caller": None}, CALL | {"id": "toolu_2"}]
    failed = {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no such city", "is_error": True}
    turns = [user("Weather?"), assistant(calls), user([RESULT | {"is_error": None}, failed])]
    nulls = {"metadata": {"user_id": None}, "container": None}
    [block] = wire.send("/v1/messages", body(tools=[WEATHER], messages=turns) | nulls).json()["content"]
    assert block["text"] == "The tool answered: 19 °C\nThe tool failed: no such city"
