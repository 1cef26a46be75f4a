"""Waiting and trying again: the exercises of lesson 6, and the patient call of lesson 8."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import anthropic
from anthropic.types import Message

from ...models import MODEL
from ..grading import ASK, Bench, is_a, is_equal, number, require
from ..sandbox import TimeUp, shown

PASSING = {408: "a request timeout", 409: "a conflict", 429: "a rate limit", 500: "a server error"}
PASSING |= {503: "an unavailable service", 529: "overload", 502: "a bad gateway", 504: "a late one"}
LASTING = {400: "a bad request", 401: "a wrong key", 402: "an unpaid bill", 403: "a missing permission"}
LASTING |= {404: "an unknown model", 413: "a request that is too large"}
SPEND_CAP = "a 429 because the spend limit is reached, which lasts until the month ends"
DROPPED = "a dropped connection, which has no status and no response"


def worth_retrying(bench: Bench) -> None:
    practice, hasty = bench.practice, bench.client.with_options(timeout=0.05)

    def judge(when: str, mistake: str, right: bool, fault: Any, client: Any = bench.client) -> None:
        with bench.case(when, mistake, fault):
            try:
                client.messages.create(model=MODEL, **ASK)
            except anthropic.APIError as error:
                value = bench.call(error)
            require(type(value).__name__ in ("bool", "bool_"), f"no bool: it returned {shown(value)}.")
            advice = "the same request may succeed later" if right else "waiting does not cure it"
            require(bool(value) is right, f"it says {value}, but {advice}.", mistake)

    for status, name in (PASSING | LASTING).items():
        judge(f"{status}, {name}", f"status {status}", status in PASSING, practice.fail_next(status))
    judge("a timeout, which has no status", "timeout", True, practice.pace(first_token_seconds=2), hasty)
    judge(DROPPED, "dropped connection", True, practice.break_stream("disconnect"))
    judge(SPEND_CAP, "spend cap", False, practice.fail_next(429, spend_cap=True))


def patient_call(bench: Bench) -> None:
    practice, waits = bench.practice, _patient(bench)
    is_equal("messages", bench.request().get("messages"), ASK["messages"], "arguments not passed on")
    require("x-given" in bench.sent[-1].headers, "other client: it called another client than the given.")
    is_a(bench.last.value, Message)
    with bench.case("after a 500", fault=practice.fail_next(500)):
        waits = _patient(bench)
        require(not bench.by_sdk - {"0"}, "retry on top of retry: the SDK tries too; set max_retries=0.")
        require(len(waits) == 1, f"no wait with sleep: once was asked for; it waited {len(waits)} times.")
    for status, asked in ((429, 7), (529, 40)):
        fault = practice.fail_next(status, times=2, retry_after=asked)
        with bench.case(f"after two {status} that asked for {asked} seconds in retry-after", fault=fault):
            waits = _patient(bench)
            is_equal("number of requests", len(bench.sent), 3, "too few tries")
            for wait in waits:
                require(asked <= wait <= 2 * asked, f"retry-after ignored: it waited {wait:g} seconds.")
    with bench.case(f"after {DROPPED}", "dropped connection", practice.break_stream("disconnect")):
        _patient(bench)
    _gives_up(bench)
    for status in (408, 409, 503):
        when = f"after a {status}, {PASSING[status]}, which may pass"
        with bench.case(when, f"status {status}", practice.fail_next(status)):
            _patient(bench)
    lets_out(bench, (*LASTING, 429), lambda: _patient(bench, fails=True))


def _patient(bench: Bench, fails: bool = False) -> list[float]:
    """The waits of a run, in seconds. Where the call `fails`, an error may come out."""
    waits: list[float] = []

    def sleep(seconds: object) -> None:
        taken = number(seconds)
        require(taken is not None and taken >= 0, "odd wait: sleep takes seconds, as a number from 0.")
        waits.append(taken)
        require(len(waits) < 30, "endless retries: it has waited 30 times; bound the number of tries.")

    given = bench.client.with_options(default_headers={"x-given": "yes"}, max_retries=2)
    error = bench.run(given, sleep, model=MODEL, **ASK).error
    if not fails or not isinstance(error, Exception) or isinstance(error, TypeError):
        bench.value(wanted=not fails)
    return waits


def _gives_up(bench: Bench) -> None:
    runs: list[list[float]] = []
    # Randomness takes some more runs to see through.
    while len(runs) < 2 or (runs[0] != runs[1] and len(runs) < 30):
        with bench.case("the API stayed overloaded", fault=bench.practice.fail_next(529, times=40)):
            waits, made = _patient(bench, fails=True), len(bench.sent)
            require(bench.last.error, "failure swallowed: nobody would notice; raise its error.")
            require(3 <= made <= 6, f"other number of tries: five retries are six requests; it made {made}.")
            runs.append(waits)
    longest = [max(waits) for waits in zip(*runs, strict=False)]
    require(max(longest) > 1.15 * longest[0], "waits not longer: double them, with some randomness.")
    # The same step each time is linear. A cap may hide the doubling late, randomness at the beginning.
    first, second = [after - before for before, after in pairwise([*longest, math.inf])][:2]
    doubles = second >= 1.38 * first > 0 or longest[-1] >= 2.2 * longest[len(longest) // 2]
    seen = [round(wait, 1) for wait in longest]
    require(doubles, f"waits not exponential: they grow by the same step, {seen} seconds; double them.")


def lets_out(bench: Bench, statuses: Iterable[int], run: Callable) -> None:
    """Judges whether a `run` that fails with one of these lets it out at once: waiting does not cure it."""
    for status in statuses:
        mistake = "spend cap waited out" if status == 429 else "non-retryable retried"
        fault = bench.practice.fail_next(status, times=40, spend_cap=status == 429)
        with bench.case(f"after {LASTING.get(status, SPEND_CAP)}", fault=fault):
            run()
            at_once = len(bench.sent) == 1 and not isinstance(bench.last.error, TimeUp)
            require(at_once, f"{mistake}: it fails for the same reason each time.")
            require(isinstance(bench.last.error, Exception), "failure swallowed: let it come out as it is.")


def patient_send(bench: Bench) -> None:
    asked = ASK | {"model": MODEL}
    with bench.practice.fail_next(429, retry_after=1):
        ran = bench.run(**asked)
    require(not isinstance(ran.error, anthropic.RateLimitError), "rate limit not waited out: it came out.")
    message = bench.value()
    require(not ran.is_async, "async: it is to be called without await.")
    require(not bench.by_sdk - {"0"}, "the SDK's silent retry: turn it off, and say that you wait.")
    is_equal("number of tries", len(bench.sent), 2)
    is_equal("messages", bench.sent[-1].body["messages"], ASK["messages"], "arguments not passed on")
    is_a(message, Message)
    require(ran.printed.strip(), "waits in silence: print that it waits, and how long.")
    require(ran.silent_seconds < ran.seconds - 0.5, "speaks too late: print before you wait.")
    require(ran.seconds > 0.9, "retry-after ignored: a second was asked for, and it came back sooner.")
    lets_out(bench, (400, 429), lambda: bench.run(**asked, seconds=2))
