"""Files: tables that people edit, with the line of each mistake, and writing that is never half done."""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from pathlib import Path

import pydantic


def write_whole(path: str | os.PathLike, data: bytes) -> None:
    """Write `data` to `path`, readable by its owner alone. Raises OSError, and then nothing has changed."""
    target = Path(os.path.realpath(path))
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".tmp", dir=target.parent)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_rows(text: str, table: str, row_type: type, file: str) -> list:
    """The `[[table]]` entries of a TOML `text`: of `row_type`, each on top of the `[like]` that it names.

    Raises ValueError naming `file` and the line of the first mistake.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:  # its text ends in "(at line 3, column 5)"
        raise ValueError(f"{file}: {error}") from None
    generations, rows, check = {None: {}, **data.get("like", {})}, {}, pydantic.TypeAdapter(row_type)
    starts = [match.start() for match in re.finditer(rf"^\[\[{table}\]\]", text, re.MULTILINE)]
    for start, row in zip(starts, data.get(table, ()), strict=True):
        like, wrong = row.pop("like", None), {}
        if like not in generations:
            wrong["like"] = "there is no generation of that name"
        if (id := row.get("id", start)) in rows:
            wrong["id"] = "another row has it already"
        try:
            rows[id] = check.validate_python({**generations.get(like, {}), **row})
        except pydantic.ValidationError as error:
            wrong |= {str(each["loc"][0]): each["msg"] for each in error.errors()}
        for key, what in wrong.items():
            at = re.compile(rf"^(\[\[|{re.escape(key)}\b)", re.MULTILINE).search(text, start + 1)
            line = text.count("\n", 0, at.start() if at and at[1] != "[[" else start) + 1
            raise ValueError(f"{file}, line {line}: {key}: {what}.")
    return [*rows.values()]
