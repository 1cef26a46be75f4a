"""What a system prompt, or the user, asks of an answer: read from their words, clause by clause.

Patterns that are one line each stand in wishes.toml; here is what takes a phrase, a number or a subject.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from . import knowledge

FILE = Path(__file__).with_name("wishes.toml")
SEARCHED = 4_000
"""Characters of a text in which wishes are looked for."""
Wishes = dict[str, Any]
"""What is wished for, by name: words, sentences, list, case, json, start, end, refusals and so on."""
_QUOTED = re.compile(
    r"(?<!\w)'((?:[^'\n]|'(?=\w))+)'(?!\w)|\"([^\"\n]+)\"|“([^”]+)”|‘([^’]+)’(?!\w)|«\s*([^»]+?)\s*»|`([^`\n]+)`"
)
_ORDERED = ("audience", "list", "table", "question")
"""What a user may also speak of without wishing for it."""
_TITLE = re.compile(r"[⟦⟧]|\b(Mr|Mrs|Ms|Dr|Prof|St)\.")
_HELD = re.compile(r"⟦(\d+)⟧")
_CLAUSE = re.compile(r"(?<=[.!?;])\s+(?![Hh]ow\W*$)|\n+")
_UNITS = {"sentence": "sentences", "paragraph": "paragraphs", "line": "sentences", "word": "words"}
_UNITS |= {"character": "characters", "letter": "characters"}


@cache
def _file() -> dict[str, Any]:
    file = tomllib.loads(FILE.read_text("utf-8"))
    file["wish"] = [wish | {"ask": re.compile(wish["ask"])} for wish in file["wish"]]
    file["cannot"] = {kind: re.compile(pattern) for kind, pattern in file["cannot"].items()}
    numbers = {word: str(n) for n, word in enumerate(file["numbers"].split()[2:], start=1)}
    file["digits"] = numbers | {word: str(n) for word, n in file["tens"].items()}
    longest = sorted(file["digits"], key=len, reverse=True)
    file["number"] = re.compile(r"\b(?:" + "|".join(longest) + r")\b")
    file["negation"] = re.compile(file["negated"])
    return file


@cache
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(_file()["patterns"][name])


@lru_cache(maxsize=200)
def read(text: str, *, spoken: bool = False) -> tuple[tuple[tuple[str, Any], ...], str, bool]:
    """The wishes in `text`, what is left of it without them, and whether they are to stay.

    What is `spoken` by the user is also a question: there a wish is an order or an aside, never the subject.
    """
    held: list[str] = []

    def hold(found: re.Match[str]) -> str:
        held.append(next(group for group in found.groups() if group))
        ends = held[-1][-1] in ".!?" and re.match(r"\s+[A-Z]|\s*$", found.string[found.end() :])
        return f"⟦{len(held) - 1}⟧" + ("." if ends else "")

    wishes: Wishes = {}
    rest, beside, stays = [], [], not spoken
    for clause in _CLAUSE.split(_QUOTED.sub(hold, _TITLE.sub(r"\1", text[:SEARCHED]))):
        if not clause.strip():
            continue
        if spoken and _is_about_it(clause.lower()):
            found, left = {}, clause
        else:
            found, left = _clause(clause, held, wishes, spoken)
        if spoken and found:
            stays |= "?" not in clause and (
                not knowledge.loud(left) or bool(_pattern("standing").search(clause.lower()))
            )
            stays |= bool(_pattern("standing").search(clause.lower())) and "please:" not in clause.lower()
        wishes |= found
        (beside if found else rest).append(left)
    rest = rest if knowledge.loud(" ".join(rest)) else [*rest, *beside]
    left = _HELD.sub(lambda found: held[int(found[1])], " ".join(rest))
    return tuple(wishes.items()), left, stays


def _is_ordered(clause: str, found: re.Match[str]) -> bool:
    """Does something before `found` in what the user says make a wish of it?"""
    return found.start() == 0 or bool(_pattern("tells").search(clause[: found.start()]))


def _is_about_it(clause: str) -> bool:
    """Is `clause`, in small letters, a question about lists, JSON and so on rather than a wish for them?"""
    if _pattern("how_to").search(clause):
        return True
    return bool(_pattern("asks_how").search(clause)) and not re.search(r"[,:]|^\W*can you", clause)


def _clause(clause: str, held: list[str], before: Wishes, spoken: bool) -> tuple[Wishes, str]:
    """The wishes in one clause, and the clause without them."""
    file, found = _file(), {}
    lower = file["number"].sub(lambda word: file["digits"][word[0]], clause.lower().replace("’", "'"))
    lower = _pattern("at_most").sub("at most", lower)
    if not spoken and _refusal(clause, lower, held, before, found):
        return found, ""
    if not spoken:
        _persona(clause, held, found)
    left = lower

    def is_negated(at: int) -> bool:
        return bool(file["negation"].search(lower[:at]))

    for wish in file["wish"]:
        match = wish["ask"].search(lower)
        if match and not wish.get("always") and is_negated(match.start()):
            if "negated" in wish and wish["field"] not in found:
                found[wish["field"]] = wish["negated"]
                left = left.replace(match[0], " ")
        elif match and not (spoken and wish["field"] in _ORDERED and not _is_ordered(lower, match)):
            found[wish["field"]] = wish["value"]
            left = left.replace(match[0], " ")
    if found.get("json") or (before.get("json") == ["answer"] and _pattern("keys").search(clause)):
        found["json"] = _keys(clause, held)
    for limit in _pattern("limit").finditer(lower):
        if spoken and not _pattern("length").search(lower[: limit.start()]):
            continue
        left = left.replace(limit[0], " ")
        unit, most = _UNITS.get(limit["unit"], "items"), int(limit["most"])
        if limit["least"]:
            found[f"least_{unit}"] = most
        else:
            found[unit] = max(1, most - 1 if limit["less"] else most)
            exact = limit["low"] or (most if re.search(r"exactly|precisely|always", lower) else 0)
            found |= {f"least_{unit}": int(exact)} if exact else {}
    if "items" in found or "least_items" in found:
        found.setdefault("list", before.get("list") or "-")
    if not found.get("json"):
        _phrases(clause, held, found)
    for kind, pattern in file["cannot"].items():
        match = pattern.search(lower)
        if match and not is_negated(match.start()) and "english" not in lower[: match.start()][-20:]:
            word = next(group for group in match.groups() if group)
            if not spoken or kind == "languages" or _pattern("like").search(lower[: match.start(1)]):
                found["cannot"] = [*before.get("cannot", []), word.title() if kind == "languages" else word]
                left = left.replace(match[0], " ")
    return found, left if found else clause


def _refusal(clause: str, lower: str, held: list[str], before: Wishes, found: Wishes) -> bool:
    """Is `clause` about a subject to refuse, or about what to say instead? Then that goes into `found`."""
    refusals = list(before.get("refusals", []))
    says, bare = _pattern("says").search(lower), _pattern("says_bare").search(clause)
    reply = held[int(says[1])] if says else bare[1].strip() if bare else ""
    trigger = _pattern("trigger").search(lower) if reply else None
    if reply and _pattern("unsure").search(lower):
        found["unknown"] = reply
        return True
    if reply and refusals and not refusals[-1][2] and not _pattern("edges").search(lower):
        stems, only, _ = refusals[-1]
        if only or not trigger or _pattern("such").search(lower):
            found["refusals"] = [*refusals[:-1], (stems, only, reply)]
            return True
    only = None if re.search(r"\d (?:word|sentence)|json|english", lower) else _pattern("only").search(lower)
    never = _pattern("closed").search(lower) or _pattern("never").search(lower)
    match = only or trigger or never
    subject = next((text for text in match.groupdict().values() if text), "") if match else ""
    subject = _pattern("subject_ends").split(subject)[0]
    if match is never and _pattern("no_subject").search(subject):
        return False
    stems = set(knowledge.loud(_pattern("general").sub(" ", subject)))
    for word, others in _file()["kin"].items():
        if knowledge.stem(word) in stems:
            stems |= set(knowledge.loud(others))
    if stems:
        found["refusals"] = [*refusals, (frozenset(stems), bool(only), reply)]
    return bool(stems)


def _persona(clause: str, held: list[str], found: Wishes) -> None:
    """The name and the role that the model is given."""
    whole = _HELD.sub(lambda number: held[int(number[1])], clause)
    match = _pattern("who").search(whole)
    if not match:
        return
    who = match["who"].strip(" ,")
    called = _pattern("called").search(whole) or re.match(f"({_pattern('name').pattern})", who)
    if not called and re.search(r"name|call", match[0].lower()):
        called = re.match(r"(\w+)", who)
    if called and not _pattern("no_name").search(called[1]):
        found["name"] = called[1][0].upper() + called[1][1:]
        named = r"(?:,? ?(?:called|named|by the name of|known as|whose name is) )?" + re.escape(called[1])
        who = re.sub(named, "", who, count=1)
    role = _pattern("role_ends").split(who)[0].strip(" ,")
    if role and not _pattern("plain_role").search(role):
        found["role"] = role


def _phrases(clause: str, held: list[str], found: Wishes) -> None:
    """The phrases with which an answer opens or closes."""
    for match in _HELD.finditer(clause):
        ahead, behind = clause[: match.start()].lower(), clause[match.end() :].lower()
        ahead = ahead[ahead.rfind("⟧") + 1 :]
        opens = [m.end() for m in _pattern("open").finditer(ahead)]
        closes = [m.end() for m in _pattern("close").finditer(ahead)]
        if _pattern("top").search(behind[:40]) and not (opens or "⟦" in behind[:40]):
            opens, closes = [99_999], []
        elif _pattern("end").search(behind[:40]) and not (closes or "⟦" in behind[:40]):
            opens, closes = [], [99_999]
        if opens or closes:
            edge = "start" if max(opens, default=-1) > max(closes, default=-1) else "end"
            found[edge] = held[int(match[1])]
    if not _HELD.search(clause) and "question" not in found and "emoji" not in found:
        match = _pattern("phrase").search(clause.strip().rstrip())
        if match and (match["open"] or match["close"]):
            kept = match["phrase"].strip()
            found["start" if match["open"] else "end"] = kept if match["close"] else kept.rstrip(".")


def _keys(clause: str, held: list[str]) -> list[str]:
    """The names of the fields of the JSON object that is asked for."""
    quoted = [(held[int(m[1])], clause[m.end() :].lstrip()[:1]) for m in _HELD.finditer(clause)]
    whole = [text for text, _ in quoted if "{" in text]
    named = [key for text in whole for key in re.findall(r"[\"']?(\w[\w-]*)[\"']?\s*:", text)]
    named = named or [text for text, after in quoted if after == ":"]
    named = named or [text for text, _ in quoted if re.fullmatch(r"[\w -]{1,40}", text)]
    if named:
        return list(dict.fromkeys(named))
    clause = clause.lower() if clause.isupper() else clause
    listed = re.search(r"\{([^}]*)\}", clause) or _pattern("keys").search(clause)
    words = re.split(r"\s*(?:,|\band\b|\bplus\b|&|\bor\b)\s*", listed[1]) if listed else []
    keys = [(_pattern("no_key").sub("", word) or word).strip(" .\"'") for word in words]
    return [key.split()[-1] for key in keys if key] or ["answer"]
