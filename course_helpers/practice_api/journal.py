"""The journal: what was really sent and answered, with keys blacked out, bounded in size."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

MAX_EXCHANGES, MAX_BYTES = 2_000, 32_000_000
KEY_HEADERS = {"x-api-key", "authorization", "proxy-authorization", "cookie"}
# The request headers that the API reads. Others (Host, User-Agent, X-Stainless-*) differ by machine and SDK.
SHOWN_HEADERS = ("x-api-key", "authorization", "anthropic-version", "anthropic-beta", "content-type")


@dataclass(frozen=True)
class CacheMiss:
    """Where a request first differs from the one before, and what that cost."""

    reason: str  # as the API says it: `system_changed`, for instance
    path: str = ""  # the place in the request's JSON
    before: str = ""  # the words there in the earlier request, with a few around them
    after: str = ""  # the words there in this one
    missed_tokens: int = 0  # input tokens that would have been read from the cache

    def told(self) -> dict[str, Any]:
        """The `diagnostics` of a reply."""
        cost = {"cache_missed_input_tokens": self.missed_tokens} if self.reason.endswith("changed") else {}
        return {"cache_miss_reason": {"type": self.reason, **cost}}

    def __str__(self) -> str:
        if not self.path:
            return self.reason
        change = f"{self.reason} at {self.path}: “{self.before}” became “{self.after}”"
        return f"{change}; {self.missed_tokens:,} tokens were not read from the cache"


@dataclass(slots=True)
class Exchange:
    """One request and what was answered. `str()` shows it as text that is the same on every machine."""

    number: int
    method: str
    path: str
    headers: dict[str, str]  # of the request, names in lower case, keys redacted
    request_id: str
    raw: bytes = field(default=b"", repr=False)  # the request's body as it came
    status: int | None = None  # HTTP status; None while the answer is made, or where the connection dropped
    # The message or error that was answered, as JSON: two thousand of them as bytes are no work for the
    # garbage collector, as objects they took half the time of a request.
    answered: bytes = field(default=b"", repr=False)
    cache_miss: CacheMiss | None = None  # why less was read from the cache than could be
    at: float = field(default_factory=time.monotonic, repr=False, compare=False)  # when it came, in seconds

    @property
    def reply(self) -> dict[str, Any] | None:
        """The message or error that was answered; None where a stream was cut or a body was not JSON."""
        return pydantic_core.from_json(self.answered) if self.answered else None

    @property
    def body(self) -> Any:
        """The request's JSON; None where there was none that could be read."""
        try:
            return pydantic_core.from_json(self.raw)
        except ValueError:
            return None

    def __str__(self) -> str:
        lines = [f"{self.method} {self.path}"]
        lines += [f"{name}: {self.headers[name]}" for name in SHOWN_HEADERS if name in self.headers]
        lines += ["", _pretty(self.body)] if self.body is not None else []
        lines += ["", f"→ {self.status or 'no answer'}"]
        lines += [_pretty(self.reply)] if self.reply is not None else []
        return "\n".join(lines)

    def curl(self) -> str:
        """The curl command that sends the same request; the key stays in its variable."""
        safe = shlex.quote(self.path)
        url = f'"$ANTHROPIC_BASE_URL{safe}"' if safe == self.path else f'"$ANTHROPIC_BASE_URL"{safe}'
        parts = [f"curl {url}"]
        parts += ['-H "x-api-key: $ANTHROPIC_API_KEY"'] if self.headers.keys() & KEY_HEADERS else []
        shown = [name for name in SHOWN_HEADERS if name in self.headers.keys() - KEY_HEADERS]
        parts += [f"-H {shlex.quote(f'{name}: {self.headers[name]}')}" for name in shown]
        parts += [f"-d {shlex.quote(_pretty(self.body))}"] if self.body is not None else []
        return " \\\n  ".join(parts)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def redacted(headers: Mapping[str, str]) -> dict[str, str]:
    """Request headers fit to keep: without keys, the Bearer word left in place."""
    safe = {**headers}
    for name in safe.keys() & KEY_HEADERS:
        safe[name] = "Bearer [redacted]" if safe[name].lower().startswith("bearer ") else "[redacted]"
    return safe


class Journal(list[Exchange]):
    """The exchanges of this practice API, oldest first: `len`, index, slice, iterate, `clear()`.

    Only the server's thread adds to it. It takes no lock, which an interrupted cell could leave held.
    """

    def add(self, exchange: Exchange) -> None:
        """Keep `exchange`; the oldest make room."""
        self.append(exchange)
        del self[:-MAX_EXCHANGES]
        if len(exchange.raw) > 10_000:  # many small ones are bounded by their number
            while len(self) > 1 and sum(len(each.raw) for each in self) > MAX_BYTES:
                del self[:1]

    def __iter__(self) -> Iterator[Exchange]:
        return iter(self[:])  # a copy: a loop over it that makes calls comes to an end

    def __repr__(self) -> str:
        rows = [f"{one.number:>4}  {one.method} {one.path} → {one.status or 'no answer'}" for one in self]
        rows = [f"… {len(rows) - 20} earlier", *rows[-20:]] if len(rows) > 20 else rows
        return "\n".join(rows) or "The journal is empty: no request has been made yet."
