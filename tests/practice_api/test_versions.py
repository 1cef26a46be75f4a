"""The two API versions and the two ways to send a key."""

from __future__ import annotations

import anthropic
import pytest

from tests.practice_api.wire import HAIKU, HAIKU_4, KEY, NEW, OLD, assistant, body, error_message, text, user

BEARER = {"authorization": "Bearer practice"}
SECRET = "sk-ant-api03-not-to-be-seen-anywhere"
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A page."}}
CITED = text("Paris.", citations=[{"type": "char_location"}])
FOUND = {"type": "search_result", "source": "s", "title": "t", "content": [text("Paris.")]}


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize("headers", [KEY, BEARER, {"authorization": "bearer practice"}, KEY | BEARER])
def test_both_versions_take_both_headers(wire, version, headers):
    """x-api-key or Bearer, or both; for all endpoints."""
    assert wire.post(version=version, headers=headers).status_code == 200
    assert wire.count(version=version, headers=headers).status_code == 200
    got = wire.http.get("/v1/models", headers=headers | {"anthropic-version": version})
    assert got.status_code == 200


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "header is required"),
        ({"x-api-key": SECRET}, "invalid x-api-key"),
        ({"x-api-key": ""}, "header is required"),
        ({"authorization": f"Bearer {SECRET}"}, "invalid bearer token"),
        ({"authorization": f"Basic {SECRET}"}, "invalid bearer token"),
        ({"authorization": "practice"}, "invalid bearer token"),
        ({"x-api-key": SECRET, **BEARER}, "invalid x-api-key"),
    ],
)
def test_any_other_key_is_a_401_and_leaves_no_trace(practice, wire, headers, words):
    """Not in the answer, not in the journal."""
    answer = wire.post(headers=headers)
    assert words in error_message(answer, 401)
    assert answer.json()["error"]["type"] == "authentication_error"
    assert SECRET not in answer.text + str(answer.headers) + repr(list(practice.journal)) + repr(practice)


def test_the_version_header_is_required(wire):
    """A 400, also where everything else is fine."""
    for answer in (
        wire.post(version=None),
        wire.count(version=None),
        wire.http.get("/v1/models", headers=KEY),
    ):
        assert error_message(answer) == "anthropic-version: header is required"


@pytest.mark.parametrize("version", ["2023-01-01", "2026-10-22", "", "latest", f"{OLD}, {OLD}", "x" * 5000])
def test_an_unknown_version_is_quoted_and_refused(wire, version):
    """Two versions live, no other."""
    said = wire.refused(version=version)
    assert f'"{version[:100]}' in said
    assert "is not a valid version" in said


def test_a_doubled_version_header_is_refused_as_one_joined_by_a_comma(wire):
    """As a proxy that adds its own header makes it."""
    headers = [("x-api-key", "practice"), ("anthropic-version", OLD), ("anthropic-version", NEW)]
    said = error_message(wire.http.post("/v1/messages", json=body(), headers=headers))
    assert f'"{OLD}, {NEW}" is not a valid version' in said


def test_the_sdk_of_today_sends_the_new_version_and_a_bearer_token(practice, client):
    """And says so in the journal, the key blacked out."""
    client.messages.create(**body())
    sent = practice.journal[-1].headers
    assert sent["anthropic-version"] == NEW
    assert sent["authorization"] == "Bearer [redacted]"
    assert "x-api-key" not in sent
    assert sent["accept"] == "application/json"


def test_documents_in_assistant_turns_ended_with_the_new_version(wire):
    """Difference 2: allowed under the old version, also for counting."""
    messages = [user(), assistant([DOCUMENT, text("Yes.")]), user("Thanks. Hello!")]
    wire.ok(version=OLD, messages=messages)
    assert "document" in wire.refused(version=NEW, messages=messages)
    assert "document" in error_message(wire.count(version=NEW, messages=messages))
    wire.ok(version=NEW, messages=[user([DOCUMENT, text("Hello!")])])


@pytest.mark.parametrize(
    "content",
    [
        [CITED],
        [FOUND | {"content": [CITED]}, text("Hello!")],
    ],
)
def test_citations_in_user_turns_ended_with_the_new_version(wire, content):
    """Difference 3: a text with citations, there or inside a search result."""
    wire.ok(version=OLD, messages=[user(content)])
    assert "citations" in wire.refused(version=NEW, messages=[user(content)])
    assert "citations" in error_message(wire.count(version=NEW, messages=[user(content)]))


def test_search_results_inside_tool_results_are_looked_at_too(wire):
    """Inside a search result, wherever that stands."""
    call = {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {}}
    given = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [FOUND | {"content": [CITED]}]}
    messages = [user(), assistant([call]), user([given])]
    wire.ok(version=OLD, messages=messages)
    assert "citations" in wire.refused(version=NEW, messages=messages)


def test_citations_pass_where_they_may_stand(wire):
    """Empty ones in a user turn; any in an assistant turn."""
    wire.ok(version=NEW, messages=[user([text("Hello!", citations=[])])])
    wire.ok(version=NEW, messages=[user(), assistant([CITED]), user("Hello!")])


def test_sampling_parameters_ended_with_the_new_version(wire, client):
    """Difference 1: any presence is a 400; the SDK of today does not even have them."""
    assert wire.refused(version=NEW, model=HAIKU_4, top_k=0) == "top_k: Extra inputs are not permitted"
    assert "temperature" in error_message(
        wire.send("/v1/messages", body(model=HAIKU_4) | {"temperature": None})
    )
    with pytest.raises(TypeError):
        client.messages.create(**body(temperature=1))
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(**body(model=HAIKU), extra_body={"temperature": 1.0})
