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
    lambda text: dialogue.general(text).word,
    str,
    lambda text: text[::-1],
    lambda text: text[0],
    lambda text: text[-1],
    lambda text: text.split()[0],
    lambda text: text.split()[-1],
    lambda text: str(int(text) ** 2),
    lambda text: re.search(r"\d{4}-\d\d-\d\d|[\w.+-]+@[\w.-]+\.\w+|\d+(?:[.,]\d+)?|#\w+", text)[0],
    lambda text: re.search(r"(?<=\s)[A-Z]\w+", text)[0],
    lambda text: re.search(r"[A-Z]\w+", text)[0],
)


def shown(turns: list[tuple[str, str]], system: str, last: str) -> tuple[Pairs, str]:
    """The example pairs that precede the question, and the question: as turns, or as lines with an arrow."""
    found = (_LINE.match(line[:400]) for line in f"{system}\n{last}".splitlines())
    lines = [line.groups() for line in found if line]
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
    (a, b), found = pairs[0], []
    for rule in [*_SIMPLE, *_known(), _template(pairs)]:
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
def _known() -> list[Rule]:
    """The tables of pairs, each also the other way round, and the forms, regular where no table has them."""
    texts = table("examples.toml")["pairs"].items()
    tables = {name: dict(re.findall(r"(thank you|[^\s,]+) ([^,]+)", text)) for name, text in texts}
    both = [*tables.values(), table("general.toml")["capitals"]]
    both += [{value: key for key, value in pairs.items()} for pairs in both]
    lower = [{key.lower(): value for key, value in pairs.items()} for pairs in both]
    looked_up = [lambda text, pairs=pairs: pairs[text.lower().strip(" ?.!")] for pairs in lower]
    forms = [partial(_form, tables.get(name, {}), ending) for name, ending in _ENDINGS.items()]
    return [*looked_up, *forms]


def _form(irregular: dict[str, str], ending: str, word: str) -> str:
    form = f"{word}+{ending}"
    for pattern, spelt in _SPELLING.items():
        form = re.sub(pattern, spelt, form)
    return irregular.get(word.lower()) or form


def _template(pairs: Pairs) -> Rule:
    """The words of the question where those of the first one stand in its answer."""
    a, b = pairs[0]
    shared = set.intersection(*(set(re.findall(r"\w+", question)) for question, _ in pairs))

    def put(text: str) -> str:
        own = dict(zip(re.findall(r"\w+", a), re.findall(r"\w+", text), strict=True))
        if any(own[word] != word for word in shared):  # My … is …
            return ""
        return re.sub(r"\w+", lambda word: own.get(word[0], word[0]), b)

    return put


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
    known = dialogue.general(question) or max(knowledge.match(question).values(), default=0) > 0.5
    return best if 1 < len(labels) < len(pairs) or (like[best] and len(labels) > 1 and not known) else ""
