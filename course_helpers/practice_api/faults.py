"""The fault lab: make the practice API fail, break, slow down or answer oddly, on purpose.

Each control takes effect at once and returns its `Control`, which is also a context manager:
at the end of a `with` block whatever is left of it is cleared, so it never leaks into the next cell.
"""

from __future__ import annotations

import difflib
import random
import threading
from dataclasses import dataclass, field
from typing import Any

from .errors import ERROR_TYPES, ApiError
from .limits import Limits

BREAKS = ("disconnect", "truncate", "error", "garble", "stall")
SHAPES = ("thinking_first", "thinking_only", "refusal", "empty")
CHAOS = (429, 500, 502, 503, 529, "disconnect")
"""What chaos does to a request, each as likely as the others."""

_MESSAGES = {
    400: "The practice API was told to refuse this request.",
    401: "invalid x-api-key",
    402: "Your credit balance is too low.",
    403: "Your API key does not have permission to use the specified resource.",
    404: "The requested resource could not be found.",
    408: "The request timed out.",
    409: "The resource was changed by another request.",
    413: "Request exceeds the maximum size",
    422: "The request could not be processed.",
    429: "This request would exceed your organization's rate limit.",
    500: "Internal server error",
    501: "Not implemented",
    502: "Bad gateway",
    503: "Service unavailable",
    504: "The request took too long: use streaming for long requests.",
    529: "Overloaded",
}
_SPEND_CAP = "You have reached your specified API usage limits. You will regain access next month."
_BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"


@dataclass(eq=False)
class Control:
    """One fault that is set. Use it in a `with` block, or call `clear()`."""

    kind: str
    text: str
    _faults: Faults = field(repr=False)
    left: int | None = None
    """How many more requests it concerns; None for all until it is cleared."""
    value: Any = field(default=None, repr=False)

    def clear(self) -> None:
        """End this fault."""
        self._faults.remove(self)

    def __enter__(self) -> Control:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def __str__(self) -> str:
        return self.text if self.left is None else f"{self.text}, {self.left} left"


@dataclass(frozen=True)
class Break:
    """How the next answer breaks, after how many pieces of text."""

    kind: str
    after: int
    seconds: float = 30.0


@dataclass(frozen=True)
class Pace:
    """How fast answers come, in tokens a second and seconds before the first."""

    tokens_per_second: float | None = None
    first_token_seconds: float = 0.0

    def duration(self, tokens: int) -> float:
        """Seconds that a reply of `tokens` takes."""
        return self.first_token_seconds + (tokens / self.tokens_per_second if self.tokens_per_second else 0.0)


class Faults:
    """The faults that are set, safe to change from any thread while requests are answered."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._controls: list[Control] = []
        self._no_limits = Limits()

    # What learners call

    def fail_next(
        self,
        status: int,
        times: int = 1,
        retry_after: float | None = None,
        *,
        spend_cap: bool = False,
        should_retry: bool | None = None,
        html: bool = False,
    ) -> Control:
        """The next `times` requests fail with `status`; `retry_after` in seconds goes with it.

        `spend_cap` makes a 429 the one that waiting does not cure; `should_retry` sets x-should-retry;
        `html` sends a page instead of JSON, as a gateway in front of the API would.
        """
        if status not in ERROR_TYPES:
            raise ValueError(f"status is one of {', '.join(map(str, ERROR_TYPES))}, not {status!r}.")
        _at_least("times", times, 1)
        if retry_after is not None:
            _at_least("retry_after", retry_after, 0)
        error = failure(status, retry_after, spend_cap, should_retry, html)
        return self._set("fail_next", f"fail_next({status})", left=times, value=error)

    def break_stream(self, kind: str, after: int = 3, *, times: int = 1, seconds: float = 30.0) -> Control:
        """The next `times` answers break after `after` pieces of text; a plain answer breaks at once.

        disconnect: the connection drops. truncate: the stream ends without its last events.
        error: an error event. garble: an event that is not JSON. stall: silence for `seconds`, then a drop.
        """
        _one_of("kind", kind, BREAKS)
        _at_least("after", after, 0)
        _at_least("times", times, 1)
        _at_least("seconds", seconds, 0)
        return self._set(
            "break_stream", f"break_stream({kind!r})", left=times, value=Break(kind, after, seconds)
        )

    def limit(
        self,
        *,
        requests_per_minute: int | None = None,
        input_tokens_per_minute: int | None = None,
        output_tokens_per_minute: int | None = None,
    ) -> Control:
        """Enforce rate limits: a 429 with retry-after once one is used up. Cache reads do not count."""
        given = {
            "requests": requests_per_minute,
            "input-tokens": input_tokens_per_minute,
            "output-tokens": output_tokens_per_minute,
        }
        given = {name: value for name, value in given.items() if value is not None}
        if not given:
            raise ValueError("limit needs at least one of requests_per_minute, input_tokens_per_minute, …")
        for name, value in given.items():
            _at_least(name, value, 1)
        words = ", ".join(f"{value} {name} a minute" for name, value in given.items())
        return self._set("limit", f"limit({words})", value=Limits(given))

    def shape(self, kind: str) -> Control:
        """Every answer has an awkward shape: thinking_first, thinking_only, refusal or empty."""
        _one_of("kind", kind, SHAPES)
        return self._set("shape", f"shape({kind!r})", value=kind)

    def pace(self, tokens_per_second: float | None = None, first_token_seconds: float = 0.0) -> Control:
        """Answer at the speed of a real model: seconds before the first token, then tokens a second."""
        if tokens_per_second is not None and not tokens_per_second > 0:
            raise ValueError(f"tokens_per_second is above 0, not {tokens_per_second!r}.")
        _at_least("first_token_seconds", first_token_seconds, 0)
        text = f"pace({tokens_per_second} tokens a second, first after {first_token_seconds} s)"
        return self._set("pace", text, value=Pace(tokens_per_second, first_token_seconds))

    def chaos(self, rate: float, seed: int = 0) -> Control:
        """Each request fails with probability `rate`: 429, 500, 502, 503, 529 or a dropped connection."""
        if not 0 <= rate <= 1:
            raise ValueError(f"rate is a probability between 0 and 1, not {rate!r}.")
        return self._set("chaos", f"chaos({rate}, seed={seed})", value=(rate, random.Random(seed)))

    def reset(self) -> None:
        """Clear all faults."""
        with self._lock:
            self._controls.clear()

    def remove(self, control: Control) -> None:
        """Clear `control`, if it is still set."""
        with self._lock:
            self._controls = [other for other in self._controls if other is not control]

    def __str__(self) -> str:
        with self._lock:
            return "; ".join(map(str, self._controls)) or "none"

    # What the routes ask

    def take_failure(self) -> ApiError | Break | None:
        """What this request must fail with, if anything: counted down, then chaos."""
        failed = self._take("fail_next")
        if failed is not None:
            return failed
        with self._lock:
            chaos = self._latest("chaos")
            if chaos is None:
                return None
            rate, dice = chaos.value
            if dice.random() >= rate:
                return None
            choice = dice.choice(CHAOS)
        return Break("disconnect", 0) if choice == "disconnect" else failure(choice)

    def take_break(self) -> Break | None:
        """How this answer must break, if it must."""
        return self._take("break_stream")

    @property
    def current_shape(self) -> str | None:
        """The awkward shape in force."""
        return self._value("shape")

    @property
    def current_pace(self) -> Pace:
        """The pace in force; none by default."""
        return self._value("pace") or Pace()

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return self._value("limit") or self._no_limits

    def _set(self, kind: str, text: str, *, left: int | None = None, value: Any = None) -> Control:
        control = Control(kind, text, self, left, value)
        with self._lock:
            self._controls.append(control)
        return control

    def _latest(self, kind: str) -> Control | None:
        return next((c for c in reversed(self._controls) if c.kind == kind), None)

    def _value(self, kind: str) -> Any:
        with self._lock:
            control = self._latest(kind)
            return control.value if control else None

    def _take(self, kind: str) -> Any:
        """The value of the first control of `kind`, counted down; faults queue up in the order set."""
        with self._lock:
            control = next((c for c in self._controls if c.kind == kind), None)
            if control is None:
                return None
            control.left -= 1
            if control.left == 0:
                self._controls.remove(control)
            return control.value


def failure(
    status: int,
    retry_after: float | None = None,
    spend_cap: bool = False,
    should_retry: bool | None = None,
    html: bool = False,
) -> ApiError:
    """The answer with `status` as the real API would give it. A plain 429 says to come back in a second."""
    headers = {}
    if status == 429 and not spend_cap and retry_after is None:
        retry_after = 1
    if retry_after is not None:
        headers["retry-after"] = f"{retry_after:g}"
    if should_retry is not None:
        headers["x-should-retry"] = str(should_retry).lower()
    return ApiError(
        status,
        _SPEND_CAP if spend_cap else _MESSAGES[status],
        error_code="enforced_spend_limit_reached" if spend_cap else None,
        headers=headers,
        raw_body=_BAD_GATEWAY if html else None,
    )


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name} is one of {', '.join(choices)}, not {value!r}.{hint}")


def _at_least(name: str, value: float, least: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
        raise ValueError(f"{name} is a number of at least {least}, not {value!r}.")
