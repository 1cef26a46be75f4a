"""The soak: thousands of calls under chaos, and nothing lost, doubled or left behind."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter

import anthropic
import psutil
import pytest

from course_helpers import MODEL, practice
from course_helpers.retries import acall_with_retry

ROUNDS, CALLS, AT_ONCE = 5, 400, 4


@pytest.mark.slow
def test_soak_under_chaos():
    """2,000 calls, 30 % of requests failing: the server saw exactly the requests that the caller counted."""
    failed, memory = 0, []

    async def play(texts: list[str], waits: list) -> list:
        places = asyncio.Semaphore(AT_ONCE)

        async def call(text: str):
            asked = {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": text}]}
            policy = {"max_retries": 2, "sleep": lambda _: None, "on_wait": lambda _: waits.append(text)}
            async with places:
                return await acall_with_retry(client, **policy, **asked)

        async with anthropic.AsyncAnthropic(base_url=practice.url, api_key="practice") as client:
            return await asyncio.gather(*map(call, texts), return_exceptions=True)

    practice.reset()
    with practice.chaos(0.3, seed=6):
        for number in range(ROUNDS):
            practice.journal.clear()
            waits, texts = [], [f"Say something about call {number}-{at}, please." for at in range(CALLS)]
            ends = asyncio.run(play(texts, waits))
            seen = Counter(exchange.body["messages"][0]["content"] for exchange in practice.journal)
            assert seen == Counter([*texts, *waits])
            lost = [end for end in ends if isinstance(end, Exception)]
            assert all("Gave up: max_retries=2" in error.__notes__[-1] for error in lost)
            good = {exchange.reply["id"] for exchange in practice.journal if exchange.status == 200}
            assert good == {end.id for end in ends if not isinstance(end, Exception)}
            failed += len(lost)
            del ends, lost
            gc.collect()
            memory.append(psutil.Process().memory_info().rss / 1e6)
    practice.reset()
    assert 0.01 < failed / (ROUNDS * CALLS) < 0.06  # two tries more leave 2.7 % of the calls without a reply
    # The first rounds fill caches and pools; in the last three even 4 kB a call would show.
    assert memory[-1] - memory[1] < 4, memory
