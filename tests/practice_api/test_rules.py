"""What a request may hold, model by model and version by version: two tables, accepted and refused."""

from __future__ import annotations

import pytest

from tests.practice_api.wire import (
    ALL_4,
    ALL_5,
    HAIKU,
    HAIKU_4,
    KEY,
    NEW,
    OLD,
    OPUS,
    SONNET,
    assistant,
    body,
    error_message,
    text,
    user,
)

MARK, HOUR = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
TOOL = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "19 °C"}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
GIF, JPEG, WEBP = "R0lGODlhAQABAAAAACw=", "/9j/4AAQSkZJRg==", "UklGRhoAAABXRUJQVlA4"
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A page."}}
PLACE = {"document_index": 0, "document_title": None, "start_char_index": 0, "end_char_index": 6}
CITED = text("Paris.", citations=[{"type": "char_location", "cited_text": "Paris.", **PLACE}])
FOUND = {"type": "search_result", "source": "s", "title": "t", "content": [text("Paris.")]}
ADAPTIVE, DISABLED = {"type": "adaptive"}, {"type": "disabled"}
MANUAL, BETWEEN = {"type": "enabled", "budget_tokens": 1024}, {"type": "between_tools"}
SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = user("Explain step by step why the sky is blue.")
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
PAGES = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
UPLOAD = {"type": "container_upload", "file_id": "file_1"}
NON_EMPTY = "all messages must have non-empty content except for the optional final assistant message"


def image(data: str = PNG, kind: str = "image/png") -> dict:
    """An image block."""
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


def asks(*blocks) -> dict:
    """A request whose one message holds `blocks`."""
    return {"messages": [user([*blocks, text("Well?")])]}


def talks(*messages, **fields) -> dict:
    """A request of several messages."""
    return {"messages": [*messages], **fields}


REFUSED = [
    # Fields and their types
    ({"model": None}, "model: Field required"),
    ({"max_tokens": None}, "max_tokens: Field required"),
    ({"messages": None}, "messages: Field required"),
    *(({"max_tokens": value}, "max_tokens") for value in (-1, 1.5, "10", True, [10], 1e30, 10**30)),
    ({"top": 1}, "top: Extra inputs are not permitted"),
    (talks(user() | {"name": "Ada"}), "messages.0.name: Extra inputs"),
    (asks(text("Hi", lang="en")), "messages.0.content.0.text.lang: Extra inputs"),
    ({"system": [text("Hi", lang="en")]}, "system.0.lang: Extra inputs"),
    (asks(text("Hi", cache_control=MARK | {"x": 1})), "messages.0.content.0.text.cache_control.x: Extra"),
    ({"metadata": {"email": "a@b.c"}}, "metadata.email: Extra inputs"),
    ({"metadata": {"user_id": 17}}, "metadata.user_id"),
    ({"thinking": ADAPTIVE | {"x": 1}}, "thinking.adaptive.x: Extra inputs"),
    ({"output_config": {"x": 1}}, "output_config.x: Extra inputs"),
    ({"tools": [TOOL | {"x": 1}]}, "tools.0.custom.x: Extra inputs"),
    ({"tool_choice": {"type": "auto", "name": "x"}}, "tool_choice.auto.name: Extra inputs"),
    ({"cache_control": MARK | {"x": 1}}, "cache_control.x: Extra inputs"),
    ({"stop_sequences": ["END", " \n"]}, "stop_sequences.1: each stop sequence must contain non-whitespace"),
    ({"path": "/v1/messages/count_tokens"}, "max_tokens: Extra inputs"),
    # Messages
    (talks(), "at least one message is required"),
    (talks(assistant("Hello!"), user()), 'first message must use the "user" role'),
    (talks(assistant("Hello!"), user(), model=HAIKU_4), 'first message must use the "user" role'),
    *(
        (talks({"role": r, "content": "Hi"}), "messages.0.role: Input should be 'user'")
        for r in ("human", "", 5)
    ),
    *((talks(user(c)), NON_EMPTY) for c in ("", [])),
    *((talks(user(), assistant(c), user()), NON_EMPTY) for c in ("", [])),
    *(
        (talks(user([text("Hi"), text(w)])), gist)
        for w, gist in (("", "be non-empty"), (" ", "non-whitespace"))
    ),
    (talks(user("  ")), "non-whitespace text"),
    *(
        ({"system": s}, gist)
        for s, gist in (("", "be non-empty"), (" ", "non-whitespace"), ([text("")], "non-"))
    ),
    *(
        (asks(block), "messages.0.content.0")
        for block in ({"type": "video"}, {"text": "Hi"}, {}, "Hi", 5, None)
    ),
    # Prefill, system turns
    *((talks(user(), assistant("The capital"), model=m), "prefill") for m in ALL_5),
    *((talks(user(), assistant(c), model=HAIKU_4), "trailing whitespace") for c in ("Paris ", [text("a\n")])),
    *((talks(user(), SYSTEM, model=m, version=v), "system") for m in ALL_4 for v in (OLD, NEW)),
    (talks(SYSTEM), "a system message must come right after a user turn"),
    (talks(SYSTEM, user()), "a system message must come right after a user turn"),
    (talks(user(), SYSTEM, SYSTEM), "a system message must come right after a user turn"),
    (talks(user(), SYSTEM, user()), "a system message must come right after a user turn"),
    (talks(user(), assistant("Yes."), SYSTEM), "a system message must come right after a user turn"),
    # Thinking, effort, sampling
    ({"model": HAIKU_4, "thinking": ADAPTIVE}, "thinking.type: adaptive is not supported"),
    ({"thinking": MANUAL}, "thinking.type: enabled is not supported"),
    *(({"model": m, "thinking": DISABLED}, "disabled is not supported") for m in (SONNET, OPUS)),
    *(({"model": m, "thinking": BETWEEN}, "between_tools is not supported") for m in (HAIKU, OPUS, HAIKU_4)),
    *(({"thinking": DISABLED, "output_config": {"effort": e}}, "at effort") for e in ("xhigh", "max")),
    ({"model": HAIKU_4, "output_config": {"effort": "low"}}, "does not support the effort parameter"),
    ({"model": HAIKU_4, "thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens: Field required"),
    ({"model": HAIKU_4, "thinking": MANUAL | {"budget_tokens": 1023}}, "greater than or equal to 1024"),
    (
        {"model": HAIKU_4, "thinking": MANUAL, "max_tokens": 1024},
        "must be greater than `thinking.budget_tokens`",
    ),
    ({"thinking": {"type": "sometimes"}}, "thinking"),
    *(({"model": m, f: 0.5}, f) for m in (HAIKU, HAIKU_4) for f in ("temperature", "top_p")),
    *(({f: v, "version": OLD}, "deprecated for this model") for f, v in (("temperature", 0.5), ("top_k", 5))),
    ({"model": HAIKU_4, "top_k": 0}, "top_k: Extra inputs are not permitted"),
    ({"model": HAIKU_4, "version": OLD, "temperature": 0.5, "top_p": 0.5}, "only one"),
    *(({"model": HAIKU_4, "version": OLD, "temperature": v}, "temperature") for v in (1.1, -1, "1", True)),
    # Sizes
    *(({"model": m, "max_tokens": 64_001}, "max_tokens: 64001 > 64000") for m in ALL_4),
    *(({"model": m, "max_tokens": 128_001}, "max_tokens: 128001 > 128000") for m in ALL_5),
    (talks(user("word " * 200_000), model=HAIKU_4), " tokens > 200000 maximum"),
    (talks(*[user("a"), assistant("b")] * 50_000, user("a")), "at most 100000 items"),
    # max_tokens 0 only warms the cache
    *(
        ({"max_tokens": 0} | f, "max_tokens: 0 is not supported together with")
        for f in (
            {"stream": True},
            {"tools": [TOOL], "tool_choice": {"type": "any"}},
            {"model": HAIKU_4, "thinking": MANUAL},
            {"output_config": {"format": {"type": "json_schema", "schema": {}}}},
        )
    ),
    # Tools and what comes back from them
    ({"tools": [TOOL, TOOL]}, "Tool names must be unique"),
    ({"tools": [TOOL | {"name": "get weather"}]}, "tools.0.custom.name"),
    ({"tools": [{"name": "x"}]}, "tools.0.custom.input_schema: Field required"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "other"}}, "'other' not found"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.tool.name: Field required"),
    ({"tool_choice": {"type": "any"}}, "tool_choice"),
    ({"tools": [{"type": "made up", "name": "x"}]}, "tools.0.server.type"),
    *(
        ({"model": m, "tools": [TOOL], "tool_choice": {"type": "any"}}, "type any is not")
        for m in (SONNET, OPUS)
    ),
    (talks(user([RESULT])), "unexpected `tool_use_id`"),
    (talks(user(), assistant("Hm."), user([RESULT])), "unexpected `tool_use_id`"),
    (talks(user(), assistant([CALL]), user("19 °C")), "without `tool_result`"),
    (talks(user(), assistant([CALL]), user([RESULT | {"tool_use_id": "toolu_2"}])), "tool_use_id"),
    (talks(user(), assistant([CALL]), user([RESULT | {"content": [text("x", y=1)]}])), "Extra inputs"),
    # Images and other blocks
    (asks(image(kind="image/bmp")), "messages.0.content.0.image.source.base64.media_type: Input should be"),
    (asks(image("aGVsbG8=")), "Could not process image"),
    (asks(image("%%%%")), "Could not process image"),
    (asks(image(PNG, "image/gif")), "does not match the provided media type image/gif: it is image/png"),
    (
        talks(user(), assistant([CALL]), user([RESULT | {"content": [image(GIF)]}])),
        "tool_result.content.0.image",
    ),
    *(
        (asks({"type": "image", "source": s}), "messages.0.content.0.image.source")
        for s in ({"type": "url"}, {})
    ),
    (talks(user(), assistant([{"type": "server_tool_use", "id": "x"}]), user()), "content.0.server_tool_use"),
    # The cache
    ({"system": [text(f"{n}", cache_control=MARK) for n in range(5)]}, "A maximum of 4 blocks"),
    ({"system": [text(f"{n}", cache_control=MARK) for n in range(4)], "cache_control": MARK}, "maximum of 4"),
    (
        asks(text("a", cache_control=MARK), text("b", cache_control=HOUR)),
        "ttl='1h' block must not come after",
    ),
    (
        {"system": [text("a", cache_control=MARK)], "cache_control": HOUR},
        "ttl='1h' block must not come after",
    ),
    *(
        ({"system": [text("a", cache_control=c)]}, "cache_control")
        for c in ({"type": "x"}, {}, "ephemeral", True)
    ),
    # What ended with the newer version
    (talks(user(), assistant([DOCUMENT, text("Yes.")]), user()), "document blocks are not permitted"),
    (asks(CITED), "citations: must be empty in user messages"),
    (asks(FOUND | {"content": [CITED]}), "citations: must be empty in user messages"),
    (
        talks(user(), assistant([CALL]), user([RESULT | {"content": [FOUND | {"content": [CITED]}]}])),
        "citations",
    ),
    # Versions and keys
    ({"version": None}, "anthropic-version: header is required"),
    *(({"version": v}, f'"{v}" is not a valid version') for v in ("2023-01-01", "latest", f"{OLD}, {OLD}")),
]
ACCEPTED = [
    {"system": []},
    {"metadata": {"user_id": "u-17"}},
    {"stop_sequences": ["Berlin"]},
    {"max_tokens": 0},
    talks(user(), assistant("Par"), assistant("is."), user("Hello!"), user("You?")),
    talks(user(), assistant(""), model=HAIKU_4),
    talks(user(), assistant("Paris "), user("Hello!"), model=HAIKU_4),
    *(talks(user(), SYSTEM, version=v, model=m) for v in (OLD, NEW) for m in ALL_5),
    talks(user(), SYSTEM, assistant("Yes."), user()),
    *(
        {"model": HAIKU_4, "version": OLD, f: v}
        for f, v in (("temperature", 0.5), ("top_p", 0.5), ("top_k", 5))
    ),
    *({"version": OLD, f: 1.0} for f in ("temperature", "top_p")),
    *({"model": m, "thinking": f, "max_tokens": 2000} for m in ALL_4 for f in (MANUAL, DISABLED)),
    *({"model": m, "thinking": f} for m, f in ((HAIKU, DISABLED), (SONNET, BETWEEN), (OPUS, ADAPTIVE))),
    {"thinking": DISABLED, "output_config": {"effort": "high"}},
    *({"model": m, "max_tokens": n} for m, n in ((HAIKU, 128_000), (HAIKU_4, 64_000))),
    talks(*[user("a"), assistant("b")] * 49_999, user("a")),
    {"tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]},
    talks(user(), assistant([CALL]), user([RESULT | {"content": ""}])),
    talks(user(), assistant([CALL]), user([RESULT | {"content": [text("19"), image()], "is_error": False}])),
    *(asks(image(d, f"image/{k}")) for d, k in ((PNG, "png"), (GIF, "gif"), (JPEG, "jpeg"), (WEBP, "webp"))),
    asks({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}),
    asks({"type": "image", "source": {"type": "file", "file_id": "file_1"}}),
    talks(user(), assistant([SEARCH, PAGES, text("Found.")]), user()),
    asks(UPLOAD),
    talks(user(), assistant([CITED]), user("Hello!")),
    asks(text("Hello!", citations=[])),
    asks(DOCUMENT),
    *(asks(block) | {"version": OLD} for block in (CITED, FOUND | {"content": [CITED]})),
    talks(user(), assistant([DOCUMENT, text("Yes.")]), user(), version=OLD),
    {"system": [text("a", cache_control=HOUR)], "cache_control": MARK},
]


def test_what_is_refused(wire):
    """A 400 in the API's shape that says what, and an answer again afterwards."""
    wrong = []
    for fields, words in REFUSED:
        answer = wire.post(**fields)
        said = error_message(answer)
        assert answer.headers["x-should-retry"] == "false"
        if words not in said or len(said) > 500:
            wrong.append((str(fields)[:200], words, said))
    assert wrong == []
    wire.ok()


def test_what_is_accepted(wire):
    """By messages and by counting, with one count."""
    wrong = []
    for fields in ACCEPTED:
        answer = wire.post(**fields)
        if answer.status_code != 200:
            wrong.append((str(fields)[:200], answer.text[:200]))
    assert wrong == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"5", b'{"model": NaN}', b"\xff\xfe{}", b"{}{}"]
)
def test_a_body_that_is_no_json_object_is_refused(wire, content):
    """400 in the API's shape; the label of the body does not matter."""
    headers = KEY | {"anthropic-version": OLD, "content-type": "text/plain"}
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        assert "JSON" in error_message(wire.http.post(path, content=content, headers=headers))
    wire.http.post("/v1/messages", json=body(), headers=headers).raise_for_status()


def test_a_compressed_body_is_refused_clearly(wire):
    """Not as broken JSON."""
    headers = KEY | {"anthropic-version": NEW, "content-encoding": "gzip"}
    said = error_message(wire.http.post("/v1/messages", content=b"\x1f\x8b", headers=headers))
    assert said == "content-encoding: gzip is not supported, send the body as it is"


def test_32_megabytes_are_the_most(wire):
    """More is a 413 that the SDK knows."""
    answer = wire.post(messages=[user("x" * 33 * 1024 * 1024)])
    assert error_message(answer, 413) == "Request exceeds the maximum allowed number of bytes."
    wire.ok()


def test_an_edited_thinking_block_in_the_latest_assistant_turn_is_refused(wire):
    """Sent back as it came, or left out, it passes; changed or invented, it does not; an older one may."""
    reply = wire.ok(messages=[ASKED], thinking={"type": "adaptive", "display": "summarized"})
    thought, said = reply["content"]
    wire.ok(messages=[ASKED, assistant(reply["content"]), user("Go on.")])
    wire.ok(messages=[ASKED, assistant([said]), user("Go on.")])
    for wrong in (
        thought | {"thinking": "I plot."},
        thought | {"signature": "x"},
        thought | {"signature": ""},
    ):
        message = wire.refused(messages=[ASKED, assistant([wrong, said]), user("Go on.")])
        assert message.startswith(
            "messages.1.content.0: `thinking` blocks in the latest assistant message cannot"
        )
    later = [assistant([said]), user("And then?")]
    wire.ok(messages=[ASKED, assistant([thought | {"signature": "x"}, said]), user("Go on."), *later])
    marked = [ASKED, assistant([thought | {"cache_control": MARK}, said]), user("Go on.")]
    assert "messages.1.content.0.thinking.cache_control: Extra inputs" in wire.refused(messages=marked)


BEARER, SECRET = {"authorization": "Bearer practice"}, "sk-ant-api03-not-to-be-seen-anywhere"


@pytest.mark.parametrize("headers", [KEY, BEARER, {"authorization": "bearer practice"}, KEY | BEARER])
def test_both_versions_take_both_headers(wire, headers):
    """x-api-key or Bearer, or both; for all endpoints."""
    for version in (OLD, NEW):
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
        ({"authorization": SECRET}, "invalid bearer token"),
        ({"x-api-key": SECRET, **BEARER}, "invalid x-api-key"),
        (KEY | {"cookie": f"key={SECRET}", "proxy-authorization": f"Basic {SECRET}"}, None),
    ],
)
def test_any_other_key_is_a_401_and_leaves_no_trace(practice, wire, headers, words):
    """Not in the answer, not in the journal."""
    answer = wire.post(headers=headers)
    if words:
        assert words in error_message(answer, 401)
        assert answer.json()["error"]["type"] == "authentication_error"
    exchange = practice.journal[-1]
    shown = (answer.text, answer.headers, exchange, repr(exchange), exchange.curl(), repr(practice.journal))
    assert SECRET not in "".join(map(str, shown)) + repr(practice)


def test_a_doubled_version_header_is_refused_as_one_joined_by_a_comma(wire):
    """As a proxy that adds its own header makes it."""
    headers = [("x-api-key", "practice"), ("anthropic-version", OLD), ("anthropic-version", NEW)]
    said = error_message(wire.http.post("/v1/messages", json=body(), headers=headers))
    assert f'"{OLD}, {NEW}" is not a valid version' in said


def test_which_error_comes_first(wire):
    """Path, key, version, body, shape, model, rules."""
    wrong = {"max_tokens": "x", "messages": [], "model": "nothing"}
    assert error_message(wire.http.post("/v1/nothing", json=wrong), 404)
    assert wire.refused(401, headers={}, version=None, **wrong)
    assert "anthropic-version" in wire.refused(version=None, **wrong)
    assert wire.refused(**wrong).startswith("max_tokens: ")
    assert wire.refused(404, messages=[], model="nothing") == "model: nothing"
    assert "at least one message" in wire.refused(messages=[])
