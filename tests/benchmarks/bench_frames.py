"""Frames: repricing against genai-prices row by row, and growth with the number of calls."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import genai_prices
import numpy as np

from course_helpers.frames import reprice, to_frame
from course_helpers.history.records import PROMPT_TOKENS, TOKENS, Call
from course_helpers.models import AS_OF
from tests.benchmarks import Row

FROM, TO = "claude-haiku-4-5", "claude-haiku-5-5"
NOON = datetime(AS_OF.year, AS_OF.month, AS_OF.day, 12, tzinfo=UTC)


def ledger(length: int) -> list[Call]:
    """`length` calls of all sizes, on both sides of the cliff."""
    counts = np.random.default_rng(7).integers(0, 40_000, (length, len(TOKENS))).tolist()
    rest = {"kind": "reply", "turn": 1, "model": FROM, "cost_usd": 0.001, "seconds": 1.0}
    return [Call(**dict(zip(TOKENS, row, strict=True)), **rest) for row in counts]


def best(work: Callable[..., object], *given: object, times: int = 15) -> float:
    """Seconds of processor time of the fastest of `times` runs: what else the machine does is not ours."""
    return min(timeit.repeat(lambda: work(*given), timer=time.process_time, repeat=times, number=1))


def row_by_row(frame) -> list[float]:
    """What genai-prices says of each row."""
    counts = frame[list(TOKENS)].drop(columns="thinking_tokens")
    counts["input_tokens"] = frame[list(PROMPT_TOKENS)].sum(axis=1)  # there the whole prompt
    counts["cache_write_tokens"] += frame["cache_write_1h_tokens"]
    told = {"provider_id": "anthropic", "genai_request_timestamp": NOON}
    usages = [genai_prices.Usage(**row) for row in counts.to_dict("records")]
    return [float(genai_prices.calc_price(usage, TO, **told).total_price) for usage in usages]


def bench() -> Iterator[Row]:
    many, some = to_frame(ledger(100_000)), to_frame(ledger(2_000))
    ours = reprice(some, TO, scale_tokens=False)["cost_usd"]
    assert np.allclose(ours, row_by_row(some), rtol=0, atol=1e-9)
    ratio = best(row_by_row, some, times=3) * len(many) / len(some) / best(reprice, many, TO, times=5)
    yield Row("reprice, 100,000 rows", ratio, 50, "× genai-prices row by row", "≥")
    ratio = best(to_frame, ledger(10_000)) / best(to_frame, ledger(1_000))
    yield Row("to_frame, 10,000 calls", ratio, 10, "× 1,000 calls")
