"""Retries under identical chaos: ours, the bare SDK's own, and the course text's loop as it was printed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

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


def measure(call: Callable) -> tuple[float, float, float]:
    """Success by call, requests and seconds waited by reply."""
    practice.reset()
    replies, requests = 0, 0
    with Client(base_url=practice.url, api_key="practice") as client, practice.chaos(RATE, SEED):
        dice = random.Random(SEED)
        for _ in range(CALLS):
            try:
                call(client, dice)
                replies += 1
            except anthropic.APIError:
                pass
            requests += len(practice.journal)
            practice.journal.clear()
    return replies / CALLS, requests / replies, client.waited / replies


def bench() -> Iterator[Row]:
    (mine, asked, waited), sdk, text = (measure(call) for call in (ours, bare_sdk, course_text))
    per_call, loop = f"of {CALLS} calls under {RATE:.0%} chaos", "× course text's loop"
    yield at_least("calls that succeed, ours", mine, 0.995, per_call)
    yield at_most("calls that succeed, bare SDK", sdk[0], mine - 0.01, "ours is a point ahead")
    yield at_most("calls that succeed, course text", text[0], mine - 0.002, "ours is ahead")
    yield at_most("requests a reply, ours", asked / sdk[1], 1.01, "× bare SDK")
    yield at_most("requests a reply, ours", asked / text[1], 1.01, loop)
    yield at_most("time waited a reply, ours", waited / sdk[2], 1.4, f"× {sdk[2]:.2f} s, bare SDK")
    yield at_most("time waited a reply, ours", waited / text[2], 1.4, f"{loop}, {text[2]:.2f} s")
