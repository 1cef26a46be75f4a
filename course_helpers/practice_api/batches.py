"""Message Batches: many requests in one, answered at half the price, some time later."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pydantic_core
from pydantic import Field

from .errors import require
from .schemas import Object, Strict, many

MAX_REQUESTS = 100_000


class BatchRequest(Strict):
    custom_id: str = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")
    params: Object


class CreateBatch(Strict):
    requests: many(BatchRequest) = Field(min_length=1, max_length=MAX_REQUESTS)


class Batch:
    """One batch. Its requests are answered at once, but nobody sees that before its time has come."""

    def __init__(self, wanted: CreateBatch, url: str, number: int, seconds: float) -> None:
        self.size = len({one.custom_id for one in wanted.requests})
        require(self.size == len(wanted.requests), "requests: each custom_id must be unique")
        self.id = f"msgbatch_practice_{hashlib.sha256(f'batch {number}'.encode()).hexdigest()[:16]}"
        self.url = f"{url}/{self.id}/results"
        self.created, self.canceled = datetime.now(UTC), None
        self.ends = self.created + timedelta(seconds=seconds)
        self._lines: dict[str, tuple[str, bytes]] = {}  # custom_id → type of result, line of JSON

    def keep(self, custom_id: str, kind: str, **result: Any) -> None:
        """Keep the result of a request: `kind` and its message or error."""
        line = {"custom_id": custom_id, "result": {"type": kind, **result}}
        self._lines[custom_id] = (kind, pydantic_core.to_json(line) + b"\n")

    @property
    def ended(self) -> bool:
        """Has its time come, and is everything answered?"""
        return datetime.now(UTC) >= self.ends and len(self._lines) == self.size

    def cancel(self) -> Object:
        """Give up what is still being processed: until the end that is all of it. Ends soon after."""
        require(not self.ended, f"Batch {self.id} has ended already: there is nothing left to cancel.")
        if self.canceled is None:
            self.canceled = datetime.now(UTC)
            self.ends = min(self.ends, self.canceled + (self.ends - self.created) / 5)
            for custom_id in self._lines:
                self.keep(custom_id, "canceled")
        return self.shown()

    def results(self) -> bytes:
        """The results, a line of JSON each, in no order that anybody should rely on."""
        require(self.ended, f"Batch {self.id} is still being processed: its results come when it has ended.")
        shuffled = sorted(self._lines, key=lambda name: hashlib.sha256(name.encode()).digest())
        return b"".join(self._lines[name][1] for name in shuffled)

    def shown(self) -> Object:
        """The batch as the API shows it."""
        ended, kinds = self.ended, [kind for kind, _ in self._lines.values()]
        counts = {kind: kinds.count(kind) * ended for kind in ("succeeded", "errored", "canceled", "expired")}
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "canceling" if self.canceled else "in_progress",
            "request_counts": counts | {"processing": 0 if ended else self.size},
            "created_at": self.created,
            "expires_at": self.created + timedelta(days=1),
            "ended_at": self.ends if ended else None,
            "cancel_initiated_at": self.canceled,
            "archived_at": None,
            "results_url": self.url if ended else None,
        }
