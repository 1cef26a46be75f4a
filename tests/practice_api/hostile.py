"""Hostile requests: what random clients, broken programs and attackers send."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from tests.practice_api.wire import HAIKU_4, KEY, NEW, OLD, SONNET, assistant, body, text, user

PATHS = ("/v1/messages", "/v1/messages/count_tokens")
CALL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [text("19 °C")]}
TOOL = {
    "name": "get_weather",
    "description": "The weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Paris"]}}},
}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A page."}}
FOUND = {"type": "search_result", "source": "s", "title": "t", "content": [text("Found.")]}
MARK = {"type": "ephemeral", "ttl": "1h"}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "x"}

SEEDS: list[dict[str, Any]] = [
    body(),
    body(stream=True, stop_sequences=["Paris"], metadata={"user_id": "u"}),
    body(system=[text("Be brief. " * 300, cache_control=MARK)], cache_control={"type": "ephemeral"}),
    body(tools=[TOOL], tool_choice={"type": "any"}, messages=[user("The weather?")]),
    body(tools=[TOOL], messages=[user("The weather?"), assistant([CALL]), user([RESULT, text("Well?")])]),
    body(messages=[user([IMAGE, DOCUMENT, FOUND, text("What do you see?")])]),
    body(model=HAIKU_4, messages=[user(), assistant("The capital")]),
    body(model=HAIKU_4, max_tokens=2000, thinking={"type": "enabled", "budget_tokens": 1024}),
    body(thinking={"type": "adaptive", "display": "summarized"}, output_config={"effort": "low"}),
    body(model=SONNET, messages=[user("Why?"), assistant([THOUGHT, text("So.")]), user("Go on.")]),
    body(messages=[user("My name is Ada."), assistant("Hello Ada."), user("What is my name?")]),
    body(messages=[user(), {"role": "system", "content": "Be brief."}]),
    body(tools=[{"type": "web_search_20250305", "name": "web_search"}], service_tier="auto"),
]
FIELDS = sorted(
    {key for seed in SEEDS for key in seed} | {"temperature", "top_p", "top_k", "container", "speed"}
)
WORDS = [
    "",
    " ",
    "\0",
    "user",
    "text",
    "adaptive",
    "claude-haiku-5-5",
    "$(reboot)",
    "﷽",
    "\u202e",
    "a" * 5000,
    "🎉" * 99,
]
NUMBERS = [0, -1, 1, 2**31, 2**63, 2**64, -(2**70), 10**400, 10**4299, 0.1, -0.0, 1e308, 5e-324]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NUMBERS),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(WORDS),
    st.text(max_size=20),
    st.sampled_from(["\ud800", "\udfff\ud800"]),
)
values = st.recursive(
    scalars | st.sampled_from([IMAGE, CALL, RESULT, TOOL, MARK, THOUGHT, FOUND, text("Hi"), user("Hi")]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from([*FIELDS, "type", "content", "text", "role"]) | st.text(max_size=8),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


def places(data: Any, path: tuple = ()) -> Iterator[tuple]:
    """The paths to all values inside `data`."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


@st.composite
def requests(draw) -> dict[str, Any]:
    """A good request with one to four things made wrong somewhere."""
    data = copy.deepcopy(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        found = [*places(data)]
        if not found:
            break
        *path, key = draw(st.sampled_from(found))
        holder = data
        for step in path:
            holder = holder[step]
        match draw(st.sampled_from(["replace", "replace", "replace", "delete", "add", "wrap", "repeat"])):
            case "replace":
                holder[key] = copy.deepcopy(draw(values))
            case "delete":
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[draw(st.sampled_from(FIELDS) | st.text(max_size=8))] = copy.deepcopy(draw(values))
            case "wrap":
                holder[key] = [holder[key]]
            case "repeat" if isinstance(holder, list):
                holder.extend(copy.deepcopy(holder[key]) for _ in range(draw(st.integers(1, 30))))
    return data


@st.composite
def bodies(draw) -> bytes:
    """Bytes: a mutated request, its text damaged, any JSON, or anything at all."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.binary(max_size=200))
    if kind == 1:
        return json.dumps(draw(values)).encode()
    content = json.dumps(draw(requests())).encode()
    if kind == 2:
        cut = draw(st.integers(0, len(content)))
        return content[:cut] + draw(st.binary(max_size=4)) + content[cut + draw(st.integers(0, 3)) :]
    if kind == 3:  # keys that come twice
        return content[:-1] + b', "max_tokens": 5, "model": ' + json.dumps(draw(scalars)).encode() + b"}"
    return content


headers = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(
            ["text/plain", "application/json; charset=utf-16", "x", "multipart/form-data"]
        ),
        "content-encoding": st.sampled_from(["gzip", "br"]),
        "anthropic-beta": st.sampled_from(["", "a,b", "x" * 3000]),
        "accept": st.sampled_from(["text/event-stream", "*/*"]),
        "expect": st.just("200-ok"),
    },
)


def corpus() -> Iterator[tuple[str, bytes]]:
    """Name and body of what a fuzzer seldom finds."""
    good = json.dumps(body())

    def asks(**fields: Any) -> bytes:
        return json.dumps(body(**fields)).encode()

    def forced(schema: Any) -> bytes:
        tool = TOOL | {"input_schema": schema}
        return asks(tools=[tool], tool_choice={"type": "tool", "name": TOOL["name"]})

    for word in (b"", b"[]", b"null", b"0", b'""', b"{", b"}", b"\xef\xbb\xbf{}"):
        yield f"no object {word!r}", word
    words = ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "0x10", "1_000", "01", "+1", ".5", "5."]
    for word in (*words, "9" * 5000, "1" + "0" * 4200):
        yield f"not JSON {word!r}", good.replace("500", word).encode()
    yield "UTF-16", good.encode("utf-16")
    yield "Latin-1", good.replace("France", "é").encode("latin-1")
    yield "truncated UTF-8", good.encode()[:-3] + b"\xe2\x82"
    yield "overlong UTF-8", good.encode().replace(b"France", b"\xc0\xaf")
    yield "control characters", good.replace("France", "\x00\x01\x1f").encode()
    yield "lone surrogate", good.replace("France", "\\ud83d").encode()
    yield "key twice", good.replace('"model"', '"messages": [], "model"', 1).encode()
    for deep in (50, 190, 201, 5_000, 200_000):
        question = '"What is the capital of France?"'
        yield f"lists {deep} deep", good.replace(question, "[" * deep + "]" * deep).encode()
        yield f"objects {deep} deep", forced("X").replace(b'"X"', b'{"a":' * deep + b"1" + b"}" * deep)
        nested = b'{"type": "object", "properties": {"a": ' * (deep // 3) + b"{}" + b"}}" * (deep // 3)
        yield f"schemas {deep} deep", forced("X").replace(b'"X"', nested)
    for size in (100_000, 10_000_000):
        yield f"a string of {size}", asks(messages=[user("a" * size)])
        yield f"a word of {size} emoji bytes", asks(system="🎉" * (size // 12))
        yield f"a model of {size}", asks(model="m" * size)
        yield f"a field of {size}", json.dumps(body() | {"f" * size: 1}).encode()
        yield f"a stop sequence of {size}", asks(stop_sequences=["s" * size])
        yield f"white space {size}", asks(messages=[user(" " * size)])
        yield f"my {size}", asks(messages=[user("my " * (size // 3))])
    many = 300_000
    fields = {f"f{n}": 1 for n in range(many)}
    yield "many unknown fields", json.dumps(body() | fields).encode()
    yield "many wrong blocks", asks(messages=[user([{}] * many)])
    yield "many wrong messages", asks(messages=[{}] * 99_999)
    yield "many messages", asks(messages=[user("a")] * 60_000)
    yield "too many messages", asks(messages=[1] * 100_001)
    yield "many blocks", asks(messages=[user([text("a")] * 60_000)])
    yield "many stop sequences", asks(stop_sequences=["x"] * many)
    yield "many wrong stop sequences", asks(stop_sequences=[1] * many)
    yield "many tools", asks(tools=[TOOL | {"name": f"t{n}"} for n in range(20_000)])
    yield "many wrong tools", asks(tools=[{"type": n} for n in range(20_000)])
    yield "many tool fields", forced({"type": "object", "properties": {f"f{n}": {} for n in range(100_000)}})
    yield "many citations", asks(messages=[user([text("a", citations=[1] * many)])])
    yield "many fields in a block", asks(messages=[user([text("a") | fields])])
    yield "many marks", asks(system=[text("a", cache_control=MARK)] * 5_000)
    yield "facts without end", asks(messages=[user("my a is b. " * 50_000)])
    for odd in (
        {"type": "array"},
        {"type": "object", "properties": []},
        {"type": "object", "properties": {"a": {"properties": 1}}},
        {"type": "object", "properties": {"a": 5, "b": {"enum": [10**4000]}, "c": {"type": [1]}}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "(a+)+$", "minLength": 2_000}}},
    ):
        yield f"a tool of the shape {str(odd)[:99]}", forced(odd)
        wanted = {"format": {"type": "json_schema", "schema": odd | {"additionalProperties": False}}}
        yield f"an answer of the shape {str(odd)[:99]}", asks(output_config=wanted)
    infinite = forced({"type": "object", "properties": {"a": {"enum": ["X"]}}})
    yield "an infinite example", infinite.replace(b'"X"', b"1e999")


def garbage(seed: int) -> Iterator[bytes]:
    """Bytes for a raw socket, without end: almost HTTP, and nothing like it."""
    dice = random.Random(seed)
    good = head(len(b"{}")) + b"{}"
    while True:
        sent = bytearray(good)
        for _ in range(dice.randint(1, 8)):
            at = dice.randrange(len(sent))
            match dice.randint(0, 3):
                case 0:
                    sent[at] = dice.randrange(256)
                case 1:
                    del sent[at : at + dice.randint(1, 20)]
                case 2:
                    sent[at:at] = dice.randbytes(dice.randint(1, 20))
                case 3:
                    sent[at:at] = dice.choice(
                        [b"\r\n", b"\n", b"\0", b": ", b"\r\n\r\n", b" HTTP/1.1", b"chunked"]
                    )
            if not sent:
                sent = bytearray(b"\0")
        yield bytes(sent)


def head(length: int | None, *more: str, method: str = "POST", path: str = PATHS[0]) -> bytes:
    """The head of a request made by hand."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: x",
        f"x-api-key: {KEY['x-api-key']}",
        f"anthropic-version: {OLD}",
    ]
    lines += [f"Content-Length: {length}"] if length is not None else []
    return "\r\n".join([*lines, *more, "", ""]).encode("latin-1")


def versioned(**extra: str) -> dict[str, str]:
    """Headers that let a request in."""
    return KEY | {"anthropic-version": NEW} | extra
