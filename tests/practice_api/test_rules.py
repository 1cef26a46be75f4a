"""What a request may hold, model by model and version by version: two tables, refused and accepted."""

from __future__ import annotations

from tests.practice_api.wire import (
    ALL_4,
    ALL_5,
    CALL,
    HAIKU,
    HAIKU_4,
    HOUR,
    KEY,
    MARK,
    OLD,
    OPUS,
    RESULT,
    SONNET,
    WEATHER,
    assistant,
    error_message,
    form,
    text,
    user,
)

ANY = {"tools": [WEATHER], "tool_choice": {"type": "any"}}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
GIF, JPEG, WEBP = "R0lGODlhAQABAAAAACw=", "/9j/4AAQSkZJRg==", "UklGRhoAAABXRUJQVlA4"
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A page."}}
PLACE = {"document_index": 0, "document_title": None, "start_char_index": 0, "end_char_index": 6}
CITED = text("Paris.", citations=[{"type": "char_location", "cited_text": "Paris.", **PLACE}])
FOUND = {"type": "search_result", "source": "s", "title": "t", "content": [CITED]}
ADAPTIVE, DISABLED = {"type": "adaptive"}, {"type": "disabled"}
MANUAL, BETWEEN = {"type": "enabled", "budget_tokens": 1024}, {"type": "between_tools"}
SYSTEM = {"role": "system", "content": "Be brief."}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
PAGES = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
OLD_4 = {"model": HAIKU_4, "version": OLD}


def image(data: str = PNG, kind: str = "image/png") -> dict:
    """An image block."""
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


def asks(*blocks, **fields) -> dict:
    """A request whose one message holds `blocks`."""
    return {"messages": [user([*blocks, text("Well?")])], **fields}


def talks(*messages, **fields) -> dict:
    """A request of several messages."""
    return {"messages": [*messages], **fields}


def called(*content, **fields) -> dict:
    """A request that gives back what a tool found."""
    return talks(user(), assistant([CALL]), user([RESULT | {"content": [*content]} | fields]))


REFUSED = {
    # Shapes
    "model: Field required": [{"model": None}],
    "max_tokens": [{"max_tokens": value} for value in (None, -1, 1.5, "10", True, [10], 1e30, 10**30)],
    "top: Extra inputs are not permitted": [{"top": 1}],
    "max_tokens: Extra inputs": [{"path": "/v1/messages/count_tokens"}],
    "messages.2.content.0.tool_result.content.0.text.y: Extra inputs": [called(text("x", y=1))],
    "messages.0.role: Input should be 'user'": [talks(user() | {"role": role}) for role in ("human", 5)],
    "messages.0.content.0": [asks(block) for block in ({"type": "video"}, {"text": "Hi"}, {}, "Hi", 5, None)],
    "cache_control": [{"cache_control": mark} for mark in ({"type": "x"}, {}, "ephemeral", True)],
    "stop_sequences.1: each stop sequence must contain non-whitespace": [{"stop_sequences": ["END", " \n"]}],
    # Messages
    "at least one message is required": [talks()],
    'first message must use the "user" role': [talks(assistant("Hi!"), user(), model=HAIKU_4)],
    "all messages must have non-empty content except for the optional final assistant message": [
        *(talks(user(content)) for content in ("", [])),
        *(talks(user(), assistant(content), user()) for content in ("", [])),
    ],
    "text content blocks must be non-empty": [asks(text("")), {"system": ""}],
    "text content blocks must contain non-whitespace text": [talks(user("  ")), {"system": [text(" ")]}],
    "does not support assistant message prefill": [talks(user(), assistant("The"), model=m) for m in ALL_5],
    "trailing whitespace": [talks(user(), assistant(t), model=HAIKU_4) for t in ("Paris ", [text("a\n")])],
    'Unexpected role "system"': [talks(user(), SYSTEM, model=m) for m in ALL_4],
    "a system message must come right after a user turn": [
        *(talks(SYSTEM, user()), talks(user(), SYSTEM, user()), talks(user(), assistant("Yes."), SYSTEM)),
    ],
    # Thinking, effort, sampling, sizes
    "thinking.type: adaptive is not supported": [{"model": HAIKU_4, "thinking": ADAPTIVE}],
    "thinking.type: enabled is not supported": [{"thinking": MANUAL}],
    "disabled is not supported": [{"model": m, "thinking": DISABLED} for m in (SONNET, OPUS)],
    "between_tools is not supported": [{"model": m, "thinking": BETWEEN} for m in (HAIKU, OPUS, HAIKU_4)],
    "does not support the effort parameter": [{"model": HAIKU_4, "output_config": {"effort": "low"}}],
    "greater than or equal to 1024": [{"model": HAIKU_4, "thinking": MANUAL | {"budget_tokens": 1023}}],
    "greater than `thinking.budget_tokens`": [{"model": HAIKU_4, "thinking": MANUAL, "max_tokens": 1024}],
    "temperature: Extra inputs": [{"model": m, "temperature": 0.5} for m in (HAIKU, HAIKU_4)],
    "is deprecated for this model": [{field: 0.5, "version": OLD} for field in ("temperature", "top_p")],
    "cannot both be specified": [OLD_4 | {"temperature": 0.5, "top_p": 0.5}],
    "temperature: Input should be": [OLD_4 | {"temperature": value} for value in (1.1, -1, "1", True)],
    "max_tokens: 64001 > 64000": [{"model": m, "max_tokens": 64_001} for m in ALL_4],
    "max_tokens: 128001 > 128000": [{"model": m, "max_tokens": 128_001} for m in ALL_5],
    " tokens > 200000 maximum": [talks(user("word " * 200_000), model=HAIKU_4)],
    "max_tokens: 0 is not supported together with": [{"max_tokens": 0, "stream": True}],
    # Tools and what comes back from them
    "Tool names must be unique": [{"tools": [WEATHER, WEATHER]}],
    "tools.0.custom.name: String should match": [{"tools": [WEATHER | {"name": "get weather"}]}],
    "tools.0.server.type": [{"tools": [WEATHER | {"type": "made up"}]}],
    "'other' not found": [ANY | {"tool_choice": {"type": "tool", "name": "other"}}],
    "not found in provided tools": [{"tool_choice": {"type": "any"}}],
    "type any is not supported": [{"model": m} | ANY for m in (SONNET, OPUS)],
    "unexpected `tool_use_id`": [talks(user([RESULT])), called(tool_use_id="toolu_2")],
    "without `tool_result`": [talks(user(), assistant([CALL]), user("19 °C"))],
    # Schemas
    "tools.0.custom.input_schema: Field required": [{"tools": [{"name": "t"}]}],
    "tools.0.custom.input_schema.type: Input should be 'object'": [
        {"tools": [WEATHER | {"input_schema": schema}]} for schema in ({}, {"type": "string"})
    ],
    "draft 2020-12": [form({"required": 1}), form({"anyOf": [{"type": "x"}]})],
    "output_config.format.type": [{"output_config": {"format": {"type": "xml", "schema": {}}}}],
    "output_format: This field was renamed: use output_config.format instead.": [{"output_format": {}}],
    "For 'integer' type, property 'minimum' is not": [form(n={"type": "integer", "minimum": 1})],
    "'minItems' values other than 0 or 1": [form(a={"type": "array", "minItems": 2})],
    "format 'color' is not supported": [form(s={"type": "string", "format": "color"})],
    "must be explicitly set to false": [form({"$defs": {"A": {"type": "object"}}, "$ref": "#/$defs/A"})],
    # Images, the cache, headers, and what ended with the newer version
    "0.image.source.base64.media_type: Input should be": [asks(image(kind="image/bmp"))],
    "Could not process image": [asks(image("aGVsbG8=")), asks(image("%%%%"))],
    "does not match the provided media type image/gif: it is image/png": [asks(image(PNG, "image/gif"))],
    "Found 5": [{"system": [text(f"{n}", cache_control=MARK) for n in range(4)], "cache_control": MARK}],
    "ttl='1h' must come": [{"system": [text("a", cache_control=MARK)], "cache_control": HOUR}],
    "content-encoding: ": [{"headers": KEY | {"content-encoding": kind}} for kind in ("gzip", "br")],
    "anthropic-version: header is required": [{"version": None}],
    "is not a valid version": [{"version": v} for v in ("2023-01-01", "latest", f"{OLD}, {OLD}")],
}
ACCEPTED = [
    {"system": [], "metadata": {"user_id": "u-17"}, "stop_sequences": ["Berlin"]},
    *({"max_tokens": 0} | fields for fields in ({}, ANY, form())),
    talks(user(), assistant("Par"), assistant("is."), user("Hello!"), user("You?")),
    talks(user(), assistant(""), model=HAIKU_4),
    talks(user(), assistant("Paris "), user("Hello!"), model=HAIKU_4),
    *(talks(user(), SYSTEM, model=m) for m in ALL_5),
    talks(user(), SYSTEM, assistant("Yes."), user()),
    *(OLD_4 | field for field in ({"temperature": 0.5}, {"top_p": 0.5}, {"top_k": 5})),
    {"version": OLD, "temperature": 1.0},
    *({"model": m, "thinking": f, "max_tokens": 2000} for m in ALL_4 for f in (MANUAL, DISABLED)),
    *({"model": m, "thinking": f} for m, f in ((HAIKU, DISABLED), (SONNET, BETWEEN), (OPUS, ADAPTIVE))),
    {"thinking": DISABLED, "output_config": {"effort": "max"}},
    *({"model": m, "max_tokens": n} for m, n in ((HAIKU, 128_000), (HAIKU_4, 64_000))),
    {"tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]},
    *(called(), called(text("19"), image(), is_error=False)),
    *(asks(image(d, f"image/{k}")) for d, k in ((PNG, "png"), (GIF, "gif"), (JPEG, "jpeg"), (WEBP, "webp"))),
    asks({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}),
    talks(user(), assistant([SEARCH, PAGES, text("Found.")]), user()),
    asks({"type": "container_upload", "file_id": "file_1"}),
    talks(user(), assistant([CITED]), user("Hello!")),
    *(asks(text("Hello!", citations=[])), asks(DOCUMENT)),
    *(asks(CITED), asks(FOUND), talks(user(), assistant([DOCUMENT, text("Yes.")]), user())),
    {"system": [text("a", cache_control=HOUR)], "cache_control": MARK},
]


def test_what_is_refused(wire):
    """A 400 in the API's shape that says what, and an answer again afterwards."""
    assert wire.post(top=1).headers["x-should-retry"] == "false"
    said = [(str(f)[:200], words, wire.refused(**f)) for words, cases in REFUSED.items() for f in cases]
    assert [each for each in said if each[1] not in each[2] or len(each[2]) > 500] == []
    wire.ok()


def test_what_is_accepted(wire):
    """With an answer."""
    answers = [(str(fields)[:200], wire.post(**fields)) for fields in ACCEPTED]
    assert [(sent, answer.text) for sent, answer in answers if answer.status_code != 200] == []


def test_which_error_comes_first(wire):
    """Size, key, version, JSON, shape, model, rules."""
    wrong = {"max_tokens": "x", "messages": [], "model": "nothing"}
    assert "exceeds" in wire.refused(413, headers={}, messages=[user("x" * 33 * 1024 * 1024)])
    assert wire.refused(401, headers={}, version=None, **wrong)
    assert "anthropic-version" in wire.refused(version=None, **wrong)
    assert " JSON" in error_message(wire.send("/v1/messages", [wrong]))
    assert wire.refused(**wrong).startswith("max_tokens: ")
    assert wire.refused(404, messages=[], model="nothing") == "model: nothing"


BEARER, SECRET = {"authorization": "Bearer practice"}, "sk-ant-api03-not-to-be-seen-anywhere"
KEYS = [(headers, None) for headers in (KEY, BEARER, {"authorization": "bearer practice"}, KEY | BEARER)]
KEYS += [(headers, "x-api-key header is required") for headers in ({}, {"x-api-key": ""})]
KEYS += [({"x-api-key": SECRET, **BEARER}, "invalid x-api-key")]
KEYS += [({"authorization": f"{kind}{SECRET}"}, "invalid bearer token") for kind in ("Bearer ", "Basic ", "")]
KEYS += [(KEY | {"cookie": f"key={SECRET}", "proxy-authorization": f"Basic {SECRET}"}, None)]


def test_which_keys_are_taken_and_that_none_leaves_a_trace(practice, wire):
    """x-api-key or Bearer, under both versions; others are a 401, and not told, nor in the journal."""
    for headers, words in KEYS:
        assert wire.post(headers=headers, version=OLD).status_code == (401 if words else 200)
        answer, exchange = wire.post(headers=headers), practice.journal[-1]
        assert answer.json().get("error", {}).get("message") == words
        shown = (answer.text, answer.headers, exchange, repr(exchange), exchange.curl(), practice.journal)
        assert SECRET not in "".join(map(str, shown)) + repr(practice)
