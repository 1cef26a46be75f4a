"""Conversations in files: JSON that says what it is, checked when it is read, never half written.

A file holds the texts, the figures and the settings of a conversation; no key, no address, no path, no name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from ..files import write_whole
from .records import Call, Number, Turn

FORMAT = "llm-api-course conversation"


class NotAConversation(ValueError):
    """The file holds no conversation that can be loaded; the message says why."""


class Saved(BaseModel):
    """What a file holds."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["llm-api-course conversation"] = FORMAT
    version: Literal[1, 2] = 1  # 2 where there is a `past`, which 1 did not know; so 1.0 reads what it can
    model: Annotated[str, Field(min_length=1)]
    system: str | None
    max_tokens: Number
    cache: bool
    budget_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    turns: list[Turn]
    calls: list[Call]
    past: list[Call] = []


def write(
    path: str | os.PathLike, settings: dict[str, Any], turns: Iterable, calls: Iterable, past: Iterable = ()
) -> None:
    """Write a conversation to `path`, readable by its owner alone: the file is the new one, or the old."""
    ledger = {"turns": [*turns], "calls": [*calls], "past": [*past]}
    saved = Saved.model_construct(version=2 if past else 1, **settings, **ledger)
    write_whole(path, saved.model_dump_json(indent=1, exclude=None if past else {"past"}).encode() + b"\n")


def read(path: str | os.PathLike) -> Saved:
    """The conversation in the file `path`; raises `NotAConversation` where it holds none."""
    try:
        content = from_json(Path(path).read_bytes())
        if isinstance(content, dict) and content.get("format") == FORMAT:
            saved = Saved.model_validate(content)
            billed = [call.turn for call in (*saved.past, *saved.calls) if call.turn is not None]
            numbers = [turn.turn for turn in saved.turns]
            # Every turn has its entry in the ledger, in the same order; no number stands there twice.
            if billed == sorted({*billed}) and numbers == sorted({*numbers} & {*billed}):
                return saved
            why = "is damaged: its turns do not fit its ledger"
        else:
            why = "is JSON, but not a conversation saved by this course: that holds what each turn took, too"
    except ValidationError as error:  # where and what, without the text that stands there
        first: dict[str, Any] = error.errors(include_input=False, include_url=False)[0]
        why = f"is damaged: {'.'.join(map(str, first['loc']))}: {first['msg']}"
    except ValueError as error:
        why = f"is damaged, or no saved conversation: it is not JSON ({error})"
    raise NotAConversation(f"{os.path.basename(os.fspath(path))} {why}.")
