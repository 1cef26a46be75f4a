"""Waiting well: one call that outlives rate limits, overload and dropped connections.

The policy stands once, in `Retries`; `call_with_retry` and `acall_with_retry` are that policy around one
request, and `Conversation` puts it around its own. It retries 408, 409, 429, 5xx (529 included), connection
errors and timeouts, unless the server's `x-should-retry` says otherwise; never the spend cap, and nothing
that went wrong on this side of the wire (`final_cause`).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import anthropic
from anthropic.types import Message

from .client import final_cause
from .wire import Need, Steps, T, aadvance, advance, reply_to

FIRST_WAIT = 0.5  # seconds before the first retry, as in the SDK; doubled for each further one
SPEND_CAP = "enforced_spend_limit_reached"
POLICY = {"on_wait", "max_wait", "max_total_wait", "sleep", "clock", "random"}


@dataclass(frozen=True)
class Wait:
    """What `on_wait` gets, before each wait."""

    attempt: int  # which request failed: 1 is the first
    seconds: float
    error: anthropic.APIError
    max_retries: int
    asked: bool  # did the server name the wait (`retry-after`), or is it our own backoff?

    @property
    def reason(self) -> str:
        """What went wrong, for people."""
        outcome = _outcome(self.error)
        known = {"429": "Rate limited", "timeout": "Timeout", "connection error": "Connection error"}
        return known.get(outcome, f"API error {outcome}")

    def __str__(self) -> str:
        seconds = f"{self.seconds:.1f}s, as the server asks," if self.asked else f"{self.seconds:.1f}s"
        return f"{self.reason}. Waiting {seconds} before retry {self.attempt}/{self.max_retries}"


@dataclass
class Attempt:
    """One request of a call, for the timeline: times in seconds since the call began."""

    attempt: int
    started: float
    seconds: float
    outcome: str  # `reply`, a status, `timeout` or `connection error`
    wait: float = 0.0  # seconds before the next request
    asked: bool = False


print_wait = print  # one line about a `Wait`, as the course text has it


def retry_after(error: anthropic.APIError) -> float | None:
    """Seconds that the server asks to wait, or None where it names none, or none that makes sense.

    As the SDK reads them: `retry-after-ms`, else `retry-after`, which holds seconds or an HTTP date.
    """
    headers = getattr(getattr(error, "response", None), "headers", None)
    try:
        seconds = anthropic.Anthropic._parse_retry_after_header(None, headers)
    except (TypeError, ValueError, OverflowError, IndexError):  # a date that no calendar has
        return None
    return seconds if seconds is not None and 0 < seconds < math.inf else None


def why_not_retried(error: anthropic.APIError) -> str:
    """Why a retry of `error` cannot help, in a sentence; empty where it can."""
    if isinstance(error, anthropic.APIConnectionError) and not getattr(error, "final", False):
        return "Not retried: waiting does not mend this." if final_cause(error) else ""
    if not isinstance(error, anthropic.APIStatusError) or error.status_code < 400:
        return "Not retried: the answer had begun, or come, when this went wrong."
    says, status = error.response.headers.get("x-should-retry"), error.status_code
    if error.error_code == SPEND_CAP:
        return "Not retried: the spend cap is reached, and seconds do not bring back a budget."
    if says == "false":
        return f"Not retried: with this {status} the server says x-should-retry: false."
    may_pass = says == "true" or status in (408, 409, 429) or status >= 500
    return "" if may_pass else f"Not retried: a {status} stays a {status} until the request changes."


@dataclass
class Retries:
    """How long to go on trying, and what was tried: one object for each call.

    `run` calls a function until it returns, or until its `anthropic.APIError` is final: then that error is
    raised, with a note of what was tried. `max_retries` bounds the tries, `max_wait` each wait and
    `max_total_wait` their sum. A `retry-after` beyond these bounds ends the call at once.
    """

    max_retries: int = 5
    max_wait: float = 60.0
    max_total_wait: float = 120.0
    on_wait: Callable[[Wait], None] | None = print_wait
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random
    attempts: list[Attempt] = field(default_factory=list, init=False)
    """Every request so far, the successful one included; `pandas.DataFrame` takes the list as it is."""
    waited: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if self.max_retries < 0:
            raise ValueError(f"max_retries is {self.max_retries}; the least is 0, which means one request.")

    def run(self, request: Callable[[], T]) -> T:
        """The result of `request()`, tried again for as long as that makes sense."""

        def called() -> Steps[T]:
            return (yield Need("call", request))

        return advance(self.steps(called))

    def steps(self, request: Callable[[], Steps[T]]) -> Steps[T]:
        """`run` for a function whose generator says what it needs."""
        began = self.clock()
        while True:
            started, error = self.clock(), None
            try:
                result = yield from request()
            except anthropic.APIError as failure:
                error = failure
            outcome = _outcome(error) if error else "reply"
            this = Attempt(len(self.attempts) + 1, started - began, self.clock() - started, outcome)
            self.attempts.append(this)
            if error is None:
                return result
            self._plan_wait(error, this)
            paused = self.clock()
            yield Need("wait", (this.wait, self.sleep))
            # A sleep may take longer than it was asked to, and a pretended one may not move the clock.
            self.waited += max(this.wait, self.clock() - paused)

    def _plan_wait(self, error: anthropic.APIError, this: Attempt) -> None:
        """Announce the wait after `this` request; or raise `error`, with a note of what was tried."""
        asked = retry_after(error)
        seconds = asked or self._backoff(this.attempt)
        if why := why_not_retried(error) or self._why_enough(this.attempt, seconds):
            outcomes = ", ".join(attempt.outcome for attempt in self.attempts)
            note = f"{why} Requests: {this.attempt} ({outcomes}); waited {self.waited:.1f} s."
            if asked and why.startswith("Gave up"):
                note += f" Come back in {math.ceil(asked)} s."
            if cause := final_cause(error):
                error.message, error.args, error.__cause__ = cause, (cause,), None  # which may show a key
            error.add_note(note)
            raise error
        this.wait, this.asked = seconds, asked is not None
        if self.on_wait is not None:
            self.on_wait(Wait(this.attempt, seconds, error, self.max_retries, this.asked))

    def _why_enough(self, tried: int, seconds: float) -> str:
        """Which bound is met after `tried` requests and before a wait of `seconds`; empty for none."""
        if tried > self.max_retries:
            return f"Gave up: max_retries={self.max_retries} is reached."
        if seconds > self.max_wait:
            return f"Gave up at once: the server asks for a longer wait than max_wait={self.max_wait:g} s."
        if self.waited + seconds > self.max_total_wait:
            return f"Gave up: one more wait would go beyond max_total_wait={self.max_total_wait:g} s."
        return ""

    def _backoff(self, tried: int) -> float:
        """Exponential with equal jitter: half the step is fixed, half is random, so waits grow and spread."""
        step = min(self.max_wait, FIRST_WAIT * 2 ** min(tried - 1, 60))
        return step / 2 + step / 2 * self.random()


def _outcome(error: anthropic.APIError) -> str:
    """`error` in a word or two: its status, or what happened to the connection."""
    if isinstance(error, anthropic.APIConnectionError):
        return "timeout" if isinstance(error, anthropic.APITimeoutError) else "connection error"
    return str(getattr(error, "status_code", type(error).__name__))


def one_request(client: anthropic.Anthropic, **create_arguments) -> Message:
    """The reply to exactly one request: see `reply_to`."""
    return advance(reply_to(create_arguments), client)


def call_with_retry(
    client: anthropic.Anthropic,
    max_retries: int = 5,
    *,
    on_wait: Callable[[Wait], None] | None = print_wait,
    max_wait: float = 60.0,
    max_total_wait: float = 120.0,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    random: Callable[[], float] = random.random,
    **create_arguments,
) -> Message:
    """The reply of `client.messages.create(**create_arguments)`, tried up to `max_retries` times more.

    See `Retries` for the policy. `on_wait` gets a `Wait` before each one; None keeps it silent.
    """
    if not isinstance(client, anthropic.Anthropic):
        raise TypeError("call_with_retry is for anthropic.Anthropic; acall_with_retry is for AsyncAnthropic.")
    retries = Retries(max_retries, max_wait, max_total_wait, on_wait, sleep, clock, random)
    return advance(retries.steps(partial(reply_to, create_arguments)), client)


async def acall_with_retry(client: anthropic.AsyncAnthropic, max_retries: int = 5, **arguments) -> Message:
    """`call_with_retry` on an async client, with the same arguments; its `sleep` may be one to await."""
    if not isinstance(client, anthropic.AsyncAnthropic):
        raise TypeError("acall_with_retry is for anthropic.AsyncAnthropic; call_with_retry is for Anthropic.")
    policy = {name: arguments.pop(name) for name in POLICY & arguments.keys()}
    retries = Retries(max_retries, **policy)
    return await aadvance(retries.steps(partial(reply_to, arguments)), client)
