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
_VOWELS = "aeiou"
_NOT = {"not", "isn't", "wasn't", "don't", "didn't", "hardly", "never"}
_LINE = re.compile(
    r"^\W*(?:(?:input|q|question|text|user|word|review|ticket)\s*:\s*)?(.+?)\s*(?:->|=>|→|⇒|\||\s=\s|[,;]?\s*\b(?:output|a|answer|label|assistant|becomes|sentiment)\s*:)\s*(.*?)\s*$",
    re.I,
)
Pairs = list[tuple[str, str]]


@cache
def _file() -> tuple[dict[str, dict[str, str]], dict[str, set[str]]]:
    file = tomllib.loads(FILE.read_text("utf-8"))
    tables = {}
    for name, text in file["pairs"].items():
        pairs = [pair.strip() for pair in text.split(",")]
        heads = [re.match(r"(thank you|\S+) (.+)", pair).groups() for pair in pairs]
        tables[name] = {key.lower(): value for key, value in reversed(heads)}
        if name in ("opposites", "synonym", "male"):
            tables[name] = {value.lower(): key for key, value in heads} | tables[name]
        else:
            tables[f"{name}, back"] = {value.lower(): key for key, value in reversed(heads)}
    tables["capitals"] = general.capitals()
    tables["capitals, back"] = {city.lower(): country.title() for country, city in tables["capitals"].items()}
    return tables, {name: set(text.split()) for name, text in file["moods"].items()}


def shown(turns: list[tuple[str, str]], system: str, last: str) -> tuple[Pairs, str]:
    """The example pairs that precede the question, and the question: as turns, or as lines with an arrow."""
    pairs = [(a[1], b[1]) for a, b in pairwise(turns) if (a[0], b[0]) == ("user", "assistant")]
    lines = [
        (found[1], found[2]) for line in f"{system}\n{last}".splitlines() if (found := _LINE.match(line))
    ]
    if lines and not lines[-1][1] and len(lines) > 2:
        return lines[:-1], lines[-1][0]
    lines = [pair for pair in lines if all(pair)]
    return (lines, last) if len(lines) > 1 else (pairs, last)


def continued(pairs: Pairs, question: str) -> str:
    """What the examples make of `question`; "" where no rule fits all of them."""
    pairs = [(a.strip(), b.strip()) for a, b in pairs]
    if len(pairs) < 2 or any(len(b) > 80 or not a or not b for a, b in pairs):
        return ""
    question = question.strip()
    rules = (_calculated, *_SIMPLE, *_tables(), *_affixes(pairs), *_wrapped(pairs), _template(*pairs[0]))
    for rule in rules:
        try:
            if all(rule(a) == b for a, b in pairs) and (found := rule(question)):
                return found
        except (ValueError, IndexError, ZeroDivisionError, TypeError):
            continue
    return _fields(pairs, question) or _label(pairs, question)


def _tables() -> list[Callable[[str], str]]:
    """Each table as a rule, in the case that the question has and that the first letter of the answer has."""

    def rule(table: dict[str, str], shape: Callable[[str], str], other: Callable[[str], str]):
        return lambda text: shape(table.get(text.lower().strip(" ?.!")) or other(text))

    def none(text: str) -> str:
        return ""

    tables = _file()[0]
    regular = {"past": _past, "plural": _plural, "comparative": lambda t: _comparative(t)}
    shapes = (str, str.lower, str.capitalize, str.upper)
    return [rule(table, shape, regular.get(name, none)) for name, table in tables.items() for shape in shapes]


def _past(word: str) -> str:
    if word.endswith("e"):
        return f"{word}d"
    if word[-1] == "y" and word[-2] not in _VOWELS:
        return f"{word[:-1]}ied"
    return f"{_doubled(word)}ed"


def _doubled(word: str) -> str:
    """`word` with its last letter doubled where it is a short one such as stop, plan or big."""
    syllables = len(re.findall(r"[aeiouy]+", word.lower()))
    short = re.search(r"(?:^|[^aeiou])[aeiou][^aeiouwxy]$", word) and syllables == 1
    return word + word[-1] if short else word


def _plural(word: str) -> str:
    if re.search(r"(?:s|x|z|ch|sh)$", word):
        return f"{word}es"
    return f"{word[:-1]}ies" if word[-1] == "y" and word[-2] not in _VOWELS else f"{word}s"


def _comparative(word: str) -> str:
    stem = f"{word[:-1]}i" if word.endswith("y") else word[:-1] if word.endswith("e") else _doubled(word)
    return f"{stem}er"


def _calculated(text: str) -> str:
    said = general.answer(text)
    return said.word if said else ""


def _ing(word: str) -> str:
    return f"{word[:-1] if word.endswith('e') and not word.endswith('ee') else _doubled(word)}ing"


_SIMPLE: tuple[Callable[[str], str], ...] = (
    str.upper,
    str.lower,
    str.title,
    lambda text: text[::-1],
    lambda text: str(len(text)),
    lambda text: str(len(text.split())),
    lambda text: text[0],
    lambda text: text[0].upper(),
    lambda text: text[-1],
    lambda text: text.split()[0],
    lambda text: text.split()[-1],
    lambda text: " ".join(reversed(text.split())),
    lambda text: "".join(word[0] for word in text.split()),
    lambda text: "".join(word[0] for word in text.split()).upper(),
    lambda text: "-".join(text),
    lambda text: " ".join(text),
    lambda text: "_".join(text.lower().split()),
    lambda text: "-".join(text.lower().split()),
    lambda text: re.sub(r"[aeiouAEIOU]", "", text),
    lambda text: str(sum(letter in "aeiouAEIOU" for letter in text)),
    lambda text: "".join(word.capitalize() for word in text.split()),
    lambda text: re.sub(r"\D", "", text),
    lambda text: re.search(r"[\w.+-]+@[\w.-]+\.\w+", text)[0],
    lambda text: f"{text} {text}",
    lambda text: text + text,
    lambda text: "even" if int(text) % 2 == 0 else "odd",
    lambda text: "Even" if int(text) % 2 == 0 else "Odd",
    lambda text: str(int(text) ** 2),
    _ing,
    _past,
    _plural,
    _comparative,
)


def _affixes(pairs: Pairs) -> list[Callable[[str], str]]:
    """What is put before and after the question, cut off it, added to it, or multiplied by."""
    (a, b), rules = pairs[0], []
    cut = len(a) - len(b)
    for form in (str, str.lower, str.upper, str.capitalize):
        at = b.find(form(a))
        if at >= 0:
            before, after = b[:at], b[at + len(a) :]
            rules.append(lambda text, form=form, before=before, after=after: f"{before}{form(text)}{after}")
    if a.startswith(b) and len(a) > len(b):
        rules.append(lambda text, cut=cut: text[:-cut])
    if a.endswith(b) and len(a) > len(b):
        rules.append(lambda text, cut=cut: text[cut:])
    if re.fullmatch(r"-?\d+", a) and re.fullmatch(r"-?\d+", b):
        rules.append(lambda text, by=int(b) - int(a): str(int(text) + by))
        rules.append(lambda text, by=int(b) / int(a): f"{int(text) * by:g}")
    return rules


def _template(a: str, b: str) -> Callable[[str], str]:
    """The words of the question at the places where the first answer has its own."""
    words = re.findall(r"\w+", a)
    parts = (
        re.split("(" + "|".join(map(re.escape, sorted(words, key=len, reverse=True))) + ")", b)
        if words
        else []
    )

    def rule(text: str) -> str:
        own = re.findall(r"\w+", text)
        if len(own) != len(words) or len(parts) < 4:
            raise ValueError
        return "".join(own[words.index(part)] if part in words else part for part in parts)

    return rule


def _wrapped(pairs: Pairs) -> list[Callable[[str], str]]:
    """The same rules within words that all answers share, such as `past: walked` or `Answer: 4`."""
    answers = [b for _, b in pairs]
    before = re.match(r"(?:.*[\s:>({\[\"'])?", _shared(answers))[0]
    after = _shared([b[len(before) :][::-1] for b in answers])[::-1]
    after = re.search(r"(?:[\s.!)}\]\"'<?].*)?$", after)[0]
    if not before and not after:
        return []
    inner = [(a, b[len(before) : len(b) - len(after)]) for a, b in pairs]
    rules = (_calculated, *_SIMPLE, *_tables(), *_affixes(inner))
    return [lambda text, rule=rule: (said := rule(text)) and f"{before}{said}{after}" for rule in rules]


def _shared(texts: list[str]) -> str:
    """The beginning that all texts share."""
    first, last = min(texts), max(texts)
    return first[: next((i for i, c in enumerate(first) if c != last[i : i + 1]), len(first))]


def _fields(pairs: Pairs, question: str) -> str:
    """A part of the question that stands where the examples took theirs: after or between the same words."""
    for a, b in pairs:
        at = a.find(b)
        if at < 0:
            return ""
        before, after = a[:at].split()[-1:], a[at + len(b) :].split()[:1]
        pattern = (
            (re.escape(before[0]) + r"\s+" if before else r"^")
            + r"(.+?)"
            + (r"\s*" + re.escape(after[0]) if after else "$")
        )
        found = re.search(pattern, question)
        if found and all(re.search(pattern, q) and re.search(pattern, q)[1] == said for q, said in pairs):
            return found[1].strip(" .,!?")
    shapes = (
        r"\d{4}-\d\d-\d\d",
        r"\$?\d+(?:[.,]\d+)?(?: ?[€$])?",
        r"(?<=\s)[A-Z]\w+(?: [A-Z]\w+)*",
        r"[A-Z]\w+",
        r"#\w+",
    )
    for shape in shapes:
        if all((m := re.search(shape, a)) and m[0] == b for a, b in pairs) and (
            m := re.search(shape, question)
        ):
            return m[0]
    return ""


def _label(pairs: Pairs, question: str) -> str:
    """The label of the examples that is nearest in mood or in words; "" where answers are no labels."""
    labels = list(dict.fromkeys(b for _, b in pairs))
    if any(len(label.split()) > 3 for label in labels) or any(a.lower() == b.lower() for a, b in pairs):
        return ""
    moods = _file()[1]
    names = {label.lower().strip(".!"): label for label in labels}
    liked, not_liked, even = (
        next((names[name] for name in names if name in moods[kind]), "")
        for kind in ("positive", "negative", "neutral")
    )
    words = set(re.findall(r"[\w']+", question.lower()))
    if (liked and (not_liked or even)) or (not_liked and even):
        mood = len(words & moods["good"]) - len(words & moods["bad"])
        mood = -mood if mood > 0 and words & _NOT else mood
        return (liked if mood > 0 else not_liked if mood < 0 else even) or not_liked or liked
    asked = set(knowledge.loud(question))
    like = dict.fromkeys(labels, 0.0)
    for a, b in pairs:
        shared = asked & {*knowledge.loud(a), *knowledge.loud(b)}
        like[b] = max(like[b], len(shared) / (1 + len(asked)))
    best = max(like, key=like.get)
    repeated = 1 < len(labels) < len(pairs)
    return best if repeated or (like[best] and len(labels) > 1 and _is_open(question)) else ""


def _is_open(question: str) -> bool:
    """Is `question` none that could be answered by itself?"""
    found = knowledge.match(question)
    return not general.answer(question) and max(found.values(), default=0) < 0.5
