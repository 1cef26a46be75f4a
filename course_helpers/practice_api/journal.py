"""The journal: what was really sent and answered, with keys blacked out, bounded in size."""

from __future__ import annotations

import json
import shlex
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

MAX_EXCHANGES = 2_000
MAX_BYTES = 32_000_000
REDACTED = "[redacted]"
# The request headers that the API reads. Others (Host, User-Agent, X-Stainless-*) differ by machine and SDK.
SHOWN_HEADERS = ("x-api-key", "authorization", "anthropic-version", "anthropic-beta", "content-type")
KEY_HEADERS = ("x-api-key", "authorization", "proxy-authorization", "cookie")


@dataclass(frozen=True)
class CacheMiss:
    """Where a request first differs from the one before, and what that cost."""

    reason: str
    """As the API says it: `system_changed`, for instance."""
    path: str = ""
    """The place in the request's JSON."""
    before: str = ""
    """The words there in the earlier request, with a few around them."""
    after: str = ""
    """The words there in this one."""
    missed_tokens: int = 0
    """Input tokens that would have been read from the cache."""

    def told(self) -> dict[str, Any]:
        """The `diagnostics` of a reply."""
        cost = {"cache_missed_input_tokens": self.missed_tokens} if self.reason.endswith("changed") else {}
        return {"cache_miss_reason": {"type": self.reason, **cost}}

    def __str__(self) -> str:
        if not self.path:
            return self.reason
        return (
            f"{self.reason} at {self.path}: “{self.before}” became “{self.after}”; "
            f"{self.missed_tokens:,} tokens were not read from the cache"
        )


@dataclass(slots=True)
class Exchange:
    """One request and what was answered. `str()` shows it as text that is the same on every machine."""

    number: int
    method: str
    path: str
    headers: dict[str, str]
    """Request headers, names in lower case, keys redacted."""
    request_id: str
    raw: bytes = field(default=b"", repr=False)
    """The request's body as it came."""
    status: int | None = None
    """The HTTP status; None while the answer is being made, or where the connection was dropped first."""
    answered: bytes = field(default=b"", repr=False)
    """The message or error that was answered, as JSON: two thousand of them as bytes are no work for the
    garbage collector, as objects they took half the time of a request."""
    cache_miss: CacheMiss | None = None
    """Why the prompt was not read from the cache as far as the one before; None where nothing diverged."""

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

    @property
    def size(self) -> int:
        """The bytes that it takes to keep, about."""
        return len(self.raw) + len(self.path) + sum(map(len, self.headers.values()))

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
        parts = [
            f'curl "$ANTHROPIC_BASE_URL{safe}"' if safe == self.path else f'curl "$ANTHROPIC_BASE_URL"{safe}'
        ]
        if self.headers.keys() & set(KEY_HEADERS):
            parts.append('-H "x-api-key: $ANTHROPIC_API_KEY"')
        for name in ("anthropic-version", "anthropic-beta", "content-type"):
            if name in self.headers:
                parts.append(f"-H {shlex.quote(f'{name}: {self.headers[name]}')}")
        if self.body is not None:
            parts.append(f"-d {shlex.quote(_pretty(self.body))}")
        return " \\\n  ".join(parts)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def safe_headers(headers: Any) -> dict[str, str]:
    """Request headers fit to keep: lower case, keys redacted, the Bearer word left in place."""
    kept = {name.lower(): value for name, value in headers.items()}
    for name in kept.keys() & set(KEY_HEADERS):
        kept[name] = f"Bearer {REDACTED}" if kept[name].lower().startswith("bearer ") else REDACTED
    return kept


class Journal:
    """The exchanges of this practice API, oldest first: `len`, index, slice, iterate, `clear()`.

    Only the server's thread adds to it. It takes no lock, which an interrupted cell could leave held.
    """

    def __init__(self) -> None:
        self.clear()

    def add(self, exchange: Exchange) -> None:
        """Keep `exchange`; the oldest make room."""
        kept = self._kept
        kept.append(exchange)
        self._bytes += exchange.size
        while len(kept) > MAX_EXCHANGES or (self._bytes > MAX_BYTES and len(kept) > 1):
            self._bytes -= kept.popleft().size

    def clear(self) -> None:
        """Forget all exchanges."""
        self._kept: deque[Exchange] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index):
        """The exchange at `index`, or the list of those in a slice."""
        kept = list(self._kept.copy())
        if isinstance(index, int) and not -len(kept) <= index < len(kept):
            raise IndexError(
                f"The journal holds {len(kept)} exchanges: make a call first, then look at journal[-1]."
            )
        return kept[index]

    def __iter__(self) -> Iterator[Exchange]:
        return iter(self[:])

    def __repr__(self) -> str:
        rows = [f"{e.number:>4}  {e.method} {e.path} → {e.status or 'no answer'}" for e in self]
        if len(rows) > 20:
            rows = [f"… {len(rows) - 20} earlier", *rows[-20:]]
        return "\n".join(rows) or "The journal is empty: no request has been made yet."
