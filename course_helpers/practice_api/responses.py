"""Answers that a plain response class cannot give: a paced stream, a broken one, a dropped connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pydantic_core
from starlette.responses import Response

from . import generate
from .errors import ApiError
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
        self,
        message: dict[str, Any],
        exchange: Exchange,
        headers: dict[str, str],
        pace: Any,
        fault: Any,
    ) -> None:
        super().__init__(headers={"cache-control": "no-cache", **headers})
        del self.headers["content-length"]
        self.message, self.exchange, self.pace, self.fault = message, exchange, pace, fault

    async def __call__(self, scope, receive, send) -> None:
        self.exchange.status = 200
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        gone = asyncio.ensure_future(disconnected(receive))
        try:
            await self._tell(scope, gone, send)
        finally:
            gone.cancel()

    async def _tell(self, scope, gone: asyncio.Future, send) -> None:
        """The events, each when its time has come, until the end, the fault or the client's leaving."""
        events = list(generate.events(self.message))
        deltas = sum(event["type"] == "content_block_delta" for event in events)
        pause = self.message["usage"]["output_tokens"] / self.pace.tokens_per_second / max(1, deltas)
        wait, shown = self.pace.first_token_seconds, 0
        for event in events:
            kind, is_text = event["type"], event.get("delta", {}).get("type") == "text_delta"
            if self.fault and (kind == "message_delta" or (is_text and shown == self.fault.after)):
                await self._break(scope, gone, send)
                return
            shown += is_text
            if kind == "content_block_delta":
                if wait:
                    await asyncio.wait({gone}, timeout=wait)
                wait = pause
            if gone.done() or scope[TRANSPORT].is_closing():  # further writes would be complained of
                await gone
                return
            if kind == "message_stop":
                self.exchange.answered = pydantic_core.to_json(self.message)
            await send(_event(kind, pydantic_core.to_json(event)))
        await send(_END)

    async def _break(self, scope, gone: asyncio.Future, send) -> None:
        match self.fault.kind:
            case "error":
                body = ApiError(529).body(self.exchange.request_id)
                await send(_event("error", pydantic_core.to_json(body)))
            case "garble":
                await send(_event("content_block_delta", b'{"type": "content_block_delta", "ind'))
            case "stall":
                await asyncio.wait({gone}, timeout=self.fault.seconds)
        if self.fault.kind in ("disconnect", "stall"):
            scope[TRANSPORT].close()
            await gone
        else:
            await send(_END)


async def disconnected(receive) -> None:
    """Wait until the connection is gone. Returning earlier would look unfinished to uvicorn."""
    while (await receive())["type"] != "http.disconnect":
        pass


_END = {"type": "http.response.body", "body": b"", "more_body": False}


def _event(name: str, data: bytes) -> dict[str, Any]:
    body = b"event: %s\ndata: %s\n\n" % (name.encode(), data)
    return {"type": "http.response.body", "body": body, "more_body": True}
