"""Streams that break: at the socket, in the middle of an event, or without anyone saying so.

Each entry of `BREAKS` is a step for `scripted_server`: it streams "Paris is" in two pieces, then breaks.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator

from tests.scripted_server import MESSAGE, Step, answer, hang
from tests.scripted_server import scripted_server as broken_server

__all__ = ["broken_server"]
USAGE = {"input_tokens": 40, "output_tokens": 1}
HEAD = b"HTTP/1.1 200 x\r\ncontent-type: text/event-stream\r\nconnection: close\r\nrequest-id: req_1\r\n"
PARTIAL = "Paris is"


def event(kind: str, **fields: object) -> bytes:
    """One server-sent event."""
    return raw_event(kind, json.dumps({"type": kind, **fields}))


def raw_event(name: str, data: str) -> bytes:
    return f"event: {name}\ndata: {data}\n\n".encode()


def start(usage: object = USAGE) -> bytes:
    message = MESSAGE | {"content": [], "stop_reason": None, "usage": usage}
    return event("message_start", message=message) + event("ping")


def block(*pieces: str, index: int = 0) -> Iterator[bytes]:
    """A text block, in pieces."""
    yield event("content_block_start", index=index, content_block={"type": "text", "text": ""})
    for piece in pieces:
        delta = {"type": "text_delta", "text": piece}
        yield event("content_block_delta", index=index, delta=delta)
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


def stream(parts: list[bytes], then: Callable[[socket.socket], None] | None = None) -> Step:
    """Sends `parts`, in chunks, then ends the stream as HTTP would; or does `then` in place of that."""

    def step(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        for part in parts:
            connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        if then is None:
            connection.sendall(b"0\r\n\r\n")
        else:
            time.sleep(0.02)  # else a reset overtakes what was sent
            then(connection)

    return step


def leave(connection: socket.socket) -> None:
    """Closes the connection in the middle of a chunked body."""


def error_event(kind: str) -> bytes:
    return event("error", error={"type": kind, "message": "Told to fail."})


stall = hang
BREAKS: dict[str, Step] = {
    "dropped": stream(begun(), leave),
    "stalled": stream(begun(), stall),
    "cut short": stream(begun()),
    "no message_stop": stream([*begun(), end().partition(b"event: message_stop")[0]]),
    "overloaded": stream([*begun(), error_event("overloaded_error"), *whole()]),
    "garbled": stream([*begun(), raw_event("content_block_delta", '{"type": "content_blo')]),
    "not an object": stream([*begun(), raw_event("content_block_delta", "[1, 2]"), end()]),
    "usage of nonsense": stream([*begun(), end(output_tokens=-5)]),
}
"""Streams that break after two pieces."""

NO_REPLY: dict[str, Step] = {
    "a page": answer(200, "<html>Please log in</html>", content_type="text/html"),
    "JSON of something else": answer(200, {"status": "ok"}),
    "JSON cut short": answer(200, json.dumps(MESSAGE)[:-20]),
}
"""Answers with status 200 that hold no reply. Another try is not known to mend them."""

BROKEN_BEFORE: dict[str, Step] = {
    "closed at once": leave,
    "a ping and no more": stream([event("ping")]),
    "dropped while thinking": stream([start(), thought()], leave),
    "overloaded at the start": stream([start(), error_event("overloaded_error")]),
    "no message_start": stream([event("content_block_stop", index=0), end()]),
}
"""Streams that break before their first piece: what a retry may mend."""
