"""What a conversation is about: small talk, general knowledge, a subject, or nothing written down."""

from __future__ import annotations

import hashlib
import operator
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

from . import knowledge
from .instructions import Saying, sentences
from .rows import fill, table

SURE, UNSURE = 0.47, 0.12
"""From SURE on, an entry answers; from UNSURE on, the three nearest are offered."""
_FAMILY, _SAID, _SHORT = 0.2, 0.1, 6
"""What a follow-up adds to its subject, and takes off what was said; words of which one cue is small talk."""
_OPENING = r"^(?:(?:hello|hi|hey|good (?:day|morning|evening)|there|so|well|oh|ok|and|please|sorry) )+"
_CAPITAL = re.compile(r"\bcapital(?: city)? (?:of|in|for) (?:the )?([a-z ]+)|\b([a-z]+)'s capital\b")
_SUM = re.compile(
    r"(?<![\w.-])(-?\d+(?:\.\d+)?) ?(\+|plus|-|minus|\*|x|×|times|/|÷) ?(-?\d+(?:\.\d+)?)"
    r"(?!\d|\.\d| ?[-+*/]| ?[a-z]{3})"
)
_SIGNS = {"plus": "+", "minus": "-", "*": "×", "x": "×", "times": "×", "÷": "/"}
_OPERATORS = {"+": operator.add, "-": operator.sub, "×": operator.mul, "/": operator.truediv}
_FORMS = {
    "simple": "{text}\n\nOr, in one sentence: {brief}",
    "python": "In Python:\n\n```python\n{text}\n```",
    "code": "For example:\n\n```\n{text}\n```",
    "example": "For example: {text}",
}


class Subject(NamedTuple):
    """What a message is about: an entry, the part of it that is asked for, and how sure that is."""

    entry: knowledge.Entry
    part: str = "say"
    score: float = 1.0
    others: tuple[knowledge.Entry, ...] = ()


@lru_cache(maxsize=500)
def kind_of_talk(text: str) -> str:
    """The name of the [[talk]] in talk.toml that `text` is; "" if it is none, or not all of it is."""
    text = re.sub(r"([a-z])\1{2,}", r"\1", text[:300].lower())  # heyyy
    words = _words(text)
    parts = [*filter(None, map(_words, re.split(r"[.!?,;:\n]+|\b(?:and|but)\b", text)))]
    forms = ([words], [re.sub(_OPENING, "", words)], parts)
    kinds = [
        [next((n for n, t in _talks().items() if t["fits"].fullmatch(p)), "") for p in form] for form in forms
    ]
    found = next((known for known in kinds if known and all(known)), None)
    elsewhere = _part_asked(words) != "say" or any(knowledge.leaning(text))
    if not found and not elsewhere and words.count(" ") < _SHORT:
        found = [n for n, talk in _talks().items() if "cue" in talk and re.search(talk["cue"], words)][:1]
    # "Thanks, see you" is a farewell, whatever comes first.
    return min(found or [""], key=lambda name: name in ("greeting", "acknowledgement", "thanks"))


@lru_cache(maxsize=500)
def general(question: str) -> Saying | None:
    """The answer to a question for a capital, a fact or a sum; None where it is none of these."""
    asked, file = question.lower().replace("’", "'")[:500], table("general.toml")
    if found := _CAPITAL.search(asked):
        for name, capital in file["capitals"].items():
            if f"{found[1] or found[2]} ".startswith(f"{name.removeprefix('the ')} "):
                name = name.title().replace("The ", "the ").replace("Usa", "USA")
                text, known = f"The capital of {name} is {capital}.", len(file["capitals"])
                return Saying(text, text, capital, more=(f"It is one of {known} capitals that I know.",))
    for fact in file["fact"]:
        if any(re.search(pattern, asked) for pattern in fact["ask"]):
            first, *more = sentences(fact["say"])
            return Saying(first, first, fact["word"], fact["say"], tuple(more))
    if (found := _SUM.search(asked)) and (float(found[3]) or found[2] not in "/÷"):
        a, sign, b = float(found[1]), _SIGNS.get(found[2], found[2]), float(found[3])
        a, b, value = (f"{n:,.4f}".rstrip("0").rstrip(".") for n in (a, b, _OPERATORS[sign](a, b)))
        return Saying(f"{a} {sign} {b} = {value}.", word=value, more=(f"The result is {value}.",))
    return None


@lru_cache(maxsize=500)
def subject(text: str, before: Subject | None) -> Subject | None:
    """What `text` is about, after `before`; None if nothing in knowledge.toml comes near."""
    words = _words(text)
    part = _part_asked(words)
    rest = re.sub(table("talk.toml")["facets"].get(part, r"\Z"), " ", words)
    named, (ours, elsewhere) = knowledge.loud(rest), knowledge.leaning(rest)
    if part != "say" and before and not named:
        return Subject(before.entry, part)
    apart = 0.85 if before and len(named) < 3 else 1
    scores = {name: apart * score for name, score in knowledge.match(rest if named else text).items()}
    if before and not elsewhere:
        family = before.entry.of or before.entry.name
        for name, score in knowledge.match(rest, f"{before.entry.name} {before.entry.ask[0]}").items():
            entry = knowledge.entries()[name]
            score += _FAMILY * (family in (name, entry.of)) - _SAID * (
                entry is before.entry and part == "say"
            )
            scores[name] = max(scores.get(name, 0), score)
    best = sorted(scores, key=lambda name: (-scores[name], name))[:3]
    if not best or scores[best[0]] < (UNSURE if ours > bool(elsewhere) else SURE):
        return Subject(before.entry, part) if part != "say" and before and len(named) < 2 else None
    first, *others = (knowledge.entries()[name] for name in best)
    return Subject(first, part, min(1, scores[best[0]]), tuple(others))


def say(found: Subject, text: str, said: Sequence[str]) -> Saying:
    """The part of an entry that is asked for; another one where that was said already."""
    entry, part, about = found.entry, found.part, f"{found.entry.name} {found.entry.of}"
    if found.score < SURE:
        near = "\n".join(f"- {fill(entry.brief)}" for entry in (entry, *found.others))
        return Saying(fresh("unsure", text, said, near=near))
    again = ("simple", "example", "python", "why", "brief", "say")
    if re.match(r"\W*(?:and |ok )*how (?:do|can|to|would|should)\b", text.lower()):
        again = ("python", "example", "brief", *again)
    elif entry.of and not entry.simple:
        again = ("brief", *again)  # its own words before those of what it belongs to
    order = ("example", "why", *again) if part == "more" else (part, "say", *again)
    parts = [part for part in (_part(entry, name) for name in order) if part]
    text = next((part for part in parts if part not in said), parts[0])
    if text != fill(entry.say):
        return Saying(text, about=about)
    more = [_part(entry, name) for name in ("example", "why", "lesson")]
    short = (fill(part) for part in (entry.brief, entry.word, entry.part("simple")))
    return Saying(text, *short, tuple(part for part in more if part and "\n" not in part), about)


def off(text: str, said: Sequence[str]) -> str:
    """An honest answer where nothing fits, or nothing is there to follow."""
    lost = not knowledge.loud(text) and _part_asked(_words(text)) != "say"
    return fresh("lost" if lost else "off", text, said)


def fresh(kind: str, text: str, said: Sequence[str], **words: str) -> str:
    """A saying of `kind` in talk.toml, chosen by `text`, not `said` yet, with three things to ask in it."""
    file = table("talk.toml")
    options = _talks()[kind]["say"] if kind in _talks() else file[kind]["say"]
    start = hashlib.sha256(text.encode("utf-8", "replace")).digest() if text else bytes(2)
    texts = []
    for turn in (*range(start[0] % len(options), len(options)), *range(len(options))):
        places = [(start[1] + 5 * i + turn) % len(file["off"]["topics"]) for i in range(3)]
        first, second, third = (file["off"]["topics"][place] for place in places)
        texts.append(fill(options[turn], topics=f"{first}, {second}, or {third}", **words))
    return next((option for option in texts if option not in said), texts[0])


def _words(text: str) -> str:
    return " ".join(knowledge.words_of(text))


@cache
def _talks() -> dict[str, dict[str, Any]]:
    """The kinds of small talk by name."""
    file = table("talk.toml")
    for talk in file["talk"]:
        options = "|".join(talk["ask"]).replace("{more}", file["more"])
        talk["fits"] = re.compile(rf"(?:{options})(?: please| ?)*")
    return {talk["name"]: talk for talk in file["talk"]}


def _part_asked(words: str) -> str:
    """The part of a subject that `words` ask for."""
    facets = table("talk.toml")["facets"]
    return next((part for part, pattern in facets.items() if re.search(pattern, words)), "say")


def _part(entry: knowledge.Entry, name: str) -> str:
    text = f"Lesson {entry.lesson} shows it." if name == "lesson" else fill(entry.part(name))
    if name == "price" and not text:
        return fill(f"{entry.brief} {knowledge.entries()['price'].brief}")
    form = _FORMS.get("code" if name == "example" and "\n" in text else name, "{text}")
    return text and fill(form, text=text, brief=fill(entry.brief))
