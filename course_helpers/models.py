"""The models that the course knows: ids, limits, dates and the rules that differ between them.

The facts stand in `models.toml`, the one place for model ids; prices come from elsewhere (see `pricing.py`).
`make facts` compares them with the installed SDK and with today's date.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic.dataclasses import dataclass

from .files import read_rows

FILE = Path(__file__).with_name("models.toml")
Lifecycle = Literal["active", "deprecated", "retired"]


class UnknownModelError(LookupError):
    """No model of that name: the message names the nearest ones that exist."""


@dataclass(frozen=True, kw_only=True, config={"extra": "forbid"})
class Model:
    """One model: what it is called, how much it takes and gives (in tokens), and until when.

    The defaults are those of the 5.5 models.
    """

    id: str
    name: str
    line: str
    released: date
    source: str
    checked_on: date  # the day on which somebody compared all this with `source`
    course: bool = False  # do the lessons show it?
    limited: bool = False  # is it for verified organisations alone? To others it does not exist
    deprecated: date | None = None
    retires: date | None = None
    context_window: int = 1_000_000
    max_output: int = 128_000
    snapshot: str | None = None  # the dated id behind a 4.5 alias; from 4.6 on the id itself is the snapshot
    tokenizer_factor: float = 1.3  # tokens for the same text, relative to the 4.5 models
    min_cacheable_tokens: int = 512  # a shorter prompt prefix is silently not cached
    thinking: Literal["off", "adaptive", "always"] = "adaptive"  # when a request says nothing about it
    refused_thinking: tuple[str, ...] = ("enabled",)  # values of `thinking.type` that bring a 400
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None  # of a request that names none
    prefill: bool = False  # may the last message be the assistant's?
    sampling: bool = False  # takes `temperature`, `top_p`, `top_k` (API version 2023-06-01 only)?
    system_in_messages: bool = True  # takes `role: "system"` inside `messages`, never first?
    forced_tools: bool = False  # takes `tool_choice` of type any or tool?

    @property
    def lifecycle(self) -> Lifecycle:
        """What it is on the day `AS_OF`."""
        return self.lifecycle_on(AS_OF)

    def lifecycle_on(self, day: date) -> Lifecycle:
        """What it is on `day`: from its dates alone. On the day of its retirement it answers no more."""
        if self.retires and self.retires <= day:
            return "retired"
        return "deprecated" if self.retires or (self.deprecated and self.deprecated <= day) else "active"


def aliases(models: Iterable[Model]) -> dict[str, str]:
    """`haiku`, `sonnet`, `opus` → id: of each line the newest active model, else the newest that answers."""
    newest = sorted(models, key=lambda model: (model.lifecycle == "active", model.released), reverse=True)
    lines = {model.line for model in newest if model.course}
    found: dict[str, str] = {}
    for model in newest:
        if model.line in lines and model.lifecycle != "retired":
            found.setdefault(model.line, model.id)
    return found


_TEXT = FILE.read_text(encoding="utf-8")
AS_OF = date.fromisoformat(re.search(r"^as_of = (\S+)$", _TEXT, re.M)[1])
"""The day whose prices and lifecycles the lessons show. Only `make facts` looks at today's date."""

_ROWS = sorted(read_rows(_TEXT, "model", Model, FILE.name), key=lambda model: model.released, reverse=True)
MODELS: dict[str, Model] = {model.id: model for model in _ROWS}
"""Every model by id, newest first: also those that the lessons do not use, and those that are gone."""

ALIASES = aliases(_ROWS)


def available(day: date | None = None) -> list[Model]:
    """The course's models that answer on `day`, by default `AS_OF`; newest first."""
    day = day or AS_OF
    shown = [model for model in MODELS.values() if model.course and model.released <= day]
    return [model for model in shown if model.lifecycle_on(day) != "retired"]


def model_id(name: str) -> str:
    """The id to send for `name`: aliases are resolved, anything else is left as it is."""
    return ALIASES.get(name.strip().lower(), name.strip())


def find_model(name: str) -> Model:
    """The model called `name`: an id, a dated snapshot or an alias (haiku, sonnet, opus).

    Raises `UnknownModelError`, a LookupError, naming the nearest ids.
    """
    id = model_id(name)
    for model in MODELS.values():
        if id in (model.id, model.snapshot):
            return model
    raise UnknownModelError(unknown_model(id))


def unknown_model(name: str, others: Iterable[str] = ()) -> str:
    """One sentence that says `name` is no known model and names the nearest ids, `others` among them."""
    ids = [model.id for model in available()]
    near = difflib.get_close_matches(name, list(dict.fromkeys([*ids, *others])), n=3, cutoff=0.5)
    advice = f"Did you mean {', '.join(near)}?" if near else f"Known models: {', '.join(ids)}."
    return f"Unknown model {name[:100]!r}. {advice}"


DEFAULT_MODEL = ALIASES.get("haiku") or next(iter([*ALIASES.values(), *MODELS]))
MODEL: str = model_id(os.environ.get("COURSE_MODEL") or DEFAULT_MODEL)
"""The model of the lessons: `COURSE_MODEL` if it is set, else the newest Haiku."""
