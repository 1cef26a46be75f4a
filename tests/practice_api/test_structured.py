"""Schemas: replies and tool inputs that are valid against theirs, schemas that are refused, tool rounds."""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated, Literal
from uuid import UUID

import pytest
from anthropic import beta_tool
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from course_helpers.practice_api.instances import instance
from tests.practice_api.wire import HAIKU, assistant, body, form, text, user

NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer"},
        "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
        "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
    },
    "required": ["value", "next"],
    "additionalProperties": False,
}
NAMED = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
OTHER = {"type": "object", "properties": {"b": {"const": 3}}, "required": ["b"]}
SCHEMAS = [
    {"$defs": {"Node": NODE}, "$ref": "#/$defs/Node"},
    {"enum": [None, 2]},
    {"const": {"a": [1]}},
    {"type": ["null", "string"]},
    {"anyOf": [{"type": "integer", "minimum": 5}, {"type": "string"}]},
    {"allOf": [NAMED, OTHER]},
    {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 4}]},
    {"type": "object", "required": ["q"]},
    {"type": "array", "minItems": 3, "items": {"type": "string"}, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
    {"type": "array", "maxItems": 0},
    {"type": "number", "multipleOf": 0.25, "exclusiveMinimum": 0.3},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.1},
    {"type": "integer", "exclusiveMinimum": 20, "multipleOf": 7},
    {"type": "integer", "maximum": -5},
    {"type": "string", "minLength": 50},
    {"type": "string", "maxLength": 2},
    *({"type": "string", "format": form} for form in ("date-time", "date", "email", "ipv6", "uuid", "uri")),
    True,
    {},
]


def test_an_instance_is_valid_and_always_the_same():
    """Whatever the schema says, and whatever was asked. An address is for a place called email alone."""
    for schema in SCHEMAS:
        checker = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
        for question in ("", "Compare 12 and 3.5 in New York, please: is Ada right about 'blue'?"):
            made = instance(schema, question)
            assert [error.message for error in checker.iter_errors(made)] == []
            assert json.dumps(instance(schema, question)) == json.dumps(made)
    contact = {"properties": {"name": {"type": "string"}, "email": {"type": "string"}}}
    made = instance(contact, "A mail.\nAda Lovelace (ada@example.com) would like a demo on Friday.")
    assert made == {"name": "Ada Lovelace", "email": "ada@example.com"}


ODD = [
    {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},  # has no finite instance
    {"$ref": "https://example.com/schema"},
    {"type": "string", "minLength": 10**12},
    {"type": "array", "minItems": 10**9, "items": {"type": "array", "minItems": 10**9}},
    {"enum": "x", "required": 5, "properties": [], "items": 3, "type": {"a": 1}},
    {"type": "object", "properties": {f"f{n}": {} for n in range(50_000)}},
    {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
]


def test_odd_schemas_end_too():
    """With something that JSON can hold, and not too much of it."""
    assert max(len(json.dumps(instance(schema, "Well?"))) for schema in ODD) < 200_000


class Leaf(BaseModel):
    kind: Literal["leaf"]
    name: str = Field(max_length=4)


class Tree(BaseModel):
    kind: Literal["tree"]
    leaves: list[Leaf] = Field(min_length=2)


class Person(BaseModel):
    name: str = Field(min_length=3)
    age: int = Field(ge=18, le=99)
    share: float = Field(gt=0, lt=1, description="A share.")
    size: Annotated[int, Field(multiple_of=7, gt=20)]
    born: date
    mood: Literal["good", "bad"]
    ids: list[UUID] = Field(min_length=1)
    tags: set[str] = Field(min_length=3)
    plant: Leaf | Tree = Field(discriminator="kind")
    plants: list[Leaf | Tree]
    note: str | None = None


def test_messages_parse_gets_what_its_model_takes(client, wire):
    """Bounds too, which the SDK moves into the descriptions; names and numbers come from the question.

    What a short answer adds to the question comes first: Paris, not France.
    """
    asked = [user("Who is Ada Lovelace, aged 36?")]
    reply = client.messages.parse(model=HAIKU, max_tokens=900, messages=asked, output_format=Person)
    assert (reply.parsed_output.name, reply.parsed_output.age) == ("Ada Lovelace", 36)
    assert json.loads(wire.ok(**form(city={"type": "string"}))["content"][-1]["text"]) == {"city": "Paris"}


# Tools

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
WEATHER = {
    "name": "getWeather",
    "description": "The weather of a city on a day.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CAPITAL = "What is the capital of France?"
RATED = "Search the catalogue for 'teapot' up to 40 euros, by rating."


@pytest.mark.parametrize(
    ("question", "choice", "called"),
    [
        (RATED, None, {"query": "teapot", "most": 40, "sort": "rating"}),
        ("Is there a product below 5 or 40, in Oslo?", None, {"query": "Oslo", "most": 40}),
        ("What is the weather in New York?", None, {"city": "New York"}),
        (CAPITAL, None, None),
        (CAPITAL, {"type": "any"}, {"query": "France", "most": 500}),
        ("The weather in Oslo?", {"type": "tool", "name": "search_products"}, {"query": "Oslo", "most": 500}),
        ("The weather in Oslo?", {"type": "none"}, None),
    ],
)
def test_which_tool_is_called_and_with_what(wire, question, choice, called):
    """The one whose words the question shares, or the forced one; the question's words where they fit."""
    reply = wire.ok(tools=[SHOP, WEATHER], tool_choice=choice, messages=[user(question)])
    assert (reply["stop_reason"] == "tool_use") == (called is not None)
    if called:
        schema = (SHOP if "query" in called else WEATHER)["input_schema"]
        given = reply["content"][-1]["input"]
        Draft202012Validator(schema).validate(given)
        assert called.items() <= given.items()


def test_the_answer_quotes_the_result(wire):
    """Also of a call that failed, and of several at once, whatever nulls and order of keys a client sends."""
    call = {"id": "toolu_1", "type": "tool_use", "name": "getWeather", "input": {"city": "O"}, "caller": None}
    given = {"tool_use_id": "toolu_1", "type": "tool_result", "content": [text("19 °C")], "is_error": None}
    failed = {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no such city", "is_error": True}
    said = text("One moment.", citations=None, cache_control=None)
    turns = [user("Weather?"), assistant([said, call, call | {"id": "toolu_2"}]), user([given, failed])]
    nulls = {"metadata": {"user_id": None}, "container": None}
    [block] = wire.send("/v1/messages", body(tools=[WEATHER], messages=turns) | nulls).json()["content"]
    assert block["text"] == "The tool answered: 19 °C\nThe tool failed: no such city"


def test_the_sdks_tool_runner_falls_back_to_the_whole_history(practice, client, wire):
    """It begins with a thread, is told that there is none, and sends everything itself."""

    @beta_tool
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"19 degrees in {city}"

    runner = client.beta.messages.tool_runner(
        model=HAIKU, max_tokens=500, tools=[get_weather], messages=[user("What is the weather in Oslo?")]
    )
    assert runner.until_done().content[-1].text == "The tool answered: 19 degrees in Oslo"
    assert [exchange.status for exchange in practice.journal] == [400, 200, 200]
    details = practice.journal[0].reply["error"]["details"]
    assert details["error_code"] == "thread_unsupported_request"
    assert "thread: Extra inputs" in wire.refused(thread={"type": "create"})  # without the beta's header
