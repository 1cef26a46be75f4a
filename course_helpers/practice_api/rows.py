"""The files of the practice model: tables of TOML, rows that a teacher can extend, figures in their texts."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime, time
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError, create_model

from ..models import ALIASES, AS_OF, MODEL, available, find_model

_NOON = datetime.combine(AS_OF, time(12), tzinfo=UTC)


class Row(BaseModel):
    """A row: texts are texts, and a key that is not known is a mistake."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)


def _compiled(text: Any) -> re.Pattern[str]:
    if not isinstance(text, str) or not text:
        raise ValueError("it must be a text in quotes, and not empty")
    try:
        return re.compile(text, re.I | re.S)
    except (re.error, OverflowError) as error:
        raise ValueError(str(error)) from None


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Pattern = Annotated[re.Pattern, BeforeValidator(_compiled)]


@cache
def table(name: str) -> dict[str, Any]:
    """The file `name` beside this one."""
    return tomllib.loads(Path(__file__).with_name(name).read_text("utf-8"))


def read(path: Path, name: str, kind: type[Row]) -> list[Any]:
    """The rows [[name]] of the file `path`. Raises ValueError that says where the first mistake is."""
    file = create_model("File", __base__=Row, **{name: (list[kind], ...)})
    try:
        return getattr(file.model_validate(tomllib.loads(path.read_text("utf-8"))), name)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        row, key = first["loc"][:2], map(str, first["loc"][2:])
        entry = " ".join(str(part + 1) if isinstance(part, int) else part for part in row)
        where, told = ", ".join([path.name, entry, *key]), first["msg"].removeprefix("Value error, ")
    except ValueError as error:  # no TOML, and then it names the line, or no UTF-8
        where, told = path.name, error
    raise ValueError(f"{where}: {told}")


def fill(text: str, /, **words: str) -> str:
    """`text` with each name in braces replaced by that of `words`, or by the figure."""

    def value(found: re.Match[str]) -> str:
        return words[found[1]] if found[1] in words else figures().get(*found.group(1, 0))

    return re.sub(r"\{(\w+)\}", value, text)


@cache
def figures() -> dict[str, str]:
    """Name → text: prices in USD per million tokens on the day `models.AS_OF`, limits in tokens, days."""
    found = {"as_of": f"{AS_OF:%Y-%m-%d}", "model": MODEL}
    rates = {line: _rates(id) for line, id in ALIASES.items()}
    for line, id in ALIASES.items():
        model, call = find_model(id), (800 * rates[line]["in"] + 200 * rates[line]["out"]) / 1_000_000
        found |= {line: id, f"{line}_name": model.name, f"{line}_window": f"{model.context_window:,}"}
        found |= {f"call_{line}": _usd(call), f"day_{line}": _usd(call * 10_000)}
        found |= {f"{line}_max": f"{model.max_output:,}"}
        found |= {f"{line}_{kind}": _usd(rate) for kind, rate in rates[line].items()}
    return found | {
        "opus_ratio": f"{rates['opus']['in'] / rates['haiku']['in']:.0f}",
        "cache_min": f"{find_model('haiku').min_cacheable_tokens:,}",
        "old_window": f"{min(available(), key=lambda model: model.released).context_window:,}",
        "models": ", ".join(model.id for model in available()),
        "prices": ", ".join(f"{k.title()} {found[f'{k}_in']} and {found[f'{k}_out']}" for k in ALIASES),
        "retiring": " and ".join(f"{m.name} on {m.retires}" for m in available() if m.retires) or "none",
    }


def _rates(id: str) -> dict[str, float]:
    """USD per million tokens of each kind, for a short prompt."""
    from genai_prices import Usage, calc_price

    price = calc_price(Usage(), id, provider_id="anthropic", genai_request_timestamp=_NOON).model_price
    kinds = {"in": "input", "out": "output", "write": "cache_write", "read": "cache_read"}
    tiers = {kind: getattr(price, f"{name}_mtok") for kind, name in kinds.items()}
    rates = {kind: float(getattr(tier, "base", tier)) for kind, tier in tiers.items()}
    return rates | {f"{kind}_batch": rates[kind] / 2 for kind in ("in", "out")}


def _usd(amount: float) -> str:
    """With as many decimals as it takes, and two at least."""
    return re.sub(r"(\.\d\d\d*?)0+$", r"\1", f"${amount:.6f}")
