"""The figures that answers name in braces, taken from models.py and the price data."""

from __future__ import annotations

from datetime import UTC, datetime, time
from functools import cache

from ..models import ALIASES, AS_OF, MODEL, available, find_model

_NOON = datetime.combine(AS_OF, time(12), tzinfo=UTC)


@cache
def figures() -> dict[str, str]:
    """Name → text: prices in USD per million tokens on the day `models.AS_OF`, limits in tokens, days."""
    found = {"as_of": f"{AS_OF:%Y-%m-%d}", "model": MODEL}
    for line, id in ALIASES.items():
        model, (cost, rates) = find_model(id), (_cost(id, 800, 200), _rates(id))
        found |= {line: id, f"{line}_name": model.name, f"{line}_window": f"{model.context_window:,}"}
        found |= {f"{line}_max": f"{model.max_output:,}", f"call_{line}": _usd(cost)}
        found |= {f"{line}_{kind}": _usd(rate) for kind, rate in rates.items()}
        found[f"day_{line}"] = _usd(cost * 10_000)
    haiku, opus = _rates(ALIASES["haiku"]), _rates(ALIASES["opus"])
    old = min(available(), key=lambda model: model.released)
    return found | {
        "opus_ratio": f"{opus['in'] / haiku['in']:.0f}",
        "cache_min": f"{find_model(ALIASES['haiku']).min_cacheable_tokens:,}",
        "old_window": f"{old.context_window:,}",
        "models": ", ".join(model.id for model in available()),
        "prices": ", ".join(
            f"{line.title()} {found[f'{line}_in']} and {found[f'{line}_out']}" for line in ALIASES
        ),
        "retiring": " and ".join(f"{m.name} on {m.retires}" for m in available() if m.retires) or "none",
    }


def _rates(id: str) -> dict[str, float]:
    """USD per million tokens of each kind, for a short prompt."""
    from genai_prices import Usage, calc_price

    def rate(**extra: int) -> float:
        usage = Usage(input_tokens=1000, **extra)
        price = calc_price(usage, id, provider_id="anthropic", genai_request_timestamp=_NOON)
        return float(price.total_price) * 1000

    plain = rate()
    written, read = rate(cache_write_tokens=1000), rate(cache_read_tokens=1000)
    rates = {"in": plain, "out": rate(output_tokens=1000) - plain, "write": written, "read": read}
    return rates | {f"{kind}_batch": rates[kind] / 2 for kind in ("in", "out")}


def _cost(id: str, input: int, output: int) -> float:
    """USD of a request."""
    rates = _rates(id)
    return (input * rates["in"] + output * rates["out"]) / 1_000_000


def _usd(amount: float) -> str:
    """With as many decimals as it takes, and two at least."""
    digits = f"{amount:.6f}".rstrip("0")
    return f"${digits}" if len(digits.partition(".")[2]) >= 2 else f"${amount:.2f}"
