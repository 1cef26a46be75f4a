"""What the practice model says: canned answers, a memory made of the messages alone, and honesty.

It knows only the request: nothing is kept between calls, as with a real model.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel

from ..files import read_rows
from . import examples, instructions, knowledge
from .instances import quote_results
from .instructions import Saying, sentences
from .knowledge import Text, fill, table
from .schemas import CreateMessage

FILE = Path(__file__).with_name("replies.toml")
Pattern = Annotated[re.Pattern, AfterValidator(lambda found: re.compile(found.pattern, re.I | re.S))]
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


class Entry(BaseModel, frozen=True, extra="forbid"):
    """One canned answer and what must fit for it."""

    ask: Pattern
    say: Text
    system: Pattern | None = None
    earlier: Pattern | None = None
    thinks: Text = ""


@cache
def entries() -> list[Entry]:
    """The canned answers. Raises ValueError that names the file, the line and what is wrong with it."""
    knowledge.entries()
    return read_rows(FILE.read_text("utf-8"), "reply", Entry, FILE.name)


def answer(request: CreateMessage) -> tuple[str, str]:
    """What is said to the last user turn of `request`, and what is thought first.

    A model that thinks by itself thinks "" about an easy question.
    """
    messages = request.turns
    at = max(i for i, message in enumerate(messages) if message.role == "user")
    if results := [block for block in messages[at].content if block.type == "tool_result"]:
        return quote_results(results), ""
    later = [message.text for message in messages if message.role == "system"]
    system = "\n".join([block.text for block in request.system] + later)[:SEARCHED]
    turns = tuple((message.role, message.text[:SEARCHED]) for message in messages[: at + 1])
    return conversed(system, turns)


@lru_cache(maxsize=32)
def conversed(system: str, turns: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """What `answer` says to the last of `turns`, each a role and a text."""
    texts, wishes = [system, *(text for _, text in turns)], instructions.read(system)[0]
    last, earlier = texts[-1], "\n".join(texts[1:-1])[-SEARCHED:]
    for entry in entries():
        demands = ((entry.ask, last), (entry.system, system), (entry.earlier, earlier))
        if all(pattern is None or pattern.search(text) for pattern, text in demands):
            known = (f"The user's {thing} is {value}." for thing, value in _facts(texts).items())
            words = {"facts": " ".join(known), "turns": str(len(turns))}
            said, thinks = fill(entry.say, **words), fill(entry.thinks, **words)
            if not (entry.system or entry.earlier):
                said = instructions.render(Saying(said, sentences(said)[0]), wishes, last)
            return said, thinks
    thinks = "I look for an answer that was written down for this." if _HARD.search(last) else ""
    turns = [(role, text[:_QUESTION]) for role, text in turns[-_TURNS:]]
    if said := examples.continued(turns, system):
        return said, thinks
    asked, spoken, lasting = [], {}, {}
    for text in (text for role, text in turns if role == "user"):
        found, rest, stays = instructions.read(text, spoken=True)
        spoken = found if "normal" in found else lasting | found
        lasting = spoken if stays else lasting
        asked.append(rest)
    wishes, before = spoken | wishes, [text for role, text in turns if role == "assistant"]
    saying = _remembered(turns[-1][1], texts) or _found(asked, before, wishes)
    return instructions.render(saying, wishes, asked[-1]), thinks


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


def _found(asked: list[str], said: list[str], wishes: instructions.Wishes) -> Saying:
    """The answer to small talk, to a general question, or about the subject of what was `asked` so far."""
    last = asked[-1]
    if kind := kind_of_talk(last):
        name, role = wishes.get("name", ""), wishes.get("role", "")
        who = role if name in role else ", ".join(filter(None, (name[:1].upper() + name[1:], role)))
        if who and kind in ("greeting", "who are you", "are you a model", "what can you do"):
            greeted = f"Hello! I am {who}. What would you like to know?"
            return Saying(greeted if kind == "greeting" else f"I am {who}.")
        return fresh(kind, "", said)
    text, word = knowledge.general(last)
    if text:
        return Saying(sentences(text)[0], word=word, simple=text)
    found: tuple[knowledge.Entry, ...] = ()
    for text in asked:
        if not kind_of_talk(text):  # thanks between two questions change no subject
            found = subject(text, found)
    if found:
        return say(found, last, said)
    lost = not knowledge.loud(last) and _part_asked(knowledge.plain(last)) != "say"
    return fresh("lost" if lost else "off", last, said)


@lru_cache(maxsize=500)
def kind_of_talk(text: str) -> str:
    """The name of the [talk] in talk.toml that `text` is; "" if it is none, or not all of it is."""
    text, file = re.sub(r"([a-z])\1{2,}", r"\1", text[:300].lower()), table("talk.toml")  # heyyy
    talks, words = file["talk"].items(), re.sub("(?: please)+$", "", knowledge.plain(text))
    fits = {name: "|".join(talk["ask"]).replace("{more}", file["more"]) for name, talk in talks}
    parts = [*filter(None, map(knowledge.plain, re.split(r"[.!?,;:\n]+|\b(?:and|but)\b", text)))]
    for form in ([words], parts):
        kinds = [next((name for name in fits if re.fullmatch(fits[name], part)), "") for part in form]
        if kinds and all(kinds):  # "Thanks, see you" is a farewell, whatever comes first
            return min(kinds, key=lambda name: name in ("greeting", "acknowledgement", "thanks"))
    if words.count(" ") >= _SHORT or _part_asked(words) != "say" or any(knowledge.leaning(text)):
        return ""
    return next((name for name, talk in talks if re.search(talk.get("cue", "(?!)"), words)), "")


@lru_cache(maxsize=500)
def subject(text: str, before: tuple[knowledge.Entry, ...]) -> tuple[knowledge.Entry, ...]:
    """The entry that `text` is about, after what was `before`; three where that is not sure; or none."""
    words, about = knowledge.plain(text), before[0] if before else None
    part = _part_asked(words)
    rest = re.sub(table("talk.toml")["facets"].get(part, r"\Z"), " ", words)
    named, (ours, everyday) = knowledge.loud(rest), knowledge.leaning(rest)
    if about and part != "say" and not named:
        return before[:1]
    apart = 0.85 if about and len(named) < 3 else 1
    scores = {name: apart * score for name, score in knowledge.match(rest if named else text).items()}
    if about and not everyday:
        family = about.of or about.name
        for name, score in knowledge.match(rest, f"{about.name} {about.ask[0]}").items():
            near, same = family in (name, knowledge.entries()[name].of), name == about.name and part == "say"
            scores[name] = max(scores.get(name, 0), score + _FAMILY * near - _SAID * same)
    best, score = sorted(scores, key=lambda name: (-scores[name], name)), max(scores.values(), default=0)
    wanted = 1 if score >= SURE else 3 if score >= UNSURE and ours > bool(everyday) else 0
    return tuple(knowledge.entries()[name] for name in best[:wanted])


def say(found: tuple[knowledge.Entry, ...], text: str, said: Sequence[str]) -> Saying:
    """The part of an entry that `text` asks for; another one where that was `said` already."""
    entry, part = found[0], _part_asked(knowledge.plain(text))
    if len(found) > 1:
        near = "\n".join(f"- {entry.part('brief')}" for entry in found)
        return fresh("unsure", text, said, near=near)
    again = ("simple", "example", "python", "why", "brief", "say")
    if entry.of and not entry.simple:
        again = ("brief", *again)  # its own words before those of what it belongs to
    order = ("example", "why", *again) if part == "more" else (part, "say", *again)
    parts = [part for part in (_part(entry, name) for name in order) if part]
    text = next((part for part in parts if part not in said), parts[0])
    whole = text == entry.part("say")
    return Saying(text, *(entry.part(name) for name in ("brief", "word", "simple") if whole))


def _part(entry: knowledge.Entry, name: str) -> str:
    """The part `name` of what is known, with the words around it; "" where it has none."""
    text = f"Lesson {entry.lesson} shows it." if name == "lesson" else entry.part(name)
    if name == "price" and not text:
        return f"{entry.part('brief')} {knowledge.entries()['price'].part('brief')}"
    form = table("talk.toml")["forms"].get("code" if name == "example" and "\n" in text else name, "{text}")
    return text and fill(form, text=text, brief=entry.part("brief"))


def _part_asked(words: str) -> str:
    """The part of a subject that `words` ask for."""
    facets = table("talk.toml")["facets"]
    return next((part for part, pattern in facets.items() if re.search(pattern, words)), "say")


def fresh(kind: str, text: str, said: Sequence[str], **words: str) -> Saying:
    """A saying of `kind` in talk.toml, chosen by `text`, not `said` yet, with three things to ask in it."""
    file = table("talk.toml")
    options, topics = (file["talk"].get(kind) or file[kind])["say"], file["off"]["topics"]
    start = hashlib.sha256(text.encode("utf-8", "replace")).digest() if text else bytes(2)
    texts = []
    for turn in (*range(start[0] % len(options), len(options)), *range(len(options))):
        first, second, third = (topics[(start[1] + 5 * i + turn) % len(topics)] for i in range(3))
        texts.append(fill(options[turn], topics=f"{first}, {second}, or {third}", **words))
    return Saying(next((option for option in texts if option not in said), texts[0]))
