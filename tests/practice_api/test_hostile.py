"""Whatever is sent, the answer is a 200 or a 4xx in the API's shape, and the next good one is answered."""

from __future__ import annotations

import copy
import json
import logging
import random
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from course_helpers.practice_api import Practice
from tests.practice_api.test_rules import ACCEPTED
from tests.practice_api.wire import KEY, NEW, OLD, WEATHER, Wire, body, user

PATHS = ("/v1/messages", "/v1/messages/count_tokens")
FORCED = {"tools": [WEATHER], "tool_choice": {"type": "tool", "name": WEATHER["name"]}}


def places(data: Any) -> Iterator[tuple[Any, Any, Any]]:
    """All values inside `data`: what holds them, their key there, themselves."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        yield data, key, value
        if isinstance(value, dict | list):
            yield from places(value)


PLAIN = [fields for fields in ACCEPTED if len(fields.get("messages", ())) < 10]
GOOD = [body(stream=True), body(**FORCED), *(body(**fields | {"version": None}) for fields in PLAIN)]
GOOD += [body(**fields | {"version": None, "max_tokens": None}) for fields in PLAIN]
SEEN: dict[Any, list[Any]] = {}  # by field, or by index in a list
for _, key, value in places(GOOD):
    SEEN.setdefault(key, []).append(value)
ODD = ["", " ", "\0", "user", "text", "\u202e", "\ud800", "a" * 5000, 0, -1, 2**64, 10**400, -0.0, 1e308]
ODD += [None, True, False, [], {}, [[]], [{}], [None, "text", 5], {"type": None}, {"type": "text", "x": []}]


def made_up(dice: random.Random) -> bytes:
    """A good request with one or two changes: fields given as elsewhere, dropped, moved, odd, or damaged."""
    data = copy.deepcopy(dice.choice(GOOD))
    for _ in range(dice.randint(1, 2)):
        holder, key, value = dice.choice([*places(data)])
        change = dice.choice(("as elsewhere", "as elsewhere", "as elsewhere", "dropped", "moved", "odd"))
        if change == "dropped":
            del holder[key]
        else:
            new = {"as elsewhere": SEEN[key], "moved": [[value], {key: value}], "odd": ODD}.get(change)
            holder[key] = copy.deepcopy(dice.choice(new))
    content = json.dumps(data).encode()
    at = dice.randrange(len(content))
    damaged = content[:at] + dice.randbytes(dice.randint(0, 4)) + content[at + dice.randint(0, 3) :]
    return damaged if dice.random() < 0.1 else content


def fits(answer) -> None:
    """Fails unless `answer` is a message, a count, a whole stream, or an error in the API's shape."""
    sent = answer.request.content[:500]
    if answer.headers["content-type"].startswith("text/event-stream"):
        assert '"type":"message_stop"' in answer.text.splitlines()[-2], sent
        return
    told = json.loads(answer.content, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    if answer.status_code == 200:
        assert told.get("type") == "message" or told.keys() == {"input_tokens"}, sent
    else:
        assert 400 <= answer.status_code < 500, (answer.status_code, sent)
        assert (told["type"], told.keys()) == ("error", {"type", "error", "request_id"}), sent
        assert told["request_id"] == answer.headers["request-id"], sent
        assert len(answer.content) < 2_000, sent


def still_there(wire: Wire) -> None:
    """Fails unless a good request gets its answer."""
    assert wire.ok()["content"][0]["text"] == "The capital of France is Paris."


@pytest.fixture
def silent(caplog):
    """Nothing that would reach the learner's screen is logged."""
    with caplog.at_level(logging.WARNING):
        yield
        assert [record.getMessage() for record in caplog.records] == []


def corpus() -> Iterator[bytes]:
    """What chance seldom finds: encodings, numbers, depth and size."""
    good = json.dumps(body())
    yield from (b"", b"[]", b"null", b'""', b"{", b"}", b"\xef\xbb\xbf{}", good.encode("utf-16"))
    yield from (good.replace("500", word).encode() for word in ("NaN", "1e400", "0x10", "01", "9" * 5000))
    yield from (good.encode()[:-3] + b"\xe2\x82", good.replace("France", "\\ud83d").encode())
    for deep in (50, 201, 100_000):
        yield good.replace('"What is the capital of France?"', "[" * deep + "]" * deep).encode()
        schema = '{"type": "object", "properties": {"a": ' * (deep // 3) + "{}" + "}}" * (deep // 3)
        tool = json.dumps(body(**FORCED | {"tools": [WEATHER | {"input_schema": 0}]}))
        yield tool.replace('"input_schema": 0', f'"input_schema": {schema}').encode()
    many = 30_000
    for fields in (
        {f"f{n}": 1 for n in range(many)},
        {"messages": [user([{}] * many)]},
        {"messages": [user("a")] * many},
        {"messages": [user("my a is b. " * many)]},
        {"stop_sequences": [1] * many},
        {"model": "m" * 1_000_000},
        {"system": "🎉" * 300_000},
        {"tools": [WEATHER | {"name": f"t{n}"} for n in range(5_000)]},
        FORCED | {"tools": [WEATHER | {"input_schema": {"type": "array"}}]},
        FORCED | {"tools": [WEATHER | {"input_schema": {"type": "object", "properties": []}}]},
    ):
        yield json.dumps(body(**fields)).encode()


def test_bodies_made_up(practice, wire, silent):
    """None takes the server down, none is answered at length; the journal can show them all."""
    dice = random.Random(1)
    shots = [(PATHS[0], content) for content in corpus()]
    made = [made_up(dice) for _ in range(500)]
    shots += [(PATHS[b"max_tokens" not in content], content) for content in made]
    for path, content in shots:
        fits(wire.http.post(path, content=content, headers=KEY | {"anthropic-version": NEW}))
    still_there(wire)
    assert all(str(exchange) and exchange.curl() for exchange in practice.journal)


# By hand, on a socket


def head(length: int | None, *more: str, method: str = "POST", path: str = PATHS[0]) -> bytes:
    """The head of a request made by hand."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "x-api-key: practice", f"anthropic-version: {OLD}"]
    lines += [f"Content-Length: {length}"] if length is not None else []
    return "\r\n".join([*lines, *more, "", ""]).encode("latin-1")


def connect(practice: Practice) -> socket.socket:
    """A connection to its server."""
    host, port = practice.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def talk(practice: Practice, sent: bytes, *, shut: bool = False) -> bytes:
    """What comes back for `sent`, until the connection closes; with `shut` half of it is closed first."""
    received = b""
    with connect(practice) as connection:
        try:
            connection.sendall(sent)
            if shut:
                connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(65536):
                received += more
        except OSError:
            pass  # hung up on, as it may be
    return received


CHUNKED = "Transfer-Encoding: chunked"
UNREADABLE = {
    "many headers": head(2, *(f"x-{n}: {n}" for n in range(20_000))),
    "a header without end": b"POST /v1/messages HTTP/1.1\r\nx: " + b"x" * 300_000,
    "TLS": bytes.fromhex("16030100f8010000f40303") + bytes(200),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a negative length": head(-1),
    "a bad chunk": head(None, CHUNKED) + b"zz\r\n",
}


def test_what_is_no_request_is_refused(practice, wire, silent):
    """400, then the connection closes; a client that floods may be hung up on before it reads."""
    for name, sent in UNREADABLE.items():
        status, _, told = talk(practice, sent).partition(b"\r\n\r\n")
        assert status[:10] in (b"HTTP/1.1 4", b""), name
        assert not told or json.loads(told)["error"]["type"] == "invalid_request_error", name
        still_there(wire)


def test_clients_that_stop_in_the_middle(practice, wire, silent):
    """Nothing is answered, nothing is logged, nothing hangs; who does not read leaves others be."""
    for sent in (head(5000) + b'{"model"', head(None, CHUNKED) + b"5\r\n{", head(2)[:40], b"\r\n", b""):
        talk(practice, sent, shut=True)
    content = json.dumps(
        body(messages=[user("Tell me something. " * 50)], max_tokens=1000, stream=True)
    ).encode()
    for _ in range(50):  # the rest is not written to a connection that was reset: asyncio would complain
        with connect(practice) as connection:
            connection.sendall(head(len(content)) + content)
            connection.recv(10)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with connect(practice) as connection:
        connection.settimeout(1)
        try:
            for _ in range(3_000):
                connection.sendall(head(len(content)) + content)
        except TimeoutError:
            pass
        still_there(wire)
    still_there(wire)


def test_several_requests_at_once_on_one_connection(practice):
    """Pipelined: answered one after the other, in order. The method and the path may be odd, too."""
    good, bad = json.dumps(body()).encode(), b"{}"
    many = b"".join(head(len(content)) + content for content in (good, bad, good))
    received = talk(practice, many + head(0, method="post") + head(0, "Connection: close", path="/%ff?%"))
    statuses = [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 400, 200, 405, 404]


def test_a_client_that_closes_its_half_gets_its_answer(practice, wire, silent):
    """Plain and streaming; then the connection closes."""
    for stream in (False, True):
        content = json.dumps(body(stream=stream)).encode()
        received = talk(practice, head(len(content)) + content, shut=True)
        assert (received[:12], b"Paris" in received) == (b"HTTP/1.1 200", True)
    still_there(wire)
