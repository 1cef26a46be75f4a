"""Prices: held against genai-prices' own arithmetic, exact about ids, strict about counts."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import genai_prices
import numpy as np
import pandas as pd
import pytest
from genai_prices.data import providers
from hypothesis import example, given
from hypothesis import strategies as st

from course_helpers import estimate_cost
from course_helpers.models import AS_OF, MODEL, MODELS, UnknownModelError, available
from course_helpers.pricing import own_rows, price_table, rates, successor

NOON = datetime(AS_OF.year, AS_OF.month, AS_OF.day, 12, tzinfo=UTC)
CURRENT = [model.id for model in available()]
tokens = st.integers(0, 3_000_000)
near_a_cliff = st.integers(99_990, 100_010)


def by_genai_prices(model, provider, input, output, write=0, write_1h=0, read=0, batch=False) -> float:
    """The price by `genai_prices.calc_price`, whose input tokens hold the cached ones."""
    usage = genai_prices.Usage(
        input_tokens=input + write + write_1h + read,
        output_tokens=output,
        cache_write_tokens=write + write_1h,
        cache_write_1h_tokens=write_1h,
        cache_read_tokens=read,
    )
    context = {"processing": "batch"} if batch else None
    price = genai_prices.calc_price(
        usage, model, provider_id=provider, genai_request_timestamp=NOON, price_context=context
    )
    return float(price.total_price)


def cost(model, input, output, write=0, write_1h=0, read=0, batch=False) -> float:
    """The same by `estimate_cost`."""
    cached = {
        "cache_write_tokens": write,
        "cache_write_1h_tokens": write_1h,
        "cache_read_tokens": read,
    }
    return estimate_cost(input, output, model, batch=batch, **cached)


@given(
    st.sampled_from(CURRENT),
    st.one_of(tokens, near_a_cliff),
    tokens,
    st.one_of(st.just(0), tokens),
    st.one_of(st.just(0), tokens),
    st.one_of(st.just(0), tokens),
    st.booleans(),
)
@example("claude-haiku-5-5", 100_000, 50, 0, 0, 0, False)
@example("claude-haiku-5-5", 100_001, 50, 0, 0, 0, False)
@example("claude-haiku-5-5", 1, 50, 50_000, 25_000, 25_000, True)
@example("claude-sonnet-4-5", 200_001, 50, 0, 0, 0, False)
@example("claude-haiku-5-5", 0, 1, 0, 0, 0, False)
def test_claude_costs_what_genai_prices_says(model, input, output, write, write_1h, read, batch):
    """Input, output, both cache writes, reads, tiers and batch, within a billionth of a dollar."""
    theirs = by_genai_prices(model, "anthropic", input, output, write, write_1h, read, batch)
    assert cost(model, input, output, write, write_1h, read, batch) == pytest.approx(theirs, abs=1e-9, rel=0)


@pytest.mark.parametrize("provider", ["anthropic", "openai", "google", "meta", "mistral", "deepseek", "x-ai"])
def test_every_model_of_a_maker(provider):
    """No entry of the data is priced differently from genai-prices; what is no text model raises."""
    maker = next(known for known in providers if known.id == provider)
    priced = 0
    for model in maker.models:
        try:
            found = rates(model.id)
        except UnknownModelError:
            continue
        if found.provider != provider or model.id != found.model:
            continue
        for counts in [(10, 5, 0, 0, 0), (150_000, 7, 3, 2, 1), (900_000, 9, 0, 0, 70_000)]:
            theirs = float(
                model.calc_price(
                    genai_prices.Usage(
                        input_tokens=counts[0] + sum(counts[2:]),
                        output_tokens=counts[1],
                        cache_write_tokens=counts[2] + counts[3],
                        cache_write_1h_tokens=counts[3],
                        cache_read_tokens=counts[4],
                    ),
                    maker,
                    genai_request_timestamp=NOON,
                ).total_price
            )
            assert cost(model.id, *counts) == pytest.approx(theirs, abs=1e-9, rel=0), model.id
        priced += 1
    assert priced >= 3


@pytest.mark.parametrize(
    "prompt",
    [
        {"input_tokens": 100_001},
        {"input_tokens": 1, "cache_read_tokens": 100_000},
        {"input_tokens": 1, "cache_write_tokens": 50_000, "cache_write_1h_tokens": 50_000},
    ],
)
def test_cliff_moves_the_whole_request(prompt):
    """One prompt token beyond 100,000, cached or not, makes every token five times as dear, output too."""
    counts = {"output_tokens": 400, "model": "claude-haiku-5-5"} | prompt
    found = rates("claude-haiku-5-5")
    low = found._replace(tiers=found.tiers[:1]).cost(counts)
    assert estimate_cost(**counts) == pytest.approx(5 * low, rel=1e-12)
    below = counts | {"input_tokens": counts["input_tokens"] - 1}
    assert estimate_cost(**below) < low + 1e-12


def test_at_agrees_with_cost():
    """`Rates.at` names the tier that `Rates.cost` uses."""
    found = rates("claude-haiku-5-5")
    assert [found.at(prompt).above for prompt in (0, 1, 100_000, 100_001)] == [0, 0, 0, 100_000]


def test_batch_is_half_price():
    """On every current model, cache prices included."""
    for model in CURRENT:
        counts = (model, 1000, 500, 200, 100, 50)
        assert cost(*counts, batch=True) == pytest.approx(cost(*counts) / 2, rel=1e-12)


def test_no_batch_price_is_no_guess():
    """Where the data has no batch price, asking for one raises."""
    with pytest.raises(ValueError, match=r"no batch prices for muse-spark-1\.3"):
        estimate_cost(1, 1, "muse-spark-1.3", batch=True)


def test_columns_at_once():
    """`Rates.cost` takes whole columns, each row in its own tier."""
    rng = np.random.default_rng(4)
    kinds = ("input", "output", "cache_write", "cache_write_1h", "cache_read")
    names = [f"{kind}_tokens" for kind in kinds]
    frame = pd.DataFrame(rng.integers(0, 120_000, (500, 5)), columns=names)
    for model in ("claude-haiku-5-5", "claude-opus-5-5"):
        whole = rates(model).cost(frame)
        one_by_one = [cost(model, *map(int, row)) for row in frame.to_numpy()]
        assert whole.to_numpy() == pytest.approx(one_by_one, abs=1e-9, rel=0)


# Which model


@pytest.mark.parametrize(
    ("name", "same_as"),
    [
        ("haiku", "claude-haiku-5-5"),
        ("opus", "claude-opus-5-5"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-opus-4-5-20251101", "claude-opus-4-5"),
        (MODEL, "claude-haiku-5-5"),
    ],
)
def test_aliases_and_snapshots(name, same_as):
    """Aliases of the course and the dated ids behind the 4.5 models cost what the model costs."""
    assert rates(name) == rates(same_as)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("claude-opus-5-5-20260922", "claude-opus-5-5"),
        ("claude-haiku-4-5-20990101", "claude-haiku-4-5"),
        ("claude-haiku-4-5-turbo", "claude-haiku-4-5"),
        ("claude-sonnet-5-5@latest", "claude-sonnet-5-5"),
        ("claude-5-5-haiku", "claude-haiku-5-5"),
        ("gpt-6-luna-2026-10-12", "gpt-6-luna"),
        ("gemini-3.8-flash-something", "gemini-3.8-flash"),
        ("claude-hiaku-5-5", "claude-haiku-5-5"),
    ],
)
def test_loosely_matching_ids_raise(name, near):
    """An id that does not exist has no price, although genai-prices finds one; the nearest ids are named."""
    with pytest.raises(LookupError, match=near.replace(".", r"\.")) as caught:
        estimate_cost(1, 1, name)
    assert isinstance(caught.value, UnknownModelError)


@pytest.mark.parametrize("name", ["", "llama3.2", "no such model", "text-embedding-3-small", "sonar"])
def test_other_names_raise(name):
    """Neither a name that resembles nothing, nor a model sold by other units, falls back to some price."""
    with pytest.raises(UnknownModelError):
        rates(name)


def test_an_id_with_several_prices_raises():
    """What several hosts sell and none of them makes has no one price; the hosts are named."""
    with pytest.raises(UnknownModelError, match="sold by arcee, avian"):
        rates("deepseek/deepseek-v4-pro")


@pytest.mark.parametrize("count", [-1, 1.0, 1.5, "7", None, True, float("nan"), np.float64(3)])
@pytest.mark.parametrize(
    "kind",
    ["input_tokens", "output_tokens", "cache_write_tokens", "cache_write_1h_tokens", "cache_read_tokens"],
)
def test_bad_counts_raise(kind, count):
    """A count is a whole number from 0; the message names the argument."""
    with pytest.raises(ValueError, match=kind):
        estimate_cost(**{"input_tokens": 1, "output_tokens": 1} | {kind: count})


def test_counts_of_numpy():
    """A count that comes out of a frame is a count."""
    assert estimate_cost(np.int64(800), np.int32(200)) == estimate_cost(800, 200)


def test_prices_are_those_of_the_day():
    """By default AS_OF; a dated change counts from its day; no day before a model came out has a price."""
    for id in ("gemini-4-argon", "gemini-3.8-flash", "gemini-4-carbon"):
        row = price_table([id], as_of=own_rows()[id].released).iloc[0]
        day = row.changes.date()
        before, after = (rates(id, as_of=each).tiers[0] for each in (day - timedelta(days=1), day))
        assert (after.input, after.output) == (2 * before.input, 2 * before.output)
        assert rates(id) == rates(id, as_of=str(AS_OF)) == rates(id, as_of=AS_OF)
        assert pd.isna(price_table([id], as_of=day).changes.iloc[0])
        with pytest.raises(ValueError, match=f"{id} came out on .*: on 2026-01-01 it had no price"):
            price_table([id], as_of="2026-01-01")
    with pytest.raises(ValueError, match="as_of is a date or text like"):
        rates(as_of="tomorrow")


def test_our_own_prices_lose_to_the_price_data(monkeypatch):
    """A row of prices.toml counts only until genai-prices has the id; tiers are as there."""
    own = rates("gpt-6.2-sol")
    assert [(tier.above, tier.input, tier.output) for tier in own.tiers] == [(0, 2, 10), (272_000, 4, 15)]
    maker = next(provider for provider in providers if provider.id == own.provider)
    theirs = replace(next(model for model in maker.models if model.id == "gpt-6-luna"), id="gpt-6.2-sol")
    monkeypatch.setattr(maker, "models", [*maker.models, theirs])
    rates.cache_clear()
    assert rates("gpt-6.2-sol").tiers == rates("gpt-6-luna").tiers
    rates.cache_clear()


def test_every_row_of_our_own_can_be_used():
    """It has a maker that sells, a price from one of the two, and a successor that has one too."""
    for id, row in own_rows().items():
        assert rates(id, as_of=max(AS_OF, row.released or AS_OF)).provider == row.maker
        assert row.successor is None or rates(row.successor)
        assert not row.prices or min(price["day"] for price in row.prices) >= (row.released or date.min)


def test_successors():
    """Of the same line for Claude, computed; what its maker says for others; of the newest none."""
    for model in MODELS.values():
        newest = max((m for m in MODELS.values() if m.line == model.line), key=lambda m: m.released)
        assert successor(model.id) == (None if newest is model else newest.id)
    assert price_table(["gpt-4o", "o3"]).successor.tolist() == ["gpt-6-luna", "gpt-5.6-sol"]


def test_public_signature():
    """The signature of the course's design."""
    parameters = inspect.signature(estimate_cost).parameters
    cached = ["cache_write_tokens", "cache_write_1h_tokens", "cache_read_tokens"]
    assert list(parameters) == ["input_tokens", "output_tokens", "model", *cached, "batch"]
    assert parameters["model"].default == MODEL


# The table


def test_price_table():
    """One row a current model, with prices, limits, dates and where the facts are from."""
    table = price_table()
    assert list(table.index) == CURRENT
    for id, row in table.iterrows():
        model, first = MODELS[id], rates(id).tiers[0]
        for kind in ("input", "output", "cache_write", "cache_write_1h", "cache_read"):
            assert row[kind] == getattr(first, kind)
        assert (row.context_window, row.max_output) == (model.context_window, model.max_output)
        assert (row.tokenizer_factor, row.source) == (model.tokenizer_factor, model.source)
        assert row.checked_on.date() == model.checked_on
        assert (model.retires is None) == pd.isna(row.retires)
    assert str(table.context_window.dtype) == "Int64"


def test_price_table_names_the_cliff():
    """Only a tier that a prompt can still reach is shown: Haiku 5.5's, not Sonnet 4.5's."""
    table = price_table(["sonnet", "claude-sonnet-4-5", "haiku", "opus"])
    assert list(table.index[table.tier_above.notna()]) == ["claude-haiku-5-5"]
    row = table.loc["claude-haiku-5-5"]
    assert (row.tier_above, row.tier_input, row.tier_output) == (100_000, 5 * row.input, 5 * row.output)


def test_price_table_of_other_makers():
    """Rows come in the order asked for; what the course does not know is left empty, not guessed."""
    table = price_table(["gpt-6-luna", "haiku", "muse-spark-1.3"])
    assert list(table.index) == ["gpt-6-luna", "claude-haiku-5-5", "muse-spark-1.3"]
    assert list(table.provider) == ["openai", "anthropic", "meta"]
    assert table.max_output.isna().tolist() == [True, False, True]
    assert table.loc["gpt-6-luna", "tier_above"] == 272_000
    with pytest.raises(UnknownModelError):
        price_table(["gpt-6-moon"])


def test_empty_price_table():
    """No models, no rows, the same columns."""
    empty, full = price_table([]), price_table()
    assert (len(empty), list(empty.columns), list(empty.dtypes)) == (0, list(full.columns), list(full.dtypes))


def test_importing_pricing_is_cheap():
    """Neither pandas nor the price data is loaded before a price is asked for."""
    code = (
        "import sys, course_helpers.pricing; print(*{'pandas', 'genai_prices', 'numpy'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
