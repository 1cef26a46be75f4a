"""The files of the practice model: tables of TOML, what their rows are made of, figures in their texts."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime, time
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints

from ..models import ALIASES, AS_OF, MODEL, available, find_model

_KINDS = {"in": "input", "out": "output", "write": "cache_write", "read": "cache_read"}
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Pattern = Annotated[re.Pattern, AfterValidator(lambda found: re.compile(found.pattern, re.I | re.S))]


@cache
def table(name: str) -> dict[str, Any]:
    """The file `name` beside this one."""
    return tomllib.loads(Path(__file__).with_name(name).read_text("utf-8"))


def fill(text: str, /, **words: str) -> str:
    """`text` with each name in braces replaced by that of `words`, or by the figure."""

    def value(found: re.Match[str]) -> str:
        return words[found[1]] if found[1] in words else figures().get(*found.group(1, 0))

    return re.sub(r"\{(\w+)\}", value, text)


@cache
def figures() -> dict[str, str]:
    """Name → text: prices in USD per million tokens on the day `models.AS_OF`, limits in tokens, days."""
    found = {"as_of": f"{AS_OF:%Y-%m-%d}", "model": MODEL}
    for line, id in ALIASES.items():
        model, usd = find_model(id), _rates(id)
        usd["call"] = (800 * usd["in"] + 200 * usd["out"]) / 1_000_000
        usd["day"] = 10_000 * usd["call"]
        limits = {
            "window": model.context_window,
            "max": model.max_output,
            "cache_min": model.min_cacheable_tokens,
        }
        found |= {line: id, f"{line}_name": model.name}
        found |= {f"{line}_{kind}": f"{tokens:,}" for kind, tokens in limits.items()}
        found |= {f"{line}_{kind}": _usd(amount) for kind, amount in usd.items()}
    return found | {
        "opus_ratio": f"{_rates(ALIASES['opus'])['in'] / _rates(ALIASES['haiku'])['in']:.0f}",
        "old_window": f"{min(available(), key=lambda model: model.released).context_window:,}",
        "models": ", ".join(model.id for model in available()),
        "prices": ", ".join(f"{k.title()} {found[f'{k}_in']} and {found[f'{k}_out']}" for k in ALIASES),
        "retiring": " and ".join(f"{m.name} on {m.retires}" for m in available() if m.retires) or "none",
    }


def _rates(id: str) -> dict[str, float]:
    """USD per million tokens of each kind, for a short prompt."""
    from genai_prices import Usage, calc_price

    noon = datetime.combine(AS_OF, time(12), tzinfo=UTC)
    price = calc_price(Usage(), id, provider_id="anthropic", genai_request_timestamp=noon).model_price
    tiers = {kind: getattr(price, f"{name}_mtok") for kind, name in _KINDS.items()}
    rates = {kind: float(getattr(tier, "base", tier)) for kind, tier in tiers.items()}
    return rates | {"in_batch": rates["in"] / 2, "out_batch": rates["out"] / 2}


def _usd(amount: float) -> str:
    """With as many decimals as it takes, and two at least."""
    return re.sub(r"(\.\d\d\d*?)0+$", r"\1", f"${amount:.6f}")
