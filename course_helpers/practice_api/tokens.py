"""Token estimates: near enough to learn with, and the same on every machine.

Real tokenizers split text by learned pieces; here each character weighs what it costs on average. The models
from Claude 4.7 on count about 30 % more (`Model.tokenizer_factor`).
"""

from __future__ import annotations

import re
from itertools import accumulate, takewhile
from typing import Any

import pydantic_core

from ..models import Model

# Tokens a character, by the UTF-8 byte that starts it; the bytes that follow weigh nothing.
_WEIGHTS = (
    (bytes([*range(0x41, 0x5B), *range(0x61, 0x7B), 0x20]), 0.215),  # letters and space
    (bytes(range(0x30, 0x3A)), 0.5),  # digits
    (bytes([*range(0x21, 0x30), *range(0x3A, 0x41), *range(0x5B, 0x61), *range(0x7B, 0x7F)]), 0.6),
    (bytes(range(0x20)) + b"\x7f", 0.4),  # newlines, tabs
    (bytes(range(0xC2, 0xE0)), 0.55),  # accents, Greek, Cyrillic, Arabic
    (bytes(range(0xE0, 0xF0)), 1.1),  # Chinese, Japanese, Korean, symbols
    (bytes(range(0xF0, 0xF5)), 2.5),  # emoji
)
REQUEST_OVERHEAD, MESSAGE_OVERHEAD, REPLY_OVERHEAD, IMAGE_TOKENS = 4, 3, 3, 1_200


def text_tokens(text: str, factor: float = 1.0) -> float:
    """The tokens of `text`, not rounded."""
    data = text.encode("utf-8", "surrogatepass")
    return factor * sum(weight * (len(data) - len(data.translate(None, kind))) for kind, weight in _WEIGHTS)


def whole(tokens: float) -> int:
    """A count as the API reports it: a whole number, at least 1 for anything at all."""
    return max(1, round(tokens)) if tokens > 0 else 0


def reply_tokens(text: str, model: Model) -> int:
    """The output tokens of a reply of `text`: never 0, the end of a turn is a token too."""
    return whole(text_tokens(text, model.tokenizer_factor) + REPLY_OVERHEAD)


def fit(text: str, tokens: int, model: Model) -> str:
    """The longest beginning of `text`, in whole pieces, that takes at most `tokens`."""
    budget, parts = tokens / model.tokenizer_factor, pieces(text)
    fitting = takewhile(lambda taken: taken <= budget, accumulate(map(text_tokens, parts)))
    return "".join(parts[: len([*fitting])])


def pieces(text: str) -> list[str]:
    """`text` cut as a stream sends it: about a word a piece, long words in parts."""
    return re.findall(r"\s*[^\s]{1,12}|\s+", text)


def block_tokens(block: dict[str, Any], model: Model) -> float:
    """The tokens of one content block, tool or system block, given as plain data."""
    kind = block.get("type")
    if kind == "image" or (kind == "document" and block["source"]["type"] != "text"):
        return IMAGE_TOKENS
    said = block[kind] if kind in ("text", "thinking") else pydantic_core.to_json(block).decode()
    return text_tokens(said, model.tokenizer_factor)
