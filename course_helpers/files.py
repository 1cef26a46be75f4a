"""Files: tables that people edit, with the line of each mistake, and writing that is never half done."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import tomllib
from pathlib import Path
from typing import TypeVar

import pydantic

Row = TypeVar("Row")


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
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    # The new name is to outlive a power cut too, where folders can be synced.
    with contextlib.suppress(OSError):
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read_rows(text: str, table: str, row_type: type[Row], file: str) -> list[Row]:
    """The `[[table]]` entries of a TOML `text`, each on top of the `[like]` table that it names.

    Raises ValueError naming `file` and the line of the first mistake.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:  # its text ends in "(at line 3, column 5)"
        raise ValueError(f"{file}: {error}") from None
    lines = text.splitlines()
    starts = [n for n, line in enumerate(lines) if line.startswith(f"[[{table}]]")]
    generations, rows, known, checked = data.get("like", {}), [], set(), pydantic.TypeAdapter(row_type)
    for row, start, end in zip(data.get(table, ()), starts, [*starts[1:], len(lines)], strict=True):
        like, wrong = row.pop("like", None), {}
        if like is not None and like not in generations:
            wrong["like"] = "there is no generation of that name"
        if row.get("id") in known:
            wrong["id"] = "another row has it already"
        try:
            rows.append(checked.validate_python({**generations.get(like, {}), **row}))
        except pydantic.ValidationError as error:
            wrong |= {str(each["loc"][0]): each["msg"] for each in error.errors()}
        for key, what in wrong.items():
            at = next((n for n in range(start, end) if re.match(rf"{re.escape(key)}\s*=", lines[n])), start)
            raise ValueError(f"{file}, line {at + 1}: {key}: {what}.")
        known.add(row["id"])
    return rows
