"""What the practice model says: canned answers, a memory made of the messages alone, and honesty.

It knows only the request: nothing is kept between calls, as with a real model.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ..models import Model
from . import dialogue, examples, forms, general, instructions, knowledge
from .figures import fill
from .forms import Saying
from .instances import quote_results
from .rows import Pattern, Row, Text, read
from .schemas import CreateMessage, Message

FILE = Path(__file__).with_name("replies.toml")
# Longer texts are searched in their first part only, so that a huge paste costs no time.
SEARCHED, _QUESTION, _TURNS = 20_000, 1_000, 20
"""Characters of a text, and of a question; questions before it in which a subject is looked for."""
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
    r"(?:again )?my (?P<thing>[a-z-]+(?: [a-z-]+){0,2}?)\s*(?:\?|\.|!|,|again|$)"
    r"|\b(?:who am i|what am i called)\W*$",
    re.I | re.M,
)
_HARD = re.compile(
    r"step by step|\bprove\b|\bthink\b|\bwhy\b|\bexplain\b|\bcompare\b|\bplan\b|\bdebug\b", re.I
)


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
def entries() -> tuple[Entry, ...]:
    """The canned answers. Raises ValueError that names the file, the entry and what is wrong with it."""
    knowledge.entries()
    return tuple(read(FILE, "reply", Entry))


def answer(request: CreateMessage, messages: list[Message], model: Model) -> Answer:
    """The answer to the last user turn of `messages` (turns already merged)."""
    at = max(i for i, message in enumerate(messages) if message.role == "user")
    results = [block for block in messages[at].content if block.type == "tool_result"]
    if results:
        return Answer(quote_results(results))
    last = text_of(messages[at])[:SEARCHED]
    system = "\n".join(
        [*(block.text for block in request.system), *(text_of(m) for m in messages if m.role == "system")]
    )
    orders, _, _ = instructions.read(system)
    earlier = "\n".join(text_of(message) for message in messages[:at])[-SEARCHED:]
    if entry := _canned(last, system[:SEARCHED], earlier):
        known = facts(messages, system).items() if "{facts}" in entry.say + entry.thinks else ()
        told = " ".join(f"The user's {thing} is {value}." for thing, value in known)
        text, thinks = (
            fill(part, facts=told, turns=str(len(messages))) for part in (entry.say, entry.thinks)
        )
        ready = entry.system or entry.earlier or not orders
        saying = Saying(text, text.partition(". ")[0].rstrip(".") + ".")
        return Answer(text if ready else _obeyed(saying, orders, last), thinks)
    thinks = "I look for an answer that was written down for this." if _HARD.search(last) else ""
    turns = [(message.role, text_of(message)[:_QUESTION]) for message in messages[: at + 1]][-2 * _TURNS :]
    pairs, shown = examples.shown(turns[:-1], system[:SEARCHED], last[:_QUESTION])
    if said := examples.continued(pairs, shown):
        return Answer(said, thinks)
    wishes: instructions.Wishes = {}
    asked = []
    for text in (text for role, text in turns if role == "user"):
        found, rest, stays = instructions.read(text, spoken=True)
        now = found if "normal" in found else wishes | found
        wishes = now if stays else wishes
        asked.append(rest)
    wishes = now | orders | {"cannot": [*orders.get("cannot", []), *now.get("cannot", [])]}
    saying, about = _saying(messages[: at + 1], asked, system, wishes, turns[-1][1])
    return Answer(_obeyed(saying, wishes, f"{asked[-1]} {about}"), thinks)


def _canned(last: str, system: str, earlier: str) -> Entry | None:
    """The first entry that fits."""
    for entry in entries():
        if (
            entry.ask.search(last)
            and (entry.system is None or entry.system.search(system))
            and (entry.earlier is None or entry.earlier.search(earlier))
        ):
            return entry
    return None


def _obeyed(saying: Saying, wishes: instructions.Wishes, about: str) -> str:
    """`saying` in the form that is wished for, or what is to be said instead of it."""
    refusals = wishes.get("refusals", ())
    stems = set(knowledge.loud(about)) if refusals else ()
    for refused, only, reply in refusals:
        if bool(refused & stems) != only and (stems or not only):
            text = (
                reply or "I do not talk about that here. Is there something else that you would like to know?"
            )
            return forms.render(
                Saying(text), {name: wishes[name] for name in ("case", "json") if name in wishes}
            )
    return forms.render(saying, wishes)


def _saying(
    messages, asked: list[str], system: str, wishes: instructions.Wishes, last: str
) -> tuple[Saying, str]:
    """The answer to what was `asked` last, and the name of its subject."""
    said = [text_of(message) for message in messages if message.role == "assistant"]
    if recall := _RECALL.search(last):
        thing = (recall["thing"] or "name").lower()
        value = facts(messages, system).get(thing)
        unknown = f"I don't know your {thing}: none of the messages I was sent says so."
        return Saying(f"Your {thing} is {value}.", word=value) if value else Saying(unknown), ""
    kind, text = dialogue.small_talk(asked[-1], said)
    if kind:
        return Saying(_in_role(kind, wishes) or text), ""
    told = _FACT.search(last) if "?" not in last and _TELLING.match(last) else None
    if told and (not told["value"][0].islower() or not knowledge.speaks_of_it(told[0])):
        return Saying(f"Noted: your {told['thing'].lower()} is {told['value'].strip()}."), ""
    if known := general.answer(asked[-1]):
        return known, ""
    found = None
    for text in asked:
        if not dialogue.kind_of_talk(text):  # thanks between two questions change no subject
            found = dialogue.subject(text, found)
    if found and found.score >= dialogue.SURE:
        return dialogue.say(found, last, said), f"{found.entry.name} {found.entry.of}"
    if others := sorted({block.type for block in messages[-1].content} - {"text"}):
        text = f"I was sent {' and '.join(others)}, and cannot look into it. {dialogue.off(last, said)}"
        return Saying(text), ""
    return dialogue.say(found, last, said) if found else Saying(dialogue.off(last, said)), ""


def _in_role(kind: str, wishes: instructions.Wishes) -> str:
    """Who the system prompt says that it is; "" if it says nothing of it."""
    who = ", ".join(filter(None, (wishes.get("name"), wishes.get("role"))))
    if not who or kind not in ("greeting", "who are you", "are you a model", "what can you do"):
        return ""
    return f"Hello! I am {who}. What would you like to know?" if kind == "greeting" else f"I am {who}."


def text_of(message: Message) -> str:
    """The text blocks of `message`, a line each."""
    return "\n".join(block.text for block in message.content if block.type == "text")


def facts(messages: list[Message], system: str) -> dict[str, str]:
    """What the messages say about the user: thing → value, the last mention wins."""
    texts = [system[:SEARCHED], *(text_of(message)[:SEARCHED] for message in messages)]
    found = (match for text in texts for match in _FACT.finditer(text))
    return {match["thing"].lower(): match["value"].strip() for match in found}
