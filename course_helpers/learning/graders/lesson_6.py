"""Lesson 6, rate limits and retries."""

from __future__ import annotations

from typing import Any

import anthropic

from ..grading import Bench
from ..sandbox import plain, shown
from . import grader, require

ASK = {"max_tokens": 50, "messages": [{"role": "user", "content": "Hello!"}]}
PASSING = {
    408: "a request timeout",
    409: "a conflict",
    429: "a rate limit",
    500: "a server error",
    503: "an unavailable service",
    529: "overload",
}
LASTING = {
    400: "a bad request",
    401: "a wrong key",
    402: "an unpaid bill",
    403: "a missing permission",
    404: "an unknown model",
    413: "a request that is too large",
}


@grader(
    "6.1",
    "Wait, or fix it?",
    "Which failures are somebody's mistake, and which are a matter of load? Not every error has a "
    "status_code: a connection that failed got no answer at all.",
    "anthropic.APIConnectionError, of which a timeout is one, may pass; so may 408, 409, 429 and "
    "everything from 500.",
    "One 429 does not pass by waiting: anthropic.EnforcedSpendLimitReachedError. Ask about it first.",
)
def worth_retrying(bench: Bench) -> None:
    """The right answer for real errors of each kind."""
    once = bench.client.with_options(max_retries=0)
    for status, name in (PASSING | LASTING).items():
        with bench.practice.fail_next(status):
            _judge(bench, _error(bench, once), status in PASSING, f"{status}, {name}")
    with bench.practice.pace(first_token_seconds=2):
        _judge(bench, _error(bench, once.with_options(timeout=0.05)), True, "a timeout, which has no status")
    with bench.practice.break_stream("disconnect"):
        _judge(bench, _error(bench, once), True, "a dropped connection, which has no status")
    with bench.practice.fail_next(429, spend_cap=True):
        error = _error(bench, once)
        _judge(
            bench, error, False, "a 429 because the spend limit is reached, which lasts until the month ends"
        )


def _error(bench: Bench, client: anthropic.Anthropic) -> anthropic.APIError:
    try:
        client.messages.create(model=bench.model, **ASK)
    except anthropic.APIError as error:
        return error
    raise RuntimeError("the practice API was to fail and did not")


def _judge(bench: Bench, error: anthropic.APIError, right: bool, name: str) -> None:
    value = bench.call(error, when=name)
    require(value is not None, f"{name}: it returned None, and True or False was asked for.")
    require(type(value) is bool, f"{name}: it was to return True or False, not {shown(value)}.")
    advice = "the same request may succeed later" if right else "waiting does not cure it"
    require(value is right, f"{name}: it says {value}, but {advice}.")


@grader(
    "6.2",
    "A patient call",
    "client.with_options(max_retries=0) is the same client without retries of its own. Yours go "
    "around it: a loop, and a try in it.",
    "except (anthropic.APIConnectionError, anthropic.RateLimitError, anthropic.RequestTimeoutError, "
    "anthropic.ConflictError, anthropic.InternalServerError) as error: is what may pass; the last class is "
    "every 5xx, 529 too. All else comes out by itself.",
    'error.response.headers.get("retry-after") is text or None, and a connection error has no '
    "response. Without it: sleep(2**attempt * random.uniform(0.5, 1)).",
)
def patient_call(bench: Bench) -> None:
    """Waits as asked, else longer and longer, a bounded number of times, and only where it helps."""
    waits, value = _patient(bench)
    sent = bench.only_request().get("messages")
    require(sent == ASK["messages"], f"it was to pass on the arguments it was given; it sent {shown(sent)}.")
    require(isinstance(value, anthropic.types.Message), f"it was to return the Message, not {shown(value)}.")
    require(not waits, "it waited although nothing had failed.")

    with bench.practice.fail_next(500):
        waits, value = _patient(bench, "after a 500")
    doubled = [each for each in bench.sent if each.headers.get("x-stainless-retry-count", "0") != "0"]
    require(
        not doubled, "the SDK retried by itself inside your retries, so tries multiply: set max_retries=0."
    )
    require(len(bench.sent) == 2, f"after a 500 it was to try once more; it made {len(bench.sent)} requests.")
    require(len(waits) == 1, f"after a 500 it was to wait once, with sleep; it waited {len(waits)} times.")

    with bench.practice.fail_next(429, times=2, retry_after=7):
        waits, value = _patient(bench, "after two 429")
    require(len(bench.sent) == 3, f"after two 429 it was to succeed; it made {len(bench.sent)} requests.")
    require(min(waits) >= 7, f"the API asked for 7 seconds in retry-after, and it waited {min(waits):.1f}.")
    require(max(waits) <= 14, f"the API asked for 7 seconds in retry-after, and it waited {max(waits):.1f}.")

    with bench.practice.break_stream("disconnect"):
        waits, value = _patient(bench, "after a dropped connection, which has no response")
    require(len(bench.sent) == 2, "after a dropped connection it did not try again.")
    _gives_up(bench)


def _patient(bench: Bench, when: str = "", error: type | None = None) -> tuple[list[float], Any]:
    waits: list[float] = []

    def sleep(seconds: object) -> None:
        waits.append(plain(seconds))
        if len(waits) > 30:
            raise RecursionError("it has waited 30 times: bound the number of tries")

    ran = bench.run(bench.client, sleep, model=bench.model, **ASK)
    if error and isinstance(ran.error, error):
        return waits, None
    value = bench.value(ran, when)
    require(
        value is not None or error is not None, f"{when or 'at the end'}: it returned None, not the Message."
    )
    odd = [wait for wait in waits if not isinstance(wait, (int, float)) or wait < 0]
    require(not odd, f"{when}: sleep takes seconds, and it was given {shown(odd[:1])}.")
    return waits, value


def _gives_up(bench: Bench) -> None:
    with bench.practice.fail_next(400, times=40):
        waits, _ = _patient(bench, "after a 400", anthropic.BadRequestError)
    require(
        not waits and len(bench.sent) == 1, "a 400 was tried again: it fails for the same reason each time."
    )
    require(bench.last.error is not None, "a 400 was swallowed: raise what waiting does not cure.")

    with bench.practice.fail_next(529, times=40):
        waits, _ = _patient(bench, "when the API stays overloaded", anthropic.OverloadedError)
    made = len(bench.sent)
    require(
        bench.last.error is not None, "the API stayed overloaded, and nobody would notice: raise its error."
    )
    require(3 <= made <= 6, f"the API stayed overloaded: five retries are six requests; it made {made}.")
    require(len(waits) < made, "it waits once more after the last try, for nothing.")
    require(max(waits[1:]) > waits[0], "its waits do not grow: double them, with some randomness.")

    for status in (408, 409):
        with bench.practice.fail_next(status):
            _patient(bench, f"after a {status}, {PASSING[status]}, which may pass")
        require(len(bench.sent) == 2, f"after a {status}, {PASSING[status]}, it did not try again.")
