"""What a conversation is about: small talk, a subject, a follow-up, or nothing that was written down."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from . import knowledge
from .figures import figures

FILE = Path(__file__).with_name("talk.toml")
SURE, UNSURE = 0.47, 0.28
"""From SURE on, an entry answers; from UNSURE on, the two nearest are offered."""
_FOLLOWS = re.compile(
    r"^(?:and|but|so|ok|okay|ah|oh|hm|then|or|what about|how about)\b"
    r"|\b(?:it|its|that|this|they|them|their|there|these|those|ones?|though|else)\b"
)
_OWN, _FAMILY = 4, 0.12


@dataclass(frozen=True)
class Subject:
    """What a message is about: an entry, the part of it that is asked for, and how sure that is."""

    entry: knowledge.Entry
    part: str = "say"
    score: float = 1.0
    other: knowledge.Entry | None = None


@cache
def _script() -> dict[str, Any]:
    script = tomllib.loads(FILE.read_text("utf-8"))
    for talk in script["talk"]:
        options = "|".join(talk["ask"]).replace("{more}", script["more"])
        talk["fits"] = re.compile(f"(?:{options})(?: please| ?)*")
    script["facets"] = {part: re.compile(pattern) for part, pattern in script["facets"].items()}
    return script


def small_talk(text: str, said: Sequence[str]) -> str:
    """The answer to a greeting, to thanks and the like; "" if `text` is nothing of the kind."""
    words = " ".join(knowledge.words_of(text[:300]))
    talk = next((talk for talk in _script()["talk"] if talk["fits"].fullmatch(words)), None)
    return _fresh(talk["say"], text, said) if talk else ""


@lru_cache(maxsize=500)
def subject(text: str, before: Subject | None) -> Subject | None:
    """What `text` is about, after `before`; None if nothing in knowledge.toml comes near."""
    words = " ".join(knowledge.words_of(text))
    part = next((part for part, facet in _script()["facets"].items() if facet.search(words)), "say")
    rest = _script()["facets"][part].sub(" ", words) if part != "say" else words
    loud = knowledge.loud(rest)
    if part != "say" and before and not loud:
        return Subject(before.entry, part)
    scores = dict(knowledge.match(rest if loud else text))
    elsewhere = knowledge.everyday(rest)
    if before and not elsewhere and (_FOLLOWS.search(words) or len(loud) < _OWN):
        family = before.entry.of or before.entry.name
        for name, score in knowledge.match(rest, f"{before.entry.name} {before.entry.ask[0]}").items():
            entry = knowledge.entries()[name]
            near = _FAMILY if family in (entry.name, entry.of) else 0
            scores[name] = max(scores.get(name, 0), score + near)
    best = sorted(scores, key=lambda name: (-scores[name], name))[:2]
    if not best or scores[best[0]] < (SURE if elsewhere else UNSURE):
        return Subject(before.entry, part) if part != "say" and before and len(loud) < 2 else None
    first, *others = [knowledge.entries()[name] for name in best]
    return Subject(first, part, min(1, scores[best[0]]), others[0] if others else None)


def say(found: Subject, text: str, said: Sequence[str]) -> str:
    """The part of an entry that is asked for; another one where that was said already."""
    if found.score < SURE and found.other:
        words = {"{a}": found.entry.brief.rstrip("."), "{b}": found.other.brief.rstrip(".")}
        return fill(_fresh(_script()["unsure"]["say"], text, said), words)
    order = [found.part, "say", "simple", "example", "python", "why", "brief"]
    if found.part == "more":
        order = ["example", "why", "simple", "python", "brief", "say"]
    parts = [fill(part) for part in (_part(found.entry, name) for name in order) if part]
    return next((part for part in parts if part not in said), parts[0])


def _part(entry: knowledge.Entry, name: str) -> str:
    text = entry.part(name) if name not in ("lesson", "more") else ""
    if name == "lesson":
        return f"Lesson {entry.lesson} shows it." if entry.lesson else "None of the lessons goes into it."
    if name == "python" and text:
        return f"In Python:\n\n```python\n{text}\n```"
    if name == "example" and text:
        return f"For example:\n\n```\n{text}\n```" if "\n" in text else f"For example: {text}"
    if name == "price" and not text:
        return knowledge.entries()["price"].say
    return text


def off(text: str, said: Sequence[str], kind: str = "off") -> str:
    """An honest answer where nothing fits: in other words each time."""
    return _fresh(_script()[kind]["say"], text, said)


def _fresh(options: list[str], text: str, said: Sequence[str]) -> str:
    """One of `options`, chosen by `text`, that was not said yet, with three things to ask in it."""
    topics, start = _script()["off"]["topics"], hashlib.sha256(text.encode("utf-8", "replace")).digest()
    turns = [*range(start[0] % len(options), len(options)), *range(start[0] % len(options))]
    texts = []
    for turn in turns:
        three = [topics[(start[1] + 5 * i + turn) % len(topics)] for i in range(3)]
        texts.append(fill(options[turn], {"{topics}": f"{three[0]}, {three[1]}, or {three[2]}"}))
    return next((option for option in texts if option not in said), texts[0])


def fill(text: str, words: dict[str, str] | None = None) -> str:
    """`text` with the words in braces replaced, those of `figures` last."""
    for name, value in (words or {}).items():
        text = text.replace(name, value)
    return re.sub(r"\{(\w+)\}", lambda found: figures().get(found[1], found[0]), text)
