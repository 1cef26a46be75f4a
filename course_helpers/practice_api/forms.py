"""An answer in the form that was wished for: cut to length, as a list, as JSON, with its opening and end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

_SENTENCE = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)\s+(?=[A-Z\"“`(])")
_FENCE = re.compile(r"\n*```.*?```\n*", re.S)
"""Code in an answer: it is never cut or made a list of, but follows whole."""
_FIXED = {"confidence": "high", "language": "English", "status": "ok", "ok": True, "score": 1, "tags": []}
_LONG = re.compile(r"note|expla|detail|reason|why|text|descr|comment|summary|context|sentence|defin|mean")


class Saying(NamedTuple):
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


def render(saying: Saying, wishes: dict[str, Any]) -> str:
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
    text = _list(saying, wishes) if wishes.get("list") else _prose(saying, wishes)
    apart = "\n" if "\n" in text else " "
    if wishes.get("plain"):
        text = text.replace("`", "").replace("**", "")
    if wishes.get("question") and not text.endswith("?"):
        text += apart + ("What else?" if wishes.get("words") else "Would you like an example?")
    text = case(apart.join(filter(None, [wishes.get("start"), text, wishes.get("emoji"), wishes.get("end")])))
    return f"{text}\n\n{note}" if note else text


def _plain(saying: Saying, wishes: dict[str, Any]) -> tuple[str, str]:
    """The text for the audience that is wished for, and the code in it."""
    text = (saying.simple or saying.brief or saying.text) if wishes.get("audience") else saying.text
    return text, "".join(_FENCE.findall(text)).rstrip()


def _prose(saying: Saying, wishes: dict[str, Any]) -> str:
    """The answer in the length that is wished for."""
    text, code = _plain(saying, wishes)
    most, least = wishes.get("sentences") or 99, wishes.get("least_sentences", 0)
    parts = sentences(text)
    if not least <= len(parts) <= most or wishes.get("list") == "":
        if most == 1 and not wishes.get("audience"):
            parts = [saying.brief or parts[0]]
        parts += [more for more in saying.more if more not in parts][: max(0, least - len(parts))]
        text = " ".join(parts[:most]) + code
    if most := wishes.get("words"):
        taken = sum(len(wishes.get(edge, "").split()) for edge in ("start", "end"))
        most = most - taken if taken < most / 2 else most
        forms = [*(" ".join(parts[:n]) for n in range(1, len(parts) + 1)), saying.brief, saying.word]
        cut = " ".join((saying.word or saying.brief or text).split()[:most]).rstrip(",;:")
        short = max((form for form in forms if 0 < len(form.split()) <= most), key=len, default=cut)
        if len(_FENCE.sub(" ", text).split()) > most:
            text = short.rstrip(".") + "." + code
    return text


def _list(saying: Saying, wishes: dict[str, Any]) -> str:
    """The sentences as items, so many as are wished for; parts of them where there are too few."""
    text, code = _plain(saying, wishes)
    count, words = wishes.get("items") or wishes.get("sentences") or 0, wishes.get("words")
    least = wishes.get("least_items") or count or 2
    items = [saying.brief or text] if words else sentences(text)
    if len(items) < least:
        items += [more for more in (saying.brief, *saying.more) if more and more not in items]
    if len(items) < least:
        items = [
            part.strip(" .") for item in items for part in re.split(r"(?<=\D): |; |, (?=\w+ \w+ \w+)", item)
        ]
    items = items[: max(count, 2)] if count else items
    if words:
        items = [" ".join(item.split()[: max(1, words // len(items))]) for item in items]
    marks = [f"{n}." if wishes["list"] == "1." else wishes["list"] for n in range(1, len(items) + 1)]
    return "\n".join(f"{mark} {item}" for mark, item in zip(marks, items, strict=True)) + code


def _json(saying: Saying, wishes: dict[str, Any], note: str, case: Callable[[str], str]) -> str:
    """A JSON object with the fields that were named: short answers in short fields, the rest elsewhere."""
    keys = wishes["json"]
    plain = _prose(
        saying, {name: wish for name, wish in wishes.items() if name not in ("list", "start", "end")}
    )
    sized = any(wishes.get(name) for name in ("words", "sentences", "audience"))
    fields = dict.fromkeys(keys, plain if sized else saying.brief or plain)
    if saying.word and len(keys) > 1 and not _LONG.search(keys[0].lower()):
        fields[keys[0]] = saying.word
    fields |= {key: _FIXED[key.lower()] for key in keys if key.lower() in _FIXED}
    fields = {key: case(value) if isinstance(value, str) else value for key, value in fields.items()}
    if note:
        fields[keys[-1]] = f"{fields[keys[-1]]} {note}"  # inside a text, so that it stays JSON
    return json.dumps(fields, ensure_ascii=False)
