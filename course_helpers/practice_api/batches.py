"""Message Batches: many requests in one, answered at half the price, some time later."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pydantic_core
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from .errors import ApiError, require
from .schemas import Object, Strict, many

MAX_REQUESTS = 100_000
MAX_BATCHES = 200


class BatchRequest(Strict):
    custom_id: str = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")
    params: Object


class CreateBatch(Strict):
    requests: many(BatchRequest) = Field(min_length=1, max_length=MAX_REQUESTS)

    @model_validator(mode="after")
    def _unique(self) -> CreateBatch:
        seen: set[str] = set()
        for number, one in enumerate(self.requests):
            if one.custom_id in seen:
                told = {"number": number, "id": one.custom_id}
                raise PydanticCustomError("unique", "custom_id of {number} is not unique: {id}", told)
            seen.add(one.custom_id)
        return self


class Batch:
    """One batch. Its requests are answered at once, but nobody sees that before its time has come."""

    def __init__(self, url: str, number: int, size: int, seconds: float) -> None:
        self.id = f"msgbatch_practice_{hashlib.sha256(f'batch {number}'.encode()).hexdigest()[:16]}"
        self.url, self.size = f"{url}/{self.id}/results", size
        self.created = datetime.now(UTC)
        self.ends = self.created + timedelta(seconds=seconds)
        self.canceled: datetime | None = None
        self._lines: dict[str, tuple[str, bytes]] = {}  # custom_id → type of result, line of JSON

    def succeeded(self, custom_id: str, message: dict[str, Any]) -> None:
        """Keep the message that answers a request."""
        self._keep(custom_id, {"type": "succeeded", "message": message})

    def failed(self, custom_id: str, error: dict[str, Any]) -> None:
        """Keep the error that answers a request."""
        self._keep(custom_id, {"type": "errored", "error": error})

    def _keep(self, custom_id: str, result: dict[str, Any]) -> None:
        line = {"custom_id": custom_id, "result": result}
        MessageBatchIndividualResponse.model_validate(line)
        self._lines[custom_id] = (result["type"], pydantic_core.to_json(line) + b"\n")

    @property
    def ended(self) -> bool:
        """Has its time come, and is everything answered?"""
        return datetime.now(UTC) >= self.ends and len(self._lines) == self.size

    def cancel(self) -> None:
        """Give up what is still being processed: until the end that is all of it. Ends soon after."""
        require(not self.ended, f"Batch {self.id} has ended already: there is nothing left to cancel.")
        if self.canceled is None:
            self.canceled = datetime.now(UTC)
            self.ends = min(self.ends, self.canceled + (self.ends - self.created) / 5)
            for custom_id in self._lines:
                self._keep(custom_id, {"type": "canceled"})

    def results(self) -> Iterable[bytes]:
        """The results, a line of JSON each, in no order that anybody should rely on."""
        require(self.ended, f"Batch {self.id} is still being processed: its results come when it has ended.")
        return (
            self._lines[name][1]
            for name in sorted(self._lines, key=lambda name: hashlib.md5(name.encode()).digest())
        )

    def shown(self) -> dict[str, Any]:
        """The batch as the API shows it."""
        ended = self.ended
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        for kind, _ in self._lines.values() if ended else ():
            counts[kind] += 1
        counts["processing"] = 0 if ended else self.size
        batch = {
            "id": self.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "canceling" if self.canceled else "in_progress",
            "request_counts": counts,
            "created_at": _stamp(self.created),
            "expires_at": _stamp(self.created + timedelta(days=1)),
            "ended_at": _stamp(self.ends) if ended else None,
            "cancel_initiated_at": _stamp(self.canceled),
            "archived_at": None,
            "results_url": self.url if ended else None,
        }
        MessageBatch.model_validate(batch)
        return batch


class Batches:
    """The batches of this practice API; the oldest make room."""

    def __init__(self) -> None:
        self._all: OrderedDict[str, Batch] = OrderedDict()

    def create(self, wanted: CreateBatch, url: str, number: int, seconds: float) -> Batch:
        """A new batch, still without results."""
        batch = Batch(url, number, len(wanted.requests), seconds)
        self._all[batch.id] = batch
        while len(self._all) > MAX_BATCHES or sum(b.size for b in self._all.values()) > 2 * MAX_REQUESTS:
            self._all.popitem(last=False)
        return batch

    def find(self, name: str) -> Batch:
        """The batch of this id. Raises a 404."""
        if name not in self._all:
            raise ApiError(404, f"Message Batch {name[:100]} not found.")
        return self._all[name]

    def newest_first(self) -> list[Batch]:
        """All of them."""
        return [*reversed(self._all.values())]

    def delete(self, name: str) -> dict[str, str]:
        """Forget a batch that has ended; the answer that says so."""
        require(self.find(name).ended, f"Batch {name} is still being processed: cancel it first.")
        del self._all[name]
        return {"id": name, "type": "message_batch_deleted"}


def _stamp(moment: datetime | None) -> str | None:
    return moment and moment.isoformat().replace("+00:00", "Z")
