"""The journal: what was really sent and answered, with keys blacked out, bounded in size."""

from __future__ import annotations

import json
import shlex
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, overload

MAX_EXCHANGES = 2_000
MAX_BYTES = 32_000_000
REDACTED = "[redacted]"
# The request headers that the API reads. Others (Host, User-Agent, X-Stainless-*) differ by machine and SDK.
SHOWN_HEADERS = ("x-api-key", "authorization", "anthropic-version", "anthropic-beta", "content-type")
KEY_HEADERS = ("x-api-key", "authorization", "proxy-authorization", "cookie")


@dataclass
class Exchange:
    """One request and what was answered. `str()` shows it as text that is the same on every machine."""

    number: int
    method: str
    path: str
    headers: dict[str, str]
    """Request headers, names in lower case, keys redacted."""
    request_id: str
    body: Any = None
    """The request's JSON; None where there was none that could be read."""
    status: int | None = None
    """The HTTP status; None while the answer is being made, or where the connection was dropped first."""
    reply: dict[str, Any] | None = None
    """The message or error that was answered; None where a stream was cut or a body was not JSON."""
    size: int = field(default=0, repr=False)

    def __str__(self) -> str:
        lines = [f"{self.method} {self.path}"]
        lines += [f"{name}: {self.headers[name]}" for name in SHOWN_HEADERS if name in self.headers]
        if self.body is not None:
            lines += ["", _pretty(self.body)]
        lines += ["", f"→ {self.status or 'no answer'}"]
        if self.reply is not None:
            lines += [_pretty(self.reply)]
        return "\n".join(lines)

    def curl(self) -> str:
        """The curl command that sends the same request; the key stays in its variable."""
        parts = [f'curl "$ANTHROPIC_BASE_URL{self.path}"']
        if self.method == "POST" or "anthropic-version" in self.headers:
            parts += ['-H "x-api-key: $ANTHROPIC_API_KEY"']
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
    for name in KEY_HEADERS:
        if name in kept:
            kept[name] = f"Bearer {REDACTED}" if kept[name].lower().startswith("bearer ") else REDACTED
    return kept


class Journal:
    """The exchanges of this practice API, oldest first: `len`, index, slice, iterate, `clear()`."""

    def __init__(self) -> None:
        self._exchanges: deque[Exchange] = deque()
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, exchange: Exchange) -> None:
        """Keep `exchange`; the oldest make room."""
        with self._lock:
            self._exchanges.append(exchange)
            self._bytes += exchange.size
            while len(self._exchanges) > MAX_EXCHANGES or (
                self._bytes > MAX_BYTES and len(self._exchanges) > 1
            ):
                self._bytes -= self._exchanges.popleft().size

    def clear(self) -> None:
        """Forget all exchanges."""
        with self._lock:
            self._exchanges.clear()
            self._bytes = 0

    def _snapshot(self) -> list[Exchange]:
        with self._lock:
            return list(self._exchanges)

    def __len__(self) -> int:
        return len(self._exchanges)

    @overload
    def __getitem__(self, index: int) -> Exchange: ...
    @overload
    def __getitem__(self, index: slice) -> list[Exchange]: ...
    def __getitem__(self, index):
        try:
            return self._snapshot()[index]
        except IndexError:
            raise IndexError(
                f"The journal holds {len(self)} exchanges: make a call first, then look at journal[-1]."
            ) from None

    def __iter__(self) -> Iterator[Exchange]:
        return iter(self._snapshot())

    def __repr__(self) -> str:
        rows = [f"{e.number:>4}  {e.method} {e.path} → {e.status or 'no answer'}" for e in self._snapshot()]
        if len(rows) > 20:
            rows = [f"… {len(rows) - 20} earlier", *rows[-20:]]
        return "\n".join(rows) or "The journal is empty: no request has been made yet."
