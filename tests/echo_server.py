"""A Messages API that says what it is told to: for texts and speeds that no well-behaved model would have.

The reply is the last user message; after `fail ` it is the message of an error.
`say 1500 at 40` instead makes 1,500 numbered tokens, 40 a second, in paragraphs, lists and emphasis
(`say 1500 at 40 as code`, `list` or `paragraph`: in one block); when each left the server is remembered.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

_ORDER = re.compile(r"^say (\d+) at (\d+)(?: as (\w+))?$")


class EchoServer:
    """The server, in a thread of this process: `url`, `sent` (token number → time.time()), `close()`."""

    def __init__(self) -> None:
        self.sent: dict[int, float] = {}
        self.open_streams = 0
        self.requests: list[dict] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        routes = [
            Route("/v1/messages", self._messages, methods=["POST"]),
            Route("/v1/messages/count_tokens", self._count, methods=["POST"]),
            Route("/v1/models", self._models),
        ]
        self._server = uvicorn.Server(
            uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off")
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)

    async def _models(self, _: Request) -> JSONResponse:
        return JSONResponse({"data": []})

    async def _count(self, request: Request) -> JSONResponse:
        return JSONResponse({"input_tokens": len(await request.body()) // 4})

    async def _messages(self, request: Request) -> StreamingResponse | JSONResponse:
        body = await request.json()
        self.requests.append(body)
        content = body["messages"][-1]["content"]
        text = content if isinstance(content, str) else "".join(block.get("text", "") for block in content)
        if text.startswith("fail "):
            error = {"type": "invalid_request_error", "message": text.removeprefix("fail ")}
            return JSONResponse({"type": "error", "error": error}, status_code=400)
        head = {
            "id": "msg_echo",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "stop_sequence": None,
        }
        usage = {"input_tokens": len(text) // 4 + 1, "output_tokens": 1}
        if not body.get("stream"):
            done = {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "usage": usage}
            return JSONResponse(head | done)
        start = head | {"content": [], "stop_reason": None, "usage": usage}
        return StreamingResponse(self._stream(start, text), media_type="text/event-stream")

    async def _stream(self, start: dict, text: str):
        self.open_streams += 1
        try:
            yield _event("message_start", message=start)
            yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
            order, count = _ORDER.match(text.strip()), 0
            if order:
                self.sent.clear()
                began = time.monotonic()
                for number in range(int(order[1])):
                    due = began + number / int(order[2])
                    if (wait := due - time.monotonic()) > 0:
                        await asyncio.sleep(wait)
                    self.sent[number] = time.time()
                    count += 1
                    yield _delta(numbered(number, order[3] or "mixed"))
            else:
                for at in range(0, len(text), 40):
                    count += 10
                    yield _delta(text[at : at + 40])
            yield _event("content_block_stop", index=0)
            end = {"stop_reason": "end_turn", "stop_sequence": None}
            yield _event("message_delta", delta=end, usage={"output_tokens": max(count, 1)})
            yield _event("message_stop")
        finally:
            self.open_streams -= 1


def _event(kind: str, **fields) -> bytes:
    # ASCII JSON: half a character (a lone surrogate) travels as an escape, as from a careless server.
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def _delta(text: str) -> bytes:
    return _event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


def numbered(number: int, kind: str) -> str:
    """Token `number`, about four characters, findable as `n<number>;` in a reply of the given kind."""
    word = f"n{number}; "
    if kind == "paragraph":
        return word
    if kind == "code":
        return ("```python\n" if number == 0 else "") + word + ("\n" if number % 12 == 11 else "")
    if kind == "list":
        return ("\n- " if number % 15 == 0 else "") + word
    if number % 200 == 199:
        return f"{word}\n\n"
    if number % 400 >= 300:
        return ("\n\n- " if number % 25 == 0 else "") + word
    return ("\n\n" if number % 60 == 0 else "**" if number % 60 in (5, 8) else "") + word
