"""What the practice model says: canned answers, a memory made of the messages alone, and honesty.

It knows only the request: nothing is kept between calls, as with a real model.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from ..models import Model
from . import dialogue, examples, instructions, knowledge
from .instances import quote_results
from .instructions import Saying
from .rows import Pattern, Row, Text, fill, read
from .schemas import CreateMessage, Message

FILE = Path(__file__).with_name("replies.toml")
# Longer texts are searched in their first part only, so that a huge paste costs no time.
SEARCHED, _QUESTION, _TURNS = 20_000, 1_000, 40
"""Characters of a text, and of a question; turns in which a subject is looked for."""
_FACT = re.compile(
    r"\b(?:my|the user's) (?P<thing>[a-z][a-z -]{0,30}?) (?:is|are|was) "
    r"(?P<value>[^\s.!?,;\n](?:(?! and my )[^.!?,;\n]){0,60})",
    re.I,
)
_TELLING = re.compile(
    r"(?:\W*\b(?:hi|hello|hey|by the way|and|also|well|note|please|remember|that|i am \w+)\b)*\W*my\b", re.I
)
_RECALL = re.compile(
    r"\b(?:what(?:'s| is| was| are)|which|tell me|remember|know|remind me of) "
    r"(?:again )?my (?P<thing>[a-z-]+(?: (?!across|after|when|in )[a-z-]+){0,2}?)\s*(?:\?|\.|!|,|again|$)"
    r"|\b(?:who am i|what am i called)\W*$",
    re.I | re.M,
)
_HARD = re.compile(r"step by step|\b(?:prove|think|why|explain|compare|plan|debug)\b", re.I)

_NO = "I do not talk about that here. Is there something else that you would like to know?"


class Entry(Row):
    """One canned answer and what must fit for it."""

    ask: Pattern
    say: Text
    system: Pattern | None = None
    earlier: Pattern | None = None
    thinks: Text = ""


class _Entries(tuple):
    """Entries that are one thing to look up: the same ones, not equal ones."""

    __hash__, __eq__ = object.__hash__, object.__eq__


class Answer(NamedTuple):
    """What the model says, and what it thinks first if it thinks by itself ("" for an easy question)."""

    text: str
    thinks: str = ""


@cache
def entries() -> tuple[Entry, ...]:
    """The canned answers. Raises ValueError that names the file, the entry and what is wrong with it."""
    knowledge.entries()
    return _Entries(read(FILE, "reply", Entry))


def answer(request: CreateMessage, messages: list[Message], model: Model) -> Answer:
    """The answer to the last user turn of `messages` (turns already merged)."""
    at = max(i for i, message in enumerate(messages) if message.role == "user")
    if results := [block for block in messages[at].content if block.type == "tool_result"]:
        return Answer(quote_results(results))
    later = [text_of(message) for message in messages if message.role == "system"]
    system = "\n".join([block.text for block in request.system] + later)
    orders, _, _ = instructions.read(system)
    system, texts = system[:SEARCHED], [text_of(message) for message in messages[: at + 1]]
    last, earlier = texts[-1][:SEARCHED], "\n".join(texts[:-1])[-SEARCHED:]
    if entry := _canned(entries(), last, system, earlier):
        known = (f"The user's {thing} is {value}." for thing, value in _facts([system, *texts]).items())
        words = {"facts": " ".join(known), "turns": str(len(messages))}
        text, thinks = fill(entry.say, **words), fill(entry.thinks, **words)
        saying = Saying(text, text.partition(". ")[0].rstrip(".") + ".")
        return Answer(text if entry.system or entry.earlier else _obeyed(saying, orders, last), thinks)
    thinks = "I look for an answer that was written down for this." if _HARD.search(last) else ""
    turns = [(message.role, text_of(message)[:_QUESTION]) for message in messages[: at + 1]][-_TURNS:]
    if said := examples.continued(*examples.shown(turns[:-1], system, turns[-1][1])):
        return Answer(said, thinks)
    wishes: instructions.Wishes = {}
    asked = []
    for text in (text for role, text in turns if role == "user"):
        found, rest, stays = instructions.read(text, spoken=True)
        now = found if "normal" in found else wishes | found
        wishes = now if stays else wishes
        asked.append(rest)
    wishes = now | orders | {"cannot": [*orders.get("cannot", []), *now.get("cannot", [])]}
    saying, about = _saying(messages[at], asked, turns, [system, *texts], wishes)
    return Answer(_obeyed(saying, wishes, f"{asked[-1]} {about}"), thinks)


@lru_cache(maxsize=32)
def _canned(entries: _Entries, last: str, system: str, earlier: str) -> Entry | None:
    """The first of the entries that fits."""
    for entry in entries:
        demands = ((entry.system, system), (entry.earlier, earlier))
        if entry.ask.search(last) and all(
            pattern is None or pattern.search(text) for pattern, text in demands
        ):
            return entry
    return None


def _obeyed(saying: Saying, wishes: instructions.Wishes, about: str) -> str:
    """`saying` in the form that is wished for, or what is to be said instead of it."""
    refusals = wishes.get("refusals", ())
    stems = set(knowledge.loud(about)) if refusals else set()
    for refused, only, reply in refusals:
        if bool(refused & stems) != only and (stems or not only):
            wishes = {name: wishes[name] for name in ("case", "json") if name in wishes}
            return instructions.render(Saying(reply or _NO), wishes)
    return instructions.render(saying, wishes)


def _saying(message: Message, asked: list[str], turns, texts: list[str], wishes) -> tuple[Saying, str]:
    """The answer to what was `asked` last, and the name of its subject."""
    last, said = turns[-1][1], [text for role, text in turns if role == "assistant"]
    if recall := _RECALL.search(last):
        thing = (recall["thing"] or "name").lower()
        value = _facts(texts).get(thing)
        unknown = f"I don't know your {thing}: none of the messages I was sent says so."
        return Saying(f"Your {thing} is {value}." if value else unknown, word=value or ""), ""
    if kind := dialogue.kind_of_talk(asked[-1]):
        who = ", ".join(filter(None, (wishes.get("name"), wishes.get("role"))))
        if who and kind == "greeting":
            return Saying(f"Hello! I am {who}. What would you like to know?"), ""
        if who and kind in ("who are you", "are you a model", "what can you do"):
            return Saying(f"I am {who}."), ""
        return Saying(dialogue.fresh(kind, "", said)), ""
    told = _FACT.search(last) if "?" not in last and _TELLING.match(last) else None
    if told and (not told["value"][0].islower() or not knowledge.leaning(told[0])[0]):
        return Saying(f"Noted: your {told['thing'].lower()} is {told['value'].strip()}."), ""
    if known := dialogue.general(asked[-1]):
        return known, ""
    found = None
    for text in asked:
        if not dialogue.kind_of_talk(text):  # thanks between two questions change no subject
            found = dialogue.subject(text, found)
    if found and found.score >= dialogue.SURE:
        return dialogue.say(found, last, said), f"{found.entry.name} {found.entry.of}"
    if others := sorted({block.type for block in message.content} - {"text"}):
        text = f"I was sent {' and '.join(others)}, and cannot look into it. {dialogue.off(last, said)}"
        return Saying(text), ""
    return dialogue.say(found, last, said) if found else Saying(dialogue.off(last, said)), ""


def text_of(message: Message) -> str:
    """The text blocks of `message`, a line each."""
    return "\n".join(block.text for block in message.content if block.type == "text")


def _facts(texts: list[str]) -> dict[str, str]:
    """What the messages say about the user: thing → value, the last mention wins."""
    found = (match for text in texts for match in _FACT.finditer(text[:SEARCHED]))
    return {match["thing"].lower(): match["value"].strip() for match in found}
