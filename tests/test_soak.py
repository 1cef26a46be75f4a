"""The soak: thousands of calls under chaos, and nothing lost, doubled or left behind."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import defaultdict

import anthropic
import psutil
import pytest

from course_helpers import MODEL, practice
from course_helpers.retries import acall_with_retry

ROUNDS, CALLS, AT_ONCE = 5, 400, 4


async def play(requests: list[dict]) -> list:
    places = asyncio.Semaphore(AT_ONCE)

    async def call(request: dict):
        async with places:
            return await acall_with_retry(client, **request)

    where = {"base_url": practice.url, "api_key": "practice", "timeout": 30.0}
    async with anthropic.AsyncAnthropic(**where) as client:
        return await asyncio.gather(*map(call, requests), return_exceptions=True)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(psutil.Process, "num_fds"), reason="counts open files, as POSIX has them")
def test_soak_under_chaos():
    """2,000 calls, 30 % of requests failing: the server saw exactly the requests that the caller counted."""
    practice.reset()
    failed, sizes, policy = 0, [], {"sleep": lambda _: None, "model": MODEL, "max_tokens": 100}
    with practice.chaos(0.3, seed=6):
        for number in range(ROUNDS):
            practice.journal.clear()
            texts = [f"Say something about call {number}-{at}, please." for at in range(CALLS)]
            asked, waits = [[{"role": "user", "content": text}] for text in texts], [[] for _ in texts]
            requests = [
                {"messages": messages, "on_wait": wait.append, "max_retries": (1, 2, 5)[at % 3], **policy}
                for at, (messages, wait) in enumerate(zip(asked, waits, strict=True))
            ]
            seen = defaultdict(list)
            ends = asyncio.run(play(requests))
            for exchange in practice.journal:
                seen[exchange.body["messages"][0]["content"]].append(exchange)
            for text, request, waited, end in zip(texts, requests, waits, ends, strict=True):
                exchanges = seen.pop(text)
                good = [exchange for exchange in exchanges if exchange.status == 200]
                assert len(exchanges) == len(waited) + 1
                if isinstance(end, anthropic.types.Message):
                    assert (good, end.id) == (exchanges[-1:], good[0].reply["id"])
                else:
                    assert f"Gave up: max_retries={request['max_retries']}" in end.__notes__[-1]
                    assert (good, len(exchanges)) == ([], request["max_retries"] + 1)
                    failed += 1
            assert not seen
            del ends, end
            gc.collect()
            time.sleep(0.5)  # until the server has noticed that its clients went
            sizes.append((psutil.Process().num_fds(), psutil.Process().memory_info().rss / 1e6))
    practice.reset()
    # One try more leaves 9 % of the calls without a reply, two leave 2.7 %, five 0.07 %.
    assert 0.02 < failed / (ROUNDS * CALLS) < 0.06
    # The first rounds fill caches and pools; in the last three even 4 kB a call would show.
    assert sizes[-1][0] <= sizes[1][0] and sizes[-1][1] - sizes[1][1] < 4, sizes  # noqa: PT018
