"""The fault lab: make the practice API fail, break, slow down, answer oddly or keep limits, on purpose.

At the end of a `with` block whatever is left of a control is cleared: it never leaks into the next cell.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, validate_call

from .schemas import STATUSES, ApiError, Dropped, Headers

Status = Literal[tuple(STATUSES)]
Break = Literal["disconnect", "truncate", "error", "garble", "stall"]
Shape = Literal["thinking_first", "thinking_only", "refusal", "empty"]
Count, Times = Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
CHAOS = (429, 500, 502, 503, 529, Dropped)  # what it does to a request, each as likely as the others
# The limits of the start tier. They are enforced only once `limit` says so.
ANNOUNCED = {"requests": 1_000, "input_tokens": 2_000_000, "output_tokens": 400_000}
SPENT = "You have reached your specified API usage limits. You will regain access next month."
SPEND_CAP = {"status": 429, "message": SPENT, "error_code": "enforced_spend_limit_reached"}


def _failure(status: int, retry_after: float | None = None) -> dict[str, Any]:
    """The arguments of an error; a plain 429 names a wait, as the real API's does."""
    wait = 1 if retry_after is None and status == 429 else retry_after
    return {"status": status, "headers": {"retry-after": f"{wait:g}"} if wait else {}}


class Limits:
    """Token buckets: each holds a minute's worth and refills evenly. Those not enforced are always full."""

    def __init__(self, enforced: dict[str, int], clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = enforced, clock
        self._full = dict.fromkeys(enforced, clock())  # when each is full again, in seconds of the clock

    def _buckets(self) -> dict[str, tuple[int, float]]:
        """The limit of each bucket, and the seconds until it is full again."""
        now = self._clock()
        return {name: (limit, max(0.0, self._full[name] - now)) for name, limit in self._limits.items()}

    def admit(self, tokens: int) -> None:
        """Take one request and its input out of the buckets. Raises the 429 of the first that is empty."""
        needs = {"requests": 1, "input_tokens": tokens, "output_tokens": 1}
        for name, (limit, missing) in self._buckets().items():
            if (left := limit - missing * limit / 60) < needs[name]:
                wait = max(1, math.ceil((min(needs[name], limit) - left) * 60 / limit))
                of = f"rate limit of {limit:,} {name.replace('_', ' ')} per minute"
                said = f"This request would exceed your organization's {of}."
                raise ApiError(429, said, headers={"retry-after": str(wait)})
        self.charge(requests=1, input_tokens=tokens)

    def charge(self, **amounts: int) -> None:
        """Take `amounts` out of their buckets, whether or not they are there."""
        for name, (limit, missing) in self._buckets().items():
            self._full[name] = self._clock() + missing + amounts.get(name, 0) * 60 / limit

    def headers(self) -> Headers:
        """The rate-limit headers of a response sent now."""
        return _headers(int(time.time()), **self._buckets())


@functools.lru_cache(maxsize=1)  # where nothing is enforced, the same for all answers of a second
def _headers(now: int, **buckets: tuple[int, float]) -> Headers:
    rows = {}
    for name, announced in ANNOUNCED.items():
        limit, missing = buckets.get(name, (announced, 0))
        left, full = limit - missing * limit / 60, datetime.fromtimestamp(now + math.ceil(missing), UTC)
        rows[name] = limit, max(0, math.floor(left)), f"{full:%Y-%m-%dT%H:%M:%SZ}"
    rows["tokens"] = min(rows["input_tokens"], rows["output_tokens"], key=lambda row: row[1] / row[0])
    return [
        (f"anthropic-ratelimit-{name.replace('_', '-')}-{kind}".encode(), str(value).encode())
        for name, row in rows.items()
        for kind, value in zip(("limit", "remaining", "reset"), row, strict=True)
    ]


UNLIMITED = Limits({})
UNHURRIED = SimpleNamespace(tokens_per_second=math.inf, first_token_seconds=0.0, batch_seconds=0.5)
UNSET = {"limit": UNLIMITED, "pace": UNHURRIED, "chaos": (0, random)}
"""What holds where a control is not set."""


@dataclass(eq=False)
class Control(contextlib.AbstractContextManager):
    """One fault that is set. Use it in a `with` block, or call `clear()`."""

    kind: str
    text: str
    value: Any
    left: int | None  # how many more requests it concerns; None for all until it is cleared
    among: Faults

    def clear(self, *_: object) -> None:
        """End this fault."""
        with contextlib.suppress(ValueError):  # it has ended already
            self.among.remove(self)

    __exit__ = clear

    def __repr__(self) -> str:
        return self.text if self.left is None else f"{self.text}, {self.left} left"


def control(function: Callable[..., Any]) -> Callable[..., Control]:
    """A control that sets what `function` returns, else its arguments. pydantic refuses wrong ones."""
    signature, kind = inspect.signature(function), function.__name__
    checked = validate_call(function, config=ConfigDict(strict=True))

    @functools.wraps(function)
    def set_it(self: Faults, *given: Any, **named: Any) -> Control:
        bound = signature.bind(self, *given, **named)
        bound.apply_defaults()
        arguments = bound.arguments
        arguments.pop("self")  # given by position, since pydantic 2.10 takes none of that name
        value = checked(self, **arguments) or SimpleNamespace(**arguments)
        said = [f"{name}={each!r}" for name, each in named.items() if name != "times"]
        text = f"{kind}({', '.join([*map(repr, given), *said])})"
        self.append(made := Control(kind, text, value, arguments.get("times"), self))
        return made

    return set_it


class Faults(list[Control]):
    """The faults that are set, safe to change from any thread while requests are answered.

    It takes no locks, which an interrupt could leave held: each change is one call of a list's own method.
    """

    reset = list.clear

    @control
    def fail_next(
        self, status: Status, times: Times = 1, retry_after: Seconds | None = None, *, spend_cap: bool = False
    ) -> dict[str, Any]:
        """The next `times` requests fail with `status`; `retry_after` in seconds goes with it.

        With 0 none does. `spend_cap` makes a 429 the one that waiting does not cure.
        """
        if spend_cap and (status != 429 or retry_after is not None):
            raise ValueError("spend_cap goes with status 429, and without retry_after.")
        return SPEND_CAP if spend_cap else _failure(status, retry_after)

    @control
    def break_stream(self, kind: Break, after: Count = 3, *, times: Times = 1, seconds: Seconds = 30.0):
        """The next `times` answers break after `after` pieces of text; a plain answer breaks at once.

        disconnect: the connection drops. truncate: the stream ends without its last events.
        error: an error event. garble: an event that is not JSON. stall: silence for `seconds`, then a drop.
        """
        return SimpleNamespace(kind=kind, after=after, seconds=float(seconds) if kind == "stall" else 0.0)

    @control
    def limit(
        self,
        requests_per_minute: Times | None = None,
        input_tokens_per_minute: Times | None = None,
        output_tokens_per_minute: Times | None = None,
    ) -> Limits:
        """Enforce rate limits: a 429 with retry-after once one is used up. Cache reads do not count."""
        amounts = (requests_per_minute, input_tokens_per_minute, output_tokens_per_minute)
        if enforced := {name: amount for name, amount in zip(ANNOUNCED, amounts, strict=True) if amount}:
            return Limits(enforced)
        raise ValueError("limit needs at least one of requests_per_minute, input_tokens_per_minute, …")

    @control
    def shape(self, kind: Shape) -> Shape:
        """Every answer has an awkward shape: thinking_first, thinking_only, refusal or empty."""
        return kind

    @control
    def pace(
        self,
        tokens_per_second: Annotated[float, Field(ge=0.001)] = math.inf,
        first_token_seconds: Seconds = 0.0,
        batch_seconds: Seconds = 0.5,
    ) -> None:
        """Answer at the speed of a real model: seconds before the first token, then tokens a second.

        A batch of messages ends after `batch_seconds`.
        """

    @control
    def chaos(self, rate: Annotated[float, Field(ge=0, le=1)], seed: int = 0) -> tuple[float, random.Random]:
        """Each request fails with probability `rate`: 429, 500, 502, 503, 529 or a dropped connection."""
        return rate, random.Random(seed)

    @control
    def retire(self, model: str) -> str:
        """From now on `model` (an id) is answered like a retired one: 404."""
        return model

    def __str__(self) -> str:
        return "; ".join(map(str, self.copy())) or "none"

    def value(self, kind: str) -> Any:
        """The value of the latest control of `kind`."""
        return {each.kind: each.value for each in self.copy()}.get(kind, UNSET.get(kind))

    def take(self, kind: str) -> Any:
        """The value of the first control of `kind`, counted down; faults queue up in the order set."""
        for control in self.copy():
            if control.kind == kind:
                control.left -= 1
                if not control.left:
                    control.clear()
                return control.value
        return None

    def strike(self) -> None:
        """Raise what this request fails with, if it must: an error, or a connection that drops."""
        if failure := self.take("fail_next"):
            raise ApiError(**failure)  # a new one each time: an error holds its request through its traceback
        rate, dice = self.value("chaos")
        if dice.random() < rate:
            choice = dice.choice(CHAOS)
            raise choice if choice is Dropped else ApiError(**_failure(choice))
