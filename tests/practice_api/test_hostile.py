"""Whatever is sent, the answer is a 200 or a 4xx in the API's shape, and the next good one is answered."""

from __future__ import annotations

import itertools
import json
import logging
import signal
import socket
import struct
import subprocess
import sys
from contextlib import closing

import httpx2
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_helpers.practice_api import Practice
from tests.practice_api import hostile
from tests.practice_api.wire import Wire, body, user


def fits(answer: httpx2.Response) -> None:
    """Fails unless `answer` is a message, a count, a whole stream, or an error in the API's shape."""
    sent = answer.request.content[:500]
    if answer.status_code == 200:
        if answer.headers["content-type"].startswith("text/event-stream"):
            assert '"type":"message_stop"' in answer.text.splitlines()[-2], sent
        else:
            told = strictly(answer.content)
            assert told.get("type") == "message" or told.keys() in ({"input_tokens"},), sent
    else:
        assert 400 <= answer.status_code < 500, (answer.status_code, sent)
        told = strictly(answer.content)
        assert (told["type"], told.keys()) == ("error", {"type", "error", "request_id"}), sent
        assert told["error"].keys() == {"type", "message"}, sent
        assert told["request_id"] == answer.headers["request-id"], sent
        assert len(answer.content) < 2_000, sent


def strictly(content: bytes):
    """The JSON in `content`; NaN and Infinity are none."""
    return json.loads(content, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def still_there(wire: Wire) -> None:
    """Fails unless a good request gets its answer."""
    assert wire.ok()["content"][0]["text"] == "The capital of France is Paris."


def fuzz(practice: Practice, examples: int, *, repeatable: bool) -> int:
    """Send at least `examples` requests that hypothesis makes up; how many they were."""
    sent = 0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=repeatable,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(hostile.PATHS), hostile.bodies(), hostile.headers)
    def shoot(path, content, headers):
        nonlocal sent
        sent += 1
        fits(wire.http.post(path, content=content, headers=hostile.versioned(**headers)))

    with closing(Wire(practice.url).http) as http:
        wire = Wire(practice.url)
        wire.http.close()
        wire.http = http
        shoot()
        still_there(wire)
    return sent


@pytest.fixture
def silent(caplog):
    """Nothing that would reach the learner's screen is logged."""
    with caplog.at_level(logging.WARNING):
        yield
        assert [record.getMessage() for record in caplog.records] == []


def test_a_thousand_requests_made_up(practice, silent):
    """The same ones every time."""
    assert fuzz(practice, 1_000, repeatable=True) >= 1_000
    for exchange in practice.journal:
        assert str(exchange)
        assert exchange.curl()
    assert repr(practice.journal)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_thousand_requests_made_up(practice, silent):
    """New ones every time."""
    assert sum(fuzz(practice, 5_000, repeatable=False) for _ in range(4)) >= 20_000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_corpus(practice, wire, silent):
    """What a fuzzer seldom finds: depth, size, number, encodings."""
    for _, content in hostile.corpus():
        for path in hostile.PATHS if len(content) < 1_000_000 else hostile.PATHS[:1]:
            answer = wire.http.post(path, content=content, headers=hostile.versioned(), timeout=60)
            fits(answer)
    still_there(wire)
    for exchange in practice.journal:
        if len(exchange.raw) < 1_000_000:
            assert str(exchange)
            assert exchange.curl()


# By hand, on a socket


def talk(
    practice: Practice, *parts: bytes, shut: bool = False, until_closed: bool = False, timeout: float = 20
) -> bytes:
    """What comes back for `parts`: one answer, or all that come until the connection closes."""
    host, port = practice.url.removeprefix("http://").split(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=timeout) as connection:
        try:
            for part in parts:
                connection.sendall(part)
            if shut:
                connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(65536):
                received += more
                if not (shut or until_closed) and whole(received):
                    break
        except OSError:
            pass  # hung up on, as it may be
    return received


def whole(received: bytes) -> bool:
    """Is the first answer complete?"""
    head, end, content = received.partition(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    return bool(end) and len(content) >= length


def status_and_error(received: bytes) -> tuple[int, dict]:
    """The status and the JSON of the first answer."""
    head, _, content = received.partition(b"\r\n\r\n")
    length = int(
        next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))[15:]
    )
    return int(head.split(b" ")[1]), json.loads(content[:length])


UNREADABLE = {
    "many headers": hostile.head(2, *(f"x-{n}: {n}" for n in range(20_000))),
    "a long header": hostile.head(2, "x-long: " + "x" * 200_000),
    "a header without end": b"POST /v1/messages HTTP/1.1\r\nx: " + b"x" * 300_000,
    "a long path": hostile.head(2, path="/" + "x" * 200_000),
    "no HTTP": b"hello\r\n\r\n",
    "TLS": bytes.fromhex("16030100f8010000f40303") + bytes(200),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two lengths": hostile.head(2, "Content-Length: 3"),
    "a negative length": hostile.head(-1),
    "a huge length of digits": hostile.head(int("9" * 30)),
    "space before the colon": hostile.head(2, "x : y"),
    "a control character": hostile.head(2, "x: \x00"),
    "an odd encoding": hostile.head(None, "Transfer-Encoding: gzip, chunked"),
    "a bad chunk": hostile.head(None, "Transfer-Encoding: chunked") + b"zz\r\n",
    "a chunk too long": hostile.head(None, "Transfer-Encoding: chunked") + b"f" * 40 + b"\r\n",
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_request_gets_an_error_in_the_same_shape(practice, wire, silent, name):
    """400 with a request id in body and header; then the connection closes."""
    received = talk(practice, UNREADABLE[name])
    if received:  # a client that floods may be hung up on before it reads
        status, told = status_and_error(received)
        assert 400 <= status < 500
        assert told["type"] == "error"
        assert f"request-id: {told['request_id']}".encode() in received.lower()
    still_there(wire)


@pytest.mark.parametrize(
    "sent",
    [
        hostile.head(5000) + b'{"model"',
        hostile.head(None, "Transfer-Encoding: chunked") + b"5\r\n{",
        hostile.head(2)[:40],
        b"\r\n",
        b"",
    ],
)
def test_truncated_requests(practice, wire, silent, sent):
    """The client stops in the middle and leaves: nothing is answered, nothing is logged, nothing hangs."""
    talk(practice, sent, shut=True)
    still_there(wire)


def test_several_requests_at_once_on_one_connection(practice):
    """Pipelined: answered one after the other, in order."""
    good, bad = json.dumps(body()).encode(), b"{}"
    many = b"".join(hostile.head(len(c)) + c for c in (good, bad, good))
    many += hostile.head(0, "Connection: close", method="GET")
    received = talk(practice, many, until_closed=True)
    assert [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]] == [b"200", b"400", b"200", b"405"]


def test_readers_that_leave_after_the_first_bytes(practice, wire, silent):
    """The rest of the answer is not written to a connection that was reset: asyncio would complain."""
    host, port = practice.url.removeprefix("http://").split(":")
    said = user("Tell me something. " * 50)
    content = json.dumps(body(messages=[said], max_tokens=1000, stream=True)).encode()
    head = (
        "POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: practice\r\nanthropic-version: 2026-10-21\r\n"
        f"content-length: {len(content)}\r\n\r\n"
    )
    for _ in range(100):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head.encode() + content)
            connection.recv(10)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    still_there(wire)


def test_a_client_that_does_not_read(practice, wire, silent):
    """Its connection fills up and waits; others are served."""
    host, port = practice.url.removeprefix("http://").split(":")
    content = json.dumps(body(stream=True)).encode()
    with socket.create_connection((host, int(port)), timeout=1) as connection:
        try:
            for _ in range(3_000):
                connection.sendall(hostile.head(len(content)) + content)
        except TimeoutError:
            pass
        still_there(wire)
    still_there(wire)


@pytest.mark.parametrize("method", ["GET", "HEAD", "TRACE", "CONNECT", "FOO", "post"])
def test_odd_methods_and_targets(practice, wire, method):
    """405 or 404, or unreadable; never a 5xx."""
    for path in (
        "/v1/messages",
        "*",
        "http://other/v1/messages",
        "//v1/messages",
        "/%00",
        "/%ff",
        "/?%",
        "x:1",
        "/é",
    ):
        request = hostile.head(0, "Connection: close", method=method, path=path)
        received = talk(practice, request, until_closed=True)
        assert received.startswith(b"HTTP/1.1 4"), (method, path, received[:100])
    still_there(wire)


def test_odd_hosts_and_upgrades(practice, silent):
    """The name in Host is not looked at; no WebSocket, no HTTP/2."""
    content = json.dumps(body()).encode()
    for host in ("", "x y", "[::1", "a" * 5000, "//", "\xff"):
        request = hostile.head(len(content)).replace(b"Host: x", b"Host: " + host.encode("latin-1"))
        assert talk(practice, request + content).split(b" ")[1] in (b"200", b"400")
    for protocol in ("websocket", "h2c"):
        request = hostile.head(len(content), "Connection: Upgrade", f"Upgrade: {protocol}") + content
        assert talk(practice, request).startswith(b"HTTP/1.1 200")


def test_a_client_that_closes_its_half_gets_its_answer(practice, wire, silent):
    """Plain and streaming; then the connection closes."""
    for stream in (False, True):
        content = json.dumps(body(stream=stream)).encode()
        received = talk(practice, hostile.head(len(content)) + content, shut=True)
        assert received.startswith(b"HTTP/1.1 200")
        assert b"Paris" in received
    still_there(wire)


@pytest.mark.parametrize("rounds", [300, pytest.param(5_000, marks=pytest.mark.slow)])
def test_garbage(practice, wire, silent, rounds):
    """Almost HTTP, the same every time, each on a connection of its own."""
    for sent in itertools.islice(hostile.garbage(seed=1), rounds):
        received = talk(practice, sent, shut=True)
        assert not received or received.startswith((b"HTTP/1.1 4", b"HTTP/1.1 200")), (sent, received[:200])
    still_there(wire)


# Memory


@pytest.fixture
def elsewhere():
    """A practice API in a process of its own, whose memory is all its own: URL and process."""
    command = [sys.executable, "-m", "course_helpers.practice_api", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield process.stdout.readline().split()[3].rstrip(","), psutil.Process(process.pid)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert err == ""


def megabytes(process: psutil.Process) -> float:
    """The resident memory of `process`."""
    return process.memory_info().rss / 1e6


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_memory_stays_flat_under_large_requests(elsewhere):
    """10 MB each, good and bad: what has been answered makes room."""
    url, process = elsewhere
    wire = Wire(url)
    large = [
        dict(hostile.corpus())[name]
        for name in ("a string of 10000000", "a field of 10000000", "many wrong blocks")
    ]

    def round_of_requests():
        for content in large:
            answer = wire.http.post("/v1/messages", content=content, headers=hostile.versioned(), timeout=60)
            assert answer.status_code < 500
        return megabytes(process)

    with closing(wire.http):
        early = max(round_of_requests() for _ in range(3))
        late = min(round_of_requests() for _ in range(3))
    assert late < early + 40
