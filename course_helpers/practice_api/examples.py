"""Few-shot examples, continued: what turns each question shown into its answer is done to the next one."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise

from . import knowledge
from .knowledge import table

_LINE = re.compile(
    r"^\W*(?:(?:input|q|question|text|user|word|review|ticket)\s*:\s*)?(.+?)\s*"
    r"(?:->|=>|→|⇒|\||\s=\s|[,;]?\s*\b(?:output|a|answer|label|assistant|becomes|sentiment)\s*:)\s*(.*?)\s*$",
    re.I,
)
_PARTS = (r"^.", r".$", r"^\S+", r"\S+$", r"[\w.+-]+@[\w.-]+\.\w+|#\w+", r"\d[\d.,-]*", r"(?<=\s)[A-Z]\w+")
"""What an answer may take from its question: a letter, a word, an address, a number or date, a name."""
_CASES = (str, str.lower, str.upper, str.capitalize, str.title)


def continued(turns: list[tuple[str, str]], system: str) -> str:
    """What the examples make of the last of `turns`; "" where there are none, or nothing fits all of them."""
    pairs, question = _shown(turns, system)
    answers = [answer for _, answer in pairs]
    if len(pairs) < 2 or max(map(len, answers)) > 80:
        return ""
    for first, *others, last in zip(*(_made(text) for text, _ in pairs), _made(question), strict=True):
        if first and last and first in answers[0]:
            before, after = answers[0].split(first, 1)
            if [f"{before}{made}{after}" for made in others] == answers[1:]:
                return f"{before}{last}{after}"
    labels = {_mood(label): label for label in answers}
    return labels.get(_mood(question), labels[1]) if {-1, 1} <= labels.keys() else ""


def _shown(turns: list[tuple[str, str]], system: str) -> tuple[list[tuple[str, str]], str]:
    """The example pairs that precede the question, and the question: as turns, or as lines with an arrow."""
    last = turns[-1][1].strip()
    found = (_LINE.match(line[:400]) for line in f"{system}\n{last}".splitlines())
    lines = [line.groups() for line in found if line]
    pairs = [pair for pair in lines if pair[1]]
    if len(pairs) > 1:
        return pairs, last if lines[-1][1] else lines[-1][0]
    return [(a.strip(), b.strip()) for (role, a), (_, b) in pairwise(turns[:-1]) if role == "user"], last


def _made(text: str) -> list[str]:
    """All that an answer may make of `text`, the likeliest first; "" where something does not fit."""
    found = [pairs.get(text.lower().strip(" ?.!"), "") for pairs in _tables()]
    found += [knowledge.general(text)[1], str(int(text) ** 2) if text.isdecimal() else "", text, text[::-1]]
    found += [match[0] if (match := re.search(part, text)) else "" for part in _PARTS]
    return [case(base) for base in found for case in _CASES]


@cache
def _tables() -> list[dict[str, str]]:
    """The pairs of examples.toml and the capitals, each table also the other way round."""
    texts = table("examples.toml")["pairs"].values()
    found = [re.findall(r"(thank you|[^\s,]+) ([^,]+)", text) for text in texts]
    found.append([*table("general.toml")["capitals"].items()])
    found += [[(second, first) for first, second in pairs] for pairs in found]
    return [{first.lower(): second for first, second in pairs} for pairs in found]


def _mood(text: str) -> int:
    """1 for a text of good words, -1 for one of bad words, 0 for neither."""
    words, moods = {*re.findall(r"[\w'-]+|[^\w\s]", text.lower())}, table("examples.toml")["moods"]
    good, bad = (len(words.intersection(moods[kind].split())) for kind in ("good", "bad"))
    if good > bad and re.search(r"\b(?:not|hardly|never)\b|n't\b", text.lower()):
        return -1
    return (good > bad) - (good < bad)
