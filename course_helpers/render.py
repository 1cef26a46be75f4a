"""Model text as safe HTML: Markdown with `to_html`, one plain string with `escape`, for a terminal `plain`.

What a model says is hostile text: it may hold markup, script, links that run code and characters that hide
or reorder others. Here it becomes HTML in which nothing can run, load or leave its box.
How Markdown is read stands in `markdown`, which takes its time to load, and a terminal has no need of it.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

LONGEST_MARKDOWN = 100_000  # characters; a longer text is shown as it is: the worst takes three seconds
CSS = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
STYLE = f"<style>{CSS}</style>"  # a page that shows many texts needs it once
_CLASSES = "course-text mathjax_ignore tex2jax_ignore"
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


def to_html(text: object, *, style: bool = True) -> str:
    """The Markdown `text` as one `<div>`; `style=False` where the page already holds `STYLE`."""
    from .markdown import to_html

    words = plain(text)
    body = to_html(words) if len(words) <= LONGEST_MARKDOWN else None
    if body is None:
        body = f'<p class="course-flat">{html.escape(words)}</p>'
    return f'{STYLE if style else ""}<div class="{_CLASSES}">{body}</div>'
