"""What the practice model says: canned answers, a memory made of the messages alone, and honesty.

It knows only the request: nothing is kept between calls, as with a real model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..models import Model
from . import dialogue, examples, forms, general, instructions, knowledge
from .forms import Saying
from .instances import quote_results
from .rows import Pattern, Row, Text, read
from .schemas import CreateMessage, Message

FILE = Path(__file__).with_name("replies.toml")
# Longer texts are searched in their first part only, so that a huge paste costs no time.
SEARCHED = 20_000
_QUESTION, _TURNS = 1_000, 20
"""Characters of a question, and questions before it, in which a subject is looked for."""
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
    r"(?:again )?my (?P<thing>[a-z-]+(?: [a-z-]+){0,2}?)\s*(?:\?|\.|!|,|again|$)",
    re.I | re.M,
)
_WHO = re.compile(r"\b(?:who am i|what am i called)\W*$", re.I)
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


@dataclass(frozen=True)
class Answer:
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
    systems = [block.text for block in request.system] + [text_of(m) for m in messages if m.role == "system"]
    system = "\n".join(systems)
    orders = dict(instructions.read(system)[0])
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
            text, thinks = dialogue.fill(entry.say, words), dialogue.fill(entry.thinks, words)
            ready = entry.system or entry.earlier or not orders
            saying = Saying(text, brief=text.partition(". ")[0].rstrip(".") + ".")
            return Answer(text if ready else _obeyed(saying, orders, last), thinks)
    thinks = "I look for an answer that was written down for this." if _HARD.search(last) else ""
    return Answer(_talk(messages[: at + 1], system, orders), thinks)


def _talk(messages: list[Message], system: str, orders: instructions.Wishes) -> str:
    """What is said where no entry of replies.toml fits, in the form that the system and the user wish for."""
    turns = [(message.role, text_of(message)[:_QUESTION]) for message in messages][-2 * _TURNS :]
    last = turns[-1][1]
    pairs, shown = examples.shown(turns[:-1], system[:SEARCHED], last)
    if said := examples.continued(pairs, shown):
        return said
    wishes: instructions.Wishes = {}
    asked = []
    for text in (text for role, text in turns if role == "user"):
        found, rest, stays = instructions.read(text, spoken=True)
        standing = {} if any(name == "normal" for name, _ in found) else wishes
        asked.append(rest)
        now = standing | dict(found)
        wishes = now if stays else standing
    wishes = now | orders | {"cannot": [*orders.get("cannot", []), *now.get("cannot", [])]}
    saying, about = _saying(messages, asked, system, wishes, last)
    return _obeyed(saying, wishes, f"{asked[-1]} {about}")


def _obeyed(saying: Saying, wishes: instructions.Wishes, about: str) -> str:
    """`saying` in the form that is wished for, or what is to be said instead of it."""
    stems = set(knowledge.loud(about))
    for refused, only, reply in wishes.get("refusals", ()):
        if bool(refused & stems) != only and (stems or not only):
            saying = Saying(
                reply or "I do not talk about that here. Is there something else that you would like to know?"
            )
            wishes = {name: wish for name, wish in wishes.items() if name in ("case", "json")}
            break
    return forms.render(saying, wishes)


def _saying(
    messages, asked: list[str], system: str, wishes: instructions.Wishes, last: str
) -> tuple[Saying, str]:
    """The answer to what was `asked` last, and the name of its subject."""
    said = [text_of(message) for message in messages if message.role == "assistant"]
    recall = _RECALL.search(last)
    thing = recall["thing"].lower() if recall else "name" if _WHO.search(last) else None
    if thing:
        value = facts(messages, system).get(thing)
        unknown = f"I don't know your {thing}: none of the messages I was sent says so."
        return Saying(f"Your {thing} is {value}.", word=value) if value else Saying(unknown), ""
    kind, text = dialogue.small_talk(asked[-1], said)
    if kind:
        return Saying(_in_role(kind, wishes) or text), ""
    told = _FACT.search(last) if "?" not in last and _TELLING.match(last) else None
    if told and (
        told["value"][0].isupper() or told["value"][0].isdigit() or not knowledge.speaks_of_it(told[0])
    ):
        return Saying(f"Noted: your {told['thing'].lower()} is {told['value'].strip()}."), ""
    if known := general.answer(asked[-1]):
        return known, ""
    found = None
    for text in asked:
        if not dialogue.small_talk(text, ())[0]:  # thanks between two questions change no subject
            found = dialogue.subject(text, found)
    if found and found.score >= dialogue.SURE:
        return dialogue.say(found, last, said), f"{found.entry.name} {found.entry.of}"
    if others := sorted({block.type for block in messages[-1].content} - {"text"}):
        text = f"I was sent {' and '.join(others)}, and cannot look into it. {dialogue.off(last, said)}"
        return Saying(text), ""
    if "unknown" in wishes:
        return Saying(wishes["unknown"]), ""
    return dialogue.say(found, last, said) if found else Saying(dialogue.off(last, said)), ""


def _in_role(kind: str, wishes: instructions.Wishes) -> str:
    """Who the system prompt says that it is; "" if it says nothing of it."""
    who = ", ".join(part for part in (wishes.get("name"), wishes.get("role")) if part)
    if not who or kind not in ("greeting", "who are you", "are you a model", "what can you do"):
        return ""
    return f"Hello! I am {who}. What would you like to know?" if kind == "greeting" else f"I am {who}."


def text_of(message: Message) -> str:
    """The text blocks of `message`, a line each."""
    return "\n".join(block.text for block in message.content if block.type == "text")


def facts(messages: list[Message], system: str) -> dict[str, str]:
    """What the messages say about the user: thing → value, the last mention wins."""
    texts = [system[:SEARCHED], *(text_of(message)[:SEARCHED] for message in messages)]
    return {
        match["thing"].lower(): match["value"].strip() for text in texts for match in _FACT.finditer(text)
    }
