"""Numbers and names as people write them."""

from __future__ import annotations

import math
import re

# What hides, reorders or drives a terminal: controls, bidi overrides, half a character (not UTF-8).
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: object) -> str:
    """`text` with what hides in it made visible: "[U+202E]"."""
    words = str(text).replace("\r\n", "\n").replace("\r", "\n")
    return _HIDDEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", words)


def dollars(usd: float) -> str:
    """`usd` as people write it: "$12,000", "$1.50", "$0.0123", "$0.0000012"; never in powers of ten."""
    if not math.isfinite(usd):
        return "unknown"
    if usd == 0:
        return "$0"
    sign, usd = "-" if usd < 0 else "", abs(usd)
    if usd >= 1000:
        return f"{sign}${usd:,.0f}"
    decimals = max(2, 2 - int(f"{usd:.2e}".partition("e")[2]))  # three digits that count
    whole, _, cents = f"{usd:,.{decimals}f}".partition(".")
    return f"{sign}${whole}.{cents.rstrip('0').ljust(2, '0')}"


def share(part: float, whole: float) -> str:
    """`part` of `whole` in per cent."""
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 1 or 99 < percent < 100:
        return "under 1 %" if percent < 1 else "over 99 %"
    return f"{percent:.0f} %"


def times(ratio: float) -> str:
    """`ratio` as "3.2 ×"; "–" where there is none."""
    digits = ",.0f" if ratio >= 99.5 else ".2g"
    return f"{ratio:{digits}} ×" if math.isfinite(ratio) else "–"


def count(number: float, noun: str) -> str:
    """`number` with thousands separated, and `noun` in the plural that it needs."""
    return f"{number:,.0f} {noun}" + ("" if number == 1 else "s")


def short(name: object, longest: int = 34) -> str:
    """`name` on one line; a long one loses its middle, as its end tells versions apart."""
    name, half = " ".join(str(name).split()), (longest - 1) // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[-half:]}"


def in_one_line(error: BaseException) -> str:
    """What went wrong, in the server's or the system's words, and what was tried against it."""
    words, notes = str(error.args[0] if error.args else error), getattr(error, "__notes__", ())
    if isinstance(error, OSError) and error.strerror:
        words = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif status := getattr(error, "status_code", None):  # of an anthropic.APIStatusError
        said = getattr(error, "api_message", None) or error.message
        words = f"{status} {getattr(error, 'type', None) or ''}: {said}"
    if notes and not words.endswith((".", "!", "?", "…")):
        words += "."
    return " ".join([words, *notes])
