"""Rate limits: three token buckets, headers that tell the truth about them, and the 429."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from .caching import InputTokens
from .errors import ApiError

# The start tier's figures. They are announced, and enforced only once `practice.limit(...)` says so.
ANNOUNCED = {"requests": 1_000, "input-tokens": 2_000_000, "output-tokens": 400_000}


class Bucket:
    """Holds up to a minute's worth and refills evenly."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self.per_minute = per_minute
        self._clock, self._level, self._at = clock, float(per_minute), clock()

    def level(self) -> float:
        """What is left now; below zero when more was produced than was left."""
        now = self._clock()
        self._level = min(self.per_minute, self._level + (now - self._at) * self.per_minute / 60)
        self._at = now
        return self._level

    def take(self, amount: float) -> None:
        """Take `amount` out, whether or not it is there."""
        self._level = self.level() - amount

    def seconds_until(self, amount: float) -> float:
        """Seconds until `amount` is there; more than it holds waits for a full bucket."""
        return max(0.0, (min(amount, self.per_minute) - self.level()) * 60 / self.per_minute)


class Limits:
    """The limits in force: by default the announced ones, which nobody can reach."""

    def __init__(self, enforced: dict[str, int] | None = None, clock: Callable[[], float] = time.monotonic):
        self.enforced = enforced or {}
        self._buckets = {name: Bucket(value, clock) for name, value in (ANNOUNCED | self.enforced).items()}

    def admit(self, tokens: InputTokens) -> None:
        """Take one request and its input out of the buckets. Raises the 429 of the first that is empty."""
        needs = {"requests": 1, "input-tokens": tokens.total - tokens.read, "output-tokens": 1}
        for name in self.enforced:
            bucket = self._buckets[name]
            if bucket.level() < needs[name]:
                raise ApiError(
                    429,
                    f"This request would exceed your organization's rate limit of {bucket.per_minute:,} "
                    f"{name.replace('-', ' ')} per minute.",
                    headers={"retry-after": str(max(1, math.ceil(bucket.seconds_until(needs[name]))))},
                )
        for name in self.enforced.keys() - {"output-tokens"}:
            self._buckets[name].take(needs[name])

    def charge_output(self, tokens: int) -> None:
        """Take the produced tokens out of the output bucket."""
        if "output-tokens" in self.enforced:
            self._buckets["output-tokens"].take(tokens)

    def headers(self) -> dict[str, str]:
        """The rate-limit headers of a response sent now."""
        if not self.enforced:
            return _full_buckets(datetime.now(UTC).replace(microsecond=0))
        return self._headers_at(datetime.now(UTC))

    def _headers_at(self, now: datetime) -> dict[str, str]:
        tightest = min(("input-tokens", "output-tokens"), key=lambda name: self._share(self._buckets[name]))
        headers: dict[str, str] = {}
        for name, bucket in (self._buckets | {"tokens": self._buckets[tightest]}).items():
            left = max(0, math.floor(bucket.level()))
            # The API rounds token counts to thousands; the small limits of a lesson would show nothing then.
            left = round(left, -3) if "tokens" in name and bucket.per_minute >= 10_000 else left
            full = now + timedelta(seconds=bucket.seconds_until(bucket.per_minute))
            values = {
                "limit": str(bucket.per_minute),
                "remaining": str(left),
                "reset": f"{full:%Y-%m-%dT%H:%M:%SZ}",
            }
            headers |= {f"anthropic-ratelimit-{name}-{key}": value for key, value in values.items()}
        return headers

    @staticmethod
    def _share(bucket: Bucket) -> float:
        return bucket.level() / bucket.per_minute


@lru_cache(maxsize=1)
def _full_buckets(now: datetime) -> dict[str, str]:
    """The headers where no limit is in force: the same for all answers of one second."""
    return Limits()._headers_at(now)
