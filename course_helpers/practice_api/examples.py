"""Few-shot examples, continued: the rule that turns each question shown into its answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise

from . import dialogue, knowledge
from .rows import table

_LINE = re.compile(
    r"^\W*(?:(?:input|q|question|text|user|word|review|ticket)\s*:\s*)?(.+?)\s*"
    r"(?:->|=>|→|⇒|\||\s=\s|[,;]?\s*\b(?:output|a|answer|label|assistant|becomes|sentiment)\s*:)\s*(.*?)\s*$",
    re.I,
)
_PARTS = (
    r".+",
    r"^.",
    r".$",
    r"^\S+",
    r"\S+$",
    r"[\w.+-]+@[\w.-]+\.\w+|#\w+",
    r"\d[\d.,-]*",
    r"(?<=\s)[A-Z]\w+",
)
"""What an answer may take from its question: all, a letter, a word, an address, a number or date, a name."""
_ENDINGS = {"past": "ed", "plural": "s", "comparative": "er", "superlative": "est", "gerund": "ing"}
_SPELLING = {
    r"(?<=[^aeiou])y\+(?=s)": "ie",
    r"(?<=[^aeiou])y\+(?=e)": "i",
    r"(s|x|z|ch|sh)\+s": r"\1es",
    r"(?<!e)e\+(?=[ei])|(?<=e)\+(?=e)": "",
    r"^([^aeiou]*[aeiou])([^aeiouwxys])\+(?=[ei])": r"\1\2\2",
    r"\+": "",
}
"""How a word and its ending grow together: cities, tried, boxes, bakes, stopped."""
Pairs = list[tuple[str, str]]
Rule = Callable[[str], str]


def shown(turns: list[tuple[str, str]], system: str) -> tuple[Pairs, str]:
    """The example pairs that precede the question, and the question: as turns, or as lines with an arrow."""
    last = turns[-1][1]
    found = (_LINE.match(line[:400]) for line in f"{system}\n{last}".splitlines())
    lines = [line.groups() for line in found if line]
    if len(lines) > 2 and not lines[-1][1]:
        return lines[:-1], lines[-1][0]
    lines = [pair for pair in lines if all(pair)]
    pairs = [(a[1], b[1]) for a, b in pairwise(turns[:-1]) if (a[0], b[0]) == ("user", "assistant")]
    return lines if len(lines) > 1 else pairs, last


def continued(pairs: Pairs, question: str) -> str:
    """What the examples make of `question`; "" where no rule fits all of them."""
    pairs, question = [(a.strip(), b.strip()) for a, b in pairs], question.strip()
    if len(pairs) < 2 or any(len(b) > 80 or not a or not b for a, b in pairs):
        return ""
    (a, b), found = pairs[0], []
    for rule in _rules():
        for case in (str, str.lower, str.upper, str.capitalize, str.title):
            made = _apply(rule, case, a)
            if made and made in b:
                found.append((rule, case, *b.split(made, 1)))
    # What explains most of the first answer comes first.
    for rule, case, before, after in sorted(found, key=lambda frame: len(frame[2] + frame[3])):
        said = [f"{before}{_apply(rule, case, text)}{after}" for text, _ in pairs]
        if said == [b for _, b in pairs] and (last := _apply(rule, case, question)):
            return f"{before}{last}{after}"
    return _label(pairs, question)


def _apply(rule: Rule, case: Rule, text: str) -> str:
    """What `rule` makes of `text`; "" where it does not fit such a text."""
    try:
        return case(rule(text))
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""


@cache
def _rules() -> list[Rule]:
    """Parts of a text, what is known of it, tables of pairs, each also the other way round, and word forms."""
    texts = table("examples.toml")["pairs"].items()
    tables = {name: dict(re.findall(r"(thank you|[^\s,]+) ([^,]+)", text)) for name, text in texts}
    both = [*tables.values(), table("general.toml")["capitals"]]
    both += [{value: key for key, value in pairs.items()} for pairs in both]
    lower = [{key.lower(): value for key, value in pairs.items()} for pairs in both]
    return [
        *(lambda text, part=part: re.search(part, text)[0] for part in _PARTS),
        lambda text: text[::-1],
        lambda text: str(int(text) ** 2),
        lambda text: dialogue.general(text).word,
        *(lambda text, pairs=pairs: pairs[text.lower().strip(" ?.!")] for pairs in lower),
        *(partial(_form, tables.get(name, {}), ending) for name, ending in _ENDINGS.items()),
    ]


def _form(irregular: dict[str, str], ending: str, word: str) -> str:
    form = f"{word}+{ending}"
    for pattern, spelt in _SPELLING.items():
        form = re.sub(pattern, spelt, form)
    return irregular.get(word.lower()) or form


def _label(pairs: Pairs, question: str) -> str:
    """The label of the examples that is nearest in mood or in words; "" where answers are no labels."""
    labels = [*dict.fromkeys(label for _, label in pairs)]
    moods = {label: _mood(label) for label in labels}
    if {-1, 1} <= {*moods.values()}:
        return min(labels, key=lambda label: abs(moods[label] - _mood(question)))
    asked = set(knowledge.loud(question))
    shared = [len(asked.intersection(knowledge.loud(f"{text} {label}"))) for text, label in pairs]
    return pairs[shared.index(max(shared))][1] if 1 < len(labels) < len(pairs) else ""


def _mood(text: str) -> int:
    """1 for a text of good words, -1 for one of bad words, 0 for neither."""
    words = re.findall(r"[\w'-]+|[^\w\s]", text.lower())
    good, bad = (
        sum(word in table("examples.toml")["moods"][mood].split() for word in words)
        for mood in ("good", "bad")
    )
    denied = good > bad and re.search(r"\b(?:not|hardly|never)\b|n't\b", text.lower())
    return -1 if denied else (good > bad) - (good < bad)
