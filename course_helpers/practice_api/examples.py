"""Few-shot examples, continued: the rule that turns each question shown into its answer."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

from . import general, knowledge

FILE = Path(__file__).with_name("examples.toml")
_LINE = re.compile(
    r"^\W*(?:(?:input|q|question|text|user|word|review|ticket)\s*:\s*)?(.+?)\s*"
    r"(?:->|=>|→|⇒|\||\s=\s|[,;]?\s*\b(?:output|a|answer|label|assistant|becomes|sentiment)\s*:)\s*(.*?)\s*$",
    re.I,
)
_NOT = {"not", "isn't", "wasn't", "don't", "didn't", "hardly", "never"}
_SHAPES = (
    r"\d{4}-\d\d-\d\d",
    r"[\w.+-]+@[\w.-]+\.\w+",
    r"\d+(?:[.,]\d+)?",
    r"(?<=\s)[A-Z]\w+",
    r"[A-Z]\w+",
    r"#\w+",
)
Pairs = list[tuple[str, str]]
Rule = Callable[[str], str]


@cache
def _file() -> tuple[list[dict[str, str]], dict[str, set[str]]]:
    """The tables of pairs, each also the other way round, and the words of each mood."""
    file = tomllib.loads(FILE.read_text("utf-8"))
    tables = [
        dict(re.match(r"(thank you|\S+) (.+)", p.strip()).groups() for p in text.split(","))
        for text in file["pairs"].values()
    ]
    tables.append(general.capitals())
    both = [table for one in tables for table in (one, {value: key for key, value in one.items()})]
    moods = {name: set(text.split()) for name, text in file["moods"].items()}
    return [{key.lower(): value for key, value in table.items()} for table in both], moods


def shown(turns: list[tuple[str, str]], system: str, last: str) -> tuple[Pairs, str]:
    """The example pairs that precede the question, and the question: as turns, or as lines with an arrow."""
    pairs = [(a[1], b[1]) for a, b in pairwise(turns) if (a[0], b[0]) == ("user", "assistant")]
    lines = [
        (found[1], found[2]) for line in f"{system}\n{last}".splitlines() if (found := _LINE.match(line))
    ]
    if len(lines) > 2 and not lines[-1][1]:
        return lines[:-1], lines[-1][0]
    lines = [pair for pair in lines if all(pair)]
    return (lines, last) if len(lines) > 1 else (pairs, last)


def continued(pairs: Pairs, question: str) -> str:
    """What the examples make of `question`; "" where no rule fits all of them."""
    pairs = [(a.strip(), b.strip()) for a, b in pairs]
    if len(pairs) < 2 or any(len(b) > 80 or not a or not b for a, b in pairs):
        return ""
    for rule in _rules(pairs):
        try:
            if all(rule(a) == b for a, b in pairs) and (found := rule(question.strip())):
                return found
        except (ValueError, LookupError, TypeError):  # the rule does not fit such a text
            continue
    return _label(pairs, question)


def _rules(pairs: Pairs) -> list[Rule]:
    """All that may lie between a question and its answer, the likeliest first."""
    answers = [b for _, b in pairs]
    before = re.match(r"(?:.*[\s:>({\[\"'])?", _shared(answers))[0]
    after = re.search(r"(?:[\s.!)}\]\"'<?].*)?$", _shared([b[len(before) :][::-1] for b in answers])[::-1])[0]
    plain = [_calculated, *_SIMPLE, *(_looked_up(table) for table in _file()[0]), *_regular()]
    cased = [lambda text, rule=rule, case=case: case(rule(text)) for rule in plain for case in _CASES]
    wrapped = [lambda text, rule=rule: (said := rule(text)) and f"{before}{said}{after}" for rule in cased]
    return [*cased, *_around(*pairs[0]), _template(pairs), *(wrapped if before or after else [])]


def _shared(texts: list[str]) -> str:
    """The beginning that all texts share."""
    first, last = min(texts), max(texts)
    return first[: next((i for i, c in enumerate(first) if c != last[i : i + 1]), len(first))]


def _calculated(text: str) -> str:
    said = general.answer(text)
    return said.word if said else ""


def _looked_up(table: dict[str, str]) -> Rule:
    return lambda text: table[text.lower().strip(" ?.!")]


def _doubled(word: str) -> str:
    """`word` with its last letter doubled where it is a short one such as stop, plan or big."""
    return word + word[-1] if re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", word) else word


def _suffixed(word: str, ending: str) -> str:
    """`word` with -ed, -er, -est or -ing, by the rules of spelling."""
    if ending[0] == "e" and re.search(r"[^aeiou]y$", word):
        return f"{word[:-1]}i{ending}"
    return (
        f"{word.removesuffix('e') if not word.endswith('ee') else word}{ending}"
        if word[-1] == "e"
        else _doubled(word) + ending
    )


@cache
def _regular() -> list[Rule]:
    """The irregular forms of the tables, and else the regular ones."""
    irregular = tomllib.loads(FILE.read_text("utf-8"))["pairs"]

    def form(name: str, rule: Rule) -> Rule:
        table = dict(pair.split() for pair in irregular.get(name, "").split(",") if pair)
        return lambda text: table.get(text.lower()) or rule(text)

    def plural(word: str) -> str:
        if re.search(r"[^aeiou]y$", word):
            return f"{word[:-1]}ies"
        return f"{word}es" if re.search(r"(?:s|x|z|ch|sh)$", word) else f"{word}s"

    endings = {"past": "ed", "comparative": "er", "superlative": "est", "gerund": "ing"}
    rules = [
        form(name, lambda word, ending=ending: _suffixed(word, ending)) for name, ending in endings.items()
    ]
    return [form("plural", plural), *rules]


_CASES: tuple[Rule, ...] = (str, str.lower, str.capitalize, str.upper)
_SIMPLE: tuple[Rule, ...] = (
    str.title,
    lambda text: text[::-1],
    lambda text: str(len(text)),
    lambda text: str(len(text.split())),
    lambda text: text[0],
    lambda text: text[-1],
    lambda text: text.split()[0],
    lambda text: text.split()[-1],
    lambda text: " ".join(reversed(text.split())),
    lambda text: "".join(word[0] for word in text.split()),
    lambda text: "-".join(text),
    lambda text: "_".join(text.split()),
    lambda text: "-".join(text.split()),
    lambda text: re.sub(r"[aeiouAEIOU]", "", text),
    lambda text: "odd" if int(text) % 2 else "even",
    lambda text: str(int(text) ** 2),
    *(lambda text, shape=shape: re.search(shape, text)[0] for shape in _SHAPES),
)


def _around(a: str, b: str) -> list[Rule]:
    """What is put before and after the question, cut off it, added to it, or multiplied by."""
    rules: list[Rule] = []
    for case in _CASES:
        before, found, after = b.partition(case(a))
        if found:
            rules.append(lambda text, case=case, b=before, a=after: f"{b}{case(text)}{a}")
    if b in a:
        start, end = a.index(b), len(a) - a.index(b) - len(b)
        rules.append(lambda text: text[start : len(text) - end])
    if re.fullmatch(r"-?\d+", a) and re.fullmatch(r"-?\d+", b):
        rules.append(lambda text, by=int(b) - int(a): str(int(text) + by))
        rules += [lambda text, by=int(b) / int(a): f"{int(text) * by:g}"] if int(a) else []
    return rules


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
            raise ValueError(text)
        return "".join(own[words.index(part)] if part in words else part for part in parts)

    return rule


def _label(pairs: Pairs, question: str) -> str:
    """The label of the examples that is nearest in mood or in words; "" where answers are no labels."""
    labels, moods = list(dict.fromkeys(b for _, b in pairs)), _file()[1]
    if any(len(label.split()) > 3 for label in labels) or any(a.lower() == b.lower() for a, b in pairs):
        return ""
    named = {
        mood: [x for x in labels if x.lower().strip(".!") in moods[mood]]
        for mood in ("positive", "neutral", "negative")
    }
    if sum(map(bool, named.values())) > 1:
        words = set(re.findall(r"[\w']+", question.lower()))
        mood = len(words & moods["good"]) - len(words & moods["bad"])
        mood = -mood if mood > 0 and words & _NOT else mood
        nearest = ["negative", "neutral", "positive"] if mood < 0 else ["positive", "neutral", "negative"]
        nearest = nearest if mood else ["neutral", "negative", "positive"]
        return next(named[name][0] for name in nearest if named[name])
    asked = set(knowledge.loud(question))
    like = {
        b: max(len(asked & {*knowledge.loud(q), *knowledge.loud(b)}) for q, a in pairs if a == b)
        for b in labels
    }
    best, known = max(like, key=like.get), max(knowledge.match(question).values(), default=0) > 0.5
    repeated = 1 < len(labels) < len(pairs)
    return (
        best
        if repeated or (like[best] and len(labels) > 1 and not known and not general.answer(question))
        else ""
    )
