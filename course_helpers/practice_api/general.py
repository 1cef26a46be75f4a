"""A little general knowledge: capitals, some facts, and sums."""

from __future__ import annotations

import operator
import re
from functools import lru_cache

from .forms import Saying, sentences
from .rows import table

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


@lru_cache(maxsize=500)
def answer(question: str) -> Saying | None:
    """The answer to a question of general knowledge; None where it is none that is known."""
    asked, file = question.lower().replace("’", "'")[:500], table("general.toml")
    if found := _CAPITAL.search(asked):
        country = (found[1] or found[2]).strip()
        for name in (country, f"the {country}"):
            if capital := file["capitals"].get(name):
                name = name.title().replace("The ", "the ").replace("Usa", "USA")
                text, known = f"The capital of {name} is {capital}.", len(file["capitals"])
                return Saying(text, text, capital, more=(f"It is one of {known} capitals that I know.",))
    for fact in file["fact"]:
        if any(re.search(pattern, asked) for pattern in fact["ask"]):
            first, *more = sentences(fact["say"])
            return Saying(first, first, fact["word"], fact["say"], tuple(more))
    if (found := _SUM.search(asked)) and (float(found[3]) or _SIGNS.get(found[2]) != "/"):
        a, sign, b = float(found[1]), _SIGNS.get(found[2], "×"), float(found[3])
        value = _number(_OPERATORS[sign](a, b))
        return Saying(
            f"{_number(a)} {sign} {_number(b)} = {value}.", word=value, more=(f"The result is {value}.",)
        )
    return None


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4f}".rstrip("0")
