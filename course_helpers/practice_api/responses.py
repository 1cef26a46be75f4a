"""What is answered beside plain messages: streams, lists, models and batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pydantic_core
from starlette.datastructures import QueryParams

from ..models import Model
from . import generate
from .journal import Exchange
from .schemas import ApiError, Dropped, Headers, Object, require


class Head(NamedTuple):
    """How an answer begins, and its body unless that follows in pieces."""

    status: int
    headers: Headers
    body: bytes = b""


Part = float | Head | bytes
"""What an answer is made of: seconds to wait, where it takes its time; its head; pieces of a body."""


def event_stream(message: Object, exchange: Exchange, pace: Any, fault: Any) -> Iterator[Part]:
    """The reply as server-sent events, at a pace, broken where a fault says so.

    What nothing has to wait for goes out in one piece.
    """
    events = list(generate.events(message))
    deltas = sum(event["type"] == "content_block_delta" for event in events)
    pause = message["usage"]["output_tokens"] / pace.tokens_per_second / max(1, deltas)
    wait, shown, ready = float(pace.first_token_seconds), 0, b""
    for event in events:
        name, is_text = event["type"], event.get("delta", {}).get("type") == "text_delta"
        if fault and (name == "message_delta" or (is_text and shown == fault.after)):
            break
        shown += is_text
        if name == "content_block_delta":
            if wait:
                yield from (ready, wait)
                ready = b""
            wait = pause
        ready += _event(name, pydantic_core.to_json(event))
    kind = fault and fault.kind
    if kind is None:
        exchange.answered = pydantic_core.to_json(message)
    elif kind == "error":
        ready += _event("error", pydantic_core.to_json(ApiError(529).body(exchange.request_id)))
    elif kind == "garble":
        ready += _event("content_block_delta", b'{"type": "content_block_delta", "ind')
    yield ready
    if kind in ("disconnect", "stall"):
        yield fault.seconds
        raise Dropped


def _event(name: str, data: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)


def page_of(items: list[Object], query: QueryParams) -> Object:
    """The page of `items`, newest first, that limit, after_id and before_id of a query ask for."""
    limit, after, before = query.get("limit", "20"), query.get("after_id"), query.get("before_id")
    number = int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 5 else 0
    require(1 <= number <= 1000, "limit: Input should be a whole number from 1 to 1000")
    ids = [item["id"] for item in items]
    require({after, before} <= {None, *ids}, "after_id, before_id: nothing in this list has this id")
    start, end = ids.index(after) + 1 if after else 0, ids.index(before) if before else len(ids)
    page = items[start:end][-number:] if before else items[start:end][:number]
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return {"data": page, "has_more": end - start > len(page), "first_id": first, "last_id": last}


def model_info(model: Model) -> Object:
    """A model as the API shows it."""
    return {
        "type": "model",
        "id": model.snapshot or model.id,
        "display_name": model.name,
        "created_at": f"{model.released}T00:00:00Z",
        "line": model.line,
        "lifecycle": model.lifecycle,
        "deprecated_at": model.deprecated and f"{model.deprecated}T00:00:00Z",
        "retires_at": model.retires and f"{model.retires}T00:00:00Z",
        "max_input_tokens": model.context_window,
        "max_tokens": model.max_output,
        "capabilities": None,
    }


def result(custom_id: str, found: Object) -> tuple[str, bytes]:
    """What came of one request of a batch: its type, and the line of JSON that tells it."""
    return found["type"], pydantic_core.to_json({"custom_id": custom_id, "result": found}) + b"\n"


class Batch:
    """One batch. Its requests are answered already, but nobody sees that before its time has come."""

    def __init__(self, number: int, url: str, seconds: float, results: dict[str, tuple[str, bytes]]) -> None:
        self.id = f"msgbatch_practice_{hashlib.sha256(f'batch {number}'.encode()).hexdigest()[:16]}"
        self.url, self.found = f"{url}/{self.id}/results", results
        self.created, self.canceled = datetime.now(UTC), None
        self.ends = self.created + timedelta(seconds=seconds)

    @property
    def ended(self) -> bool:
        """Whether its time has come."""
        return datetime.now(UTC) >= self.ends

    def cancel(self) -> Object:
        """Give up what is still being processed: until the end that is all of it. Ends soon after."""
        require(not self.ended, f"Batch {self.id} has ended already: there is nothing left to cancel.")
        if self.canceled is None:
            self.canceled = datetime.now(UTC)
            self.ends = min(self.ends, self.canceled + (self.ends - self.created) / 5)
            self.found = {custom_id: result(custom_id, {"type": "canceled"}) for custom_id in self.found}
        return self.shown()

    def results(self) -> bytes:
        """The results, a line of JSON each, in no order that anybody should rely on."""
        require(self.ended, f"Batch {self.id} is still being processed: its results come when it has ended.")
        shuffled = sorted(self.found, key=lambda name: hashlib.sha256(name.encode()).digest())
        return b"".join(self.found[name][1] for name in shuffled)

    def shown(self) -> Object:
        """The batch as the API shows it."""
        ended, kinds = self.ended, [kind for kind, _ in self.found.values()]
        counts = {kind: kinds.count(kind) * ended for kind in ("succeeded", "errored", "canceled", "expired")}
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "canceling" if self.canceled else "in_progress",
            "request_counts": counts | {"processing": 0 if ended else len(kinds)},
            "created_at": self.created,
            "expires_at": self.created + timedelta(days=1),
            "ended_at": self.ends if ended else None,
            "cancel_initiated_at": self.canceled,
            "archived_at": None,
            "results_url": self.url if ended else None,
        }
