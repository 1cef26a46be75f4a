"""Lesson 6, rate limits and retries."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import anthropic

from ...practice_api.errors import STATUSES
from ..grading import Bench, is_returned, turns
from ..sandbox import number, shown
from . import grader, require

ASK = {"max_tokens": 50, "messages": [{"role": "user", "content": "Hello!"}]}
PASSING = {408: "a request timeout", 409: "a conflict", 429: "a rate limit", 500: "a server error"}
PASSING |= {503: "an unavailable service", 529: "overload"}
LASTING = {400: "a bad request", 401: "a wrong key", 402: "an unpaid bill", 403: "a missing permission"}
LASTING |= {404: "an unknown model", 413: "a request that is too large"}
SPEND_CAP = "a 429 because the spend limit is reached, which lasts until the month ends"


@grader
def worth_retrying(bench: Bench) -> None:
    """The right answer for real errors of each kind."""
    once = bench.client.with_options(max_retries=0)
    for status in dict.fromkeys([*PASSING, *LASTING, *STATUSES]):
        passes = status in PASSING or status >= 500
        name = (PASSING | LASTING).get(status, "a server error" if passes else "an error of the request")
        with bench.practice.fail_next(status):
            _judge(bench, once, passes, f"{status}, {name}", f"status {status}")
    with bench.practice.pace(first_token_seconds=2):
        hasty = once.with_options(timeout=0.05)
        _judge(bench, hasty, True, "a timeout, which has no status", "timeout")
    with bench.practice.break_stream("disconnect"):
        _judge(bench, once, True, "a dropped connection, which has no status", "dropped connection")
    with bench.practice.fail_next(429, spend_cap=True):
        _judge(bench, once, False, SPEND_CAP, "spend cap")


def _judge(bench: Bench, client: anthropic.Anthropic, right: bool, name: str, mistake: str) -> None:
    try:
        client.messages.create(model=bench.model, **ASK)
    except anthropic.APIError as error:
        value = bench.call(error, when=name, mistake=mistake)
    require(value is not None, f"{name}: it returned None, and True or False was asked for.", "returns None")
    is_bool = type(value).__name__ in ("bool", "bool_")
    require(is_bool, f"{name}: it was to return True or False, not {shown(value)}.", "no bool")
    advice = "the same request may succeed later" if right else "waiting does not cure it"
    require(bool(value) is right, f"{name}: it says {value}, but {advice}.", mistake)


@grader
def patient_call(bench: Bench) -> None:
    """Waits as asked, else longer and longer, a bounded number of times, and only where it helps."""
    waits, value = _patient(bench, "when nothing fails")
    sent = bench.only_request().get("messages")
    passed_on = f"it was to pass on the arguments it was given; it sent {shown(sent)}."
    require(sent == ASK["messages"], passed_on, "arguments not passed on")
    other = "it called another client than the one it was given."
    require("x-given" in bench.sent[-1].headers, other, "other client")
    is_message(value)
    require(not waits, "it waited although nothing had failed.", "needless wait")
    with bench.practice.fail_next(500):
        waits, _ = _patient(bench, "after a 500")
    doubled = "the SDK retried by itself inside your retries, so tries multiply: set max_retries=0."
    require(not retried_by_sdk(bench), doubled, "retry on top of retry")
    times = f"after a 500 it was to wait once, with sleep; it waited {len(waits)} times."
    require(len(waits) == 1, times, "no wait with sleep")
    for status, asked in ((429, 7), (529, 40)):
        with bench.practice.fail_next(status, times=2, retry_after=asked):
            waits, _ = _patient(bench, f"after two {status}")
        made = f"after two {status} it was to succeed; it made {len(bench.sent)} requests."
        require(len(bench.sent) == 3, made, "too few tries")
        for wait in waits:
            seen = (
                f"with a {status} the API asked for {asked} seconds in retry-after, and it waited {wait:.1f}."
            )
            require(asked <= wait <= 2 * asked, seen, "retry-after ignored")
    with bench.practice.break_stream("disconnect"):
        _patient(bench, "after a dropped connection, which has no response", mistake="dropped connection")
    _raises_at_once(bench)
    _gives_up(bench)
    for status in (408, 409, 503):
        with bench.practice.fail_next(status):
            when = f"after a {status}, {PASSING[status]}, which may pass"
            _patient(bench, when, mistake=f"status {status}")
    with bench.practice.fail_next(429, times=40, spend_cap=True):
        waits, _ = _patient(bench, "at the spend limit", fails=True)
    waited = f"{SPEND_CAP}: it was to be raised at once; it waited {len(waits)} times."
    require(not waits and bench.last.error is not None, waited, "spend cap waited out")


def _raises_at_once(bench: Bench) -> None:
    for status in LASTING:
        with bench.practice.fail_next(status, times=40):
            waits, _ = _patient(bench, f"after a {status}", fails=True)
        again = f"a {status} was tried again: it fails for the same reason each time."
        require(not waits and len(bench.sent) == 1, again, "non-retryable retried")
        swallowed = f"a {status} was swallowed: raise what waiting does not cure."
        require(bench.last.error is not None, swallowed, "failure swallowed")


def _gives_up(bench: Bench) -> None:
    runs: list[list[float]] = []
    while len(runs) < 2 or (
        runs[0] != runs[1] and len(runs) < 20
    ):  # randomness takes some more to see through
        with bench.practice.fail_next(529, times=40):
            waits, _ = _patient(bench, "when the API stays overloaded", fails=True)
        runs.append(waits)
        made = len(bench.sent)
        notice = "the API stayed overloaded, and nobody would notice: raise its error."
        require(bench.last.error is not None, notice, "failure swallowed")
        bounded = f"the API stayed overloaded: five retries are six requests; it made {made}."
        require(3 <= made <= 6, bounded, "other number of tries")
        require(len(waits) < made, "it waits once more after the last try, for nothing.", "needless wait")
    longest = [max(waits) for waits in zip(*runs, strict=False)]
    grows = max(longest) > 1.15 * longest[0]
    require(grows, "its waits do not grow: double them, with some randomness.", "waits not longer")
    # The same step each time is linear. A cap may hide the doubling late, randomness at the beginning.
    first, second = [after - before for before, after in pairwise([*longest, math.inf])][:2]
    doubles = second >= 1.35 * first > 0 or longest[-1] >= 2.2 * longest[len(longest) // 2]
    words = " and ".join(f"{wait:.1f}" for wait in longest)
    linear = f"its waits grow by the same step ({words} seconds at most), not exponentially: double them."
    require(doubles, linear, "waits not exponential")


def _patient(bench: Bench, when: str, mistake: str = "", fails: bool = False) -> tuple[list[float], Any]:
    """The waits of a run, in seconds, and what it returned. Where the call `fails`, an error may come out."""
    waits: list[float] = []

    def sleep(seconds: object) -> None:
        taken = number(seconds)
        waits.append(-1.0 if taken is None else taken)
        if len(waits) > 30:
            raise RecursionError("it has waited 30 times: bound the number of tries")

    given = bench.client.with_options(default_headers={"x-given": "yes"})
    ran = bench.run(given, sleep, model=bench.model, **ASK)
    ended = (
        fails and isinstance(ran.error, Exception) and not isinstance(ran.error, RecursionError | TypeError)
    )
    if not ended:
        bench.value(ran, when, "endless retries" if isinstance(ran.error, RecursionError) else mistake)
        require(fails or ran.value is not None, f"{when}: it returned None, not the Message.", "returns None")
    require(min(waits, default=0) >= 0, f"{when}: sleep takes seconds, as a number from 0.", "odd wait")
    return waits, ran.value


def is_message(value: Any) -> None:
    """Raises NotYet unless `value` is the SDK's Message."""
    is_returned(value)
    seen = f"it was to return the Message, not {shown(value)}."
    require(isinstance(value, anthropic.types.Message), seen, "no Message")


def retried_by_sdk(bench: Bench) -> bool:
    """Did the SDK itself send a request of the last run again?"""
    return any(each.headers.get("x-stainless-retry-count", "0") != "0" for each in bench.sent)


@grader
def Bot(bench: Bench) -> None:
    """Its three faults mended: position 0, retry on top of retry, a history that keeps failed turns."""
    bot = bench.call(bench.client)
    bench.function = bot.send
    bench.is_reply(bench.call("My name is Ada."))
    kept = turns(bot.history)
    require(len(kept) == 2, f"after one turn its history holds {len(kept)} messages, not 2.", "other history")
    with bench.practice.fail_next(529, times=99, retry_after=0.01):
        failed = bench.run("And yours?").error
    require(failed is not None, "the API stayed overloaded, and nobody would notice.", "failure swallowed")
    made = (
        f"the API stayed overloaded, and it made {len(bench.sent)} requests: call_with_retry alone makes 6."
    )
    require(len(bench.sent) <= 6, made, "retry on top of retry")
    with bench.practice.fail_next(400, times=99):
        bench.run("And yours?")
    again = "a 400 was tried again: it fails for the same reason each time."
    require(len(bench.sent) == 1, again, "non-retryable retried")
    stayed = "after failed calls their questions stand in its history."
    require(turns(bot.history) == kept, stayed, "failed turn left in history")
    for shape in ("thinking_only", "thinking_first"):
        when = "when the reply begins with a thinking block, and content[0] is not the text"
        with bench.practice.shape(shape):
            bench.is_reply(bench.call("And yours?", when=when, mistake="position 0"), when, "position 0")
        kept += [("user", "And yours?"), ("assistant", bench.reply())] if bench.reply() else []
        half = f"{when}: its history does not hold the turns that had an answer, and those alone."
        require(turns(bot.history) == kept, half, "empty turn stored")
