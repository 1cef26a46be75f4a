"""Prices: held against genai-prices' own arithmetic, exact about ids, strict about counts."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import genai_prices
import numpy as np
import pandas as pd
import pytest
from genai_prices import types
from genai_prices.data import providers
from hypothesis import example, given
from hypothesis import strategies as st

from course_helpers import estimate_cost
from course_helpers.models import AS_OF, MODELS, UnknownModelError, available
from course_helpers.pricing import OWN_ROWS, price_table, rates, successor

NOON = datetime(AS_OF.year, AS_OF.month, AS_OF.day, 12, tzinfo=UTC)
CURRENT = [model.id for model in available()]
KINDS = ("input", "output", "cache_write", "cache_write_1h", "cache_read")
NAMES = [f"{kind}_tokens" for kind in KINDS]
CLIFF = next(id for id in CURRENT if len(rates(id).tiers) > 1 and rates(id).tiers[1].above <= 100_000)
tokens = st.one_of(st.just(0), st.integers(0, 3_000_000), st.integers(99_990, 100_010))


def theirs(maker: types.Provider, info: types.ModelInfo, counts: tuple[int, ...], batch=False) -> float:
    """The price by genai-prices, whose input tokens hold the cached ones."""
    input, output, write, write_1h, read = counts
    usage = genai_prices.Usage(
        input_tokens=input + write + write_1h + read,
        output_tokens=output,
        cache_write_tokens=write + write_1h,
        cache_write_1h_tokens=write_1h,
        cache_read_tokens=read,
    )
    told = {"genai_request_timestamp": NOON, "price_context": {"processing": "batch"} if batch else None}
    return float(info.calc_price(usage, maker, **told).total_price)


def ours(id: str, counts: tuple[int, ...], batch: bool = False) -> float:
    return estimate_cost(model=id, batch=batch, **dict(zip(NAMES, counts, strict=True)))


@given(st.sampled_from(CURRENT), st.tuples(tokens, tokens, tokens, tokens, tokens), st.booleans())
@example(CLIFF, (100_000, 50, 0, 0, 0), False)
@example(CLIFF, (100_001, 50, 0, 0, 0), False)
@example(CLIFF, (1, 50, 50_000, 25_000, 25_000), True)
def test_claude_costs_what_genai_prices_says(id, counts, batch):
    """Input, output, both cache writes, reads, tiers and batch, within a billionth of a dollar."""
    found = ours(id, counts, batch)
    (maker,) = (provider for provider in providers if provider.id == "anthropic")
    assert found == pytest.approx(theirs(maker, maker.find_model(id), counts, batch), abs=1e-9, rel=0)
    assert not batch or found == pytest.approx(ours(id, counts) / 2, rel=1e-12)


@pytest.mark.parametrize("provider", ["anthropic", "openai", "google", "meta", "mistral", "deepseek", "x-ai"])
def test_every_model_of_a_maker(provider):
    """No entry of the data is priced differently from genai-prices; what is no text model raises."""
    priced, (maker,) = 0, (known for known in providers if known.id == provider)
    for model in maker.models:
        with suppress(UnknownModelError):
            if rates(model.id)[:2] == (model.id, provider):
                priced += 1
                for counts in [(10, 5, 0, 0, 0), (150_000, 7, 3, 2, 1), (900_000, 9, 0, 0, 70_000)]:
                    assert ours(model.id, counts) == pytest.approx(
                        theirs(maker, model, counts), abs=1e-9, rel=0
                    )
    assert priced >= 3


def test_columns_at_once():
    """`Rates.cost` takes whole columns, each row in its own tier; counts of NumPy are counts."""
    frame = pd.DataFrame(np.random.default_rng(4).integers(0, 120_000, (500, 5)), columns=NAMES)
    one_by_one = [ours(CLIFF, tuple(row)) for row in frame.to_numpy()]
    assert rates(CLIFF).cost(frame).to_numpy() == pytest.approx(one_by_one, abs=1e-9, rel=0)


NO_ONE_PRICE = {
    "claude-opus-5-5-20260922": "claude-opus-5-5",
    "claude-haiku-4-5-turbo": "claude-haiku-4-5",
    "gpt-6-luna-2026-10-12": "gpt-6-luna",
    "": "Known models",
    "llama3.2": "Unknown model",
    "text-embedding-3-small": "sold by azure, openai",
    "sonar": "not sold by text tokens",
}


@pytest.mark.parametrize("name", NO_ONE_PRICE)
def test_what_has_no_one_price_raises(name):
    """An id that does not exist has none, although genai-prices finds one; the nearest ids are named."""
    with pytest.raises(UnknownModelError, match=re.escape(NO_ONE_PRICE[name])):
        estimate_cost(1, 1, name)


@pytest.mark.parametrize("count", [-1, 1.0, "7", None, True, float("nan"), np.float64(3)])
def test_bad_counts_raise(count):
    """A count is a whole number from 0; the message names the argument. No batch price is no guess."""
    for name in NAMES:
        with pytest.raises(ValueError, match=name):
            estimate_cost(**{"input_tokens": 1, "output_tokens": 1} | {name: count})
    with pytest.raises(ValueError, match=r"no batch prices for muse-spark-1\.3"):
        estimate_cost(1, 1, "muse-spark-1.3", batch=True)


def test_prices_are_those_of_the_day():
    """By default AS_OF; a dated change counts from its day; no day before a model came out has a price."""
    for id in ("gemini-4-argon", "gemini-3.8-flash", "gemini-4-carbon"):
        day = price_table([id], as_of=OWN_ROWS[id].released).iloc[0].changes.date()
        before, after = (rates(id, as_of=each).tiers[0] for each in (day - timedelta(days=1), day))
        assert (after.input, after.output) == (2 * before.input, 2 * before.output)
        assert rates(id) == rates(id, as_of=str(AS_OF)) == rates(id, as_of=NOON)
        assert pd.isna(price_table([id], as_of=day).changes.iloc[0])
        with pytest.raises(ValueError, match=f"{id} came out on .*: on 2026-01-01 it had no price"):
            price_table([id], as_of="2026-01-01")
    with pytest.raises(ValueError, match="as_of is a date or text like"):
        rates(as_of="tomorrow")


def test_our_own_prices_lose_to_the_price_data(monkeypatch):
    """A row of prices.toml counts only until genai-prices has the id; tiers are as there."""
    own = rates("gpt-6.2-sol")
    assert [tier[:3] for tier in own.tiers] == [(0, 2, 10), (272_000, 4, 15)]
    maker = next(provider for provider in providers if provider.id == own.provider)
    theirs = replace(next(model for model in maker.models if model.id == "gpt-6-luna"), id="gpt-6.2-sol")
    monkeypatch.setattr(maker, "models", [*maker.models, theirs])
    rates.cache_clear()
    assert rates("gpt-6.2-sol").tiers == rates("gpt-6-luna").tiers
    rates.cache_clear()


def test_rows_of_our_own_and_successors():
    """Each has a maker that sells and a price; a successor is of the same line, or what the maker says."""
    for id, row in OWN_ROWS.items():
        assert rates(id, as_of=max(AS_OF, row.released or AS_OF)).provider == row.maker
        assert min(row.prices or (), default=date.max) >= (row.released or date.min)
        assert id in MODELS or successor(id) == row.successor
    for model in MODELS.values():
        newest = max((m for m in MODELS.values() if m.line == model.line), key=lambda m: m.released)
        assert successor(model.id) == (None if newest is model else newest.id)


def test_price_table():
    """In the order asked for; what is not known is empty. Lessons 5, 7 show the rest."""
    table = price_table(["gpt-6-luna", "haiku", "muse-spark-1.3", "claude-sonnet-4-5"])
    assert list(table.provider) == ["openai", "anthropic", "meta", "anthropic"]
    assert table.tier_above.fillna(0).tolist()[::3] == [272_000, 0]
    row, high = price_table([CLIFF]).iloc[0], rates(CLIFF).tiers[1]
    assert (row.tier_above, row.tier_input, row.tier_output) == (high.above, high.input, high.output)
    assert table.max_output.isna().tolist() == [True, False, True, False]
    assert (list(price_table().index), len(price_table([]))) == (CURRENT, 0)
    with pytest.raises(UnknownModelError):
        price_table(["gpt-6-moon"])
