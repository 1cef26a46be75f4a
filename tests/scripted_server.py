"""A server that answers by script, byte by byte: for what no well-behaved server would do on the wire."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Step = bytes | Callable[[socket.socket], None]

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


def drop(connection: socket.socket) -> None:
    """Closes the connection in place of an answer."""


def reset(connection: socket.socket) -> None:
    """Resets the connection in place of an answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def cut(connection: socket.socket) -> None:
    """Promises more than it sends."""
    connection.sendall(answer(200, MESSAGE)[:-20])


def hang(connection: socket.socket) -> None:
    """Says nothing more, until the client gives up."""
    connection.settimeout(20)
    connection.recv(1)


class ScriptedServer:
    """Answers each request with the next step of `script`; the last step holds for all further ones."""

    def __init__(self) -> None:
        self.play(reply())
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def play(self, *script: Step) -> None:
        """Start over with `script`."""
        self.script, self.requests = list(script), []

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client went away, which some tests are about
            received = b""
            while b"\r\n\r\n" not in received:
                received += (more := connection.recv(65536))
                if not more:
                    return
            head, _, body = received.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")[1:]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            while len(body) < int(headers.get("content-length", 0)):
                body += connection.recv(65536)
            with self._lock:
                self.requests.append((headers, body))
                step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            connection.sendall(step) if isinstance(step, bytes) else step(connection)


@contextmanager
def scripted_server(*script: Step) -> Iterator[ScriptedServer]:
    """A `ScriptedServer` for as long as the block lasts."""
    server = ScriptedServer()
    server.play(*script or [reply()])
    try:
        yield server
    finally:
        server._socket.shutdown(socket.SHUT_RDWR)
        server._socket.close()
