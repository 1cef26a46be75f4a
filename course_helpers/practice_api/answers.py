"""Answers that a plain response class cannot give: a paced stream, a broken one, a dropped connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from anthropic.types import Message
from starlette.responses import Response

from . import respond
from .errors import ERROR_TYPES
from .faults import Break, Pace
from .journal import Exchange

TRANSPORT = "practice.transport"
"""Where the server leaves the connection's transport in the ASGI scope."""


class Dropped(Response):
    """The connection closes without a word."""

    async def __call__(self, scope, receive, send) -> None:
        scope[TRANSPORT].close()
        await disconnected(receive)


class EventStream(Response):
    """The reply as server-sent events, at a pace, broken where a fault says so."""

    media_type = "text/event-stream"

    def __init__(
        self, message: Message, exchange: Exchange, headers: dict[str, str], pace: Pace, fault: Break | None
    ) -> None:
        super().__init__(headers={"cache-control": "no-cache", **headers})
        del self.headers["content-length"]
        self.message, self.exchange, self.pace, self.fault = message, exchange, pace, fault

    async def __call__(self, scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        self.exchange.status = 200
        gone = asyncio.ensure_future(disconnected(receive))
        try:
            async for event in self._paced(gone):
                if event["type"] == "message_stop":
                    self.exchange.reply = respond.wire(self.message)
                await send(_chunk(_sse(event["type"], json.dumps(event, ensure_ascii=False))))
                await asyncio.sleep(0)  # let the loop see that the client has gone, and serve others
                if scope[TRANSPORT].is_closing():
                    await gone
                    return
        except _Broken:
            await self._break(scope, gone, send)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()

    async def _paced(self, gone: asyncio.Future) -> AsyncIterator[dict[str, Any]]:
        """The events, each when its time has come; ends early once the client is gone."""
        events = list(respond.events(self.message))
        deltas = [event for event in events if event["type"] == "content_block_delta"]
        rate = self.pace.tokens_per_second
        pause = self.message.usage.output_tokens / len(deltas) / rate if rate and deltas else 0.0
        wait, shown = self.pace.first_token_seconds, 0
        for event in events:
            is_text = event.get("delta", {}).get("type") == "text_delta"
            if self.fault and (event["type"] == "message_delta" or (is_text and shown == self.fault.after)):
                raise _Broken
            shown += is_text
            if event["type"] == "content_block_delta":
                if wait:
                    await asyncio.wait({gone}, timeout=wait)
                wait = pause
            if gone.done():
                return
            yield event

    async def _break(self, scope, gone: asyncio.Future, send) -> None:
        match self.fault.kind:
            case "error":
                error = {"type": ERROR_TYPES[529], "message": "Overloaded"}
                await send(_chunk(_sse("error", json.dumps({"type": "error", "error": error}))))
            case "garble":
                await send(_chunk(_sse("content_block_delta", '{"type": "content_block_delta", "ind')))
            case "stall":
                await asyncio.wait({gone}, timeout=self.fault.seconds)
        if self.fault.kind in ("disconnect", "stall"):
            scope[TRANSPORT].close()
            await gone
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Broken(Exception):
    """The stream has come to the point where it is to break."""


async def disconnected(receive) -> None:
    """Wait until the connection is gone. Returning earlier would look unfinished to uvicorn."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _sse(name: str, data: str) -> bytes:
    return f"event: {name}\ndata: {data}\n\n".encode()


def _chunk(data: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": True}
