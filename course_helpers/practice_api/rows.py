"""Files that a teacher can extend: rows of TOML; a mistake is told with its file, entry and key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Row(BaseModel):
    """A row: texts are texts, and a key that is not known is a mistake."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)


Kind = TypeVar("Kind", bound=Row)


def _compiled(text: Any) -> re.Pattern[str]:
    if not isinstance(text, str) or not text:
        raise ValueError("it must be a text in quotes, and not empty")
    try:
        return re.compile(text, re.I | re.S)
    except (re.error, OverflowError) as error:
        raise ValueError(str(error)) from None


Pattern = Annotated[re.Pattern, BeforeValidator(_compiled)]


def read(path: Path, name: str, kind: type[Kind]) -> list[Kind]:
    """The rows [[name]] of the file `path`. Raises ValueError for the first mistake."""
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:  # no TOML, and then it names the line, or no UTF-8
        raise ValueError(f"{path.name}: {error}") from None
    rows = found.get(name)
    if set(found) != {name} or not isinstance(rows, list):
        raise ValueError(
            f"{path.name}: above each entry stands a line [[{name}]], and nothing else is there."
        )
    entries = []
    for number, row in enumerate(rows, start=1):
        try:
            entries.append(kind.model_validate(row))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ", ".join([f"{path.name}, {name} {number}", *map(str, first["loc"])])
            raise ValueError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None
    return entries
