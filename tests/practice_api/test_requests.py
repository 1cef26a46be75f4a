"""What a request may hold, and what the API says where it may not."""

from __future__ import annotations

import anthropic
import pytest

from course_helpers.models import MODEL
from tests.practice_api.conftest import BOTH_WAYS
from tests.practice_api.wire import (
    ALL_4,
    HAIKU,
    HAIKU_4,
    KEY,
    OLD,
    OPUS,
    SONNET,
    assistant,
    body,
    error_message,
    text,
    user,
)

pytestmark = BOTH_WAYS

NON_EMPTY = "all messages must have non-empty content except for the optional final assistant message"
TOOL = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "19 °C"}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}


@pytest.mark.parametrize("field", ["model", "max_tokens", "messages"])
def test_a_required_field_is_missing(wire, field):
    """The message names it."""
    assert wire.refused(**{field: None}) == f"{field}: Field required"


def test_counting_needs_no_max_tokens_and_takes_none(wire):
    """It has the same inputs otherwise."""
    assert wire.count().json().keys() == {"input_tokens"}
    assert "max_tokens: Extra inputs" in error_message(wire.count(max_tokens=5))
    assert error_message(wire.count(messages=None)) == "messages: Field required"


def test_at_least_one_message(wire):
    """An empty list is refused."""
    assert "at least one message is required" in wire.refused(messages=[])


def test_the_first_message_is_the_users(wire):
    """Also where the model takes prefill."""
    for model in (HAIKU, HAIKU_4):
        assert '"user" role' in wire.refused(model=model, messages=[assistant("Hello!"), user()])


def test_consecutive_turns_of_one_role_are_merged(wire):
    """Accepted, and understood as one turn; the same answer as for one message of two blocks."""
    told, asked = "My name is Ada.", "What is my name?"
    apart = wire.ok(messages=[user(told), user(asked)])
    assert apart["content"][0]["text"] == "Your name is Ada."
    together = wire.ok(messages=[user([text(told), text(asked)])])
    assert together["content"] == apart["content"]
    wire.ok(messages=[user(), assistant("Par"), assistant("is."), user("Hello!")])


@pytest.mark.parametrize("role", ["human", "User", "", "tool", None, 5])
def test_any_other_role_is_refused(wire, role):
    """It is user or assistant."""
    said = wire.refused(messages=[{"role": role, "content": "Hello!"}])
    assert said.startswith("messages.0.role: Input should be 'user', 'assistant'")


@pytest.mark.parametrize("role", [user, assistant])
@pytest.mark.parametrize(("words", "gist"), [("", "must be non-empty"), (" \n\t", "non-whitespace text")])
def test_empty_and_blank_text_blocks_are_refused(wire, role, words, gist):
    """In any turn."""
    assert gist in wire.refused(messages=[user(), role([text("Hello!"), text(words)]), user()])


@pytest.mark.parametrize(
    ("system", "gist"),
    [
        ("", "must be non-empty"),
        (" ", "non-whitespace"),
        ([text("")], "must be non-empty"),
        ([text("Yes."), text("\n")], "non-whitespace"),
    ],
)
def test_empty_and_blank_system_prompts_are_refused(wire, system, gist):
    """As a string and as blocks; an empty list is none at all."""
    assert gist in wire.refused(system=system)
    assert gist in error_message(wire.count(system=system))
    wire.ok(system=[])


@pytest.mark.parametrize("content", ["", []])
def test_empty_content_is_refused_but_for_a_final_assistant_message(wire, content):
    """The rule that bites a history that stored an empty reply."""
    assert NON_EMPTY in wire.refused(messages=[user(content)])
    assert NON_EMPTY in wire.refused(messages=[user(), assistant(content), user()])
    assert wire.ok(model=HAIKU_4, messages=[user(), assistant(content)])["content"]


def test_a_blank_message_is_refused(wire):
    """White space is no text."""
    assert "non-whitespace" in wire.refused(messages=[user("  ")])


@pytest.mark.parametrize("content", ["Paris ", "Paris\n", [text("Paris"), text("is ")]])
def test_prefill_may_not_end_in_white_space(wire, content):
    """On the models that take prefill at all."""
    for model in ALL_4:
        said = wire.refused(model=model, messages=[user(), assistant(content)])
        assert "final assistant content cannot end with trailing whitespace" in said
    wire.ok(model=HAIKU_4, messages=[user(), assistant(content), user("Hello!")])


def test_max_tokens_0_only_warms_the_cache(wire):
    """No content, nothing billed for output, and the cache is filled."""
    system = [text("Be brief. " * 600, cache_control={"type": "ephemeral"})]
    warmed = wire.ok(max_tokens=0, system=system)
    assert (warmed["content"], warmed["stop_reason"]) == ([], "max_tokens")
    assert warmed["usage"]["output_tokens"] == 0
    assert warmed["usage"]["cache_creation_input_tokens"] > 512
    assert wire.ok(system=system)["usage"]["cache_read_input_tokens"] > 512


@pytest.mark.parametrize(
    "field",
    [
        {"stream": True},
        {"model": HAIKU_4, "thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"output_config": {"format": {"type": "json_schema", "schema": {}}}},
        {"tools": [TOOL], "tool_choice": {"type": "any"}},
    ],
)
def test_what_max_tokens_0_does_not_go_with(wire, field):
    """Stream, manual thinking, a format, forced tools."""
    wire.refused(max_tokens=0, **field)


@pytest.mark.parametrize("value", [-1, 1.5, "10", True, [10], 1e30, 10**30])
def test_max_tokens_is_a_whole_number_from_0(wire, value):
    """A 400 that names it."""
    assert wire.refused(max_tokens=value).startswith("max_tokens")


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ({"top": 1}, "top"),
        ({"messages": [user() | {"name": "Ada"}]}, "messages.0.name"),
        ({"messages": [user([text("Hi", lang="en")])]}, "messages.0.content.0.text.lang"),
        ({"system": [text("Hi", lang="en")]}, "system.0.lang"),
        (
            {"messages": [user([text("Hi", cache_control={"type": "ephemeral", "x": 1})])]},
            "messages.0.content.0.text.cache_control.x",
        ),
        ({"metadata": {"email": "a@b.c"}}, "metadata.email"),
        ({"thinking": {"type": "adaptive", "x": 1}}, "thinking.adaptive.x"),
        ({"output_config": {"x": 1}}, "output_config.x"),
        ({"tools": [TOOL | {"x": 1}]}, "tools.0.custom.x"),
        ({"tool_choice": {"type": "auto", "name": "x"}}, "tool_choice.auto.name"),
        ({"cache_control": {"type": "ephemeral", "x": 1}}, "cache_control.x"),
    ],
)
def test_unknown_fields_are_refused_at_any_depth(wire, field, path):
    """With the path to them."""
    assert wire.refused(**field) == f"{path}: Extra inputs are not permitted"


@pytest.mark.parametrize("sequence", ["", " ", "\n\n"])
def test_a_blank_stop_sequence_is_refused(wire, sequence):
    """Each must hold something to see."""
    assert "non-whitespace" in wire.refused(stop_sequences=["END", sequence])


def test_stop_sequences_stop(wire):
    """The first one in the text; the reply says which, and leaves it out."""
    reply = wire.ok(stop_sequences=["Paris", "is"])
    assert (reply["content"][0]["text"], reply["stop_reason"], reply["stop_sequence"]) == (
        "The capital of France ",
        "stop_sequence",
        "is",
    )
    whole = wire.ok(stop_sequences=["Berlin"])
    assert (whole["stop_reason"], whole["stop_sequence"]) == ("end_turn", None)
    assert wire.ok(stop_sequences=["The capital"])["content"] == []


def test_metadata_takes_a_user_id(wire):
    """An opaque string; it changes no answer."""
    reply = wire.ok(metadata={"user_id": "u-17"})
    assert reply["content"] == wire.ok()["content"]
    assert "metadata.user_id" in wire.refused(metadata={"user_id": 17})


def test_more_than_100000_messages_are_refused(wire):
    """One fewer passes."""
    many = [user("a"), assistant("b")] * 50_000
    assert "100000" in wire.refused(messages=[*many, user("a")])
    wire.ok(messages=many[:-1])


def test_an_edited_thinking_block_in_the_latest_assistant_turn_is_refused(wire):
    """Sent back as it came, it passes; changed, moved or invented, it does not."""
    asked = user("Explain step by step why the sky is blue.")
    reply = wire.ok(messages=[asked], thinking={"type": "adaptive", "display": "summarized"})
    thought, said = reply["content"]
    wire.ok(messages=[asked, assistant(reply["content"]), user("Go on.")])
    for wrong in (
        thought | {"thinking": "I plot."},
        thought | {"signature": "x"},
        thought | {"signature": ""},
    ):
        message = wire.refused(messages=[asked, assistant([wrong, said]), user("Go on.")])
        assert message.startswith("messages.1.content.0: ")
        assert "thinking` blocks in the latest assistant message cannot be modified" in message
    later = [assistant([said]), user("And then?")]
    wire.ok(messages=[asked, assistant([thought | {"signature": "x"}, said]), user("Go on."), *later])


def test_text_alone_may_go_back(wire):
    """All thinking dropped: what the course's history does."""
    asked = user("Explain step by step why the sky is blue.")
    said = wire.ok(messages=[asked])["content"][-1]
    wire.ok(messages=[asked, assistant([said]), user("Go on.")])


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"text"', b"5", b'{"model": NaN}', b"\xff\xfe{}", b"{'model': 1}", b"{}{}"],
)
def test_a_body_that_is_no_json_object_is_refused(wire, content):
    """400 in the API's shape."""
    headers = KEY | {"anthropic-version": OLD, "content-type": "application/json"}
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        answer = wire.http.post(path, content=content, headers=headers)
        assert "JSON" in error_message(answer)


def test_no_content_type_is_needed(wire):
    """The body is read as JSON whatever its label says."""
    headers = KEY | {"anthropic-version": OLD, "content-type": "text/plain"}
    content = b'{"model": "%s", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}'
    answer = wire.http.post("/v1/messages", content=content % MODEL.encode(), headers=headers)
    assert answer.status_code == 200


def test_32_megabytes_are_the_most(wire):
    """More is a 413 that the SDK knows, on both endpoints."""
    large = user("x" * 33 * 1024 * 1024)
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        answer = wire.post(path=path, messages=[large])
        assert error_message(answer, 413) == "Request exceeds the maximum allowed number of bytes."
        assert answer.json()["error"]["type"] == "request_too_large"
    wire.ok()


# Tools, images, documents


def test_tools_are_accepted_and_one_that_is_named_is_called(wire):
    """Its input fits the schema; without a reason to call it, text."""
    plain = wire.ok(tools=[TOOL])
    assert plain["stop_reason"] == "end_turn"
    reply = wire.ok(tools=[TOOL], messages=[user("What is the weather in Paris?")])
    assert reply["stop_reason"] == "tool_use"
    assert reply["content"][-1]["input"].keys() == {"city"}
    none = {"type": "none"}
    assert (
        wire.ok(tools=[TOOL], tool_choice=none, messages=[user("The weather?")])["stop_reason"] == "end_turn"
    )


def test_a_tool_result_is_answered(wire):
    """The whole round: question, call, result, answer."""
    call = assistant([CALL])
    reply = wire.ok(tools=[TOOL], messages=[user("Weather?"), call, user([RESULT])])
    assert "19 °C" in reply["content"][0]["text"]
    blocks = RESULT | {"content": [text("19 °C"), IMAGE], "is_error": False}
    wire.ok(tools=[TOOL], messages=[user("Weather?"), call, user([blocks, text("Well?")])])
    wire.ok(messages=[user("Weather?"), call, user([RESULT | {"content": ""}])])


@pytest.mark.parametrize(
    ("turns", "words"),
    [
        ([user([RESULT])], "unexpected `tool_use_id`"),
        ([user(), assistant([CALL]), user("19 °C")], "without `tool_result`"),
        ([user(), assistant([CALL]), user([RESULT | {"tool_use_id": "toolu_2"}])], "tool_use_id"),
        ([user(), assistant("Hm."), user([RESULT])], "unexpected `tool_use_id`"),
        ([user(), assistant([CALL]), user([RESULT | {"content": [{"type": "thinking"}]}])], "tool_result"),
        ([user(), assistant([CALL]), user([RESULT | {"content": [text("x", y=1)]}])], "Extra inputs"),
    ],
)
def test_tool_calls_and_results_belong_together(wire, turns, words):
    """Each result after its call, each call with its result."""
    assert words in wire.refused(tools=[TOOL], messages=turns)


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [TOOL, TOOL]},
        {"tools": [TOOL | {"name": "get weather"}]},
        {"tools": [{"name": "get_weather"}]},
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "other"}},
        {"tools": [TOOL], "tool_choice": {"type": "tool"}},
        {"tool_choice": {"type": "any"}},
        {"tools": [TOOL], "tool_choice": {"type": "perhaps"}},
        {"tools": [{"type": "made up", "name": "x"}]},
    ],
)
def test_malformed_tools_are_refused(wire, fields):
    """A 400 that says tool."""
    assert "tool" in wire.refused(**fields).lower()


def test_server_tools_are_taken_along(wire):
    """The practice API never calls one."""
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    assert wire.ok(tools=[search])["stop_reason"] == "end_turn"


@pytest.mark.parametrize(
    "source",
    [
        IMAGE["source"],
        {"type": "url", "url": "https://example.com/a.png"},
        {"type": "file", "file_id": "file_1"},
    ],
)
def test_images_are_accepted_and_cost_tokens(wire, source):
    """The answer says that there was one; it is counted alike everywhere."""
    messages = [user([{"type": "image", "source": source}, text("What do you see?")])]
    reply = wire.ok(messages=messages)
    assert "image" in reply["content"][-1]["text"]
    assert reply["usage"]["input_tokens"] > 1000
    assert wire.count(messages=messages).json()["input_tokens"] == reply["usage"]["input_tokens"]


@pytest.mark.parametrize(
    "source", [{"type": "base64"}, {"type": "url"}, {"type": "base64", "url": "x"}, {"type": "x"}, {}, None]
)
def test_a_source_must_be_whole(wire, source):
    """What its type needs, and nothing else."""
    said = wire.refused(messages=[user([{"type": "image", "source": source}, text("What?")])])
    assert said.startswith("messages.0.content.0.image.source")


@pytest.mark.parametrize("block", [{"type": "video"}, {"text": "Hi"}, {}, "Hi", 5, None])
def test_unknown_blocks_are_refused(wire, block):
    """With their place."""
    assert wire.refused(messages=[user([block])]).startswith("messages.0.content.0")


# What the client does


def test_the_sdk_checks_nothing_itself(practice, client):
    """Wrong requests come here, and the error is the server's."""
    for wrong in ({"messages": []}, {"messages": [{"role": "x"}]}, {"max_tokens": -1}):
        with pytest.raises(anthropic.BadRequestError):
            client.messages.create(**body() | wrong)
    assert len(practice.journal) == 3


def test_long_answers_must_be_streamed(practice, client):
    """21,334 tokens without a stream: the SDK refuses before any request."""
    with pytest.raises(ValueError, match="Streaming is required"):
        client.messages.create(**body(max_tokens=21_334))
    assert len(practice.journal) == 0
    client.messages.create(**body(max_tokens=21_333))


@pytest.mark.parametrize("model", [HAIKU, SONNET, OPUS, *ALL_4])
def test_counting_equals_what_is_billed(wire, model):
    """System prompt, tools, several turns: `count_tokens` and the usage agree."""
    fields = {
        "model": model,
        "system": "You are terse.",
        "tools": [TOOL],
        "messages": [user("Weather?"), assistant([CALL]), user([RESULT, text("Is that warm?")])],
    }
    counted = wire.count(**fields).json()["input_tokens"]
    assert wire.ok(**fields)["usage"]["input_tokens"] == counted
    assert counted > wire.count(model=model).json()["input_tokens"]


def test_counting_ignores_caching(wire):
    """The same number, cached or not."""
    system = [text("Be brief. " * 600, cache_control={"type": "ephemeral"})]
    first = wire.count(system=system).json()
    wire.ok(system=system)
    assert wire.count(system=system).json() == first
