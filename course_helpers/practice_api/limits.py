"""Rate limits: three token buckets, headers that tell the truth about them, and the 429."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from .caching import InputTokens
from .errors import ApiError

# The start tier's figures. They are announced, and enforced only once `practice.limit(...)` says so.
ANNOUNCED = {"requests": 1_000, "input-tokens": 2_000_000, "output-tokens": 400_000}
_WORDS = {"requests": "requests", "input-tokens": "input tokens", "output-tokens": "output tokens"}


class Bucket:
    """Holds up to a minute's worth and refills evenly."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._level = float(per_minute)
        self._at = clock()

    def level(self) -> float:
        """What is left now; below zero when more was produced than was left."""
        now = self._clock()
        self._level = min(self.per_minute, self._level + (now - self._at) * self.per_minute / 60)
        self._at = now
        return self._level

    def take(self, amount: float) -> None:
        """Take `amount` out, whether or not it is there."""
        self._level = self.level() - amount

    def wait_for(self, amount: float) -> float:
        """Seconds until `amount` is there; an amount above the capacity waits for a full bucket."""
        missing = min(amount, self.per_minute) - self.level()
        return max(0.0, missing * 60 / self.per_minute)

    def full_in(self) -> float:
        """Seconds until the bucket is full."""
        return (self.per_minute - self.level()) * 60 / self.per_minute


class Limits:
    """The limits in force: by default the announced ones, which nobody can reach."""

    def __init__(self, enforced: dict[str, int] | None = None, clock: Callable[[], float] = time.monotonic):
        self.enforced = enforced or {}
        self._clock = clock
        self._buckets = {name: Bucket(value, clock) for name, value in (ANNOUNCED | self.enforced).items()}

    def admit(self, tokens: InputTokens) -> None:
        """Take one request and its input out of the buckets. Raises the 429 of the first that is empty."""
        needs = {"requests": 1, "input-tokens": tokens.counted_toward_limits, "output-tokens": 1}
        for name in self.enforced:
            bucket = self._buckets[name]
            if bucket.level() < needs[name]:
                wait = max(1, math.ceil(bucket.wait_for(needs[name])))
                raise ApiError(
                    429,
                    f"This request would exceed your organization's rate limit of {bucket.per_minute:,} "
                    f"{_WORDS[name]} per minute.",
                    headers={"retry-after": str(wait)},
                )
        for name in ("requests", "input-tokens"):
            if name in self.enforced:
                self._buckets[name].take(needs[name])

    def charge_output(self, tokens: int) -> None:
        """Take the produced tokens out of the output bucket."""
        if "output-tokens" in self.enforced:
            self._buckets["output-tokens"].take(tokens)

    def headers(self) -> dict[str, str]:
        """The rate-limit headers of a response sent now."""
        rows = {name: self._row(bucket) for name, bucket in self._buckets.items()}
        rows["tokens"] = min(rows["input-tokens"], rows["output-tokens"], key=lambda row: row[1] / row[0])
        now = datetime.now(UTC)
        headers = {}
        for name, (limit, remaining, full_in) in rows.items():
            prefix = f"anthropic-ratelimit-{name}"
            headers[f"{prefix}-limit"] = str(limit)
            headers[f"{prefix}-remaining"] = str(remaining)
            headers[f"{prefix}-reset"] = (now + timedelta(seconds=full_in)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return headers

    def _row(self, bucket: Bucket) -> tuple[int, int, float]:
        left = max(0, math.floor(bucket.level()))
        if bucket.per_minute >= 10_000:  # the API rounds token counts to the nearest thousand
            left = round(left, -3)
        return bucket.per_minute, left, bucket.full_in()
