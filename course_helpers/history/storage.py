"""Conversations in files: JSON that says what it is, checked when it is read, never half written.

A file holds the texts, the figures and the settings of a conversation; no key, no address, no path, no name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..files import write_whole
from .records import Call, Number, State, Turn

FORMAT = "llm-api-course conversation"


class NotAConversation(ValueError):
    """The file holds no conversation that can be loaded; the message says why."""


class Saved(BaseModel):
    """What a file holds."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["llm-api-course conversation"]
    version: Literal[1, 2]  # 2 where there is a `past`, which 1 did not know; so 1.0 reads what it can
    model: Annotated[str, Field(min_length=1)]
    system: str | None
    max_tokens: Number
    cache: bool
    budget_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    turns: tuple[Turn, ...]
    calls: tuple[Call, ...]
    past: tuple[Call, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Saved:
        """Every turn has its entry in the ledger, in the same order; no number stands there twice."""
        billed = [call.turn for call in (*self.past, *self.calls) if call.turn is not None]
        numbers = [turn.turn for turn in self.turns]
        if billed != sorted({*billed}) or numbers != sorted({*numbers} & {*billed}):
            raise ValueError("its turns do not fit its ledger")
        return self


def write(path: str | os.PathLike, settings: dict[str, Any], now: State) -> None:
    """Write a conversation to `path`, readable by its owner alone: the file is the new one, or the old."""
    saved = Saved.model_construct(format=FORMAT, version=2 if now.past else 1, **settings, **now._asdict())
    content = saved.model_dump_json(indent=1, exclude=None if now.past else {"past"})
    write_whole(path, content.encode() + b"\n")


def read(path: str | os.PathLike) -> Saved:
    """The conversation in the file `path`; raises `NotAConversation` where it holds none."""
    try:
        return Saved.model_validate_json(Path(path).read_bytes())
    except ValidationError as error:  # where and what, without the text that stands there
        first: Any = error.errors(include_input=False, include_url=False)[0]
    said = "it is not JSON" if first["type"] == "json_invalid" else first["msg"]
    why = ": ".join(filter(None, [".".join(map(str, first["loc"])), said]))
    kind = "damaged, or not saved by this course, whose files hold what each turn took, too"
    raise NotAConversation(f"{os.path.basename(os.fspath(path))} is {kind} ({why}).")
