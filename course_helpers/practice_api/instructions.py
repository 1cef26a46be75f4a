"""What a system prompt, or the user, asks of an answer: read from their words, clause by clause.

Patterns that are one line each stand in wishes.toml; here is what takes a phrase, a number or a subject.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any

from . import knowledge
from .rows import table

SEARCHED = 4_000
"""Characters of a text in which wishes are looked for."""
Wishes = dict[str, Any]
"""What is wished for, by name: words, sentences, list, case, json, start, end, refusals and so on."""
_QUOTED = re.compile(
    r"(?<!\w)'((?:[^'\n]|'(?=\w))+)'(?!\w)|\"([^\"\n]+)\"|“([^”]+)”|‘([^’]+)’(?!\w)|«\s*([^»]+?)\s*»|`([^`\n]+)`"
    r"|(?:(?<=say: )|(?<=reply: )|(?<=answer: )|(?<=respond: ))([A-Z][^\n'\"“‘:]*[.!?])"
)
_HELD = re.compile(r"⟦(\d+)⟧")
_TITLE = re.compile(r"[⟦⟧]|\b(Mr|Mrs|Ms|Dr|Prof|St)\.")
_CLAUSE = re.compile(r"(?<=[.!?;])\s+(?![Hh]ow\W*$)|\n+")
_UNITS = {"word": "words", "character": "characters", "letter": "characters"}
_UNITS |= dict.fromkeys(("sentence", "paragraph", "line"), "sentences")


@lru_cache(maxsize=200)
def read(text: str, *, spoken: bool = False) -> tuple[Wishes, str, bool]:
    """The wishes in `text` (to look at, not to change), what is left of it, and whether they are to stay.

    What is `spoken` by the user is also a question: there a wish is an order or an aside, never the subject.
    """
    held: list[str] = []

    def hold(found: re.Match[str]) -> str:
        """A number instead of what stands in quotes, so that no clause ends and no pattern looks inside."""
        held.append(next(group for group in found.groups() if group))
        ends = held[-1][-1] in ".!?" and re.match(r"\s+[A-Z]|\s*$", found.string[found.end() :])
        return f"⟦{len(held) - 1}⟧" + ("." if ends else "")

    wishes: Wishes = {}
    rest, beside, stays = [], [], False
    text = _QUOTED.sub(hold, _TITLE.sub(r"\1", text[:SEARCHED]))
    for clause in filter(str.strip, _CLAUSE.split(text)):
        found, left = _clause(clause, held, wishes, spoken)
        stands = _search("standing", clause.lower()) or not ("?" in clause or knowledge.loud(left))
        stays |= bool(found and stands)
        wishes |= found
        (beside if found else rest).append(left)
    left = " ".join(rest if knowledge.loud(" ".join(rest)) else [*rest, *beside])
    return wishes, _shown(left, held), stays


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    file = table("wishes.toml")
    number = rf"\b(?:{'|'.join(file['numbers'])})\b"
    patterns = file["patterns"] | file["cannot"] | {"negated": file["negated"], "number": number}
    return {name: re.compile(pattern) for name, pattern in patterns.items()}


def _search(name: str, text: str) -> re.Match[str] | None:
    return _patterns()[name].search(text)


def _shown(text: str, held: list[str]) -> str:
    return _HELD.sub(lambda found: held[int(found[1])], text)


def _clause(clause: str, held: list[str], before: Wishes, spoken: bool) -> tuple[Wishes, str]:
    """The wishes in one clause, and the clause without them."""
    file, lower = table("wishes.toml"), clause.lower().replace("’", "'")
    lower = _patterns()["number"].sub(lambda word: str(file["numbers"][word[0]]), lower)
    left = lower = _patterns()["at_most"].sub("at most", lower)
    if spoken and _search("asks_how", lower):
        return {}, clause  # a question about lists, JSON and so on
    if not spoken and (refusals := _refusals(lower, held, before.get("refusals", []))):
        return {"refusals": refusals}, ""
    found = {} if spoken else _persona(_shown(clause, held))
    for wish in file["wish"]:
        if match := re.search(wish["ask"], lower):
            if wish.get("always") or not _search("negated", lower[: match.start()]):
                found[wish["field"]] = wish["value"]
            elif "negated" in wish:
                found.setdefault(wish["field"], wish["negated"])
            left = left.replace(match[0], " ")
    if found.get("json") or (before.get("json") == ["answer"] and _search("keys", clause)):
        found["json"] = _keys(clause, held)
    for limit in _patterns()["limit"].finditer(lower):
        if not spoken or _search("length", lower[: limit.start()]):
            left = left.replace(limit[0], " ")
            unit, most = _UNITS.get(limit["unit"], "items"), int(limit["most"])
            exact = most if limit["least"] or re.search(r"exactly|precisely|always", lower) else 0
            found[f"least_{unit}"] = int(limit["low"] or exact)
            if not limit["least"]:
                found[unit] = max(1, most - bool(limit["less"]))
            if unit == "items":
                found.setdefault("list", before.get("list") or "-")
    if not found.get("json") and "question" not in found and "emoji" not in found:
        found |= _phrases(clause, held)
    for kind in ("languages",) if spoken else file["cannot"]:
        match = _search(kind, lower)
        if match and not re.search(rf"english|{file['negated']}", lower[: match.start()]):
            word = next(filter(None, match.groups()))
            found["cannot"] = [*before.get("cannot", []), word.title() if kind == "languages" else word]
            left = left.replace(match[0], " ")
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


def _persona(clause: str) -> Wishes:
    """The name and the role that the model is given."""
    match = _search("who", clause)
    if not match:
        return {}
    found, who = {}, match["who"].strip(" ,")
    called = _search("called", clause) or re.match(f"({_patterns()['name'].pattern})", who)
    if not called and re.search(r"name|call", match[0].lower()):
        called = re.match(r"(\w+)", who)
    if called:
        found["name"] = called[1][0].upper() + called[1][1:]
        who = re.sub(
            rf"(?:,? ?(?:called|named|by the name of|known as) )?{re.escape(called[1])}", "", who, count=1
        )
    role = re.split(r"\band (?:answer|reply|always|you|never|speak|write|end|start)\b", who)[0].strip(" ,")
    return found | ({"role": role} if role and not _search("plain_role", role) else {})


def _phrases(clause: str, held: list[str]) -> Wishes:
    """The phrases with which an answer opens or closes, in quotes or without."""
    found: Wishes = {}
    for match in _HELD.finditer(clause):
        ahead = clause[: match.start()].lower().rpartition("⟧")[2]
        for place in (ahead, clause[match.end() :].lower().partition("⟦")[0][:40]):
            last = {
                edge: [m.end() for m in _patterns()[edge].finditer(place)][-1:] for edge in ("start", "end")
            }
            if last["start"] != last["end"]:
                found.setdefault(max(last, key=last.get), held[int(match[1])])
                break
    match = None if _HELD.search(clause) else _search("phrase", clause.strip())
    if match and match["close"]:
        found["end"] = match["phrase"].strip()
    elif match and match["open"]:
        found["start"] = match["phrase"].strip().rstrip(".")
    return found


def _keys(clause: str, held: list[str]) -> list[str]:
    """The names of the fields of the JSON object that is asked for."""
    quoted = [(held[int(m[1])], clause[m.end() :].lstrip()[:1]) for m in _HELD.finditer(clause)]
    inside = " ".join(text for text, _ in quoted if "{" in text)
    named = re.findall(r"(\w[\w-]*)[\"']?\s*:", inside) or [text for text, after in quoted if after == ":"]
    named = named or [text for text, _ in quoted if re.fullmatch(r"[\w -]{1,40}", text)]
    if not named and (listed := re.search(r"\{([^}]*)\}", clause) or _search("keys", clause)):
        words = re.split(r"\s*(?:,|\band\b|\bplus\b|&|\bor\b)\s*", listed[1])
        keys = [(_patterns()["no_key"].sub("", word) or word).strip(" .\"'") for word in words]
        named = [key.split()[-1] for key in keys if key]
    return [*dict.fromkeys(named)] or ["answer"]
