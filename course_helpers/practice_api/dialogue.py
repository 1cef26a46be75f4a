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
from .forms import Saying

FILE = Path(__file__).with_name("talk.toml")
SURE, UNSURE = 0.47, 0.12
"""From SURE on, an entry answers; from UNSURE on, the two nearest are offered."""
_CERTAIN, _NEAR, _ROOM = 0.75, 0.1, 850
"""An answer that is not certain names a second subject that comes so near, where there is room for it."""
_FOLLOWS = re.compile(
    r"^(?:and|but|so|ok|okay|ah|oh|hm|then|or|what about|how about)\b"
    r"|\b(?:it|its|that|this|they|them|their|there|these|those|ones?|though|else|(?:dis)?advantages?|drawbacks?|benefits?|alternatives?)\b"
)
_OPENING = re.compile(
    r"^(?:(?:hello|hi|hey|good (?:day|morning|evening)|there|so|well|oh|ok|and|please|sorry) )+"
)
_PART = re.compile(r"[.!?,;:\n]+|\b(?:and|but)\b")
_SHORT = 6
"""Words of a message in which one cue is enough to call it small talk."""
_AGAIN = {
    "": ["simple", "example", "python", "why", "brief"],
    "how": ["python", "example", "brief", "simple"],
}
"""What is said of a subject whose answer was said already."""
_OWN, _FAMILY, _SAID, _APART = 4, 0.2, 0.1, 0.85


@dataclass(frozen=True)
class Subject:
    """What a message is about: an entry, the part of it that is asked for, and how sure that is."""

    entry: knowledge.Entry
    part: str = "say"
    score: float = 1.0
    others: tuple[knowledge.Entry, ...] = ()
    near: bool = False
    """Was the first of the others nearly as good?"""


@cache
def _script() -> dict[str, Any]:
    script = tomllib.loads(FILE.read_text("utf-8"))
    for talk in script["talk"]:
        options = "|".join(talk["ask"]).replace("{more}", script["more"])
        talk["fits"] = re.compile(f"(?:{options})(?: please| ?)*")
    script["facets"] = {part: re.compile(pattern) for part, pattern in script["facets"].items()}
    return script


def small_talk(text: str, said: Sequence[str]) -> tuple[str, str]:
    """What kind of small talk `text` is, and the answer; twice "" if it is none, or not all of it is."""
    text = re.sub(r"([a-z])\1{2,}", r"\1", text[:300].lower())  # heyyy
    words = " ".join(knowledge.words_of(text))
    parts = [" ".join(knowledge.words_of(part)) for part in _PART.split(text)]
    kinds = [[_kind(form) for form in forms if form] for forms in ([words], [_OPENING.sub("", words)], parts)]
    found = next((known for known in kinds if known and all(known)), [_by_cue(text, words)])
    # "Thanks, see you" is a farewell, whatever comes first.
    talk = min(
        found, key=lambda talk: bool(talk) and talk["name"] in ("greeting", "acknowledgement", "thanks")
    )
    return (talk["name"], _fresh(talk["say"], "", said)) if talk else ("", "")


def _kind(words: str) -> dict[str, Any] | None:
    return next((talk for talk in _script()["talk"] if talk["fits"].fullmatch(words)), None)


def _by_cue(text: str, words: str) -> dict[str, Any] | None:
    """What a short message is that names no subject and asks for no part of one, by one word of it."""
    elsewhere = _asks(words) or knowledge.speaks_of_it(text) or knowledge.everyday(text)
    talks = [] if elsewhere or words.count(" ") >= _SHORT else _script()["talk"]
    return next((talk for talk in talks if "cue" in talk and re.search(talk["cue"], words)), None)


def _asks(words: str) -> bool:
    """Do `words` ask for a part of a subject, an example or the reason?"""
    return any(facet.search(words) for facet in _script()["facets"].values())


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
    alone = len(loud) >= _OWN or knowledge.is_foreign(rest)
    if before and not elsewhere and (not alone or _FOLLOWS.search(words)):
        family = before.entry.of or before.entry.name
        if _FOLLOWS.search(words):
            scores = {name: _APART * score for name, score in scores.items()}
        for name, score in knowledge.match(rest, f"{before.entry.name} {before.entry.ask[0]}").items():
            entry = knowledge.entries()[name]
            near = _FAMILY if family in (entry.name, entry.of) else 0
            near -= _SAID if entry is before.entry and part == "say" else 0
            scores[name] = max(scores.get(name, 0), score + near)
    best = sorted(scores, key=lambda name: (-scores[name], name))[:3]
    if not best or scores[best[0]] < (UNSURE if knowledge.speaks_of_it(rest) > elsewhere else SURE):
        return Subject(before.entry, part) if part != "say" and before and len(loud) < 2 else None
    first, *others = [knowledge.entries()[name] for name in best]
    near = len(best) > 1 and scores[best[0]] < _CERTAIN and scores[best[1]] > scores[best[0]] - _NEAR
    return Subject(first, part, min(1, scores[best[0]]), tuple(others), near)


def say(found: Subject, text: str, said: Sequence[str]) -> Saying:
    """The part of an entry that is asked for; another one where that was said already."""
    if found.score < SURE:
        near = "\n".join(f"- {entry.brief}" for entry in (found.entry, *found.others))
        return Saying(fill(_fresh(_script()["unsure"]["say"], text, said), {"{near}": near}))
    again = _AGAIN[
        "how" if re.match(r"\W*(?:and |ok )*how (?:do|can|to|would|should)\b", text.lower()) else ""
    ]
    if found.entry.of and not found.entry.simple:
        again = ["brief", *again]  # its own words before those of what it belongs to
    order = [found.part, "say", *again]
    if found.part == "more":
        order = ["example", "why", "simple", "python", "brief", "say"]
    parts = [fill(part) for part in (_part(found.entry, name) for name in order) if part]
    text = next((part for part in parts if part not in said), parts[0])
    if text != fill(found.entry.say):
        return Saying(text)
    brief, word, simple = (
        fill(part) for part in (found.entry.brief, found.entry.word, found.entry.part("simple"))
    )
    more = [fill(_part(found.entry, name)) for name in ("example", "why", "lesson")]
    return Saying(text, brief, word, simple, tuple(part for part in more if part and "\n" not in part))


def _part(entry: knowledge.Entry, name: str) -> str:
    text = entry.part(name) if name not in ("lesson", "more") else ""
    if name == "lesson":
        return f"Lesson {entry.lesson} shows it." if entry.lesson else "None of the lessons goes into it."
    if name == "simple" and text:
        return f"{text}\n\nOr, in one sentence: {entry.brief}"
    if name == "python" and text:
        return f"In Python:\n\n```python\n{text}\n```"
    if name == "example" and text:
        return f"For example:\n\n```\n{text}\n```" if "\n" in text else f"For example: {text}"
    if name == "price" and not text:
        return f"{entry.brief} {knowledge.entries()['price'].brief}"
    return text


def off(text: str, said: Sequence[str]) -> str:
    """An honest answer where nothing fits, or nothing is there to follow: in other words each time."""
    words = " ".join(knowledge.words_of(text))
    lost = not knowledge.loud(text) and _asks(words)
    return _fresh(_script()["lost" if lost else "off"]["say"], text, said)


def _fresh(options: list[str], text: str, said: Sequence[str]) -> str:
    """One of `options`, chosen by `text`, that was not said yet, with three things to ask in it."""
    start = hashlib.sha256(text.encode("utf-8", "replace")).digest() if text else bytes(2)
    topics = _script()["off"]["topics"]
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
