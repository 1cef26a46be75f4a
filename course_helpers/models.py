"""The models that the course knows: ids, limits, dates and the rules that differ between them.

This is the one place for model ids.
Prices are not here: they come from the data of `genai-prices` (see `pricing.py`).
`make facts` compares this table with the installed SDK and with today's date.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Literal

AS_OF = date(2026, 11, 24)
"""The day whose prices and lifecycles the lessons show. Only `make facts` looks at today's date."""

DOCS = "https://platform.claude.com/docs/en/about-claude/models/overview"
DEPRECATIONS = "https://platform.claude.com/docs/en/about-claude/model-deprecations"


class UnknownModelError(LookupError):
    """No model of that name: the message names the nearest ones that exist."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model: what it is called, how much it takes and gives (in tokens), and until when.

    The defaults are those of the 5.5 models.
    """

    id: str
    name: str
    line: str
    released: date
    context_window: int = 1_000_000
    max_output: int = 128_000
    snapshot: str | None = None
    """The dated id behind a 4.5 alias; from 4.6 on the id itself is the snapshot."""
    tokenizer_factor: float = 1.3
    """Tokens for the same text, relative to the 4.5 models. About 30 % more since Claude 4.7."""
    min_cacheable_tokens: int = 512
    """A shorter prompt prefix is silently not cached."""
    thinking: Literal["off", "adaptive", "always"] = "adaptive"
    """What happens when a request says nothing about thinking."""
    refused_thinking: tuple[str, ...] = ("enabled",)
    """Values of `thinking.type` that the model answers with a 400."""
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = "medium"
    """The effort of a request that names none; None where the model takes no effort."""
    prefill: bool = False
    """May the last message be the assistant's?"""
    sampling: bool = False
    """Does it take `temperature`, `top_p` and `top_k` (API version 2023-06-01 only)?"""
    system_in_messages: bool = True
    """Does it take `role: "system"` inside `messages`, never first?"""
    forced_tools: bool = False
    """Does it take `tool_choice` of type any or tool?"""
    lifecycle: Literal["active", "deprecated", "retired"] = "active"
    deprecated: date | None = None
    retires: date | None = None
    source: str = DOCS
    checked_on: date = AS_OF


def _generation_4_5(**facts) -> Model:
    rules = {
        "context_window": 200_000,
        "max_output": 64_000,
        "tokenizer_factor": 1.0,
        "min_cacheable_tokens": 4096,
        "thinking": "off",
        "refused_thinking": ("adaptive", "between_tools"),
        "effort": None,
        "prefill": True,
        "sampling": True,
        "system_in_messages": False,
        "forced_tools": True,
    }
    return Model(**rules | facts)


def _retired(id: str, name: str, line: str, released: date, retires: date, max_output: int) -> Model:
    facts = {"id": id, "name": name, "line": line, "released": released, "retires": retires}
    return _generation_4_5(**facts, max_output=max_output, lifecycle="retired", source=DEPRECATIONS)


_TABLE = (
    Model(
        id="claude-haiku-5-5",
        name="Claude Haiku 5.5",
        line="haiku",
        released=date(2026, 10, 7),
        refused_thinking=("enabled", "between_tools"),
        forced_tools=True,
    ),
    Model(
        id="claude-sonnet-5-5",
        name="Claude Sonnet 5.5",
        line="sonnet",
        released=date(2026, 9, 28),
        refused_thinking=("enabled", "disabled"),
        effort="high",
    ),
    Model(
        id="claude-opus-5-5",
        name="Claude Opus 5.5",
        line="opus",
        released=date(2026, 9, 22),
        thinking="always",
        refused_thinking=("enabled", "disabled", "between_tools"),
    ),
    _generation_4_5(
        id="claude-opus-4-5",
        name="Claude Opus 4.5",
        line="opus",
        released=date(2025, 11, 24),
        snapshot="claude-opus-4-5-20251101",
        effort="high",
        lifecycle="deprecated",
        # SDK 2.13.0 brought the notice, which names the last day alone: 60 days before is what is promised.
        deprecated=date(2026, 11, 23),
        retires=date(2027, 1, 22),
        source=DEPRECATIONS,
    ),
    _generation_4_5(
        id="claude-haiku-4-5",
        name="Claude Haiku 4.5",
        line="haiku",
        released=date(2025, 10, 15),
        snapshot="claude-haiku-4-5-20251001",
    ),
    _generation_4_5(
        id="claude-sonnet-4-5",
        name="Claude Sonnet 4.5",
        line="sonnet",
        released=date(2025, 9, 29),
        snapshot="claude-sonnet-4-5-20250929",
        min_cacheable_tokens=1024,
        lifecycle="deprecated",
        deprecated=date(2026, 9, 30),
        retires=date(2026, 11, 30),
        source=DEPRECATIONS,
    ),
    _retired(
        "claude-sonnet-4-20250514", "Claude Sonnet 4", "sonnet", date(2025, 5, 22), date(2026, 6, 15), 64_000
    ),
    _retired(
        "claude-3-7-sonnet-20250219",
        "Claude Sonnet 3.7",
        "sonnet",
        date(2025, 2, 24),
        date(2026, 2, 19),
        64_000,
    ),
    _retired(
        "claude-3-5-haiku-20241022", "Claude Haiku 3.5", "haiku", date(2024, 10, 22), date(2026, 2, 19), 8_192
    ),
    _retired(
        "claude-3-haiku-20240307", "Claude Haiku 3", "haiku", date(2024, 3, 7), date(2026, 4, 20), 4_096
    ),
)

MODELS: dict[str, Model] = {
    model.id: model for model in sorted(_TABLE, key=lambda m: m.released, reverse=True)
}
"""Every model by id, newest first."""

ALIASES: dict[str, str] = {
    line: next(m.id for m in MODELS.values() if m.line == line and m.lifecycle == "active")
    for line in ("haiku", "sonnet", "opus")
}
"""`haiku`, `sonnet`, `opus`: the newest active model of each line."""

_SNAPSHOTS = {model.snapshot: model.id for model in MODELS.values() if model.snapshot}


def available() -> list[Model]:
    """The models that still answer, newest first."""
    return [model for model in MODELS.values() if model.lifecycle != "retired"]


def find_model(name: str) -> Model:
    """The model called `name`: an id, a dated snapshot or an alias (haiku, sonnet, opus).

    Raises `UnknownModelError`, a LookupError, naming the nearest ids.
    """
    key = ALIASES.get(name.strip().lower(), name.strip())
    key = _SNAPSHOTS.get(key, key)
    if key not in MODELS:
        raise UnknownModelError(unknown_model(name.strip()))
    return MODELS[key]


def unknown_model(name: str, others: Iterable[str] = ()) -> str:
    """One sentence that says `name` is no known model and names the nearest ids, `others` among them."""
    ids = [model.id for model in available()]
    near = difflib.get_close_matches(name, list(dict.fromkeys([*ids, *others])), n=3, cutoff=0.5)
    advice = f"Did you mean {', '.join(near)}?" if near else f"Known models: {', '.join(ids)}."
    return f"Unknown model {name[:100]!r}. {advice}"


def model_id(name: str) -> str:
    """The id to send for `name`: aliases are resolved, anything else is left as it is."""
    return ALIASES.get(name.strip().lower(), name.strip())


DEFAULT_MODEL = ALIASES["haiku"]
MODEL: str = model_id(os.environ.get("COURSE_MODEL") or DEFAULT_MODEL)
"""The model of the lessons: `COURSE_MODEL` if it is set, else the newest Haiku."""
