"""What a system prompt, or the user, asks of an answer: read clause by clause, and obeyed.

The patterns stand in wishes.toml; here is what takes more than one pattern: lengths, subjects, JSON fields.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from . import knowledge
from .knowledge import table

SEARCHED = 4_000
"""Characters of a text in which wishes are looked for."""
Wishes = dict[str, Any]
"""What is wished for, by name: words, sentences, list, case, json, start, end, refusals and so on."""
_QUOTED = re.compile(
    r"(?<!\w)'((?:[^'\n]|'(?=\w))+)'(?!\w)|\"([^\"\n]+)\"|“([^”]+)”|‘([^’]+)’(?!\w)|«\s*([^»]+?)\s*»|`([^`\n]+)`"
    r"|(?:(?<=say: )|(?<=reply: )|(?<=answer: )|(?<=respond: ))([A-Z][^\n'\"“‘:]*[.!?])"
)
_HELD = re.compile(r"⟦(\d+)⟧")
_TITLE = re.compile(r"\b(Mr|Mrs|Ms|Dr|Prof|St)\.")
_CLAUSE = re.compile(r"(?<=[.!?;])\s+(?![Hh]ow\W*$)|\n+")
_UNITS = {"word": "words"} | dict.fromkeys(("sentence", "paragraph", "line"), "sentences")
_SENTENCE = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)\s+(?=[A-Z\"“`(])")
_FENCE = re.compile(r"\n*```.*?```\n*", re.S)
"""Code in an answer: it is never cut or made a list of, but follows whole."""
_PART = re.compile(r"(?<=\D): |; |, (?=\w+ \w+ \w+)")
_NOTE = "[practice model: I can only answer in plain English, so this is left out: {}.]"
_NO = "I do not talk about that here. Is there something else that you would like to know?"


@lru_cache(maxsize=200)
def read(text: str, *, spoken: bool = False) -> tuple[Wishes, str, bool]:
    """The wishes in `text` (to look at, not to change), what is left of it, and whether they are to stay.

    What is `spoken` by the user is also a question: there a wish is an order or an aside, never the subject.
    """
    wishes: Wishes = {}
    held, rest, beside = [], [], []

    def hold(found: re.Match[str]) -> str:
        """A number instead of what stands in quotes, so that no clause ends and no pattern looks inside."""
        held.append(next(filter(None, found.groups())))
        ends = held[-1][-1] in ".!?" and re.match(r"\s+[A-Z]|\s*$", found.string[found.end() :])
        return f"⟦{len(held) - 1}⟧" + ("." if ends else "")

    text = _TITLE.sub(r"\1", _QUOTED.sub(hold, re.sub("[⟦⟧]", "", text[:SEARCHED])))
    for clause in filter(str.strip, _CLAUSE.split(text)):
        found, left = _clause(clause, held, wishes, spoken)
        wishes |= found
        (beside if found else rest).append(left)
    left = " ".join(rest if knowledge.loud(" ".join(rest)) else [*rest, *beside])
    stays = _search("standing", text.lower()) or not ("?" in text or knowledge.loud(left))
    return wishes, _unheld(left, held), bool(wishes and stays)


def _unheld(text: str, held: list[str]) -> str:
    """`text` with what stood in quotes in its place again."""
    return _HELD.sub(lambda number: held[int(number[1])], text)


def _search(name: str, text: str) -> re.Match[str] | None:
    return re.search(table("wishes.toml")["patterns"][name], text)


def _clause(clause: str, held: list[str], before: Wishes, spoken: bool) -> tuple[Wishes, str]:
    """The wishes in one clause, after those `before` it, and the clause without them."""
    file, lower = table("wishes.toml"), clause.lower().replace("’", "'")
    number = rf"\b(?:{'|'.join(file['numbers'])})\b"
    lower = re.sub(number, lambda word: str(file["numbers"][word[0]]), lower)
    left = lower = re.sub(file["patterns"]["at_most"], "at most", lower)
    if spoken and _search("asks_how", lower):
        return {}, clause  # a question about lists, JSON and so on
    if not spoken and (refusals := _refusals(lower, held, before.get("refusals", []))):
        return {"refusals": refusals}, ""
    found: Wishes = {}
    for wish in file["wish"]:
        text, field = clause if wish.get("cased") else lower, wish["field"]
        match = re.search(wish["ask"], text)
        if match and not (spoken and wish.get("system")):
            said, left = match.lastindex or 0, left.replace(match[0].lower(), " ")
            if not re.search(wish.get("unless", file["negated"]), text[: match.start(said)]):
                found[field] = wish.get("value", _unheld(match[said], held).strip())
            elif "negated" in wish:
                found.setdefault(field, wish["negated"])
    if found.get("json") or (before.get("json") == ["answer"] and _search("keys", clause)):
        found["json"] = _keys(clause, held)
    for limit in re.finditer(file["patterns"]["limit"], lower):
        unit = _UNITS.get(limit["unit"], "items")
        if (limit["least"] and unit != "items") or (spoken and not _search("length", lower[: limit.start()])):
            continue  # an answer is never made longer, but a list has as many items as are asked for
        left = left.replace(limit[0], " ")
        found[unit] = max(1, int(limit["most"]) - bool(limit["less"]))
    if "items" in found:
        found.setdefault("list", before.get("list") or "-")
    return found, left if found else clause


def _refusals(lower: str, held: list[str], before: list[tuple[set[str], bool, str]]) -> list | None:
    """The subjects to refuse (or to keep to), with what to say instead, if the clause speaks of that."""
    says = _search("says", lower)
    reply = held[int(says[1])] if says else ""
    trigger = _search("trigger", lower) if reply else None
    if reply and before and not before[-1][2] and (before[-1][1] or not trigger or _search("such", lower)):
        return [*before[:-1], (*before[-1][:2], reply)]
    only = None if re.search(r"\d (?:word|sentence)|json|english", lower) else _search("only", lower)
    match = only or trigger or _search("closed", lower) or _search("never", lower)
    subject = next(filter(None, match.groupdict().values()), "") if match else ""
    stems = set(knowledge.loud(subject))
    for word, others in table("wishes.toml")["kin"].items():
        stems |= set(knowledge.loud(others)) if knowledge.stem(word) in stems else set()
    return [*before, (stems, bool(only), reply)] if stems else None


def _keys(clause: str, held: list[str]) -> list[str]:
    """The names of the fields of the JSON object that is asked for."""
    quoted = _HELD.sub(lambda number: f'"{held[int(number[1])]}"', clause)
    named = re.findall(r"[\"']([\w -]+)[\"']\s*:", quoted) or re.findall(r'"([\w -]{1,40})"', quoted)
    if not named and (listed := re.search(r"\{([^}]*)\}", clause) or _search("keys", clause)):
        no_key = table("wishes.toml")["patterns"]["no_key"]
        words = re.split(r"\s*(?:,|\band\b|\bplus\b|&|\bor\b)\s*", listed[1])
        keys = [(re.sub(no_key, "", word) or word).strip(" .\"'") for word in words]
        named = [key.split()[-1] for key in keys if key]
    return [*dict.fromkeys(named)] or ["answer"]


class Saying(NamedTuple):
    """An answer, and the same in one sentence, in at most three words, and for a child; "" for none."""

    text: str
    brief: str = ""
    word: str = ""
    simple: str = ""


def sentences(text: str) -> list[str]:
    """The sentences of `text`, code left out."""
    return [*filter(None, map(str.strip, _SENTENCE.split(_FENCE.sub(" ", text).replace("\n", " "))))]


def render(saying: Saying, wishes: Wishes, asked: str) -> str:
    """The answer as `wishes` would have it, or what is said instead; what cannot be done in brackets."""
    stems = set(knowledge.loud(asked)) if "refusals" in wishes else set()
    for refused, only, reply in wishes.get("refusals", ()):
        if bool(refused & stems) != only and (stems or not only):
            saying, wishes = Saying(reply or _NO), {n: wishes[n] for n in ("case", "json") if n in wishes}
            break
    cannot = ", ".join(filter(None, map(wishes.get, ("language", "tone", "other"))))
    note = _NOTE.format(cannot) if cannot else ""
    case = {"upper": str.upper, "lower": str.lower}.get(wishes.get("case", ""), str)
    if wishes.get("json"):
        return _json(saying, wishes, note, case)
    text = _body(saying, wishes)
    apart = "\n" if "\n" in text else " "
    if wishes.get("plain"):
        text = text.replace("`", "").replace("**", "")
    if wishes.get("question") and not text.endswith("?"):
        text += apart + ("What else?" if wishes.get("words") else "Would you like an example?")
    text = case(apart.join(filter(None, [wishes.get("start"), text, wishes.get("emoji"), wishes.get("end")])))
    return f"{text}\n\n{note}" if note else text


def _body(saying: Saying, wishes: Wishes) -> str:
    """The answer in the length that is wished for: as it is, in sentences, or as the items of a list."""
    child, mark, words = (wishes.get(name) for name in ("audience", "list", "words"))
    text = (saying.simple or saying.brief or saying.text) if child else saying.text
    code, whole = "".join(_FENCE.findall(text)).rstrip(), sentences(text)
    most = (mark and wishes.get("items")) or wishes.get("sentences") or 99
    short = (most == 1 and not child) or (mark and words)
    parts = ([saying.brief or whole[0]] if short else whole)[:most]
    if mark:
        least = 2 if most == 99 else most
        spare = [more for more in (saying.brief, *sentences(saying.simple)) if more and more not in parts]
        parts = [*parts, *spare][: max(least, len(parts))]
        if len(parts) < least:
            parts = [piece.strip(" .") for part in parts for piece in _PART.split(part)][:most]
        each = words // len(parts) or 1 if words else 999
        numbered = enumerate((" ".join(part.split()[:each]) for part in parts), 1)
        return "\n".join(f"{f'{n}.' if mark == '1.' else mark} {item}" for n, item in numbered) + code
    if parts != whole or mark == "":
        text = " ".join(parts) + code
    if words and len(_FENCE.sub(" ", text).split()) > words:
        text = _cut(saying, parts, words) + code
    return text


def _cut(saying: Saying, parts: list[str], most: int) -> str:
    """The longest form of the answer that has at most so many words; where none has, the shortest, cut."""
    forms = [*(" ".join(parts[:n]) for n in range(1, len(parts) + 1)), saying.brief, saying.word]
    fitting = [form for form in forms if 0 < len(form.split()) <= most]
    shortest = " ".join((saying.word or saying.brief or forms[0]).split()[:most]).rstrip(",;:")
    return max(fitting, key=len, default=shortest).rstrip(".") + "."


def _json(saying: Saying, wishes: Wishes, note: str, case: Callable[[str], str]) -> str:
    """A JSON object with the fields that were named: the short answer first, then one in a sentence."""
    short = saying._replace(text=saying.brief or saying.text)
    text = case(_body(short, wishes | {"list": None}))
    first, *others = wishes["json"]
    fields = {first: case(saying.word) if saying.word and others else text} | dict.fromkeys(others, text)
    if note:
        fields[[*fields][-1]] += f" {note}"  # inside a text, so that it stays JSON
    return json.dumps(fields, ensure_ascii=False)
