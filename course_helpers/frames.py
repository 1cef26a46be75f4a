"""Sessions as pandas frames: what was sent, what it cost, and what it would have cost elsewhere.

A session's frame has one row a ledger entry, in the order in which they were billed:

    call                    1, 2, 3 …
    kind                    reply, summary or lost
    turn                    the turn that came of it, counted from 1; <NA> where none did
    model                   the id that answered
    input_tokens            tokens sent, uncached
    cache_write_tokens      tokens sent and written to the cache for 5 minutes
    cache_write_1h_tokens   tokens sent and written to the cache for 1 hour
    cache_read_tokens       tokens sent and found in the cache
    output_tokens           tokens received, thinking included
    thinking_tokens         those of them that were thinking
    cost_usd                US dollars, at that call's model; NaN where its price is not known
    cumulative_cost_usd     US dollars so far; NaN once one of them is not known
    seconds                 from request to the end of the reply
    first_token_seconds     from request to the first piece; NaN where nothing was streamed
    attempts                requests that it took, retries included
    stop_reason             as the API gave it; <NA> where no reply came

Every function here and every figure also takes such a frame after a way through CSV, JSON or a spreadsheet,
a conversation itself, or the file of a saved one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from .history import storage
from .history.records import PROMPT_TOKENS, TOKENS
from .models import MODEL, MODELS, UnknownModelError, available, find_model
from .pricing import rates

_TYPES = {"call": "int64", "kind": "string", "turn": "Int64", "model": "string"}
_TYPES |= dict.fromkeys(TOKENS, "int64")
_TYPES |= dict.fromkeys(("cost_usd", "cumulative_cost_usd", "seconds", "first_token_seconds"), "float64")
_TYPES |= {"attempts": "int64", "stop_reason": "string"}
PARTS = {
    "cache_read_usd": ("cache_read_tokens",),
    "cache_write_usd": ("cache_write_tokens", "cache_write_1h_tokens"),
    "input_usd": ("input_tokens",),
    "output_usd": ("output_tokens",),
}
# With the columns of other frames, which people make, and figures are drawn from.
_LABELS = ("strategy", "label", "jitter", "outcome")
_ALL_TYPES = _TYPES | dict.fromkeys(_LABELS, "string") | {"asked": "bool"}
_ALL_TYPES |= dict.fromkeys(("attempt", "prompt_tokens"), "int64")
_ALL_TYPES |= dict.fromkeys(("started", "wait", "second", *PARTS), "float64")


def to_frame(calls: Iterable) -> pd.DataFrame:
    """The ledger `calls` as a frame; the columns and their units stand at the top of this module."""
    frame = pd.DataFrame([dict(call) for call in calls], columns=list(_TYPES))
    so_far = frame["cost_usd"].astype("float64").cumsum(skipna=False)
    return frame.assign(call=np.arange(1, len(frame) + 1), cumulative_cost_usd=so_far).astype(_TYPES)


def as_frame(source: Any, what: str, *columns: str) -> pd.DataFrame:
    """`source` (a frame, records, a conversation or its file) as a new frame with the types of `to_frame`.

    From CSV and JSON counts come back as floats or text, an outcome of "429" as a number, True as "True".
    Raises a ValueError that names `what` wants it where one of `columns` is missing (an index is taken for a
    column) or a value is not what its column holds.
    """
    if isinstance(source, str | os.PathLike):
        source = storage.read(source)
    if not isinstance(source, pd.DataFrame):
        source = to_frame(source.calls) if hasattr(source, "calls") else pd.DataFrame(source)
    if not len(source) and not len(source.columns):
        source = pd.DataFrame(columns=list(columns))  # no records are no columns either
    elif {*columns} - {*source.columns} & {*source.index.names}:
        source = source.reset_index()
    missing = [name for name in columns if name not in source.columns]
    if missing:
        raise ValueError(f"{what} needs a frame with the columns {', '.join(columns)}; missing: {missing}.")
    types = {name: dtype for name, dtype in _ALL_TYPES.items() if name in source}
    return source.assign(**{name: _typed(source[name], dtype, what) for name, dtype in types.items()})


def _typed(column: pd.Series, dtype: str, what: str) -> pd.Series:
    """`column` as `dtype`."""
    if str(column.dtype) == dtype:
        return column
    texts = column.astype("string").replace("", pd.NA)
    if dtype == "string":  # read_csv takes a name "None" for a missing one
        return texts.fillna("none") if column.name in _LABELS else texts
    try:
        numbers = pd.to_numeric(texts.replace({"True": "1", "False": "0"})).astype("float64")
        if dtype == "float64":
            return numbers
        if (numbers < 0).any():
            raise ValueError("a count is not negative")
        return numbers.astype("Int64").astype(dtype)  # the first takes no fractions, the second no gaps
    except (ValueError, TypeError) as error:
        raise ValueError(f"{what}: the column {column.name} is no {dtype.lower()}: {error}.") from None


def shown(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` for the eye: exact dollars as text; without seconds and without tokens that no call had."""
    table = as_frame(frame, "shown").drop(columns=["seconds", "first_token_seconds"], errors="ignore")
    table = table.drop(columns=[name for name in table if name.endswith("_tokens") and not table[name].any()])
    return table.assign(**{name: table[name].map(_exact) for name in table if name.endswith("_usd")})


def _exact(usd: float) -> str:
    """`usd` to a billionth of a dollar: no token costs a smaller fraction."""
    return "unknown" if np.isnan(usd) else f"${usd:,.9f}".rstrip("0").rstrip(".")


def reprice(
    frame: pd.DataFrame, model: str, *, scale_tokens=True, batch=False, as_of: date | str | None = None
) -> pd.DataFrame:
    """The same session on `model`, at the prices of the day `as_of` (by default `models.AS_OF`): a new frame
    with its model, tokens and costs in place of those held.

    Models count the same text differently: counts are scaled by `tokenizer_factor` and rounded, unless
    `scale_tokens=False`. The number of calls, their kinds and times stay as they were.
    Raises `UnknownModelError` for a model without a price, or where a tokenizer is not known.
    """
    frame = as_frame(frame, "reprice", "model", *TOKENS)
    prices = rates(model, batch=batch, as_of=as_of)
    tokens = frame[list(TOKENS)]
    if scale_tokens:
        factors = {name: _tokenizer_factor(name, prices.model) for name in frame["model"].unique()}
        tokens = tokens.mul(frame["model"].map(factors).astype(float), axis=0).round().astype("int64")
    cost, ids = prices.cost(tokens), pd.Series(prices.model, frame.index, dtype="string")
    return frame.assign(model=ids, **tokens, cost_usd=cost, cumulative_cost_usd=cost.cumsum())


def _tokenizer_factor(held: str, model: str) -> float:
    """How many tokens `model` makes of text that is one token to the model `held`."""
    if held == model:
        return 1.0
    try:
        return find_model(model).tokenizer_factor / find_model(held).tokenizer_factor
    except UnknownModelError:
        raise UnknownModelError(
            f"How {held} and {model} count tokens is not known here; scale_tokens=False keeps the counts."
        ) from None


def cost_parts(frame: pd.DataFrame) -> pd.DataFrame:
    """What `cost_usd` is made of: `cache_read_usd`, `cache_write_usd`, `input_usd` and `output_usd`.

    The parts of each row sum to its `cost_usd`, as they were billed on that row's model, and are NaN with it.
    """
    frame = as_frame(frame, "cost_parts", "model", *TOKENS, "cost_usd")
    rows = []
    for call in frame.to_dict("records"):
        usd = call["cost_usd"]
        parts = [usd] * len(PARTS)  # free, whatever its model, or not known
        if usd > 0:
            tier = rates(call["model"]).at(sum(call[name] for name in PROMPT_TOKENS))
            parts = [tier.cost({name: call[name] for name in names}) for names in PARTS.values()]
            # Batch prices, and sessions saved under older prices, are split in proportion.
            parts = [part * usd / sum(parts) if part else 0.0 for part in parts]
        rows.append(parts)
    return pd.DataFrame(rows, frame.index, list(PARTS), dtype=float)


def compare_models(
    frame: pd.DataFrame, models: Iterable[str] | None = None, *, scale_tokens: bool = True
) -> pd.DataFrame:
    """The session as held and on each of `models` (by default those that still answer), one row each.

    Columns: `model`, `prompt_tokens` and `output_tokens` of the whole session, the parts of `cost_parts`,
    `cost_usd`.
    """
    frame = as_frame(frame, "compare_models", "model", *TOKENS, "cost_usd")
    names = [model.id for model in available()] if models is None else models
    sessions = {rates(name).model: reprice(frame, name, scale_tokens=scale_tokens) for name in names}
    rows = []
    for name, session in {"as held": frame, **sessions}.items():
        sent, received = session[list(PROMPT_TOKENS)].to_numpy().sum(), session["output_tokens"].sum()
        usd = {**cost_parts(session).sum(skipna=False), "cost_usd": session["cost_usd"].sum(skipna=False)}
        rows.append({"model": name, "prompt_tokens": sent, "output_tokens": received, **usd})
    return pd.DataFrame(rows)


def cost_curve(
    longest: int = 200_000, *, output_tokens: int = 1000, models: Iterable[str] = (MODEL,)
) -> pd.DataFrame:
    """What one request with `output_tokens` of output costs on each of `models`, by the length of its prompt.

    Columns: `model`, `prompt_tokens` (from 0 to `longest`, no further than the model's window, both sides of
    each tier among them) and `cost_usd`.
    """
    curves = []
    for prices in map(rates, models):
        end = min(longest, MODELS[prices.model].context_window) if prices.model in MODELS else longest
        cliffs = [length for tier in prices.tiers[1:] for length in (tier.above, tier.above + 1)]
        lengths = np.unique([*np.linspace(0, end, 101).astype("int64"), *(at for at in cliffs if at <= end)])
        costs = prices.cost({"input_tokens": lengths, "output_tokens": output_tokens})
        curves.append(pd.DataFrame({"model": prices.model, "prompt_tokens": lengths, "cost_usd": costs}))
    return pd.concat(curves, ignore_index=True)
