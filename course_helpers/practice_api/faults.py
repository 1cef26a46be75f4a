"""The fault lab: make the practice API fail, break, slow down or answer oddly, on purpose.

Each control takes effect at once and returns its `Control`, which is also a context manager:
at the end of a `with` block whatever is left of it is cleared, so it never leaks into the next cell.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
import random
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field, ValidationError, validate_call

from .errors import STATUSES, ApiError
from .rate_limits import Limits

Break = Literal["disconnect", "truncate", "error", "garble", "stall"]
Shape = Literal["thinking_first", "thinking_only", "refusal", "empty"]
Status = Literal[tuple(STATUSES)]
Times = Annotated[int, Field(ge=1)]
Seconds = Annotated[int | float, Field(ge=0, allow_inf_nan=False)]
CHAOS = (429, 500, 502, 503, 529, "disconnect")
"""What chaos does to a request, each as likely as the others."""
_SPEND_CAP = "You have reached your specified API usage limits. You will regain access next month."


@dataclass(eq=False)
class Control:
    """One fault that is set. Use it in a `with` block, or call `clear()`."""

    kind: str
    text: str
    _faults: Faults
    left: int | None
    """How many more requests it concerns; None for all until it is cleared."""
    value: Any

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
class Failure:
    """What a request fails with. A plain 429 says to come back in a second, as the real API's does."""

    status: int
    message: str | None = None
    retry_after: float | None = None
    spend_cap: bool = False
    should_retry: bool | None = None
    html: bool = False

    def error(self) -> ApiError:
        """A new error each time: one that was raised holds on to its request through its traceback."""
        seconds = self.retry_after
        if self.status == 429 and not self.spend_cap and seconds is None:
            seconds = 1
        headers = {"retry-after": f"{seconds:g}"} if seconds else {}
        if seconds and seconds % 1:  # for programs that read whole seconds only
            headers["retry-after-ms"] = f"{seconds * 1000:g}"
        if self.should_retry is not None:
            headers["x-should-retry"] = str(self.should_retry).lower()
        known = self.status in set(HTTPStatus)
        title = f"{self.status} {HTTPStatus(self.status).phrase if known else 'Error'}"
        page = f"<html><head><title>{title}</title></head><body>{title}</body></html>" if self.html else None
        code = "enforced_spend_limit_reached" if self.spend_cap else None
        said = _SPEND_CAP if self.spend_cap else self.message
        return ApiError(self.status, said, error_code=code, headers=headers, page=page)


@dataclass(frozen=True)
class Breakage:
    """How an answer breaks, after how many pieces of text; a stall drops the connection after `seconds`."""

    kind: Break
    after: int = 0
    seconds: float = 30.0


@dataclass(frozen=True)
class Pace:
    """How fast answers come: tokens a second, seconds before the first, seconds that a batch takes."""

    tokens_per_second: float | None = None
    first_token_seconds: float = 0.0
    batch_seconds: float = 0.5

    def duration(self, tokens: int) -> float:
        """Seconds that `tokens` take, once the first is there."""
        return tokens / self.tokens_per_second if self.tokens_per_second else 0.0


def checked(control: Callable[..., Control]) -> Callable[..., Control]:
    """`control`, checking its arguments first: a ValueError names the wrong one and says what fits."""
    strictly = validate_call(control, config=ConfigDict(strict=True))

    @functools.wraps(control)
    def call(*given: Any, **named: Any) -> Control:
        arguments = inspect.signature(control).bind(*given, **named).arguments
        me = arguments.pop("self")  # by position: pydantic before 2.14 takes it no other way
        try:
            return strictly(me, **arguments)
        except ValidationError as error:
            first = error.errors()[0]
        name, value, rule = first["loc"][0], first["input"], first["msg"].replace("Input should", "it should")
        choices = {str(choice): choice for kind in (Status, Break, Shape) for choice in get_args(kind)}
        near = difflib.get_close_matches(str(value), choices, n=1)
        hint = f" Did you mean {choices[near[0]]!r}?" if near else ""
        raise ValueError(f"{name}: {rule}, not {value!r}.{hint}")

    return call


class Faults:
    """The faults that are set, safe to change from any thread while requests are answered.

    It takes no locks, which an interrupted cell or a finalizer could leave held: each step that changes
    the list is one call of a list's own method, and only the server's thread counts down.
    """

    def __init__(self) -> None:
        self._controls: list[Control] = []
        self._no_limits = Limits()

    @checked
    def fail_next(
        self,
        status: Status,
        times: Times = 1,
        retry_after: Seconds | None = None,
        *,
        message: str | None = None,
        spend_cap: bool = False,
        should_retry: bool | None = None,
        html: bool = False,
    ) -> Control:
        """The next `times` requests fail with `status`; `retry_after` in seconds goes with it.

        With 0 none does. `message` is what the error says; `spend_cap` makes a 429 the one that waiting
        does not cure; `should_retry` sets x-should-retry; `html` sends a gateway's page instead of JSON.
        """
        if spend_cap and (status != 429 or retry_after is not None):
            raise ValueError("spend_cap goes with status 429, and without retry_after.")
        failure = Failure(status, message, retry_after, spend_cap, should_retry, html)
        return self._set("fail_next", f"fail_next({status})", failure, times)

    @checked
    def break_stream(
        self,
        kind: Break,
        after: Annotated[int, Field(ge=0)] = 3,
        *,
        times: Times = 1,
        seconds: Seconds = 30.0,
    ) -> Control:
        """The next `times` answers break after `after` pieces of text; a plain answer breaks at once.

        disconnect: the connection drops. truncate: the stream ends without its last events.
        error: an error event. garble: an event that is not JSON. stall: silence for `seconds`, then a drop.
        """
        return self._set("break_stream", f"break_stream({kind!r})", Breakage(kind, after, seconds), times)

    @checked
    def limit(
        self,
        requests_per_minute: Times | None = None,
        input_tokens_per_minute: Times | None = None,
        output_tokens_per_minute: Times | None = None,
    ) -> Control:
        """Enforce rate limits: a 429 with retry-after once one is used up. Cache reads do not count."""
        amounts = (requests_per_minute, input_tokens_per_minute, output_tokens_per_minute)
        named = zip(("requests", "input-tokens", "output-tokens"), amounts, strict=True)
        given = {name: amount for name, amount in named if amount is not None}
        if not given:
            raise ValueError("limit needs at least one of requests_per_minute, input_tokens_per_minute, …")
        words = ", ".join(f"{amount} {name} a minute" for name, amount in given.items())
        return self._set("limit", f"limit({words})", Limits(given))

    @checked
    def shape(self, kind: Shape) -> Control:
        """Every answer has an awkward shape: thinking_first, thinking_only, refusal or empty."""
        return self._set("shape", f"shape({kind!r})", kind)

    @checked
    def pace(
        self,
        tokens_per_second: Annotated[int | float, Field(ge=0.001, allow_inf_nan=False)] | None = None,
        first_token_seconds: Seconds = 0.0,
        batch_seconds: Seconds = Pace.batch_seconds,
    ) -> Control:
        """Answer at the speed of a real model: seconds before the first token, then tokens a second.

        A batch of messages ends after `batch_seconds`.
        """
        text = f"pace({tokens_per_second} tokens a second, first after {first_token_seconds} s"
        text += "" if batch_seconds == Pace.batch_seconds else f", a batch in {batch_seconds} s"
        return self._set("pace", f"{text})", Pace(tokens_per_second, first_token_seconds, batch_seconds))

    @checked
    def chaos(self, rate: Annotated[float, Field(ge=0, le=1)], seed: int = 0) -> Control:
        """Each request fails with probability `rate`: 429, 500, 502, 503, 529 or a dropped connection."""
        return self._set("chaos", f"chaos({rate}, seed={seed})", (rate, random.Random(seed)))

    @checked
    def retire(self, model: str) -> Control:
        """From now on `model` (an id) is answered like a retired one: 404."""
        return self._set("retire", f"retire({model!r})", model)

    def reset(self) -> None:
        """Clear all faults."""
        self._controls.clear()

    def remove(self, control: Control) -> None:
        """Clear `control`, if it is still set."""
        with contextlib.suppress(ValueError):
            self._controls.remove(control)

    def __str__(self) -> str:
        return "; ".join(map(str, self._controls.copy())) or "none"

    # What the routes ask

    def take(self, kind: str) -> Any:
        """The value of the first control of `kind`, counted down; faults queue up in the order set."""
        control = next((c for c in self._controls.copy() if c.kind == kind), None)
        if control is None:
            return None
        control.left -= 1
        if control.left == 0:
            self.remove(control)
        return control.value

    def values(self, kind: str) -> list[Any]:
        """The values of the controls of `kind`, the latest first."""
        return [c.value for c in reversed(self._controls.copy()) if c.kind == kind]

    def value(self, kind: str) -> Any:
        """The value of the latest control of `kind`."""
        return next(iter(self.values(kind)), None)

    def take_failure(self) -> Failure | Breakage | None:
        """What this request must fail with, if anything: counted down, then chaos."""
        failed = self.take("fail_next")
        rate, dice = self.value("chaos") or (0, random)
        if failed is not None or dice.random() >= rate:
            return failed
        choice = dice.choice(CHAOS)
        return Breakage("disconnect") if choice == "disconnect" else Failure(choice)

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return self.value("limit") or self._no_limits

    def _set(self, kind: str, text: str, value: Any, left: int | None = None) -> Control:
        control = Control(kind, text, self, left, value)
        self._controls.append(control)
        return control
