"""The files of the practice model: tables of TOML, and rows that a teacher can extend."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError, create_model


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


Kind = TypeVar("Kind", bound=Row)
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Pattern = Annotated[re.Pattern, BeforeValidator(_compiled)]


@cache
def table(name: str) -> dict[str, Any]:
    """The file `name` beside this one."""
    return tomllib.loads(Path(__file__).with_name(name).read_text("utf-8"))


def read(path: Path, name: str, kind: type[Kind]) -> list[Kind]:
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
