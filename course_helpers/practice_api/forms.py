"""An answer in the form that was wished for: cut to length, as a list, as JSON, with its opening and end."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from .instructions import Wishes

_SENTENCE = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)\s+(?=[A-Z\"“`(])")
_FENCE = re.compile(r"\n*```.*?```\n*", re.S)
_QUESTION = "Would you like an example?"
_SHORT_QUESTION = "What else?"


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
    return [
        part.strip() for part in _SENTENCE.split(_FENCE.sub(" ", text).replace("\n", " ")) if part.strip()
    ]


def render(saying: Saying, wishes: Wishes) -> str:
    """The answer as `wishes` would have it, and in brackets what of them cannot be done."""
    note = _note(wishes.get("cannot", []))
    if wishes.get("json"):
        return _json(saying, wishes, note)
    text = _sized(saying, wishes)
    if wishes.get("plain"):
        text = text.replace("`", "").replace("**", "")
    if wishes.get("bold"):
        text = f"**{text}**"
    if wishes.get("table"):
        text = "\n".join(
            ["| | |", "|---|---|", *(f"| {i} | {s} |" for i, s in enumerate(sentences(text), 1))]
        )
    if wishes.get("question") and not text.endswith("?"):
        text += f"{_gap(text)}{_SHORT_QUESTION if wishes.get('words') else _QUESTION}"
    if wishes.get("emoji"):
        text += " 🙂"
    if start := wishes.get("start"):
        text = start + ("\n" if wishes.get("list") else " ") + text
    if end := wishes.get("end"):
        text = f"{text}{_gap(text)}{end}"
    if case := wishes.get("case"):
        text = text.upper() if case == "upper" else text.lower()
    return f"{text}\n\n{note}" if note else text


def _gap(text: str) -> str:
    return "\n" if "\n" in text else " "


def _note(cannot: list[str]) -> str:
    if not cannot:
        return ""
    wishes = ", ".join(dict.fromkeys(cannot))
    return f"[practice model: I can only answer in plain English, so this part is left out: {wishes}.]"


def _sized(saying: Saying, wishes: Wishes) -> str:
    """The answer in the length that is wished for, as a list if it should be one."""
    text = (saying.simple or saying.brief or saying.text) if wishes.get("audience") else saying.text
    if wishes.get("list"):
        return _list(saying, text, wishes)
    words = wishes.get("words")
    most, least = wishes.get("sentences"), int(wishes.get("least_sentences", 0))
    if most or least or words or wishes.get("characters") or wishes.get("list") == "":
        parts = sentences(text)
        if len(parts) > int(most or 99) or len(parts) < least:
            if most and int(most) == 1 and not wishes.get("audience") and saying.brief:
                parts = [saying.brief]
            parts += [more for more in saying.more if more not in parts][: max(0, least - len(parts))]
            text = " ".join(parts[: int(most)] if most else parts)
    room = words and max(1, words - sum(len(wishes.get(edge, "").split()) for edge in ("start", "end")))
    if words and room < 1 + words // 3:
        room = words
    if room and len(text.split()) > room:
        text = _within(saying, text, room, len_of=lambda t: len(t.split()))
    if (limit := wishes.get("characters")) and len(text) > limit:
        text = _within(saying, text, limit, len_of=len)
    return text


def _within(saying: Saying, text: str, most: int, len_of) -> str:
    """The longest form of the answer that has at most `most` words (or characters)."""
    parts = sentences(text)
    beginnings = [" ".join(parts[:n]) for n in range(len(parts), 0, -1)]
    fitting = [
        t for t in (*beginnings, saying.brief, saying.word and f"{saying.word}.") if t and len_of(t) <= most
    ]
    if fitting:
        return max(fitting, key=len)
    words = (saying.word or saying.brief or text).split()
    while len(words) > 1 and len_of(" ".join(words)) > most:
        words.pop()
    return " ".join(words).rstrip(",;:.") + "."


def _list(saying: Saying, text: str, wishes: Wishes) -> str:
    most = wishes.get("items") or wishes.get("sentences")
    least = wishes.get("items") or wishes.get("least_items") or 2
    items = sentences(text)
    if wishes.get("words"):
        items = [saying.brief or items[0]]
    if len(items) < least:
        items += [more for more in (saying.brief, *saying.more) if more and more not in items]
    if len(items) < least:
        items = [
            part.strip(" .")
            for item in items
            for part in re.split(r"(?<=[^\d]): |; |, (?=\w+ \w+ \w+)", item)
        ]
    items = items[: int(most)] if most and int(most) >= int(least) else items
    if words := wishes.get("words"):
        items = [" ".join(item.split()[: max(1, words // len(items))]) for item in items]
    mark = wishes["list"]
    return "\n".join(f"{f'{n}.' if mark == '1.' else mark} {item}" for n, item in enumerate(items, start=1))


_FIXED = {
    "confidence": "high", "certainty": "high", "language": "English", "lang": "English", "status": "ok",
    "sure": True, "ok": True, "success": True, "score": 1, "sources": [], "tags": [],
}  # fmt: skip
_LONG = re.compile(
    r"note|expla|detail|reason|why|text|descr|comment|summary|context|more|sentence|defin|mean"
)


def _json(saying: Saying, wishes: Wishes, note: str) -> str:
    """A JSON object with the fields that were named: short answers in short fields, the rest elsewhere."""
    plain = _sized(saying, {k: v for k, v in wishes.items() if k not in ("list", "start", "end")})
    brief = (
        plain
        if wishes.get("words") or wishes.get("sentences") or wishes.get("audience")
        else saying.brief or plain
    )
    keys, fields = wishes["json"], {}
    for place, key in enumerate(keys):
        low = key.lower()
        if low in _FIXED:
            fields[key] = _FIXED[low]
        elif "example" in low:
            fields[key] = saying.more[0] if saying.more else brief
        elif "word" in low or (len(keys) > 1 and place == 0 and saying.word and not _LONG.search(low)):
            fields[key] = saying.word or brief
        else:
            fields[key] = brief
    case = {"upper": str.upper, "lower": str.lower}.get(wishes.get("case", ""), str)
    fields = {key: case(value) if isinstance(value, str) else value for key, value in fields.items()}
    texts = [key for key, value in fields.items() if isinstance(value, str)]
    if note and texts:
        fields[texts[-1]] += f" {note}"
    return json.dumps(fields, ensure_ascii=False)
