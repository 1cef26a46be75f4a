"""What the practice model says: canned answers, a memory made of the messages alone, and honesty.

It knows only the request: nothing is kept between calls, as with a real model.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from ..models import Model
from . import dialogue, knowledge, tools
from .schemas import CreateMessage, Message

FILE = Path(__file__).with_name("replies.toml")
# Longer texts are searched in their first part only, so that a huge paste costs no time.
SEARCHED = 20_000
_QUESTION, _TURNS = 1_000, 20
"""Characters of a question, and questions before it, in which a subject is looked for."""
_FACT = re.compile(
    r"\b(?:my|the user's) (?P<thing>[a-z][a-z -]{0,30}?) (?:is|are|was) "
    r"(?P<value>[^\s.!?,;\n][^.!?,;\n]{0,60})",
    re.I,
)
_RECALL = re.compile(
    r"\b(?:what(?:'s| is| was| are)|which|tell me|remember|know|remind me of) "
    r"(?:again )?my (?P<thing>[a-z][a-z -]{0,30}?)\s*(?:\?|\.|!|,|again|$)",
    re.I | re.M,
)
_WHO = re.compile(r"\bwho am i\b|\bwhat am i called\b", re.I)
_HARD = re.compile(
    r"step by step|\bprove\b|\bthink\b|\bwhy\b|\bexplain\b|\bcompare\b|\bplan\b|\bdebug\b", re.I
)


@dataclass(frozen=True)
class Entry:
    """One canned answer and what must fit for it."""

    ask: re.Pattern[str]
    say: str
    system: re.Pattern[str] | None = None
    earlier: re.Pattern[str] | None = None
    thinks: str = ""


@dataclass(frozen=True)
class Answer:
    """What the model says, and what it thinks first if it thinks by itself ("" for an easy question)."""

    text: str
    thinks: str = ""


@cache
def entries() -> tuple[Entry, ...]:
    """The canned answers. Raises ValueError that names the file, the entry and what is wrong with it."""
    knowledge.entries()
    try:
        found = tomllib.loads(FILE.read_text("utf-8"))
    except ValueError as error:  # no TOML, and then it names the line, or no UTF-8
        raise ValueError(f"{FILE.name}: {error}") from None
    rows = found.pop("reply", [])
    if found or not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
        raise ValueError(f"{FILE.name}: above each entry stands a line [[reply]], and nothing else is there.")
    return tuple(_entry(row, f"{FILE.name}, reply {number}") for number, row in enumerate(rows, start=1))


def _entry(row: dict[str, Any], where: str) -> Entry:
    known = [field.name for field in fields(Entry)]
    for key in ("ask", "say", *row):
        if key not in known:
            raise ValueError(f"{where}: {key} is unknown; known are {', '.join(known)}.")
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise ValueError(f"{where}, {key}: it must be there, as a text in quotes.")
    found = row | {"say": row["say"].strip()}
    for key in ("ask", "system", "earlier"):
        try:
            found[key] = re.compile(row[key], re.I | re.S) if key in row else None
        except (re.error, OverflowError) as error:
            raise ValueError(f"{where}, {key}: {error}") from None
    return Entry(**found)


def answer(request: CreateMessage, messages: list[Message], model: Model) -> Answer:
    """The answer to the last user turn of `messages` (turns already merged)."""
    at = max(i for i, message in enumerate(messages) if message.role == "user")
    results = [block for block in messages[at].content if block.type == "tool_result"]
    if results:
        return Answer(tools.answer(results))
    last = text_of(messages[at])[:SEARCHED]
    systems = [block.text for block in request.system] + [text_of(m) for m in messages if m.role == "system"]
    system = "\n".join(systems)
    earlier = "\n".join(text_of(message) for message in messages[:at])[-SEARCHED:]
    for entry in entries():
        if (
            entry.ask.search(last)
            and (entry.system is None or entry.system.search(system[:SEARCHED]))
            and (entry.earlier is None or entry.earlier.search(earlier))
        ):
            known = " ".join(
                f"The user's {thing} is {value}." for thing, value in facts(messages, system).items()
            )
            words = {"{facts}": known, "{turns}": str(len(messages))}
            return Answer(_fill(entry.say, words), _fill(entry.thinks, words))
    asked = _RECALL.search(last)
    thing = asked["thing"].lower() if asked else "name" if _WHO.search(last) else None
    if thing:
        value = facts(messages, system).get(thing)
        unknown = f"I don't know your {thing}: none of the messages I was sent says so."
        return Answer(f"Your {thing} is {value}." if value else unknown)
    said = [text_of(message) for message in messages[:at] if message.role == "assistant"]
    thinks = "I look for an answer that was written down for this." if _HARD.search(last) else ""
    return Answer(_talk(messages[: at + 1], last, said), thinks)


def _talk(messages: list[Message], last: str, said: list[str]) -> str:
    """What is said where no entry of replies.toml fits: small talk, a subject, a fact or nothing."""
    if social := dialogue.small_talk(last, said):
        return social
    told = _FACT.search(last) if "?" not in last else None
    if told and (
        told["value"][0].isupper() or told["value"][0].isdigit() or not knowledge.speaks_of_it(told[0])
    ):
        return f"Noted: your {told['thing'].lower()} is {told['value'].strip()}."
    asked = [text_of(message)[:_QUESTION] for message in messages if message.role == "user"][-_TURNS:]
    found = None
    for text in asked:
        if not dialogue.small_talk(text, ()):  # thanks between two questions change no subject
            found = dialogue.subject(text, found)
    if found and found.score >= dialogue.SURE:
        return dialogue.say(found, last, said)
    if others := sorted({block.type for block in messages[-1].content} - {"text"}):
        return f"I was sent {' and '.join(others)}, and cannot look into it. {dialogue.off(last, said)}"
    return dialogue.say(found, last, said) if found else dialogue.off(last, said)


def text_of(message: Message) -> str:
    """The text blocks of `message`, a line each."""
    return "\n".join(block.text for block in message.content if block.type == "text")


def _fill(text: str, words: dict[str, str]) -> str:
    for name, value in words.items():
        text = text.replace(name, value)
    return text


def facts(messages: list[Message], system: str) -> dict[str, str]:
    """What the messages say about the user: thing → value, the last mention wins."""
    texts = [system[:SEARCHED], *(text_of(message)[:SEARCHED] for message in messages)]
    return {
        match["thing"].lower(): match["value"].strip() for text in texts for match in _FACT.finditer(text)
    }
