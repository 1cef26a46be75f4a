"""What calls cost: the prices of a day, by default `models.AS_OF`, never a table typed into code.

They come from the data of the installed `genai-prices`, so no network is needed, and for what that has not
yet from `prices.toml`. A model is found by its exact id: what the data would only match loosely raises
`UnknownModelError`, as does an id that several hosts sell.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pydantic.dataclasses

from .files import read_rows
from .models import AS_OF, MODEL, MODELS, Model, UnknownModelError, available, find_model, unknown_model

if TYPE_CHECKING:
    import pandas

FILE = Path(__file__).with_name("prices.toml")
_BATCH = {"processing": "batch"}
# The names that each kind of token has in the data, the most specific first.
_KINDS = {
    "input": ("input_mtok",),
    "output": ("output_mtok",),
    "cache_write": ("cache_write_5m_mtok", "cache_write_mtok", "input_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
    "cache_read": ("cache_read_mtok", "input_mtok"),
}


class Tier(NamedTuple):
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


class Rates(NamedTuple):
    """The prices of one model: the first tier, and any higher ones that a long prompt leads to."""

    model: str
    provider: str
    tiers: tuple[Tier, ...]

    def at(self, prompt_tokens: int) -> Tier:
        """The tier that a prompt of `prompt_tokens` (uncached, written and read) puts a request into."""
        return max((tier for tier in self.tiers[1:] if prompt_tokens > tier.above), default=self.tiers[0])

    def cost(self, tokens: Mapping[str, Any]):
        """USD for the counts of one request, or for whole columns of them (NumPy, pandas) at once.

        `tokens` holds them by name, as the ledger does: `input_tokens`, `cache_write_tokens` and so on.
        A tier is a cliff: a prompt above it moves every token of the request, the output too.
        """
        prompt = sum(tokens.get(f"{kind}_tokens", 0) for kind in _KINDS if kind != "output")
        cost = self.tiers[0].cost(tokens)
        for tier in self.tiers[1:]:
            cost = cost + (tier.cost(tokens) - cost) * (prompt > tier.above)  # an `if` for columns too
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
    A tier that is beyond a model's context window by now is priced as the data has it.
    """
    given = (input_tokens, output_tokens, cache_write_tokens, cache_write_1h_tokens, cache_read_tokens)
    counts = {f"{kind}_tokens": count for kind, count in zip(_KINDS, given, strict=True)}
    for name, count in counts.items():
        if isinstance(count, bool) or not hasattr(count, "__index__") or count < 0:
            raise ValueError(f"{name} is {count!r}: a count of tokens is a whole number from 0.")
        counts[name] = int(count)  # of NumPy's whole numbers too
    return rates(model, batch=batch).cost(counts)


@lru_cache(maxsize=1000)
def rates(model: str = MODEL, *, batch: bool = False, as_of: date | str | None = None) -> Rates:
    """The prices of `model` on the day `as_of`, by default `models.AS_OF`.

    `model` is an id, an alias (haiku, sonnet, opus), or another maker's id; `as_of` a date or "2026-12-01".
    Raises ValueError for a day before the model came out, UnknownModelError for one without a price.
    """
    day, (id, provider, info) = _day(as_of), _find(model)
    released = getattr(_FACTS.get(id), "released", None)
    if released and day < released:
        raise ValueError(f"{id} came out on {released}: on {day} it had no price.")
    if batch and not any(variant.when == _BATCH for variant in info.price_variants or ()):
        raise ValueError(f"The price data has no batch prices for {id}.")
    noon = datetime.combine(day, time(12), tzinfo=UTC)
    known = vars(info.get_prices(noon, _BATCH if batch else None))
    known = {name: price for name, price in known.items() if price is not None}
    if not {"input_mtok", "output_mtok"} <= known.keys() or "requests_kcount" in known:
        raise UnknownModelError(f"{id} is not sold by text tokens alone, so it has no price here.")
    prices = [next(known[name] for name in names if name in known) for names in _KINDS.values()]
    starts = {0} | {tier.start for price in prices for tier in getattr(price, "tiers", ())}
    tiers = [Tier(start, *(_rate(price, start) for price in prices)) for start in sorted(starts)]
    return Rates(id, provider.id, tuple(tiers))


def _day(as_of: date | str | None) -> date:
    try:
        return date.fromisoformat(str(as_of or AS_OF)[:10])  # of a datetime too
    except ValueError:
        raise ValueError(f'as_of is a date or text like "{AS_OF}", not {as_of!r}.') from None


def _rate(price, start: int) -> float:
    """USD per million tokens of `price`, a Decimal or tiered, just above `start`."""
    steps = [tier.price for tier in getattr(price, "tiers", ()) if tier.start <= start]
    return float([getattr(price, "base", price), *steps][-1])


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config={"extra": "forbid"})
class OwnRow:
    """One entry of `prices.toml`, where its fields are explained."""

    id: str
    maker: str
    source: str
    checked_on: date
    released: date | None = None
    retires: date | None = None
    successor: str | None = None
    context_window: int | None = None
    prices: dict[date, dict[str, Any]] | None = None

    def info(self) -> Any:
        """Its prices as an entry of the price data."""
        from genai_prices import types

        read = pydantic.TypeAdapter(dict[str, Decimal | types.TieredPrices]).validate_python
        steps = [
            types.ConditionalPrice(types.StartDateConstraint(day), prices=types.ModelPrice(**read(usd)))
            for day, usd in self.prices.items()
        ]
        return types.ModelInfo(id=self.id, match=types.ClauseEquals(self.id), prices=steps)


OWN_ROWS = {row.id: row for row in read_rows(FILE.read_text("utf-8"), "model", OwnRow, FILE.name)}
"""`prices.toml` by id."""

_FACTS = ChainMap(MODELS, OWN_ROWS)  # what is known of a model beside its price


def _find(name: str):
    """The id, the maker or host, and the entry in the price data, or else in our own, of exactly `name`."""
    from genai_prices.data import providers

    with suppress(UnknownModelError):
        name = find_model(name).id
    makers = [provider for provider in providers if provider.model_match]
    maker = next((provider for provider in makers if provider.model_match.is_match(name)), None)
    sold = [(provider, info) for provider in providers for info in provider.models if info.id == name]
    found = [hit for hit in sold if hit[0] is maker] or sold  # hosts count where the maker has no entry
    if not found and name in MODELS:  # the data has an old one under another of its names, which leads to it
        found = [(maker, info) for info in [maker.find_model(name)] if info]
    if not found and (own := OWN_ROWS.get(name)) and own.prices:
        found = [(provider, own.info()) for provider in providers if provider.id == own.maker]
    if not found:
        ids = {info.id for maker in makers for info in maker.models if maker.model_match.is_match(info.id)}
        raise UnknownModelError(unknown_model(name, sorted(ids | OWN_ROWS.keys())))
    if len(found) > 1:
        hosts = ", ".join(provider.id for provider, _ in found)
        raise UnknownModelError(f"{name} has no one price: it is sold by {hosts}.")
    return name, *found[0]


def successor(id: str) -> str | None:
    """What to take instead of `id`: for Claude the newest of its line, else its maker's advice, if known."""
    facts = _FACTS.get(id)
    if not isinstance(facts, Model):
        return facts and facts.successor
    kin = (facts.line, facts.limited, "active")
    newest = next((m for m in MODELS.values() if (m.line, m.limited, m.lifecycle) == kin), facts)
    return newest.id if newest.released > facts.released else None


_COLUMNS = {
    **dict.fromkeys(("model", "provider"), "string"),
    **dict.fromkeys(_KINDS, "float64"),
    "tier_above": "Int64",
    **dict.fromkeys(("tier_input", "tier_output"), "float64"),
    **dict.fromkeys(("context_window", "max_output"), "Int64"),
    "tokenizer_factor": "float64",
    **dict.fromkeys(("deprecated", "retires", "checked_on", "changes"), "datetime64[s]"),
    **dict.fromkeys(("successor", "source"), "string"),
}


def price_table(models: Iterable[str] | None = None, *, as_of: date | str | None = None) -> pandas.DataFrame:
    """One row a model, by default those of the course that answer on the day `as_of`, else `models.AS_OF`.

    USD per million tokens, limits in tokens, dates. Where a prompt has more than `tier_above` tokens,
    `tier_input` and `tier_output` hold; a tier beyond the context window is left out. `changes` is the next
    day with another price. What is not known of another maker's model is left empty.
    Raises ValueError for a day before one of `models` came out.
    """
    import pandas as pd

    day = _day(as_of)
    names = [model.id for model in available(day)] if models is None else models
    frame = pd.DataFrame([_row(name, day) for name in names], columns=list(_COLUMNS))
    return frame.astype(_COLUMNS).set_index("model")


def _row(name: str, day: date) -> dict[str, Any]:
    id, provider, info = _find(name)
    facts, (first, *higher) = _FACTS.get(id), rates(name, as_of=day).tiers
    row = {column: getattr(facts, column, None) or getattr(first, column, None) for column in _COLUMNS}
    row["source"] = row["source"] or (provider.pricing_urls or [None])[0]
    row["context_window"] = window = row["context_window"] or info.context_window
    if higher and (window is None or higher[0].above < window):
        row |= {f"tier_{name}": getattr(higher[0], name) for name in ("above", "input", "output")}
    steps = info.prices if isinstance(info.prices, list) else ()
    days = [getattr(step.constraint, "start_date", day) for step in steps]
    row["changes"] = min((start for start in days if start > day), default=None)
    return row | {"model": id, "provider": provider.id, "successor": successor(id)}
