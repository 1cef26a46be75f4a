"""Few-shot examples, continued: the rule that turns each question shown into its answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise

from . import general, knowledge
from .rows import table

_LINE = re.compile(
    r"^\W*(?:(?:input|q|question|text|user|word|review|ticket)\s*:\s*)?(.+?)\s*"
    r"(?:->|=>|→|⇒|\||\s=\s|[,;]?\s*\b(?:output|a|answer|label|assistant|becomes|sentiment)\s*:)\s*(.*?)\s*$",
    re.I,
)
_ENDINGS = {"past": "ed", "plural": "s", "comparative": "er", "superlative": "est", "gerund": "ing"}
_SPELLING = {
    r"(?<=[^aeiou])y\+(?=s)": "ie",
    r"(?<=[^aeiou])y\+(?=e)": "i",
    r"(s|x|z|ch|sh)\+s": r"\1es",
    r"e\+e|(?<!e)e\+(?=i)": lambda found: "e" if found[0] == "e+e" else "",
    r"^([^aeiou]*[aeiou])([^aeiouwxys])\+(?=[ei])": r"\1\2\2",
    r"\+": "",
}
"""How a word and its ending grow together: cities, tried, boxes, bakes, stopped."""
_MOODS = {"negative": -1, "neutral": 0, "positive": 1}
Pairs = list[tuple[str, str]]
Rule = Callable[[str], str]
_SIMPLE: tuple[Rule, ...] = (
    lambda text: general.answer(text).word,
    str,
    str.title,
    lambda text: text[::-1],
    lambda text: str(len(text)),
    lambda text: str(len(text.split())),
    lambda text: text[0],
    lambda text: text[-1],
    lambda text: text.split()[0],
    lambda text: text.split()[-1],
    lambda text: "".join(word[0] for word in text.split()),
    lambda text: "-".join(text.split()),
    lambda text: "odd" if int(text) % 2 else "even",
    lambda text: str(int(text) ** 2),
    lambda text: re.search(r"\d{4}-\d\d-\d\d|[\w.+-]+@[\w.-]+\.\w+|\d+(?:[.,]\d+)?|#\w+", text)[0],
    lambda text: re.search(r"(?<=\s)[A-Z]\w+", text)[0],
    lambda text: re.search(r"[A-Z]\w+", text)[0],
)


def shown(turns: list[tuple[str, str]], system: str, last: str) -> tuple[Pairs, str]:
    """The example pairs that precede the question, and the question: as turns, or as lines with an arrow."""
    lines = [found.groups() for line in f"{system}\n{last}".splitlines() if (found := _LINE.match(line))]
    if len(lines) > 2 and not lines[-1][1]:
        return lines[:-1], lines[-1][0]
    lines = [pair for pair in lines if all(pair)]
    pairs = [(a[1], b[1]) for a, b in pairwise(turns) if (a[0], b[0]) == ("user", "assistant")]
    return lines if len(lines) > 1 else pairs, last


def continued(pairs: Pairs, question: str) -> str:
    """What the examples make of `question`; "" where no rule fits all of them."""
    pairs, question = [(a.strip(), b.strip()) for a, b in pairs], question.strip()
    if len(pairs) < 2 or any(len(b) > 80 or not a or not b for a, b in pairs):
        return ""
    a, b = pairs[0]
    framed = []
    for rule in [*_SIMPLE, *_known()]:
        for case in (str, str.lower, str.capitalize, str.upper):
            made = case(_apply(rule, a))
            if made and made in b:
                framed.append((len(b) - len(made), _framed(rule, case, *b.split(made, 1))))
    # What explains most of the first answer comes first.
    rules = [rule for _, rule in sorted(framed, key=lambda item: item[0])] + [_template(pairs)]
    if a.isdecimal() and b.isdecimal() and int(a):
        more, times = int(b) - int(a), int(b) / int(a)
        rules += [lambda text: str(int(text) + more), lambda text: f"{int(text) * times:g}"]
    known = next((rule for rule in rules if all(_apply(rule, a) == b for a, b in pairs)), None)
    return (known and _apply(known, question)) or _label(pairs, question)


def _apply(rule: Rule, text: str) -> str:
    """What `rule` makes of `text`; "" where it does not fit such a text."""
    try:
        return rule(text)
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""


def _framed(rule: Rule, case: Rule, before: str, after: str) -> Rule:
    return lambda text: f"{before}{case(rule(text))}{after}"


@cache
def _known() -> list[Rule]:
    """The tables of pairs, each also the other way round, and the forms, regular where no table has them."""
    tables = {
        name: dict(re.match(r"(thank you|\S+) (.+)", pair.strip()).groups() for pair in text.split(","))
        for name, text in table("examples.toml")["pairs"].items()
    }
    tables["capitals"] = table("general.toml")["capitals"]
    both = [one for pairs in tables.values() for one in (pairs, {value: key for key, value in pairs.items()})]
    forms = [_formed(tables.get(name, {}), ending) for name, ending in _ENDINGS.items()]
    return [*(_looked_up(pairs) for pairs in both), *forms]


def _looked_up(pairs: dict[str, str]) -> Rule:
    lower = {key.lower(): value for key, value in pairs.items()}
    return lambda text: lower[text.lower().strip(" ?.!")]


def _formed(irregular: dict[str, str], ending: str) -> Rule:
    def rule(word: str) -> str:
        form = f"{word}+{ending}"
        for pattern, spelt in _SPELLING.items():
            form = re.sub(pattern, spelt, form)
        return irregular.get(word.lower()) or form

    return rule


def _template(pairs: Pairs) -> Rule:
    """The words of the question at the places where the first answer has its own.

    Words that all questions share at one place ("My … is …") must stand there in the new question too.
    """
    asked = [re.findall(r"\w+", a) for a, _ in pairs]
    words = asked[0]
    fixed = [(at, word) for at, word in enumerate(words) if all(word in own[at : at + 1] for own in asked)]
    parts = re.split("(" + "|".join(map(re.escape, sorted(words, key=len, reverse=True))) + ")", pairs[0][1])

    def rule(text: str) -> str:
        own = re.findall(r"\w+", text)
        if len(own) != len(words) or len(parts) < 4 or any(own[at] != word for at, word in fixed):
            return ""
        return "".join(own[words.index(part)] if part in words else part for part in parts)

    return rule


def _label(pairs: Pairs, question: str) -> str:
    """The label of the examples that is nearest in mood or in words; "" where answers are no labels."""
    labels = [*dict.fromkeys(b for _, b in pairs)]
    if any(len(label.split()) > 3 for label in labels) or any(a.lower() == b.lower() for a, b in pairs):
        return ""
    moods = {name: text.split() for name, text in table("examples.toml")["moods"].items()}
    named = {name: label for label in labels for name in _MOODS if label.lower().strip(".!") in moods[name]}
    if len(named) > 1:
        words = set(re.findall(r"[\w']+", question.lower()))
        mood = len(words.intersection(moods["good"])) - len(words.intersection(moods["bad"]))
        mood = -mood if mood > 0 and re.search(r"\b(?:not|hardly|never)\b|n't\b", question.lower()) else mood
        return named[min(named, key=lambda name: abs(_MOODS[name] - mood))]
    asked, like = set(knowledge.loud(question)), dict.fromkeys(labels, 0)
    for q, label in pairs:
        like[label] = max(like[label], len(asked.intersection(knowledge.loud(f"{q} {label}"))))
    best = max(like, key=like.get)
    known = general.answer(question) or max(knowledge.match(question).values(), default=0) > 0.5
    return best if 1 < len(labels) < len(pairs) or (like[best] and len(labels) > 1 and not known) else ""
