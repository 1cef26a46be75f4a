"""What calls cost: the rates of `genai-prices` on the day `models.AS_OF`, never a table typed here.

The data comes with the installed package, so no network is needed. A model is found by its exact id: what
the data would only match loosely raises `UnknownModelError`, as does an id that several hosts sell.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .models import AS_OF, MODEL, MODELS, UnknownModelError, available, find_model, unknown_model

if TYPE_CHECKING:
    import pandas

_NOON = datetime.combine(AS_OF, time(12), tzinfo=UTC)
_BATCH = {"processing": "batch"}
_KINDS = {
    "input": ("input_mtok",),
    "output": ("output_mtok",),
    "cache_write": ("cache_write_5m_mtok", "cache_write_mtok", "input_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
    "cache_read": ("cache_read_mtok", "input_mtok"),
}
"""The names that a kind of token has in the data, the most specific first."""


@dataclass(frozen=True, kw_only=True)
class Tier:
    """USD per million tokens of each kind, once a prompt has more than `above` tokens."""

    above: int
    input: float
    output: float
    cache_write: float
    cache_write_1h: float
    cache_read: float

    def cost(self, tokens: Mapping[str, Any]):
        """USD for a request that falls into this tier; `tokens` as for `Rates.cost`."""
        return sum(tokens.get(f"{kind}_tokens", 0) * getattr(self, kind) for kind in _KINDS) / 1_000_000


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The prices of one model: the first tier, and any higher ones that a long prompt leads to."""

    model: str
    provider: str
    tiers: tuple[Tier, ...]

    def at(self, prompt_tokens: int) -> Tier:
        """The tier that a prompt of `prompt_tokens` (uncached, written and read) puts a request into."""
        return [tier for tier in self.tiers if tier is self.tiers[0] or prompt_tokens > tier.above][-1]

    def cost(self, tokens: Mapping[str, Any]):
        """USD for the counts of one request, or for whole columns of them (NumPy, pandas) at once.

        `tokens` holds them by name, as the ledger does: `input_tokens`, `cache_write_tokens` and so on.
        A tier is a cliff: a prompt above it moves every token of the request, the output too.
        """
        prompt = sum(tokens.get(f"{kind}_tokens", 0) for kind in _KINDS if kind != "output")
        cost = self.tiers[0].cost(tokens)
        for tier in self.tiers[1:]:
            cost = cost + (tier.cost(tokens) - cost) * (prompt > tier.above)
        return cost


def estimate_cost(
    input_tokens: int,
    output_tokens: int,
    model: str = MODEL,
    *,
    cache_write_tokens: int = 0,
    cache_write_1h_tokens: int = 0,
    cache_read_tokens: int = 0,
    batch: bool = False,
) -> float:
    """The price of one request in USD.

    The counts are those of the API's `usage`: `input_tokens` is the uncached part, cached tokens come on top.
    A tier that a model's context window no longer reaches (Sonnet 4.5 above 200,000 tokens) is priced as the
    data has it, although the API now refuses such a prompt.
    """
    counts = {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cache_write_tokens": cache_write_tokens,
        "cache_write_1h_tokens": cache_write_1h_tokens,
        "cache_read_tokens": cache_read_tokens,
    }
    return rates(model, batch=batch).cost({name: _count(name, value) for name, value in counts.items()})


def _count(name: str, value: object) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        count = -1
    if count < 0 or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}: a count of tokens is a whole number from 0.")
    return count


@lru_cache(maxsize=1000)
def rates(model: str = MODEL, *, batch: bool = False) -> Rates:
    """The prices of `model`: an id, an alias (haiku, sonnet, opus), or another maker's id."""
    id, provider, info = _find(model)
    if batch and not any(variant.when == _BATCH for variant in info.price_variants or ()):
        raise ValueError(f"The price data has no batch prices for {id}.")
    prices = info.get_prices(_NOON, _BATCH if batch else None).__dict__
    if None in (prices.get("input_mtok"), prices.get("output_mtok")) or "requests_kcount" in prices:
        raise UnknownModelError(f"{id} is not sold by text tokens alone, so it has no price here.")
    chosen = {
        kind: next(prices[name] for name in names if prices.get(name) is not None)
        for kind, names in _KINDS.items()
    }
    starts = {tier.start for price in chosen.values() for tier in getattr(price, "tiers", ())}
    tiers = [
        Tier(above=start, **{kind: _rate(price, start) for kind, price in chosen.items()})
        for start in sorted({0, *starts})
    ]
    return Rates(model=id, provider=provider.id, tiers=tuple(tiers))


def _rate(price, start: int) -> float:
    """USD per million tokens of `price`, a Decimal or tiered, just above `start`."""
    steps = [tier.price for tier in getattr(price, "tiers", ()) if tier.start <= start]
    return float([getattr(price, "base", price), *steps][-1])


def _maker(id: str, providers: list):
    """The provider whose own ids look like `id`; None where there is none."""
    return next((p for p in providers if p.model_match and p.model_match.is_match(id)), None)


def _find(name: str):
    """The id, the provider and the entry in the price data of exactly the model `name`."""
    from genai_prices.data import providers

    try:
        id = find_model(name).id
    except UnknownModelError:
        id, maker = name, _maker(name, providers)
        found = [(provider, info) for provider in providers for info in provider.models if info.id == id]
        found = [hit for hit in found if hit[0] is maker] or found
    else:
        maker = _maker(id, providers)
        found = [(maker, info) for info in [maker.find_model(id)] if info]
    if not found:
        others = {info.id for p in providers for info in p.models if _maker(info.id, providers) is p}
        raise UnknownModelError(unknown_model(name, sorted(others)))
    if len(found) > 1:
        hosts = ", ".join(provider.id for provider, _ in found)
        raise UnknownModelError(f"{id} has no one price: it is sold by {hosts}.")
    return id, *found[0]


def price_table(models: Iterable[str] | None = None) -> pandas.DataFrame:
    """One row a model, by default those of the course that still answer: USD per million tokens, and limits.

    Where a prompt has more than `tier_above` tokens, `tier_input` and `tier_output` hold; a tier beyond the
    context window is left out. What the course does not know of another maker's model is left empty.
    """
    import pandas as pd

    course = [model.id for model in available()]
    rows = [_row(name) for name in (course if models is None else models)]
    frame = pd.DataFrame(rows, columns=list(_row(course[0]))).set_index("model")
    types = dict.fromkeys(("tier_above", "context_window", "max_output"), "Int64")
    types |= dict.fromkeys((*_KINDS, "tier_input", "tier_output", "tokenizer_factor"), "float64")
    types |= dict.fromkeys(("provider", "source"), "string")
    types |= dict.fromkeys(("deprecated", "retires", "checked_on"), "datetime64[s]")
    return frame.astype(types)


def _row(name: str) -> dict:
    id, provider, info = _find(name)
    model = MODELS.get(id)
    first, *higher = rates(name).tiers
    window = model.context_window if model else info.context_window
    reached = [tier for tier in higher if window is None or tier.above < window][:1]
    return {
        "model": id,
        "provider": provider.id,
        **{kind: getattr(first, kind) for kind in _KINDS},
        "tier_above": reached[0].above if reached else None,
        "tier_input": reached[0].input if reached else None,
        "tier_output": reached[0].output if reached else None,
        "context_window": window,
        **{name: getattr(model, name, None) for name in ("max_output", "tokenizer_factor")},
        **{name: getattr(model, name, None) for name in ("deprecated", "retires")},
        "source": model.source if model else (provider.pricing_urls or [None])[0],
        "checked_on": getattr(model, "checked_on", None),
    }
