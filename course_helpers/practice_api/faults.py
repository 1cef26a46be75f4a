"""The fault lab: make the practice API fail, break, slow down or answer oddly, on purpose.

Each control takes effect at once and returns its `Control`, which is also a context manager:
at the end of a `with` block whatever is left of it is cleared, so it never leaks into the next cell.
"""

from __future__ import annotations

import difflib
import math
import random
import threading
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from .errors import STATUSES, ApiError
from .rate_limits import Limits

BREAKS = ("disconnect", "truncate", "error", "garble", "stall")
SHAPES = ("thinking_first", "thinking_only", "refusal", "empty")
CHAOS = (429, 500, 502, 503, 529, "disconnect")
"""What chaos does to a request, each as likely as the others."""

_SPEND_CAP = "You have reached your specified API usage limits. You will regain access next month."


@dataclass(eq=False)
class Control:
    """One fault that is set. Use it in a `with` block, or call `clear()`."""

    kind: str
    text: str
    _faults: Faults
    left: int | None = None
    """How many more requests it concerns; None for all until it is cleared."""
    value: Any = None

    def clear(self) -> None:
        """End this fault."""
        self._faults.remove(self)

    def __enter__(self) -> Control:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def __repr__(self) -> str:
        return self.text if self.left is None else f"{self.text}, {self.left} left"


@dataclass(frozen=True)
class Break:
    """How the next answer breaks, after how many pieces of text."""

    kind: str
    after: int = 0
    seconds: float = 30.0


@dataclass(frozen=True)
class Pace:
    """How fast answers come, in tokens a second and seconds before the first."""

    tokens_per_second: float | None = None
    first_token_seconds: float = 0.0

    def duration(self, tokens: int) -> float:
        """Seconds that `tokens` take, once the first is there."""
        return tokens / self.tokens_per_second if self.tokens_per_second else 0.0


class Faults:
    """The faults that are set, safe to change from any thread while requests are answered."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._controls: list[Control] = []
        self._no_limits = Limits()

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
        _one_of("status", status, tuple(STATUSES))
        _number("times", times, 1, whole=True)
        if retry_after is not None:
            _number("retry_after", retry_after, 0)
        if spend_cap and (status != 429 or retry_after is not None):
            raise ValueError("spend_cap goes with status 429, and without retry_after.")
        error = failure(status, retry_after, spend_cap, should_retry, html)
        return self._set("fail_next", f"fail_next({status})", error, times)

    def break_stream(self, kind: str, after: int = 3, *, times: int = 1, seconds: float = 30.0) -> Control:
        """The next `times` answers break after `after` pieces of text; a plain answer breaks at once.

        disconnect: the connection drops. truncate: the stream ends without its last events.
        error: an error event. garble: an event that is not JSON. stall: silence for `seconds`, then a drop.
        """
        _one_of("kind", kind, BREAKS)
        _number("after", after, 0, whole=True)
        _number("times", times, 1, whole=True)
        _number("seconds", seconds, 0)
        return self._set("break_stream", f"break_stream({kind!r})", Break(kind, after, seconds), times)

    def limit(
        self,
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
            _number(name, value, 1, whole=True)
        words = ", ".join(f"{value} {name} a minute" for name, value in given.items())
        return self._set("limit", f"limit({words})", Limits(given))

    def shape(self, kind: str) -> Control:
        """Every answer has an awkward shape: thinking_first, thinking_only, refusal or empty."""
        _one_of("kind", kind, SHAPES)
        return self._set("shape", f"shape({kind!r})", kind)

    def pace(self, tokens_per_second: float | None = None, first_token_seconds: float = 0.0) -> Control:
        """Answer at the speed of a real model: seconds before the first token, then tokens a second."""
        if tokens_per_second is not None:
            _number("tokens_per_second", tokens_per_second, 0.001)
        _number("first_token_seconds", first_token_seconds, 0)
        text = f"pace({tokens_per_second} tokens a second, first after {first_token_seconds} s)"
        return self._set("pace", text, Pace(tokens_per_second, first_token_seconds))

    def chaos(self, rate: float, seed: int = 0) -> Control:
        """Each request fails with probability `rate`: 429, 500, 502, 503, 529 or a dropped connection."""
        _number("rate", rate, 0, 1)
        return self._set("chaos", f"chaos({rate}, seed={seed})", (rate, random.Random(seed)))

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

    def take(self, kind: str) -> Any:
        """The value of the first control of `kind`, counted down; faults queue up in the order set."""
        with self._lock:
            control = next((c for c in self._controls if c.kind == kind), None)
            if control is None:
                return None
            control.left -= 1
            if control.left == 0:
                self._controls.remove(control)
            return control.value

    def value(self, kind: str) -> Any:
        """The value of the latest control of `kind`."""
        with self._lock:
            return next((c.value for c in reversed(self._controls) if c.kind == kind), None)

    def take_failure(self) -> ApiError | Break | None:
        """What this request must fail with, if anything: counted down, then chaos."""
        with self._lock:
            failed = self.take("fail_next")
            rate, dice = self.value("chaos") or (0, random)
            if failed is not None or dice.random() >= rate:
                return failed
            choice = dice.choice(CHAOS)
        return Break("disconnect") if choice == "disconnect" else failure(choice)

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return self.value("limit") or self._no_limits

    def _set(self, kind: str, text: str, value: Any, left: int | None = None) -> Control:
        control = Control(kind, text, self, left, value)
        with self._lock:
            self._controls.append(control)
        return control


def failure(
    status: int,
    retry_after: float | None = None,
    spend_cap: bool = False,
    should_retry: bool | None = None,
    html: bool = False,
) -> ApiError:
    """The answer with `status` as the real API would give it. A plain 429 says to come back in a second."""
    if status == 429 and not spend_cap and retry_after is None:
        retry_after = 1
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    if should_retry is not None:
        headers["x-should-retry"] = str(bool(should_retry)).lower()
    title = f"{status} {HTTPStatus(status).phrase if status in set(HTTPStatus) else 'Error'}"
    return ApiError(
        status,
        _SPEND_CAP if spend_cap else None,
        error_code="enforced_spend_limit_reached" if spend_cap else None,
        headers=headers,
        page=f"<html><head><title>{title}</title></head><body>{title}</body></html>" if html else None,
    )


def _one_of(name: str, value: Any, choices: tuple) -> None:
    if type(value) is not type(choices[0]) or value not in choices:
        words = difflib.get_close_matches(str(value), map(str, choices), n=1)
        near = next((choice for choice in choices if str(choice) in words), None)
        quoted = ", a number without quotes" if isinstance(value, str) and isinstance(near, int) else ""
        hint = "" if near is None else f" Did you mean {near!r}{quoted}?"
        raise ValueError(f"{name} is one of {', '.join(map(str, choices))}, not {value!r}.{hint}")


def _number(name: str, value: Any, least: float, most: float = math.inf, *, whole: bool = False) -> None:
    fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not (fits and least <= value <= most and math.isfinite(value)):
        kind = "whole number" if whole else "number"
        bounds = f"at least {least}" if most == math.inf else f"{least} to {most}"
        raise ValueError(f"{name} is a {kind} of {bounds}, not {value!r}.")
