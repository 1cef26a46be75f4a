"""Answers that a plain response class cannot give: a paced stream, a broken one, a dropped connection."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pydantic_core
from starlette.responses import Response

from . import respond
from .errors import ApiError
from .faults import Break, Pace
from .journal import Exchange

TRANSPORT = "practice.transport"
"""Where the server leaves the connection's transport in the ASGI scope."""
CLOSING_TIME = 10.0


class JSONAnswer(Response):
    """A body in JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return pydantic_core.to_json(content)


class Dropped(Response):
    """The connection closes without a word."""

    async def __call__(self, scope, receive, send) -> None:
        scope[TRANSPORT].close()
        await disconnected(receive)


async def disconnected(receive) -> None:
    """Wait until the connection is gone. Returning earlier would look unfinished to uvicorn."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def stream(
    message: dict[str, Any], exchange: Exchange, transport: Any, pace: Pace, fault: Break | None
) -> AsyncIterator[bytes]:
    """`message` as server-sent events, each when its time has come, broken where `fault` says so."""
    events = list(respond.events(message))
    deltas = sum(event["type"] == "content_block_delta" for event in events)
    pause = pace.duration(message["usage"]["output_tokens"]) / max(1, deltas)
    wait, shown = pace.first_token_seconds, 0
    for event in events:
        kind, is_text = event["type"], event.get("delta", {}).get("type") == "text_delta"
        if fault and (kind == "message_delta" or (is_text and shown == fault.after)):
            async for data in _broken(fault, exchange, transport):
                yield data
            return
        shown += is_text
        if kind == "content_block_delta":
            await asyncio.sleep(wait)
            wait = pause
        elif kind == "message_stop":
            exchange.reply = message
        yield _event(kind, pydantic_core.to_json(event))


async def _broken(fault: Break, exchange: Exchange, transport: Any) -> AsyncIterator[bytes]:
    """What still comes once a stream breaks; "truncate" is nothing more than its end."""
    if fault.kind == "error":
        yield _event("error", pydantic_core.to_json(ApiError(529).body(exchange.request_id)))
    elif fault.kind == "garble":
        yield _event("content_block_delta", b'{"type": "content_block_delta", "ind')
    elif fault.kind in ("disconnect", "stall"):
        await asyncio.sleep(fault.seconds if fault.kind == "stall" else 0)
        transport.close()
        await asyncio.sleep(CLOSING_TIME)  # ended by the connection's end


def _event(name: str, data: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)
