"""Model text as safe HTML.

What a model says is hostile text: it may hold markup, script, links that run code and characters that
hide or reorder others. Here it becomes HTML in which nothing can run, load or leave its box:

    render.to_html(reply)      Markdown, for a rich display
    render.escape(name)        one plain string, to stand inside HTML
    render.plain(text)         the same characters made visible, for a terminal

How Markdown is read stands in `markdown`.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

__all__ = ["CSS", "STYLE", "escape", "plain", "settled", "to_html"]

LONGEST_MARKDOWN = 100_000
"""Characters; a longer text is shown as it is. The worst text of this length takes about three seconds."""

# ----------------------------------------------------------------------------------- characters

_BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_VISIBLE = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"}
_VISIBLE |= {0x7F: "\u2421", **dict.fromkeys(range(0x80, 0xA0), "\ufffd")}
_VISIBLE |= {ord(char): f"[U+{ord(char):04X}]" for char in _BIDI}
_VISIBLE |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")  # half a character: cannot be sent as UTF-8
_HIDDEN = re.compile(f"[{re.escape(''.join(map(chr, _VISIBLE)))}]")


def plain(text: object) -> str:
    """`text` with what hides, reorders or drives a terminal made visible (escape codes, bidi overrides)."""
    words = str(text).replace("\r\n", "\n").replace("\r", "\n")
    return words.translate(_VISIBLE) if _HIDDEN.search(words) else words


def escape(text: object) -> str:
    """`text` as it is, safe between tags and inside a quoted attribute."""
    return html.escape(plain(text), quote=True)


# ------------------------------------------------------------------------------------- Markdown

_CLASSES = "course-text mathjax_ignore tex2jax_ignore"


def to_html(text: object, *, style: bool = True) -> str:
    """The Markdown `text` as one `<div>`; `style=False` where the page already holds `STYLE`."""
    words = plain(text)
    body = None if len(words) > LONGEST_MARKDOWN else _from_markdown(words)
    if body is None:
        body = f'<p class="course-flat">{html.escape(words)}</p>'
    return f'{STYLE if style else ""}<div class="{_CLASSES}">{body}</div>'


def _from_markdown(text: str) -> str | None:
    """The HTML of `text`, or None where it is nested so deep that the parser would drop some of it."""
    from .markdown import DEEPEST, parser  # which takes its time, and a terminal has no need of it

    markdown, notes = parser(), {}
    tokens = markdown.parse(text, notes)
    if any(token.level >= DEEPEST - 1 for token in tokens):
        return None
    return markdown.renderer.render(tokens, markdown.options, notes)


def settled(text: str) -> tuple[str, str]:
    """Of a growing `text` that went through `plain`: the Markdown that is finished, and the rest.

    Both render on their own: a code block in the middle is closed and opened again, a list goes on with
    its next item. Only the whole text, rendered at the end, is exact (a loose list, a link defined later).
    """
    from .markdown import parser

    blocks = [token for token in parser().parse(text) if token.map and token.nesting >= 0]
    last = next((token for token in reversed(blocks) if token.level == 0), None)
    if last is None:
        return "", text
    lines = text.split("\n")
    start, end = last.map
    if last.type == "fence":
        closed = end - start > 1 and lines[end - 1].strip().startswith(last.markup)
        if not closed and len(lines) - start > 2:
            done, rest = lines[:-1], lines[-1:]
            return "\n".join([*done, last.markup, ""]), "\n".join([lines[start], *rest])
    elif last.type.endswith("_list_open"):
        start = next(t.map[0] for t in reversed(blocks) if t.level == 1 and t.type == "list_item_open")
    done, rest = lines[:start], lines[start:]
    return "".join(f"{line}\n" for line in done), "\n".join(rest)


# --------------------------------------------------------------------------------------- looks

CSS = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")

STYLE = f"<style>{CSS}</style>"
"""One `<style>` element; a page that shows many texts needs it once."""
