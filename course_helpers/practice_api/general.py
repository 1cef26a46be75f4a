"""A little general knowledge: capitals, some facts, and sums."""

from __future__ import annotations

import math
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from .forms import Saying, sentences

FILE = Path(__file__).with_name("general.toml")
_CAPITAL = re.compile(
    r"\bcapital(?: city)? (?:of|in|for) (?:the )?([a-z ]+?)(?= (?:please|again|called|in)\b|[^a-z ]|$)"
)
_CAPITAL_OF = re.compile(r"\b([a-z]+)'s capital\b")
_COUNTRY = re.compile(
    r"\bcapital of (?:which|what) country is ([a-z]+)|([a-z]+) is the capital of (?:which|what)"
)
_SUM = re.compile(
    r"(-?\d+(?:\.\d+)?)\s*"
    r"(\+|-|−|\*|x|×|/|÷|:|\^|plus|minus|times|multiplied by|divided by|to the power of)"
    r"\s*(-?\d+(?:\.\d+)?)(?![\d.]*\s*(?:\+|-|\*|/|[a-z]{3}))"
)
_ROOT = re.compile(r"square root of (\d{1,9})")
_SHARE = re.compile(
    r"(\d+(?:\.\d+)?) ?(?:%|per ?cent) of (\d+(?:\.\d+)?)|(half|double|twice|a third) (?:of )?(\d+)"
)
_PRIME = re.compile(r"\bis ([\d,]{1,10}) (?:an? )?prime")
_OPERATIONS = {
    "+": "+",
    "plus": "+",
    "-": "-",
    "−": "-",
    "minus": "-",
    "/": "/",
    "÷": "/",
    ":": "/",
    "divided by": "/",
}
_OPERATIONS |= {"^": "^", "to the power of": "^"}


@cache
def _file() -> dict[str, Any]:
    file = tomllib.loads(FILE.read_text("utf-8"))
    for fact in file["fact"]:
        fact["ask"] = re.compile("|".join(fact["ask"]))
    return file


def capitals() -> dict[str, str]:
    """Country, in small letters → its capital."""
    return _file()["capitals"]


def answer(question: str) -> Saying | None:
    """The answer to a question of general knowledge; None where it is none that is known."""
    asked = question.lower().replace("’", "'")[:500]
    if found := _CAPITAL.search(asked) or _CAPITAL_OF.search(asked):
        country = found[1].strip()
        cities = capitals()
        key = next((name for name in (country, f"the {country}") if name in cities), None)
        if key:
            name = " ".join(w if w == "the" else w.upper() if w == "usa" else w.title() for w in key.split())
            text = f"The capital of {name} is {cities[key]}."
            return Saying(
                text,
                text,
                cities[key],
                text,
                (f"{cities[key]} is the capital city of {name}, in one word.",),
            )
    if fact := next((fact for fact in _file()["fact"] if fact["ask"].search(asked)), None):
        first, *more = sentences(fact["say"])
        return Saying(first, first, fact["word"], fact["say"], tuple(more))
    return _sum(asked)


def _sum(asked: str) -> Saying | None:
    if found := _SUM.search(asked):
        a, b, sign = float(found[1]), float(found[3]), _OPERATIONS.get(found[2], "×")
        if (sign == "/" and b == 0) or (sign == "^" and (abs(b) > 64 or abs(a) > 1000)):
            return None
        value = {"+": a + b, "-": a - b, "×": a * b, "/": b and a / b, "^": a**b if sign == "^" else 0}[sign]
        return _result(f"{_number(a)} {sign} {_number(b)}", value)
    if found := _ROOT.search(asked):
        return _result(f"The square root of {found[1]}", math.sqrt(int(found[1])))
    if found := _SHARE.search(asked):
        if found[1]:
            return _result(f"{found[1]} % of {found[2]}", float(found[1]) * float(found[2]) / 100)
        factor = {"half": 0.5, "a third": 1 / 3}.get(found[3], 2)
        return _result(f"{found[3].capitalize()} of {found[4]}", factor * int(found[4]))
    if found := _PRIME.search(asked):
        number = int(found[1].replace(",", "") or 0)
        divisor = next((d for d in range(2, math.isqrt(number) + 1) if number % d == 0), None)
        if number < 2 or divisor:
            text = (
                f"No: {number:,} = {divisor} × {number // divisor:,}."
                if divisor
                else f"No, {number} is not prime."
            )
            return Saying(text, text, "No")
        return Saying(f"Yes, {number:,} is a prime number.", word="Yes")
    return None


def _result(left: str, value: float) -> Saying:
    text = f"{left} is {_number(value)}." if left[0].isalpha() else f"{left} = {_number(value)}."
    return Saying(text, text, _number(value), text, (f"The result is {_number(value)}.",))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4f}".rstrip("0")
