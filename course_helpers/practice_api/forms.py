"""An answer in the form that was wished for: cut to length, as a list, as JSON, with its opening and end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from .instructions import Wishes

_SENTENCE = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)\s+(?=[A-Z\"“`(])")
_FENCE = re.compile(r"\n*```.*?```\n*", re.S)
"""Code in an answer: it is never cut or made a list of, but follows whole."""
_FIXED = {"confidence": "high", "language": "English", "status": "ok", "ok": True, "score": 1, "tags": []}
_LONG = re.compile(r"note|expla|detail|reason|why|text|descr|comment|summary|context|sentence|defin|mean")


@dataclass(frozen=True)
class Saying:
    """An answer, and the same in one sentence, in at most three words, and for a child; "" for none."""

    text: str
    brief: str = ""
    word: str = ""
    simple: str = ""
    more: tuple[str, ...] = ()
    """Sentences that may follow where a longer answer is wished for."""


def sentences(text: str) -> list[str]:
    """The sentences of `text`, code left out."""
    return [*filter(None, map(str.strip, _SENTENCE.split(_FENCE.sub(" ", text).replace("\n", " "))))]


def render(saying: Saying, wishes: Wishes) -> str:
    """The answer as `wishes` would have it, and in brackets what of them cannot be done."""
    cannot = ", ".join(dict.fromkeys(wishes.get("cannot", ())))
    note = (
        f"[practice model: I can only answer in plain English, so this is left out: {cannot}.]"
        if cannot
        else ""
    )
    case = {"upper": str.upper, "lower": str.lower}.get(wishes.get("case", ""), str)
    if wishes.get("json"):
        return _json(saying, wishes, note, case)
    text = _sized(saying, wishes)
    apart = "\n" if "\n" in text else " "
    if wishes.get("plain"):
        text = text.replace("`", "").replace("**", "")
    if wishes.get("question") and not text.endswith("?"):
        text += apart + ("What else?" if wishes.get("words") else "Would you like an example?")
    parts = [wishes.get("start"), text, wishes.get("emoji") and "🙂", wishes.get("end")]
    text = case(apart.join(filter(None, parts)))
    return f"{text}\n\n{note}" if note else text


def _sized(saying: Saying, wishes: Wishes) -> str:
    """The answer in the length that is wished for, as a list if it should be one."""
    text = (saying.simple or saying.brief or saying.text) if wishes.get("audience") else saying.text
    code = "".join(_FENCE.findall(text)).rstrip()
    if wishes.get("list"):
        return _list(saying, text, wishes) + code
    most, least = wishes.get("sentences") or 99, wishes.get("least_sentences", 0)
    parts = sentences(text)
    if not least <= len(parts) <= most or wishes.get("list") == "":
        if most == 1 and not wishes.get("audience"):
            parts = [saying.brief or parts[0]]
        parts += [more for more in saying.more if more not in parts][: max(0, least - len(parts))]
        text = " ".join(parts[:most]) + code
    for unit, length in (("words", lambda text: len(text.split())), ("characters", len)):
        limit, taken = wishes.get(unit), sum(length(wishes.get(edge, "")) for edge in ("start", "end"))
        if limit and length(text) > limit - taken:
            text = _within(saying, text, limit - taken if taken < limit / 2 else limit, length) + code
    return text


def _within(saying: Saying, text: str, most: int, length: Callable[[str], int]) -> str:
    """The longest form of the answer that has at most `most` words or characters, as `length` counts."""
    parts = sentences(text)
    forms = [" ".join(parts[:n]) for n in range(1, len(parts) + 1)]
    forms += [saying.brief, saying.word and f"{saying.word}."]
    if fitting := [form for form in forms if form and length(form) <= most]:
        return max(fitting, key=len)
    words = (saying.word or saying.brief or text).split()
    while len(words) > 1 and length(" ".join(words)) > most:
        words.pop()
    return " ".join(words).rstrip(",;:.") + "."


def _list(saying: Saying, text: str, wishes: Wishes) -> str:
    """The sentences as items, so many as are wished for; parts of them where there are too few."""
    count = wishes.get("items") or wishes.get("sentences") or 0
    least = wishes.get("least_items") or count or 2
    items = [saying.brief or text] if wishes.get("words") else sentences(text)
    if len(items) < least:
        items += [more for more in (saying.brief, *saying.more) if more and more not in items]
    if len(items) < least:
        items = [
            part.strip(" .") for item in items for part in re.split(r"(?<=\D): |; |, (?=\w+ \w+ \w+)", item)
        ]
    items = items[: max(count, 2)] if count else items
    if words := wishes.get("words"):
        items = [" ".join(item.split()[: max(1, words // len(items))]) for item in items]
    numbered = wishes["list"] == "1."
    return "\n".join(
        f"{f'{n}.' if numbered else wishes['list']} {item}" for n, item in enumerate(items, start=1)
    )


def _json(saying: Saying, wishes: Wishes, note: str, case: Callable[[str], str]) -> str:
    """A JSON object with the fields that were named: short answers in short fields, the rest elsewhere."""
    plain = _sized(
        saying, {name: wish for name, wish in wishes.items() if name not in ("list", "start", "end")}
    )
    sized = any(wishes.get(name) for name in ("words", "sentences", "audience"))
    long = plain if sized else saying.brief or plain
    fields = {}
    for place, key in enumerate(wishes["json"]):
        short = saying.word and place == 0 and len(wishes["json"]) > 1 and not _LONG.search(key.lower())
        value = _FIXED.get(key.lower(), saying.word if short else long)
        fields[key] = case(value) if isinstance(value, str) else value
    if note:  # inside a text, so that it stays JSON
        last = next((key for key in reversed(fields) if isinstance(fields[key], str)), "note")
        fields[last] = f"{fields.get(last, '')} {note}"
    return json.dumps(fields, ensure_ascii=False)
