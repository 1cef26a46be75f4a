"""A Messages API that says what it is told to: for texts and speeds that no well-behaved model would have.

The reply is the last user message; after `fail ` it is the message of an error.
`say 1500 at 40` instead makes 1,500 numbered tokens, 40 a second, in paragraphs, lists and emphasis;
when each left the server is remembered.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class EchoServer(ThreadingHTTPServer):
    """The server, in threads of this process: `url`, `requests`, `sent` (token number → time.time())."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.sent: dict[int, float] = {}
        self.requests: list[dict] = []
        self.open_streams = 0
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """End it."""
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    disable_nagle_algorithm = True
    server: EchoServer

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, content: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self.answer(200, b'{"data": []}')

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.endswith("count_tokens"):
            return self.answer(200, b'{"input_tokens": 10}')
        self.server.requests.append(body)
        content = body["messages"][-1]["content"]
        text = content if isinstance(content, str) else "".join(block.get("text", "") for block in content)
        if text.startswith("fail "):
            error = {"type": "invalid_request_error", "message": text.removeprefix("fail ")}
            return self.answer(400, json.dumps({"type": "error", "error": error}).encode())
        reply = {"id": "msg_echo", "type": "message", "role": "assistant", "model": body["model"]}
        reply |= {"content": [], "usage": {"input_tokens": len(text) // 4 + 1, "output_tokens": 1}}
        if not body.get("stream"):
            reply |= {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}
            return self.answer(200, json.dumps(reply).encode())
        self.server.open_streams += 1
        try:
            with contextlib.suppress(ConnectionError):  # the reader left
                self.answer(200, b"", "text/event-stream")
                self.event("message_start", message=reply)
                self.event("content_block_start", index=0, content_block={"type": "text", "text": ""})
                count = 0
                for count, piece in enumerate(self.pieces(text), 1):  # noqa: B007
                    self.event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
                self.event("content_block_stop", index=0)
                usage = {"output_tokens": max(count, 1)}
                self.event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage)
                self.event("message_stop")
        finally:
            self.server.open_streams -= 1
        return None

    def event(self, kind: str, **fields: object) -> None:
        # ASCII JSON: half a character (a lone surrogate) travels as an escape, as from a careless server.
        self.wfile.write(f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode())

    def pieces(self, text: str) -> Iterator[str]:
        """What the reply is made of, at the speed that was asked for."""
        order = re.match(r"say (\d+) at (\d+)$", text.strip())
        if not order:
            yield from (text[at : at + 40] for at in range(0, len(text), 40))
            return
        self.server.sent.clear()
        began = time.monotonic()
        for number in range(int(order[1])):
            time.sleep(max(0, began + number / int(order[2]) - time.monotonic()))
            self.server.sent[number] = time.time()
            yield numbered(number)


def numbered(number: int) -> str:
    """Token `number`, about four characters, findable as `n<number>;` in the reply."""
    word = f"n{number}; "
    if number % 200 == 199:
        return f"{word}\n\n"
    if number % 400 >= 300:
        return ("\n\n- " if number % 25 == 0 else "") + word
    return ("\n\n" if number % 60 == 0 else "**" if number % 60 in (5, 8) else "") + word
