"""What the practice model says: canned answers, a memory made of the messages alone, and honesty.

It knows only the request: nothing is kept between calls, as with a real model.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from ..files import read_rows
from . import examples, instructions, knowledge
from .instances import quote_results
from .instructions import Saying, sentences
from .rows import Pattern, Text, fill, table
from .schemas import CreateMessage, Message

FILE = Path(__file__).with_name("replies.toml")
# Longer texts are searched in their first part only, so that a huge paste costs no time.
SEARCHED, _QUESTION, _TURNS = 20_000, 1_000, 40
"""Characters of a text, and of a question; turns in which a subject is looked for."""
SURE, UNSURE = 0.47, 0.12
"""From SURE on, an entry of knowledge.toml answers; from UNSURE on, the three nearest are offered."""
_FAMILY, _SAID, _SHORT = 0.2, 0.1, 6
"""What a follow-up adds to its subject, and takes off what was said; words of which one cue is small talk."""
_FACT = re.compile(
    r"(?i)\b(?:my|the user's) (?P<thing>[a-z][a-z -]{0,30}?) (?:is|are|was) "
    r"(?P<value>[^\s.!?,;\n](?:(?! and my )[^.!?,;\n]){0,60})"
)
_TELLING = re.compile(
    r"(?:\W*\b(?:hi|hello|hey|by the way|and|also|well|note|please|remember|that|i am \w+)\b)*\W*my\b", re.I
)
_RECALL = re.compile(
    r"(?im)\b(?:what(?:'s| is| was| are)|which|tell me|remember|know|remind me of) "
    r"(?:again )?my (?P<thing>[a-z-]+(?: (?!across|after|when|in )[a-z-]+){0,2}?)\s*(?:\?|\.|!|,|again|$)"
    r"|\b(?:who am i|what am i called)\W*$"
)
_HARD = re.compile(r"step by step|\b(?:prove|think|why|explain|compare|plan|debug)\b", re.I)
_OPENING = r"^(?:(?:hello|hi|hey|good (?:day|morning|evening)|there|so|well|oh|ok|and|please|sorry) )+"


class Entry(BaseModel, frozen=True, extra="forbid"):
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


class Subject(NamedTuple):
    """What a message is about: an entry, the part of it that is asked for, and how sure that is."""

    entry: knowledge.Entry
    part: str = "say"
    score: float = 1.0
    others: tuple[knowledge.Entry, ...] = ()


@cache
def entries() -> list[Entry]:
    """The canned answers. Raises ValueError that names the file, the line and what is wrong with it."""
    knowledge.entries()
    return read_rows(FILE.read_text("utf-8"), "reply", Entry, FILE.name)


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


def text_of(message: Message) -> str:
    """The text blocks of `message`, a line each."""
    return "\n".join(block.text for block in message.content if block.type == "text")


@lru_cache(maxsize=32)
def conversed(system: str, turns: tuple[tuple[str, str], ...], unseen: str) -> Answer:
    """The answer to the last of `turns` (role and text); `unseen` are its blocks that are no text."""
    texts, wishes = [system, *(text for _, text in turns)], instructions.read(system)[0]
    last, earlier = texts[-1], "\n".join(texts[1:-1])[-SEARCHED:]
    for entry in entries():
        demands = ((entry.ask, last), (entry.system, system), (entry.earlier, earlier))
        if all(pattern is None or pattern.search(text) for pattern, text in demands):
            known = (f"The user's {thing} is {value}." for thing, value in _facts(texts).items())
            words = {"facts": " ".join(known), "turns": str(len(turns))}
            text, thinks = fill(entry.say, **words), fill(entry.thinks, **words)
            saying = Saying(text, text.partition(". ")[0].rstrip(".") + ".")
            fixed = entry.system or entry.earlier
            return Answer(text if fixed else instructions.render(saying, wishes, last), thinks)
    thinks = "I look for an answer that was written down for this." if _HARD.search(last) else ""
    turns = [(role, text[:_QUESTION]) for role, text in turns[-_TURNS:]]
    if said := examples.continued(turns, system):
        return Answer(said, thinks)
    asked, spoken, lasting = [], {}, {}
    for text in (text for role, text in turns if role == "user"):
        found, rest, stays = instructions.read(text, spoken=True)
        spoken = found if "normal" in found else lasting | found
        lasting = spoken if stays else lasting
        asked.append(rest)
    said = [text for role, text in turns if role == "assistant"]
    saying = _remembered(turns[-1][1], texts) or _found(asked, said, spoken | wishes, unseen)
    return Answer(instructions.render(saying, spoken | wishes, asked[-1]), thinks)


def _remembered(last: str, texts: list[str]) -> Saying | None:
    """The answer to a question for what the `texts` say about the user, or to what is told about them."""
    if recall := _RECALL.search(last):
        thing = (recall["thing"] or "name").lower()
        value = _facts(texts).get(thing)
        unknown = f"I don't know your {thing}: none of the messages I was sent says so."
        return Saying(f"Your {thing} is {value}." if value else unknown, word=value or "")
    fact = _FACT.search(last) if "?" not in last and _TELLING.match(last) else None
    if fact and (not fact["value"][0].islower() or not knowledge.leaning(fact[0])[0]):
        return Saying(f"Noted: your {fact['thing'].lower()} is {fact['value'].strip()}.")
    return None


def _facts(texts: list[str]) -> dict[str, str]:
    """What the texts say about the user: thing → value, the last mention wins."""
    found = (match for text in texts for match in _FACT.finditer(text))
    return {match["thing"].lower(): match["value"].strip() for match in found}


def _found(asked: list[str], said: list[str], wishes: instructions.Wishes, unseen: str) -> Saying:
    """The answer to small talk, to a general question, or about the subject of what was `asked` so far."""
    last = asked[-1]
    if kind := kind_of_talk(last):
        name, role = wishes.get("name", ""), wishes.get("role", "")
        who = role if name in role else ", ".join(filter(None, (name[:1].upper() + name[1:], role)))
        if who and kind in ("greeting", "who are you", "are you a model", "what can you do"):
            hello = "Hello! {} What would you like to know?" if kind == "greeting" else "{}"
            return Saying(hello.format(f"I am {who}."))
        return Saying(fresh(kind, "", said))
    text, word = knowledge.general(last)
    if text:
        first, *more = sentences(text)
        return Saying(first, first, word, text, tuple(more))
    found = None
    for text in asked:
        if not kind_of_talk(text):  # thanks between two questions change no subject
            found = subject(text, found)
    if unseen and not (found and found.score >= SURE):
        return Saying(f"I was sent {unseen}, and cannot look into it. {_off(last, said).text}")
    return say(found, last, said) if found else _off(last, said)


@lru_cache(maxsize=500)
def kind_of_talk(text: str) -> str:
    """The name of the [[talk]] in talk.toml that `text` is; "" if it is none, or not all of it is."""
    text = re.sub(r"([a-z])\1{2,}", r"\1", text[:300].lower())  # heyyy
    words = knowledge.plain(text)
    parts = [*filter(None, map(knowledge.plain, re.split(r"[.!?,;:\n]+|\b(?:and|but)\b", text)))]
    forms = ([words], [re.sub(_OPENING, "", words)], parts)
    talks = _talks().items()
    kinds = ([next((n for n, t in talks if re.fullmatch(t["fits"], p)), "") for p in form] for form in forms)
    found = next((known for known in kinds if known and all(known)), None)
    elsewhere = _part_asked(words) != "say" or any(knowledge.leaning(text))
    if not found and not elsewhere and words.count(" ") < _SHORT:
        found = [n for n, talk in talks if re.search(talk.get("cue", "(?!)"), words)][:1]
    # "Thanks, see you" is a farewell, whatever comes first.
    return min(found or [""], key=lambda name: name in ("greeting", "acknowledgement", "thanks"))


@lru_cache(maxsize=500)
def subject(text: str, before: Subject | None) -> Subject | None:
    """What `text` is about, after `before`; None if nothing in knowledge.toml comes near."""
    words = knowledge.plain(text)
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
    if entry.of and not entry.simple:
        again = ("brief", *again)  # its own words before those of what it belongs to
    order = ("example", "why", *again) if part == "more" else (part, "say", *again)
    parts = [part for part in (_part(entry, name) for name in order) if part]
    text = next((part for part in parts if part not in said), parts[0])
    if text != fill(entry.say):
        return Saying(text, about=about)
    more = [_part(entry, name) for name in ("example", "why", "lesson")]
    short = (fill(part) for part in (entry.brief, entry.word, entry.part("simple")))
    return Saying(text, *short, tuple(part for part in more if part and "\n" not in part), about)


def _part(entry: knowledge.Entry, name: str) -> str:
    """The part `name` of what is known, with the words around it; "" where it has none."""
    text = f"Lesson {entry.lesson} shows it." if name == "lesson" else fill(entry.part(name))
    if name == "price" and not text:
        return fill(f"{entry.brief} {knowledge.entries()['price'].brief}")
    form = table("talk.toml")["forms"].get("code" if name == "example" and "\n" in text else name, "{text}")
    return text and fill(form, text=text, brief=fill(entry.brief))


def _part_asked(words: str) -> str:
    """The part of a subject that `words` ask for."""
    facets = table("talk.toml")["facets"]
    return next((part for part, pattern in facets.items() if re.search(pattern, words)), "say")


def _off(text: str, said: Sequence[str]) -> Saying:
    """An honest answer where nothing fits, or nothing is there to follow."""
    lost = not knowledge.loud(text) and _part_asked(knowledge.plain(text)) != "say"
    return Saying(fresh("lost" if lost else "off", text, said))


def fresh(kind: str, text: str, said: Sequence[str], **words: str) -> str:
    """A saying of `kind` in talk.toml, chosen by `text`, not `said` yet, with three things to ask in it."""
    file = table("talk.toml")
    options, topics = (_talks().get(kind) or file[kind])["say"], file["off"]["topics"]
    start = hashlib.sha256(text.encode("utf-8", "replace")).digest() if text else bytes(2)
    texts = []
    for turn in (*range(start[0] % len(options), len(options)), *range(len(options))):
        first, second, third = (topics[(start[1] + 5 * i + turn) % len(topics)] for i in range(3))
        texts.append(fill(options[turn], topics=f"{first}, {second}, or {third}", **words))
    return next((option for option in texts if option not in said), texts[0])


@cache
def _talks() -> dict[str, dict[str, Any]]:
    """The kinds of small talk by name, each with one pattern for all that may be said."""
    file = table("talk.toml")
    for talk in file["talk"]:
        options = "|".join(talk["ask"]).replace("{more}", file["more"])
        talk["fits"] = rf"(?:{options})(?: please| ?)*"
    return {talk["name"]: talk for talk in file["talk"]}
