"""What calls cost: the prices of a day, by default `models.AS_OF`, never a table typed into code.

They come from the data of the installed `genai-prices`, so no network is needed, and for what that has not
yet from `prices.toml`. A model is found by its exact id: what the data would only match loosely raises
`UnknownModelError`, as does an id that several hosts sell.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from .files import read_rows
from .models import AS_OF, MODEL, MODELS, Model, UnknownModelError, available, find_model, unknown_model

if TYPE_CHECKING:
    import pandas

FILE = Path(__file__).with_name("prices.toml")
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
def rates(model: str = MODEL, *, batch: bool = False, as_of: date | str | None = None) -> Rates:
    """The prices of `model` on the day `as_of`, by default `models.AS_OF`.

    `model` is an id, an alias (haiku, sonnet, opus), or another maker's id; `as_of` a date or "2026-12-01".
    Raises ValueError for a day before the model came out, UnknownModelError for one without a price.
    """
    day, (id, provider, info) = _day(as_of), _find(model)
    released = getattr(_facts(id), "released", None)
    if released and day < released:
        raise ValueError(f"{id} came out on {released}: on {day} it had no price.")
    if batch and not any(variant.when == _BATCH for variant in info.price_variants or ()):
        raise ValueError(f"The price data has no batch prices for {id}.")
    noon = datetime.combine(day, time(12), tzinfo=UTC)
    prices = info.get_prices(noon, _BATCH if batch else None).__dict__
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


def _day(as_of: date | str | None) -> date:
    try:
        day = date.fromisoformat(as_of) if isinstance(as_of, str) else as_of or AS_OF
        return day.date() if isinstance(day, datetime) else day
    except ValueError:
        raise ValueError(f'as_of is a date or text like "{AS_OF}", not {as_of!r}.') from None


def _rate(price, start: int) -> float:
    """USD per million tokens of `price`, a Decimal or tiered, just above `start`."""
    steps = [tier.price for tier in getattr(price, "tiers", ()) if tier.start <= start]
    return float([getattr(price, "base", price), *steps][-1])


@dataclass(frozen=True, kw_only=True)
class OwnRow:
    """One entry of `prices.toml`, where its fields are explained."""

    __pydantic_config__ = pydantic.ConfigDict(extra="forbid")

    id: str
    maker: str
    source: str
    checked_on: date
    released: date | None = None
    retires: date | None = None
    successor: str | None = None
    context_window: int | None = None
    prices: tuple[dict[str, Any], ...] = ()

    def info(self) -> Any:
        """Its prices as an entry of the price data; None where it has none."""
        from genai_prices import types

        read = pydantic.TypeAdapter(dict[str, Decimal | types.TieredPrices]).validate_python
        steps = [
            types.ConditionalPrice(
                constraint=types.StartDateConstraint(start_date=row["day"]),
                prices=types.ModelPrice(
                    **read({name: price for name, price in row.items() if name != "day"})
                ),
            )
            for row in self.prices
        ]
        match = types.ClauseEquals(equals=self.id)
        return types.ModelInfo(id=self.id, match=match, prices=steps) if steps else None


@lru_cache(maxsize=1)
def own_rows() -> dict[str, OwnRow]:
    """`prices.toml` by id. Raises ValueError naming the line of a mistake."""
    rows = read_rows(FILE.read_text(encoding="utf-8"), "model", OwnRow, FILE.name)
    return {row.id: row for row in rows}


def _facts(id: str) -> Model | OwnRow | None:
    """What is known of `id` beside its price."""
    return MODELS.get(id) or own_rows().get(id)


def _find(name: str):
    """The id, the maker or host, and the entry in the price data, or else in our own, of exactly `name`."""
    from genai_prices.data import providers

    def maker_of(id: str):
        return next((p for p in providers if p.model_match and p.model_match.is_match(id)), None)

    try:
        id = find_model(name).id
    except UnknownModelError:
        id, maker = name, maker_of(name)
        found = [(provider, info) for provider in providers for info in provider.models if info.id == id]
        found = [hit for hit in found if hit[0] is maker] or found
    else:
        maker = maker_of(id)
        found = [(maker, info) for info in [maker.find_model(id)] if info]
    if not found and id in own_rows() and (info := own_rows()[id].info()):
        found = [(next(p for p in providers if p.id == own_rows()[id].maker), info)]
    if not found:
        others = {info.id for p in providers for info in p.models if maker_of(info.id) is p}
        raise UnknownModelError(unknown_model(name, sorted(others | own_rows().keys())))
    if len(found) > 1:
        hosts = ", ".join(provider.id for provider, _ in found)
        raise UnknownModelError(f"{id} has no one price: it is sold by {hosts}.")
    return id, *found[0]


def successor(id: str) -> str | None:
    """What to take instead of `id`: for Claude the newest of its line, else its maker's advice, if known."""
    facts = _facts(id)
    if not isinstance(facts, Model):
        return facts and facts.successor
    line = [
        m
        for m in MODELS.values()
        if (m.line, m.limited, m.lifecycle) == (facts.line, facts.limited, "active")
    ]
    return line[0].id if line and line[0].released > facts.released else None


def price_table(models: Iterable[str] | None = None, *, as_of: date | str | None = None) -> pandas.DataFrame:
    """One row a model, by default those of the course that answer on the day `as_of`, else `models.AS_OF`.

    USD per million tokens, limits in tokens, dates. Where a prompt has more than `tier_above` tokens,
    `tier_input` and `tier_output` hold; a tier beyond the context window is left out. `changes` is the next
    day with another price. What is not known of another maker's model is left empty.
    Raises ValueError for a day before one of `models` came out.
    """
    import pandas as pd

    names = [model.id for model in available(_day(as_of))] if models is None else models
    frame = pd.DataFrame([_row(name, as_of) for name in names], columns=list(_COLUMNS))
    return frame.astype({name: kind for name, kind in _COLUMNS.items() if kind}).set_index("model")


_COLUMNS = {
    **dict.fromkeys(("model", "provider"), "string"),
    **dict.fromkeys((*_KINDS,), "float64"),
    "tier_above": "Int64",
    **dict.fromkeys(("tier_input", "tier_output"), "float64"),
    **dict.fromkeys(("context_window", "max_output"), "Int64"),
    "tokenizer_factor": "float64",
    **dict.fromkeys(("deprecated", "retires", "checked_on", "changes"), "datetime64[s]"),
    **dict.fromkeys(("successor", "source"), "string"),
}


def _row(name: str, as_of: date | str | None) -> dict:
    id, provider, info = _find(name)
    facts, (first, *higher) = _facts(id), rates(name, as_of=as_of).tiers
    window = getattr(facts, "context_window", None) or info.context_window
    steps = info.prices if isinstance(info.prices, list) else ()
    days = [getattr(step.constraint, "start_date", None) for step in steps]
    tier = next((tier for tier in higher if window is None or tier.above < window), None)
    return {
        **{name: getattr(facts, name, None) for name in _COLUMNS},
        **{kind: getattr(first, kind) for kind in _KINDS},
        **({f"tier_{name}": getattr(tier, name) for name in ("above", "input", "output")} if tier else {}),
        "model": id,
        "provider": provider.id,
        "context_window": window,
        "changes": min((day for day in days if day and day > _day(as_of)), default=None),
        "successor": successor(id),
        "source": facts.source if facts else (provider.pricing_urls or [None])[0],
    }
