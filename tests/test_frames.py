"""Sessions as frames: columns and types, repricing against `estimate_cost`, parts that sum to the whole."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_helpers import estimate_cost
from course_helpers.frames import as_frame, compare_models, cost_parts, reprice, shown, to_frame
from course_helpers.history.records import PROMPT_TOKENS, TOKENS, Call
from course_helpers.models import ALIASES, UnknownModelError, available, find_model
from course_helpers.pricing import rates

HAIKU, OPUS = "claude-haiku-5-5", "claude-opus-5-5"
TYPES = {"call": "int64", "kind": "string", "turn": "Int64", "model": "string"}
TYPES |= dict.fromkeys(TOKENS, "int64")
TYPES |= dict.fromkeys(("cost_usd", "cumulative_cost_usd", "seconds", "first_token_seconds"), "float64")
TYPES |= {"attempts": "int64", "stop_reason": "string"}


def call(model=HAIKU, input=100, output=50, write=0, write_1h=0, read=0, thinking=0, **fields) -> Call:
    """A ledger entry, at its price where `fields` has no other `cost_usd`."""
    counts = dict(zip(TOKENS, (input, write, write_1h, read, output, thinking), strict=True))
    cost = {} if "cost_usd" in fields else {"cost_usd": price(model, counts)}
    usual = {"kind": "reply", "turn": 1, "model": model, "seconds": 1.5, "stop_reason": "end_turn"}
    return Call(**usual | counts | cost | fields)


def price(model: str, counts: dict[str, int], batch: bool = False) -> float:
    """`estimate_cost`, the reference for every price here."""
    billed = {name: n for name, n in counts.items() if name != "thinking_tokens"}
    return estimate_cost(**billed, model=model, batch=batch)


MIXED = [
    call(),
    call(OPUS, 2000, 300, read=5000, write=700, write_1h=40, thinking=100, turn=2, first_token_seconds=0.3),
    call(kind="summary", turn=None),
    call(kind="lost", turn=None, output=0, stop_reason=None, attempts=3),
]
UNKNOWN = call("someone-elses-model", cost_usd=float("nan"))
FREE = call("smollm2", 1000, 100, cost_usd=0.0)


@pytest.mark.parametrize("calls", [[], MIXED[:1], MIXED])
def test_each_ledger_entry_is_a_row(calls):
    """Of the same columns and types for any ledger; values arrive unchanged, and the money adds up."""
    frame = to_frame(iter(calls))
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == TYPES
    assert list(frame) == list(TYPES)
    assert frame["call"].tolist() == list(range(1, len(calls) + 1))
    for name in set(TYPES) - {"call", "cumulative_cost_usd"}:
        held = [None if pd.isna(value) else value for value in frame[name]]
        assert held == [getattr(each, name) for each in calls]
    assert frame["cumulative_cost_usd"].tolist() == pytest.approx(frame["cost_usd"].cumsum().tolist())
    assert reprice(frame, OPUS).dtypes.equals(frame.dtypes)


def test_the_table_shown_and_an_unknown_price():
    """Exact dollars, whose sum is the total; no seconds; no columns of zeros. What is not known is neither
    nothing nor left out of a total; what is free has parts that are free."""
    frame = to_frame(MIXED)
    table = shown(frame)
    assert not {"seconds", "first_token_seconds"} & set(table)
    assert ["thinking_tokens" in each for each in (table, shown(to_frame([call()])))] == [True, False]
    by_hand = sum(float(text.removeprefix("$")) for text in table["cost_usd"])
    assert by_hand == pytest.approx(frame["cost_usd"].sum(), abs=1e-12)
    frame = to_frame([call(), UNKNOWN, call()])
    assert frame["cumulative_cost_usd"].isna().tolist() == [False, True, True]
    assert cost_parts(frame).isna().all(axis=1).tolist() == [False, True, False]
    assert shown(frame)["cost_usd"].iloc[1] == "unknown"
    held = compare_models(frame, ["haiku"], scale_tokens=False)["cost_usd"].tolist()
    assert pd.isna(held[0])
    assert held[1] == pytest.approx(3 * call().cost_usd, abs=1e-12)
    assert cost_parts(to_frame([FREE])).to_numpy().sum() == 0


def _csv(frame, **options):
    return pd.read_csv(io.StringIO(frame.to_csv(index=False)), **options)


WAYS = {
    "CSV": _csv,
    "CSV, read as text without missing values": lambda frame: _csv(frame, dtype=str, keep_default_na=False),
    "CSV, its first column the index": lambda frame: _csv(frame, index_col=0),
    "JSON": lambda frame: pd.read_json(io.StringIO(frame.to_json(orient="records", double_precision=15))),
    "plain JSON": lambda frame: json.loads(frame.to_json(orient="records", double_precision=15)),
}
"""What people do to a frame between two days; the figures' tests use it too."""


@pytest.mark.parametrize("length", [0, 1, len(MIXED)])
def test_a_frame_saved_and_loaded_is_the_same(length):
    """Whatever the way, values and types come back, and every function here takes the frame as it is."""
    frame = to_frame(MIXED[:length])
    for way, there_and_back in WAYS.items():
        back = there_and_back(frame)
        assert_same(as_frame(back, "test", *TYPES)[list(TYPES)], frame, way)
        for function in (lambda loaded: reprice(loaded, OPUS), cost_parts, compare_models, shown):
            if length or len(getattr(back, "columns", ())):
                expected = function(frame)
                assert_same(function(back)[[n for n in expected if n != "call"]], expected, way)


def assert_same(one, other, way):
    """The same frames, but for the index, and for a column that has become it."""
    one, other = (frame.reset_index(drop=True) for frame in (one, other[list(one)]))
    pd.testing.assert_frame_equal(one, other, rtol=1e-12, obj=way)


counts = st.one_of(st.integers(0, 5000), st.integers(0, 400_000))
near_the_cliff = st.integers(99_950, 100_050)
usage = st.tuples(st.one_of(counts, near_the_cliff), counts, *[st.one_of(st.just(0), counts)] * 3)
models = st.sampled_from([model.id for model in available()])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(models, usage), max_size=8), models, st.booleans(), st.booleans())
def test_every_row_costs_what_estimate_cost_says(calls, target, scale, batch):
    """Held, repriced and compared, cliffs and caches included; parts are the bill, each at its own rate."""
    frame = to_frame([call(model, *tokens) for model, tokens in calls])
    there = reprice(frame, target, scale_tokens=scale, batch=batch)
    for before, after in zip(frame.itertuples(), there.itertuples(), strict=True):
        factor = find_model(target).tokenizer_factor / find_model(before.model).tokenizer_factor
        scaled = {name: round(getattr(before, name) * (factor if scale else 1)) for name in TOKENS}
        assert {name: getattr(after, name) for name in TOKENS} == scaled
        assert after.cost_usd == pytest.approx(price(target, scaled, batch), abs=1e-9)
    assert there["cumulative_cost_usd"].tolist() == pytest.approx(there["cost_usd"].cumsum().tolist())
    assert cost_parts(there).sum(axis=1).tolist() == pytest.approx(there["cost_usd"].tolist(), abs=1e-9)
    sums = [each["cost_usd"].sum() for each in (frame, reprice(frame, target, scale_tokens=scale))]
    compared = compare_models(frame, [target], scale_tokens=scale).filter(like="_usd")
    assert compared["cost_usd"].tolist() == pytest.approx(sums, abs=1e-9)
    assert compared.drop(columns="cost_usd").sum(axis=1).tolist() == pytest.approx(sums, abs=1e-9)
    for row, part in zip(frame.itertuples(), cost_parts(frame).itertuples(), strict=True):
        tier = rates(row.model).at(sum(getattr(row, name) for name in PROMPT_TOKENS))
        assert part.output_usd == pytest.approx(row.output_tokens * tier.output / 1e6, abs=1e-9)
        assert part.cache_read_usd == pytest.approx(row.cache_read_tokens * tier.cache_read / 1e6, abs=1e-9)


def test_reprice_leaves_the_session_alone():
    """A new frame of the same columns, at the prices of the day that is asked for."""
    frame = to_frame(MIXED)
    before = frame.copy(deep=True)
    there = reprice(frame, "opus")
    pd.testing.assert_frame_equal(frame, before)
    assert set(there["model"]) == {ALIASES["opus"]}
    other = [*TOKENS, "model", "cost_usd", "cumulative_cost_usd"]
    pd.testing.assert_frame_equal(there.drop(columns=other), frame.drop(columns=other))
    gemini = to_frame([call("gemini-4-argon", 1000, 100)])
    before, after = (reprice(gemini, "gemini-4-argon", as_of=day) for day in ("2026-11-30", "2026-12-01"))
    assert after["cost_usd"].tolist() == pytest.approx((2 * before["cost_usd"]).tolist())


WRONG = {"input_tokens": "many", "output_tokens": 1.5, "cache_read_tokens": "-1", "thinking_tokens": None}
WRONG |= {"cost_usd": "five", "turn": 0.5}


def test_what_nobody_knows_is_refused():
    """What no column can hold; no price, no guess; a tokenizer of others needs `scale_tokens=False`."""
    for name, value in WRONG.items():
        with pytest.raises(ValueError, match=f"reprice: the column {name} is no"):
            reprice(to_frame(MIXED).astype(object).assign(**{name: value}), OPUS)
    for calls, model, said in (
        (MIXED, "claude-opus-9", "claude-opus-9"),
        (MIXED, "gpt-6-luna", r"gpt-6-luna.*scale_tokens=False"),
        ([FREE], HAIKU, r"smollm2.*scale_tokens=False"),
    ):
        with pytest.raises(UnknownModelError, match=said):
            reprice(to_frame(calls), model)
    there = reprice(to_frame([FREE]), HAIKU, scale_tokens=False)
    assert there["cost_usd"].iloc[0] == call(HAIKU, 1000, 100).cost_usd
