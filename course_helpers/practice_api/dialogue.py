"""What a conversation is about: small talk, a subject, a follow-up, or nothing that was written down."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from . import knowledge
from .figures import fill
from .forms import Saying
from .rows import table

SURE, UNSURE = 0.47, 0.12
"""From SURE on, an entry answers; from UNSURE on, the three nearest are offered."""
_FAMILY, _SAID, _APART, _OWN, _SHORT = 0.2, 0.1, 0.85, 4, 6
"""What a follow-up adds to its subject, takes off what was said, and leaves to others; how many words stand
alone; of how many one cue makes small talk."""
_FOLLOWS = re.compile(
    r"^(?:and|but|so|ok|okay|ah|oh|hm|then|or|what about|how about)\b"
    r"|\b(?:it|its|that|this|they|them|their|there|these|those|ones?|though|else|(?:dis)?advantages?|drawbacks?|benefits?|alternatives?)\b"
)
_OPENING = re.compile(
    r"^(?:(?:hello|hi|hey|good (?:day|morning|evening)|there|so|well|oh|ok|and|please|sorry) )+"
)
_AGAIN = {
    "": ("simple", "example", "python", "why", "brief"),
    "how": ("python", "example", "brief", "simple"),
    "more": ("example", "why", "simple", "python", "brief", "say"),
}
"""What is said of a subject whose answer was said already."""


@dataclass(frozen=True)
class Subject:
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
    kinds = [[_kind(part) for part in form] for form in ([words], [_OPENING.sub("", words)], parts)]
    found = next((known for known in kinds if known and all(known)), None)
    elsewhere = _part_asked(words) != "say" or knowledge.speaks_of_it(text) or knowledge.everyday(text)
    if not found and not elsewhere and words.count(" ") < _SHORT:
        found = [n for n, talk in _talks().items() if "cue" in talk and re.search(talk["cue"], words)][:1]
    # "Thanks, see you" is a farewell, whatever comes first.
    return min(found or [""], key=lambda name: name in ("greeting", "acknowledgement", "thanks"))


def small_talk(text: str, said: Sequence[str]) -> tuple[str, str]:
    """What kind of small talk `text` is, and the answer; twice "" if it is none."""
    kind = kind_of_talk(text)
    return (kind, _fresh(_talks()[kind]["say"], "", said)) if kind else ("", "")


@lru_cache(maxsize=500)
def subject(text: str, before: Subject | None) -> Subject | None:
    """What `text` is about, after `before`; None if nothing in knowledge.toml comes near."""
    words = _words(text)
    part = _part_asked(words)
    rest = re.sub(table("talk.toml")["facets"].get(part, r"\Z"), " ", words)
    named = knowledge.loud(rest)
    if part != "say" and before and not named:
        return Subject(before.entry, part)
    scores = dict(knowledge.match(rest if named else text))
    elsewhere, follows = knowledge.everyday(rest), _FOLLOWS.search(words)
    if before and not elsewhere and (len(named) < _OWN or follows):
        family = before.entry.of or before.entry.name
        if follows:
            scores = {name: _APART * score for name, score in scores.items()}
        for name, score in knowledge.match(rest, f"{before.entry.name} {before.entry.ask[0]}").items():
            entry = knowledge.entries()[name]
            score += _FAMILY * (family in (name, entry.of)) - _SAID * (
                entry is before.entry and part == "say"
            )
            scores[name] = max(scores.get(name, 0), score)
    best = sorted(scores, key=lambda name: (-scores[name], name))[:3]
    if not best or scores[best[0]] < (UNSURE if knowledge.speaks_of_it(rest) > elsewhere else SURE):
        return Subject(before.entry, part) if part != "say" and before and len(named) < 2 else None
    first, *others = (knowledge.entries()[name] for name in best)
    return Subject(first, part, min(1, scores[best[0]]), tuple(others))


def say(found: Subject, text: str, said: Sequence[str]) -> Saying:
    """The part of an entry that is asked for; another one where that was said already."""
    entry = found.entry
    if found.score < SURE:
        near = "\n".join(f"- {fill(entry.brief)}" for entry in (entry, *found.others))
        return Saying(_fresh(table("talk.toml")["unsure"]["say"], text, said, near=near))
    again = _AGAIN[
        "how" if re.match(r"\W*(?:and |ok )*how (?:do|can|to|would|should)\b", text.lower()) else ""
    ]
    again = again if entry.simple or not entry.of else ("brief", *again)  # its own words come first
    order = _AGAIN["more"] if found.part == "more" else (found.part, "say", *again)
    parts = [part for part in (_part(entry, name) for name in order) if part]
    text = next((part for part in parts if part not in said), parts[0])
    if text != fill(entry.say):
        return Saying(text)
    more = [_part(entry, name) for name in ("example", "why", "lesson")]
    short = (fill(part) for part in (entry.brief, entry.word, entry.part("simple")))
    return Saying(text, *short, tuple(part for part in more if part and "\n" not in part))


def off(text: str, said: Sequence[str]) -> str:
    """An honest answer where nothing fits, or nothing is there to follow: in other words each time."""
    lost = not knowledge.loud(text) and _part_asked(_words(text)) != "say"
    return _fresh(table("talk.toml")["lost" if lost else "off"]["say"], text, said)


def _words(text: str) -> str:
    return " ".join(knowledge.words_of(text))


@cache
def _talks() -> dict[str, dict[str, Any]]:
    """The kinds of small talk by name, each with one pattern that `fits`."""
    file = table("talk.toml")
    options = {talk["name"]: "|".join(talk["ask"]).replace("{more}", file["more"]) for talk in file["talk"]}
    return {t["name"]: t | {"fits": rf"(?:{options[t['name']]})(?: please| ?)*"} for t in file["talk"]}


def _kind(words: str) -> str:
    return next((name for name, talk in _talks().items() if re.fullmatch(talk["fits"], words)), "")


def _part_asked(words: str) -> str:
    """The part of a subject that `words` ask for."""
    facets = table("talk.toml")["facets"]
    return next((part for part, pattern in facets.items() if re.search(pattern, words)), "say")


def _part(entry: knowledge.Entry, name: str) -> str:
    if name == "lesson":
        return f"Lesson {entry.lesson} shows it." if entry.lesson else "None of the lessons goes into it."
    text = fill(entry.part(name)) if name != "more" else ""
    forms = {
        "simple": f"{text}\n\nOr, in one sentence: {fill(entry.brief)}",
        "python": f"In Python:\n\n```python\n{text}\n```",
        "example": f"For example:\n\n```\n{text}\n```" if "\n" in text else f"For example: {text}",
    }
    if name == "price" and not text:
        return fill(f"{entry.brief} {knowledge.entries()['price'].brief}")
    return forms.get(name, text) if text else ""


def _fresh(options: list[str], text: str, said: Sequence[str], **words: str) -> str:
    """One of `options`, chosen by `text`, that was not said yet, with three things to ask in it."""
    start = hashlib.sha256(text.encode("utf-8", "replace")).digest() if text else bytes(2)
    topics, texts = table("talk.toml")["off"]["topics"], []
    for turn in range(len(options)):
        turn = (start[0] + turn) % len(options)
        first, second, third = (topics[(start[1] + 5 * i + turn) % len(topics)] for i in range(3))
        texts.append(fill(options[turn], topics=f"{first}, {second}, or {third}", **words))
    return next((option for option in texts if option not in said), texts[0])
