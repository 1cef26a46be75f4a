"""A little general knowledge: capitals, some facts, and sums."""

from __future__ import annotations

import math
import operator
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from .forms import Saying, sentences

FILE = Path(__file__).with_name("general.toml")
_CAPITAL = re.compile(
    r"\bcapital(?: city)? (?:of|in|for) (?:the )?([a-z ]+?)(?= (?:please|again|called|in)\b|[^a-z ]|$)"
    r"|\b([a-z]+)'s capital\b"
)
_SUM = re.compile(
    r"(?<![\w.-])(-?\d+(?:\.\d+)?) ?"
    r"(\+|plus|-|−|minus|\*|x|×|times|multiplied by|/|÷|divided by) ?"
    r"(-?\d+(?:\.\d+)?)(?!\d|\.\d| ?[-+*/]| ?[a-z]{3})"
)
_SIGNS = {"+": "+", "plus": "+", "-": "-", "−": "-", "minus": "-", "/": "/", "÷": "/", "divided by": "/"}
_OPERATORS = {"+": operator.add, "-": operator.sub, "×": operator.mul, "/": operator.truediv}
_ROOT = re.compile(r"square root of (\d{1,9})")
_SHARE = re.compile(r"(\d+(?:\.\d+)?) ?(?:%|per ?cent) of (\d+(?:\.\d+)?)")
_PRIME = re.compile(r"\bis (\d{1,3}(?:,\d{3})*|\d{1,9}) (?:an? )?prime")


@cache
def _file() -> dict[str, Any]:
    file = tomllib.loads(FILE.read_text("utf-8"))
    return file | {"fact": [fact | {"ask": re.compile("|".join(fact["ask"]))} for fact in file["fact"]]}


def capitals() -> dict[str, str]:
    """Country, in small letters → its capital."""
    return _file()["capitals"]


def answer(question: str) -> Saying | None:
    """The answer to a question of general knowledge; None where it is none that is known."""
    asked = question.lower().replace("’", "'")[:500]
    if found := _CAPITAL.search(asked):
        country = (found[1] or found[2]).strip()
        key = next((name for name in (country, f"the {country}") if name in capitals()), None)
        if key:
            name = " ".join(w if w == "the" else w.upper() if w == "usa" else w.title() for w in key.split())
            text = f"The capital of {name} is {capitals()[key]}."
            return Saying(
                text, text, capitals()[key], more=(f"It is one of {len(capitals())} capitals that I know.",)
            )
    if fact := next((fact for fact in _file()["fact"] if fact["ask"].search(asked)), None):
        first, *more = sentences(fact["say"])
        return Saying(first, first, fact["word"], fact["say"], tuple(more))
    if found := _SUM.search(asked):
        a, b, sign = float(found[1]), float(found[3]), _SIGNS.get(found[2], "×")
        return (
            _result(f"{_number(a)} {sign} {_number(b)} =", _OPERATORS[sign](a, b))
            if b or sign != "/"
            else None
        )
    if found := _ROOT.search(asked):
        return _result(f"The square root of {found[1]} is", math.sqrt(int(found[1])))
    if found := _SHARE.search(asked):
        return _result(f"{found[1]} % of {found[2]} is", float(found[1]) * float(found[2]) / 100)
    if found := _PRIME.search(asked):
        number = int(found[1].replace(",", ""))
        divisor = next((d for d in range(2, math.isqrt(number) + 1) if number % d == 0), None)
        text = (
            f"No: {number:,} = {divisor} × {number // divisor:,}."
            if divisor
            else f"Yes, {number:,} is a prime number."
        )
        return Saying(
            text if number > 1 else f"No, {number} is not a prime number.",
            word="No" if divisor or number < 2 else "Yes",
        )
    return None


def _result(left: str, value: float) -> Saying:
    return Saying(
        f"{left} {_number(value)}.", word=_number(value), more=(f"The result is {_number(value)}.",)
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4f}".rstrip("0")
