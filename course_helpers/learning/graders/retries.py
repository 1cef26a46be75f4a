"""Waiting and trying again: the exercises of lesson 6, and the patient call of lesson 8."""

from __future__ import annotations

import math
from itertools import pairwise

import anthropic
from anthropic.types import Message

from ...models import MODEL
from ...practice_api.errors import STATUSES
from ..grading import Bench, is_a, is_equal, number
from ..sandbox import TimeUp, shown
from . import require

ASK = {"max_tokens": 50, "messages": [{"role": "user", "content": "Name a river."}]}
PASSING = {408: "a request timeout", 409: "a conflict", 429: "a rate limit", 500: "a server error"}
PASSING |= {503: "an unavailable service", 529: "overload"}
LASTING = {400: "a bad request", 401: "a wrong key", 402: "an unpaid bill", 403: "a missing permission"}
LASTING |= {404: "an unknown model", 413: "a request that is too large"}
SPEND_CAP = "a 429 because the spend limit is reached, which lasts until the month ends"
DROPPED = "a dropped connection, which has no status and no response"


def worth_retrying(bench: Bench) -> None:
    practice, once = bench.practice, bench.client
    for status in dict.fromkeys([*PASSING, *LASTING, *STATUSES]):
        passes = status in PASSING or status >= 500
        name = (PASSING | LASTING).get(status, "a server error" if passes else "an error of the request")
        with bench.case(f"{status}, {name}", f"status {status}", practice.fail_next(status)):
            _is_judged(bench, once, passes)
    with bench.case("a timeout, which has no status", "timeout", practice.pace(first_token_seconds=2)):
        _is_judged(bench, once.with_options(timeout=0.05), True)
    with bench.case(DROPPED, "dropped connection", practice.break_stream("disconnect")):
        _is_judged(bench, once, True)
    with bench.case(SPEND_CAP, "spend cap", practice.fail_next(429, spend_cap=True)):
        _is_judged(bench, once, False)


def _is_judged(bench: Bench, client: anthropic.Anthropic, right: bool) -> None:
    try:
        client.messages.create(model=MODEL, **ASK)
    except anthropic.APIError as error:
        value = bench.call(error)
    is_bool = type(value).__name__ in ("bool", "bool_")
    require(is_bool, f"no bool: it was to return True or False, not {shown(value)}.")
    advice = "the same request may succeed later" if right else "waiting does not cure it"
    require(bool(value) is right, f"it says {value}, but {advice}.", bench.mistake)


def patient_call(bench: Bench) -> None:
    practice, waits = bench.practice, _patient(bench)
    is_equal("messages", bench.only_request().get("messages"), ASK["messages"], "arguments not passed on")
    require("x-given" in bench.sent[-1].headers, "other client: it called another client than the given.")
    is_a(bench.last.value, Message)
    require(not waits, "needless wait: it waited although nothing had failed.")
    with bench.case("after a 500", fault=practice.fail_next(500)):
        waits = _patient(bench)
        require(not _retried_by_sdk(bench), "retry on top of retry: the SDK tries too; set max_retries=0.")
        require(len(waits) == 1, f"no wait with sleep: once was asked for; it waited {len(waits)} times.")
    for status, asked in ((429, 7), (529, 40)):
        fault = practice.fail_next(status, times=2, retry_after=asked)
        with bench.case(f"after two {status} that asked for {asked} seconds in retry-after", fault=fault):
            waits = _patient(bench)
            is_equal("number of requests", len(bench.sent), 3, "too few tries")
            kept = all(asked <= wait <= 2 * asked for wait in waits)
            require(kept, f"retry-after ignored: it waited {_words(waits)} seconds.")
    with bench.case(f"after {DROPPED}", "dropped connection", practice.break_stream("disconnect")):
        _patient(bench)
    for status in LASTING:
        with practice.fail_next(status, times=40):
            tried = _patient(bench, fails=True) or len(bench.sent) > 1
        require(not tried, f"non-retryable retried: a {status} fails for the same reason each time.")
        require(bench.last.error, f"failure swallowed: that was a {status}; waiting does not cure it.")
    _gives_up(bench)
    for status in (408, 409, 503):
        when = f"after a {status}, {PASSING[status]}, which may pass"
        with bench.case(when, f"status {status}", practice.fail_next(status)):
            _patient(bench)
    with bench.case(SPEND_CAP, fault=practice.fail_next(429, times=40, spend_cap=True)):
        waits = _patient(bench, fails=True)
        at_once = not waits and bench.last.error
        require(at_once, f"spend cap waited out: it was to be raised at once; it waited {len(waits)} times.")


def _gives_up(bench: Bench) -> None:
    runs: list[list[float]] = []
    # Randomness takes some more runs to see through.
    while len(runs) < 2 or (runs[0] != runs[1] and len(runs) < 20):
        with bench.case("the API stayed overloaded", fault=bench.practice.fail_next(529, times=40)):
            waits, made = _patient(bench, fails=True), len(bench.sent)
            require(bench.last.error, "failure swallowed: nobody would notice; raise its error.")
            require(3 <= made <= 6, f"other number of tries: five retries are six requests; it made {made}.")
            require(len(waits) < made, "needless wait: it waits once more after the last try.")
            runs.append(waits)
    longest = [max(waits) for waits in zip(*runs, strict=False)]
    grows = max(longest) > 1.15 * longest[0]
    require(grows, "waits not longer: they do not grow; double them, with some randomness.")
    # The same step each time is linear. A cap may hide the doubling late, randomness at the beginning.
    first, second = [after - before for before, after in pairwise([*longest, math.inf])][:2]
    doubles = second >= 1.35 * first > 0 or longest[-1] >= 2.2 * longest[len(longest) // 2]
    seen = f"they grow by the same step, {_words(longest)} seconds; double them."
    require(doubles, f"waits not exponential: {seen}")


def _words(waits: list[float]) -> str:
    return " and ".join(f"{wait:.1f}" for wait in waits)


def _patient(bench: Bench, fails: bool = False) -> list[float]:
    """The waits of a run, in seconds. Where the call `fails`, an error may come out."""
    waits: list[float] = []

    def sleep(seconds: object) -> None:
        taken = number(seconds)
        waits.append(-1.0 if taken is None else taken)
        if len(waits) > 30:
            raise RecursionError("it has waited 30 times: bound the number of tries")

    given = bench.client.with_options(default_headers={"x-given": "yes"}, max_retries=2)
    ran = bench.run(given, sleep, model=MODEL, **ASK)
    require(not isinstance(ran.error, RecursionError), f"endless retries: {ran.error}")
    if not fails or not isinstance(ran.error, Exception) or isinstance(ran.error, TypeError):
        bench.value(ran, wanted=not fails)
    require(min(waits, default=0) >= 0, "odd wait: sleep takes seconds, as a number from 0.")
    return waits


def patient_send(bench: Bench) -> None:
    asked = ASK | {"model": MODEL}
    with bench.practice.fail_next(429, retry_after=1):
        ran = bench.run(**asked)
    limited = isinstance(ran.error, anthropic.RateLimitError)
    require(not limited, "rate limit not waited out: it came out as an error.")
    message = bench.value(ran)
    require(not ran.is_async, "async: it is to be called like client.messages.create, without await.")
    require(not _retried_by_sdk(bench), "the SDK's silent retry: turn it off, and say that you wait.")
    is_equal("number of tries", len(bench.sent), 2)
    sent = (bench.sent[-1].body or {}).get("messages")
    is_equal("messages", sent, ASK["messages"], "arguments not passed on")
    is_a(message, Message)
    require(ran.printed.strip(), "waits in silence: print that it waits, and how long.")
    require(ran.silent_seconds < ran.seconds - 0.5, "speaks too late: print before you wait.")
    require(ran.seconds > 0.9, "retry-after ignored: a second was asked for, and it came back sooner.")
    for status, when, limit in ((400, "after a 400", {}), (429, SPEND_CAP, {"spend_cap": True})):
        with bench.case(when, fault=bench.practice.fail_next(status, times=40, **limit)):
            error = bench.run(**asked, seconds=2).error
            again = isinstance(error, TimeUp) or len(bench.sent) != 1
            mistake = "spend cap waited out" if limit else "non-retryable retried"
            require(not again, f"{mistake}: it fails for the same reason each time.")
            require(isinstance(error, Exception), "failure swallowed: it was to come out as it is.")


def _retried_by_sdk(bench: Bench) -> bool:
    """Did the SDK itself send a request of the last run again?"""
    return any(each.headers.get("x-stainless-retry-count", "0") != "0" for each in bench.sent)
