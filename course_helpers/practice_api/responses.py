"""What is answered beside plain messages: a paced stream, a dropped connection, lists, models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from types import SimpleNamespace
from typing import Any

import pydantic_core
from anthropic import types

from ..models import Model
from . import generate
from .errors import ApiError, require
from .journal import Exchange

TRANSPORT = "practice.transport"
"""Where the server leaves the connection's transport in the ASGI scope."""


async def disconnected(receive) -> None:
    """Wait until the connection is gone. Returning earlier would look unfinished to uvicorn."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def dropped(scope, receive, send) -> None:
    """The connection closes without a word."""
    scope[TRANSPORT].close()
    await disconnected(receive)


@dataclass
class EventStream:
    """The reply as server-sent events, at a pace, broken where a fault says so."""

    message: dict[str, Any]
    exchange: Exchange
    headers: dict[str, str]
    pace: SimpleNamespace
    fault: SimpleNamespace | None

    async def __call__(self, scope, receive, send) -> None:
        self.exchange.status = 200
        kind = {"content-type": "text/event-stream; charset=utf-8"}
        headers = {"cache-control": "no-cache"} | self.headers | kind
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        gone = asyncio.ensure_future(disconnected(receive))
        try:
            async for name, data in self._events(gone):
                if gone.done() or scope[TRANSPORT].is_closing():  # further writes would be complained of
                    return await gone
                body = b"event: %s\ndata: %s\n\n" % (name.encode(), data)
                await send({"type": "http.response.body", "body": body, "more_body": True})
            if self.fault and self.fault.kind in ("disconnect", "stall"):
                scope[TRANSPORT].close()
                return await gone
            return await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()

    async def _events(self, gone: asyncio.Future) -> AsyncIterator[tuple[str, bytes]]:
        """Name and data of the events, each when its time has come, until the end or the fault."""
        events = list(generate.events(self.message))
        deltas = sum(event["type"] == "content_block_delta" for event in events)
        pause = self.message["usage"]["output_tokens"] / self.pace.tokens_per_second / max(1, deltas)
        wait, shown = self.pace.first_token_seconds, 0
        for event in events:
            kind, is_text = event["type"], event.get("delta", {}).get("type") == "text_delta"
            if self.fault and (kind == "message_delta" or (is_text and shown == self.fault.after)):
                break
            shown += is_text
            if kind == "content_block_delta":
                if wait:
                    await asyncio.wait({gone}, timeout=wait)
                wait = pause
            if kind == "message_stop" and not gone.done():
                self.exchange.answered = pydantic_core.to_json(self.message)
            yield kind, pydantic_core.to_json(event)
        match self.fault and self.fault.kind:
            case "error":
                yield "error", pydantic_core.to_json(ApiError(529).body(self.exchange.request_id))
            case "garble":
                yield "content_block_delta", b'{"type": "content_block_delta", "ind'
            case "stall":
                await asyncio.wait({gone}, timeout=self.fault.seconds)


def page_of(items: Iterable[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """The page of `items`, newest first, that limit, after_id and before_id of a query ask for."""
    items = [*items]
    limit = query.get("limit", "20")
    number = int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 5 else 0
    require(1 <= number <= 1000, "limit: Input should be a whole number from 1 to 1000")
    ids = [item["id"] for item in items]
    for cursor in ("after_id", "before_id"):
        require(query.get(cursor) in [None, *ids], f"{cursor}: nothing in this list has this id")
    start = ids.index(query["after_id"]) + 1 if "after_id" in query else 0
    end = ids.index(query["before_id"]) if "before_id" in query else len(ids)
    page = items[start:end][-number:] if "before_id" in query else items[start:end][:number]
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return {"data": page, "has_more": end - start > len(page), "first_id": first, "last_id": last}


def model_info(model: Model) -> dict[str, Any]:
    """A model as the API shows it."""
    info = {
        "type": "model",
        "id": model.snapshot or model.id,
        "display_name": model.name,
        "created_at": _midnight(model.released),
        "line": model.line,
        "lifecycle": model.lifecycle,
        "deprecated_at": _midnight(model.deprecated),
        "retires_at": _midnight(model.retires),
        "max_input_tokens": model.context_window,
        "max_tokens": model.max_output,
        "capabilities": None,
    }
    types.ModelInfo.model_validate(info)
    return info


def _midnight(day: date | None) -> str | None:
    return day and f"{day}T00:00:00Z"
