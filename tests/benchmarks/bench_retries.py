"""Retries under identical chaos: ours, the bare SDK's own, and the course text's loop as it was printed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import anthropic

from course_helpers import MODEL, call_with_retry, practice
from tests.benchmarks import Row, at_least, at_most

CALLS, RATE, SEED = 1000, 0.3, 7
REQUEST = {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": "Hello!"}]}


class Client(anthropic.Anthropic):
    """The SDK's client, its own waits summed up in place of waited."""

    waited = 0.0

    def _calculate_retry_timeout(self, *args, **kwargs) -> float:
        self.waited += super()._calculate_retry_timeout(*args, **kwargs)
        return 0.0

    def sleep(self, seconds: float) -> None:
        """The `sleep` of the two loops around the client."""
        self.waited += seconds


def ours(client: Client, dice: random.Random) -> None:
    call_with_retry(client, on_wait=None, sleep=client.sleep, random=dice.random, **REQUEST)


def ours_with_two(client: Client, dice: random.Random) -> None:
    call_with_retry(client, 2, on_wait=None, sleep=client.sleep, random=dice.random, **REQUEST)


def bare_sdk(client: Client, dice: random.Random) -> None:
    client.messages.create(**REQUEST)


def course_text(client: Client, dice: random.Random, max_retries: int = 5) -> None:
    for attempt in range(max_retries):
        try:
            client.messages.create(**REQUEST)
            return
        except anthropic.APIStatusError as e:
            if e.status_code not in {429, 500, 529} or attempt == max_retries - 1:
                raise
            client.sleep((2**attempt) + dice.uniform(0, 1))


@dataclass
class Result:
    """What one way of calling came to."""

    success: float
    requests: float
    waited: float


def measure(call: Callable, calls: int = CALLS, fault: Callable | None = None) -> Result:
    """Success by call, requests and seconds waited by reply (by call where there is none)."""
    practice.reset()
    replies, requests = 0, 0
    with Client(base_url=practice.url, api_key="practice") as client, (fault or chaos)():
        dice = random.Random(SEED)
        for _ in range(calls):
            try:
                call(client, dice)
                replies += 1
            except anthropic.APIError:
                pass
            requests += len(practice.journal)
            practice.journal.clear()
        waited = client.waited
    return Result(replies / calls, requests / (replies or calls), waited / (replies or calls))


def chaos():
    return practice.chaos(RATE, SEED)


def outage():
    return practice.fail_next(529, times=1_000_000)


def bench() -> Iterator[Row]:
    mine, equal, sdk, text = (measure(call) for call in (ours, ours_with_two, bare_sdk, course_text))
    per_call, loop = f"of {CALLS} calls under {RATE:.0%} chaos", "× course text's loop"
    yield at_least("calls that succeed, ours", mine.success, 0.995, per_call)
    yield at_most("calls that succeed, bare SDK", sdk.success, mine.success - 0.01, "ours is a point ahead")
    yield at_most("calls that succeed, course text", text.success, mine.success - 0.002, "ours is ahead")
    yield at_least("calls that succeed, ours with two", equal.success, sdk.success, "the bare SDK's share")
    yield at_most("requests a reply, ours with two", equal.requests / sdk.requests, 1.0, "× bare SDK")
    yield at_most("requests a reply, ours", mine.requests / sdk.requests, 1.01, "× bare SDK")
    yield at_most("requests a reply, ours", mine.requests / text.requests, 1.01, loop)
    yield at_most(
        "time waited a reply, ours", mine.waited / sdk.waited, 1.4, f"× {sdk.waited:.2f} s, bare SDK"
    )
    yield at_most("time waited a reply, ours", mine.waited / text.waited, 1.4, f"{loop}, {text.waited:.2f} s")
    mine, sdk, text = (measure(call, 20, outage) for call in (ours, bare_sdk, course_text))
    yield at_most("requests a call in an outage, ours", mine.requests, 6.0, "six by design")
    yield at_least("requests a call in an outage, bare SDK", sdk.requests, 3.0, "three by design")
    yield at_least(
        "requests a call in an outage, course text", text.requests, 15.0, "its tries times the SDK's"
    )
