"""A Messages API that answers by script, byte by byte: for what no well-behaved server would do on the wire.

A step of a script is the bytes to send, or a function that gets the request and makes of it another step, or
None where it has sent what there was to send.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple


class Request(NamedTuple):
    """What came, and where its answer goes."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: Any  # of its JSON; None where there is none
    connection: socket.socket


Step = bytes | Callable[[Request], Any] | None


class ScriptedServer:
    """Answers each request with the next step of `script`; the last step holds for all further ones."""

    def __init__(self, *script: Step, tls: ssl.SSLContext | None = None) -> None:
        self.play(*script or [reply()])
        self.under_way, self.tls, self._lock = 0, tls, threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def play(self, *script: Step) -> None:
        """Start over with `script`."""
        self.script, self.requests = list(script), []

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._socket.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client went away, which some tests are about
            connection = self.tls.wrap_socket(connection, server_side=True) if self.tls else connection
            received = b""
            while b"\r\n\r\n" not in received:
                received += (more := connection.recv(65536))
                if not more:
                    return
            head, _, body = received.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            while len(body) < int(headers.get("content-length", 0)):
                body += connection.recv(65536)
            request = Request(first.split()[1], headers, json.loads(body or "null"), connection)
            with self._lock:
                self.requests.append(request)
                step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                self.under_way += 1
            try:
                while callable(step):
                    step = step(request)
                connection.sendall(step or b"")
            finally:
                with self._lock:
                    self.under_way -= 1


# Whole answers

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-5-5",
    "content": [{"type": "text", "text": "Paris."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 3},
}


def answer(status: int, body: object = None, **headers: str) -> bytes:
    """A whole HTTP answer; a body that is neither bytes nor str is sent as JSON."""
    content = body.encode() if isinstance(body, str) else body
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named = {"content-type": "application/json", "request-id": "req_1"} | named
    named = {"content-length": str(len(content)), "connection": "close"} | named
    lines = [f"HTTP/1.1 {status} x", *(f"{name}: {value}" for name, value in named.items()), "", ""]
    return "\r\n".join(lines).encode() + content


def reply(text: str = "Paris.") -> bytes:
    """A good answer."""
    return answer(200, MESSAGE | {"content": [{"type": "text", "text": text}]})


def failure(status: int, kind: str = "api_error", error_code: str | None = None, **headers: str) -> bytes:
    """An answer in the API's error shape."""
    details = {"details": {"error_code": error_code}} if error_code else {}
    error = {"type": kind, "message": "Told to fail.", **details}
    return answer(status, {"type": "error", "error": error, "request_id": "req_1"}, **headers)


def drop(request: Request) -> None:
    """Closes the connection, in place of an answer or in the middle of a chunked body."""


def reset(request: Request) -> None:
    """Resets the connection in place of an answer."""
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang(request: Request) -> None:
    """Says nothing more, until the client gives up."""
    request.connection.settimeout(20)
    request.connection.recv(1)


cut = answer(200, MESSAGE)[:-20]  # promises more than it sends


# Streams, whole or broken: "Paris is" in two pieces, and then

USAGE = {"input_tokens": 40, "output_tokens": 1}
HEAD = b"HTTP/1.1 200 x\r\ncontent-type: text/event-stream\r\nrequest-id: req_1\r\nconnection: close\r\n"
PARTIAL = "Paris is"


def stream(parts: Iterable[bytes], then: Step = None) -> Step:
    """Sends `parts`, in chunks, then ends the stream as HTTP would; or does `then` in place of that."""

    def step(request: Request) -> Step:
        request.connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        for part in parts:
            request.connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        if then:
            time.sleep(0.02)  # else a reset overtakes what was sent
        return then or b"0\r\n\r\n"

    return step


def event(kind: str, raw: str | None = None, **fields: object) -> bytes:
    """One server-sent event, in ASCII: half a character (a lone surrogate) travels as an escape."""
    return f"event: {kind}\ndata: {raw or json.dumps({'type': kind, **fields})}\n\n".encode()


def start(usage: object = USAGE) -> bytes:
    message = MESSAGE | {"content": [], "stop_reason": None, "usage": usage}
    return event("message_start", message=message) + event("ping")


def piece(text: str, index: int = 0) -> bytes:
    return event("content_block_delta", index=index, delta={"type": "text_delta", "text": text})


def block(*pieces: str, index: int = 0) -> Iterator[bytes]:
    """A text block, in pieces."""
    yield event("content_block_start", index=index, content_block={"type": "text", "text": ""})
    yield from (piece(text, index) for text in pieces)
    yield event("content_block_stop", index=index)


def thought() -> bytes:
    """A thinking block whose text is omitted."""
    opened = {"type": "thinking", "thinking": "", "signature": ""}
    begun = event("content_block_start", index=0, content_block=opened)
    return begun + event("content_block_stop", index=0)


def end(stop_reason: str | None = "end_turn", output_tokens: int = 5, **usage: object) -> bytes:
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    told = event("message_delta", delta=delta, usage={"output_tokens": output_tokens, **usage})
    return told + event("message_stop")


def begun(*pieces: str) -> list[bytes]:
    """A stream up to its last piece."""
    return [start(), *list(block(*(pieces or ("Paris", " is"))))[:-1]]


def whole(*pieces: str) -> list[bytes]:
    """A good stream."""
    return [start(), *block(*(pieces or ("Paris", " is", " it."))), end()]


OVERLOADED = event("error", error={"type": "overloaded_error", "message": "Told to fail."})

BREAKS: dict[str, Step] = {
    "dropped": stream(begun(), drop),
    "stalled": stream(begun(), hang),
    "cut short": stream(begun()),
    "no message_stop": stream([*begun(), end().partition(b"event: message_stop")[0]]),
    "overloaded": stream([*begun(), OVERLOADED, *whole()]),
    "garbled": stream([*begun(), event("content_block_delta", '{"type": "content_blo')]),
}
"""Streams that break after two pieces."""

NO_REPLY: dict[str, Step] = {
    "a page": answer(200, "<html>Please log in</html>", content_type="text/html"),
    "JSON of something else": answer(200, {"status": "ok"}),
    "JSON cut short": answer(200, json.dumps(MESSAGE)[:-20]),
}
"""Answers with status 200 that hold no reply. Another try is not known to mend them."""

BROKEN_BEFORE: dict[str, Step] = {
    "closed at once": drop,
    "a ping and no more": stream([event("ping")]),
    "dropped while thinking": stream([start(), thought()], drop),
    "overloaded at the start": stream([start(), OVERLOADED]),
    "no message_start": stream([event("content_block_stop", index=0), end()]),
}
"""Streams that break before their first piece: what a retry may mend."""


# Any text, at any speed


class EchoServer(ScriptedServer):
    """Replies with the last user message; after `fail ` it is the message of an error.

    `say 1500 at 40` instead makes a stream of 1,500 numbered tokens, 40 a second, in paragraphs, lists and
    emphasis; when each left is in `sent` (token number → time.time()).
    """

    def __init__(self) -> None:
        super().__init__(self.echo)
        self.sent: dict[int, float] = {}

    def echo(self, request: Request) -> Step:
        if request.body is None or request.path.endswith("count_tokens"):
            return answer(200, {"data": [], "input_tokens": 10})
        content = request.body["messages"][-1]["content"]
        text = content if isinstance(content, str) else "".join(block.get("text", "") for block in content)
        if text.startswith("fail "):
            error = {"type": "invalid_request_error", "message": text.removeprefix("fail ")}
            return answer(400, {"type": "error", "error": error})
        if order := re.match(r"say (\d+) at (\d+)$", text.strip()):
            return stream(self.tokens(int(order[1]), int(order[2])))
        pieces = [text[at : at + 40] for at in range(0, len(text), 40)]
        return stream(whole(*pieces)) if request.body.get("stream") else reply(text)

    def tokens(self, count: int, a_second: int) -> Iterator[bytes]:
        """Each has about four characters, and is findable as `n<number>;` in the reply."""
        opened, closed = block()
        yield start() + opened
        self.sent.clear()
        began = time.monotonic()
        for number in range(count):
            time.sleep(max(0, began + number / a_second - time.monotonic()))
            self.sent[number] = time.time()
            marks = {0: "\n\n", 5: "**", 8: "**", 20: "\n\n- ", 30: "\n- ", 40: "\n- "}
            yield piece(f"{marks.get(number % 60, '')}n{number}; ")
        yield closed + end(output_tokens=count)
