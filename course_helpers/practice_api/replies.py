"""What the practice model says: canned answers, a memory made of the messages alone, and honesty.

It knows only the request: nothing is kept between calls, as with a real model.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

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


class Entry(Row):
    """One canned answer and what must fit for it."""

    ask: Pattern
    say: Text
    system: Pattern | None = None
    earlier: Pattern | None = None
    thinks: Text = ""


class Answer(NamedTuple):
    """What the model says, and what it thinks first if it thinks by itself ("" for an easy question)."""

    text: str
    thinks: str = ""


@cache
def entries() -> list[Entry]:
    """The canned answers. Raises ValueError that names the file, the entry and what is wrong with it."""
    knowledge.entries()
    return read(FILE, "reply", Entry)


def answer(request: CreateMessage, messages: list[Message]) -> Answer:
    """The answer to the last user turn of `messages` (turns already merged)."""
    at = max(i for i, message in enumerate(messages) if message.role == "user")
    if results := [block for block in messages[at].content if block.type == "tool_result"]:
        return Answer(quote_results(results))
    later = [text_of(message) for message in messages if message.role == "system"]
    system = "\n".join([block.text for block in request.system] + later)[:SEARCHED]
    turns = tuple((message.role, text_of(message)[:SEARCHED]) for message in messages[: at + 1])
    unseen = sorted({block.type for block in messages[at].content} - {"text"})
    return conversed(system, turns, " and ".join(unseen))


@lru_cache(maxsize=32)
def conversed(system: str, turns: tuple[tuple[str, str], ...], unseen: str) -> Answer:
    """The answer to the last of `turns` (role and text), which also holds what is `unseen`, such as images."""
    last, told = turns[-1][1], [system, *(text for _, text in turns)]
    earlier = "\n".join(told[1:-1])[-SEARCHED:]
    orders, _, _ = instructions.read(system)
    for entry in entries():
        demands = ((entry.ask, last), (entry.system, system), (entry.earlier, earlier))
        if all(pattern is None or pattern.search(text) for pattern, text in demands):
            known = (f"The user's {thing} is {value}." for thing, value in _facts(told).items())
            words = {"facts": " ".join(known), "turns": str(len(turns))}
            text, thinks = fill(entry.say, **words), fill(entry.thinks, **words)
            saying = Saying(text, text.partition(". ")[0].rstrip(".") + ".")
            fixed = entry.system or entry.earlier
            return Answer(text if fixed else instructions.render(saying, orders, last), thinks)
    thinks = "I look for an answer that was written down for this." if _HARD.search(last) else ""
    turns = [(role, text[:_QUESTION]) for role, text in turns[-_TURNS:]]
    if said := examples.continued(*examples.shown(turns, system)):
        return Answer(said, thinks)
    lasting: instructions.Wishes = {}
    asked = []
    for text in (text for role, text in turns if role == "user"):
        found, rest, stays = instructions.read(text, spoken=True)
        wishes = found if "normal" in found else lasting | found
        lasting = wishes if stays else lasting
        asked.append(rest)
    wishes |= orders
    said = [text for role, text in turns if role == "assistant"]
    saying = _saying(turns[-1][1], asked, said, told, wishes, unseen)
    return Answer(instructions.render(saying, wishes, asked[-1]), thinks)


def _saying(last: str, asked: list[str], said: list[str], told: list[str], wishes, unseen: str) -> Saying:
    """The answer to `last`; `asked` is it and what was asked before, without the wishes; `told` is all there is."""
    if recall := _RECALL.search(last):
        thing = (recall["thing"] or "name").lower()
        value = _facts(told).get(thing)
        unknown = f"I don't know your {thing}: none of the messages I was sent says so."
        return Saying(f"Your {thing} is {value}." if value else unknown, word=value or "")
    if kind := dialogue.kind_of_talk(asked[-1]):
        name, role = wishes.get("name", ""), wishes.get("role", "")
        who = role if name in role else ", ".join(filter(None, (name[:1].upper() + name[1:], role)))
        if who and kind == "greeting":
            return Saying(f"Hello! I am {who}. What would you like to know?")
        if who and kind in ("who are you", "are you a model", "what can you do"):
            return Saying(f"I am {who}.")
        return Saying(dialogue.fresh(kind, "", said))
    fact = _FACT.search(last) if "?" not in last and _TELLING.match(last) else None
    if fact and (not fact["value"][0].islower() or not knowledge.leaning(fact[0])[0]):
        return Saying(f"Noted: your {fact['thing'].lower()} is {fact['value'].strip()}.")
    if known := dialogue.general(asked[-1]):
        return known
    found = None
    for text in asked:
        if not dialogue.kind_of_talk(text):  # thanks between two questions change no subject
            found = dialogue.subject(text, found)
    if unseen and not (found and found.score >= dialogue.SURE):
        return Saying(f"I was sent {unseen}, and cannot look into it. {dialogue.off(last, said)}")
    return dialogue.say(found, last, said) if found else Saying(dialogue.off(last, said))


def text_of(message: Message) -> str:
    """The text blocks of `message`, a line each."""
    return "\n".join(block.text for block in message.content if block.type == "text")


def _facts(told: list[str]) -> dict[str, str]:
    """What the texts say about the user: thing → value, the last mention wins."""
    found = (match for text in told for match in _FACT.finditer(text))
    return {match["thing"].lower(): match["value"].strip() for match in found}
