"""Hostile texts, by name: those of hostile_texts.toml, and what cannot stand there."""

from __future__ import annotations

import tomllib
from pathlib import Path

_GROUPS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
_GROUPS["control"] += [
    "\ud800 half a character \udfff",
    "Z" + "\u0335\u0336\u0337\u0338\u033f\u0346\u0301" * 120 + "algo",
    "W" * 4000,
    *(char * 1000 for char in "*<&`"),
    "[" * 500 + "](javascript:window.pwned=1)",
    "|" * 500 + "\n" + "|-" * 500,
]
PAYLOADS: dict[str, str] = {
    f"{group}-{number}": text for group, texts in _GROUPS.items() for number, text in enumerate(texts)
}
