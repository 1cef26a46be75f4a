"""Whatever is sent, the answer is a 200 or a 4xx in the API's shape, and the next good one is answered."""

from __future__ import annotations

import contextlib
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
from tests.practice_api.wire import KEY, NEW, OLD, WEATHER, Wire, body, error_message, user

PATHS = ("/v1/messages", "/v1/messages/count_tokens")
FORCED = {"tools": [WEATHER], "tool_choice": {"type": "tool", "name": WEATHER["name"]}}


def places(data: Any) -> Iterator[tuple[Any, Any, Any]]:
    """All values inside `data`: what holds them, their key there, themselves."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        yield data, key, value
        if isinstance(value, dict | list):
            yield from places(value)


GOOD = [body(stream=True), body(**FORCED), *(body(**fields | {"version": None}) for fields in ACCEPTED)]
GOOD += [body(**fields | {"version": None, "max_tokens": None}) for fields in ACCEPTED]  # to count
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
            new = {"as elsewhere": SEEN.get(key, ODD), "moved": [[value], {key: value}], "odd": ODD}[change]
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
    elif answer.status_code == 200:
        told = json.loads(answer.content, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
        assert told.get("type") == "message" or told.keys() == {"input_tokens"}, sent
    else:
        assert 400 <= answer.status_code < 500, sent
        assert len(error_message(answer, answer.status_code)) <= 1_000, sent


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
    good, many = json.dumps(body()), 30_000
    yield from (b"", b"[]", b"null", b'""', b"{", b"}", b"\xef\xbb\xbf{}", good.encode("utf-16"))
    yield from (good.replace("500", word).encode() for word in ("NaN", "1e400", "0x10", "01", "9" * 5000))
    yield from (good.encode()[:-3] + b"\xe2\x82", good.replace("France", "\\ud83d").encode())
    forced = json.dumps(body(**FORCED | {"tools": [WEATHER | {"input_schema": 0}]}))
    for deep in (50, 201, 100_000):
        yield good.replace('"What is the capital of France?"', "[" * deep + "]" * deep).encode()
        schema = '{"type": "object", "properties": {"a": ' * (deep // 3) + "{}" + "}}" * (deep // 3)
        yield forced.replace('"input_schema": 0', f'"input_schema": {schema}').encode()
    for fields in (
        {f"f{n}": 1 for n in range(many)},
        *({"messages": messages} for messages in ([user([{}] * many)], [user("a")] * many)),
        {"messages": [user("my a is b. " * many)]},
        *({"messages": [user(odd)], "system": odd} for odd in ("'" * 999, "{" * 99, "⟦9⟧", "if asked about")),
        {"stop_sequences": [1] * many},
        *({"model": "m" * 1_000_000}, {"system": "🎉" * 300_000}),
        {"tools": [WEATHER | {"name": f"t{n}"} for n in range(5_000)]},
        FORCED | {"tools": [WEATHER | {"input_schema": {"type": "object", "properties": []}}]},
    ):
        yield json.dumps(body(**fields)).encode()


def test_bodies_made_up(practice, wire, silent):
    """None takes the server down, none is answered at length; the journal can show them all."""
    dice = random.Random(1)
    made = [made_up(dice) for _ in range(500)]
    shots = [(0, content) for content in corpus()]
    for counts, content in shots + [(b"max_tokens" not in content, content) for content in made]:
        fits(wire.http.post(PATHS[counts], content=content, headers=KEY | {"anthropic-version": NEW}))
    still_there(wire)
    assert all(str(exchange) and exchange.curl() for exchange in practice.journal)


# By hand, on a socket


def request(content: bytes = b"", framing: str = "", *, method: str = "POST", path: str = PATHS[0]) -> bytes:
    """A request made by hand. `framing` is the header that says how long it is, if it is not to be true."""
    head = [f"{method} {path} HTTP/1.1", "Host: x", "x-api-key: practice", f"anthropic-version: {OLD}"]
    return "\r\n".join([*head, framing or f"Content-Length: {len(content)}", "", ""]).encode() + content


def connect(practice: Practice) -> socket.socket:
    """A connection to its server."""
    host, port = practice.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def talk(practice: Practice, sent: bytes, *, shut: bool = False) -> bytes:
    """What comes back for `sent`, until the connection closes; with `shut` half of it is closed first."""
    received = b""
    with connect(practice) as connection, contextlib.suppress(OSError):  # hung up on, as it may be
        connection.sendall(sent)
        if shut:
            connection.shutdown(socket.SHUT_WR)
        while more := connection.recv(65536):
            received += more
    return received


CHUNKED = "Transfer-Encoding: chunked"
UNREADABLE = {
    "many headers": request(b"", "\r\n".join(f"x-{n}: {n}" for n in range(20_000))),
    "a header without end": b"POST /v1/messages HTTP/1.1\r\nx: " + b"x" * 300_000,
    "TLS": bytes.fromhex("16030100f8010000f40303") + bytes(200),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a negative length": request(b"", "Content-Length: -1"),
    "a bad chunk": request(b"zz\r\n", CHUNKED),
}
CUT = [request(b'{"model"', "Content-Length: 5000"), request(b"5\r\n{", CHUNKED), request()[:40]]


def test_what_is_no_request_is_refused(practice, wire, silent):
    """400, then the connection closes; a client that floods may be hung up on before it reads."""
    for name, sent in UNREADABLE.items():
        assert talk(practice, sent)[:10] in (b"HTTP/1.1 4", b""), name
        still_there(wire)


def test_clients_that_stop_in_the_middle(practice, wire, silent):
    """Nothing is answered, nothing is logged, nothing hangs."""
    for sent in CUT:
        talk(practice, sent, shut=True)
    long = body(messages=[user("Tell me something. " * 50)], max_tokens=1000, stream=True)
    sent = request(json.dumps(long).encode())
    for _ in range(50):  # the rest is not written to a connection that was reset: asyncio would complain
        with connect(practice) as connection:
            connection.sendall(sent)
            connection.recv(10)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    still_there(wire)


def test_several_requests_at_once(practice):
    """Answered one after the other, in order, odd ones too."""
    good = [request(json.dumps(body(stream=stream)).encode()) for stream in (False, True)]
    odd = [request(b"{}"), request(method="post"), request(path="/%ff?%")]
    received = talk(practice, b"".join([*odd, *good, request(b"", "Connection: close\r\nContent-Length: 0")]))
    statuses = [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [400, 405, 404, 200, 200, 400]
