"""Model text as safe HTML.

What a model says is hostile text: it may hold markup, script, links that run code and characters that
hide or reorder others. Here it becomes HTML in which nothing can run, load or leave its box:

    render.to_html(reply)      Markdown, for a rich display
    render.escape(name)        one plain string, to stand inside HTML
    render.plain(text)         the same characters made visible, for a terminal

Raw HTML and images are off, links are http, https or mailto and open in a new tab, and nothing is
typeset as mathematics ("$5 and $6" stays as it is).
"""

from __future__ import annotations

import html
import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

__all__ = ["CSS", "STYLE", "escape", "plain", "settled", "to_html"]

LONGEST_MARKDOWN = 100_000
"""Characters; a longer text is shown as it is. The worst text of this length takes about three seconds."""

DEEPEST = 20
"""Levels of quotations and lists (a list has two) inside one another; a deeper text is shown as it is."""

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

_ALLOWED_LINK = re.compile(r"(?:https?://|mailto:)[^\s]", re.IGNORECASE)
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
    parser, notes = _markdown(), {}
    tokens = parser.parse(text, notes)
    if any(token.level >= DEEPEST - 1 for token in tokens):
        return None
    return parser.renderer.render(tokens, parser.options, notes)


def settled(text: str) -> tuple[str, str]:
    """Of a growing `text` that went through `plain`: the Markdown that is finished, and the rest.

    Both render on their own: a code block in the middle is closed and opened again, a list goes on with
    its next item. Only the whole text, rendered at the end, is exact (a loose list, a link defined later).
    """
    blocks = [token for token in _markdown().parse(text) if token.map and token.nesting >= 0]
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


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": DEEPEST})
    parser.enable(["table", "strikethrough"])
    parser.disable(["image", "html_block", "html_inline"])
    parser.validateLink = lambda url: bool(_ALLOWED_LINK.match(url))  # type: ignore[method-assign]
    for name, rule in _RULES.items():
        parser.add_render_rule(name, rule)
    return parser


def _link_open(renderer, tokens, index, options, env) -> str:
    if _ALLOWED_LINK.match(str(tokens[index].attrs["href"])):
        tokens[index].attrs |= {"target": "_blank", "rel": "noopener noreferrer"}
    else:
        del tokens[index].attrs["href"]  # [nothing](): would open JupyterLab once more
    return renderer.renderToken(tokens, index, options, env)


def _code(renderer, tokens, index, options, env) -> str:
    # The language after ``` is the model's word too: it is not made a class name.
    return f'<pre tabindex="0"><code>{html.escape(tokens[index].content)}</code></pre>\n'


def _heading_open(renderer, tokens, index, options, env) -> str:
    # Not <h1>: JupyterLab would list the model's headings in the notebook's table of contents.
    level = tokens[index].tag[1]
    return f'<div role="heading" aria-level="{level}" class="course-h course-h{level}">'


_RULES = {
    "link_open": _link_open,
    "fence": _code,
    "code_block": _code,
    "heading_open": _heading_open,
    "heading_close": lambda *_: "</div>\n",
    "table_open": lambda *_: '<div class="course-table" tabindex="0"><table>\n',
    "table_close": lambda *_: "</table></div>\n",
}

# --------------------------------------------------------------------------------------- looks

CSS = """
.course-text { contain: paint; overflow-wrap: anywhere; line-height: 1.5; max-width: 100%; }
.course-text, .course-text * { box-sizing: border-box; }
.course-text p, .course-text li, .course-text td, .course-text th, .course-text .course-h {
  unicode-bidi: plaintext; color: inherit; }
.course-text p { margin: 0 0 .6em; }
.course-text ul, .course-text ol { margin: 0 0 .6em; padding-left: 1.8em; }
.course-text li > ul, .course-text li > ol { margin-bottom: 0; }
.course-text li > p { margin-bottom: .2em; }
.course-text .course-flat { white-space: pre-wrap; }
.course-text .course-h { font-weight: 600; margin: .9em 0 .35em; line-height: 1.3; }
.course-text .course-h1 { font-size: 1.3em; }
.course-text .course-h2 { font-size: 1.18em; }
.course-text .course-h3 { font-size: 1.08em; }
.course-text pre, .course-text code { font-family: var(--jp-code-font-family, monospace);
  font-size: var(--jp-code-font-size, .92em); color: var(--jp-content-font-color1, inherit);
  background: var(--jp-layout-color2, rgba(128, 128, 128, .15)); border-radius: 3px; }
.course-text code { padding: .1em .3em; }
.course-text pre { margin: 0 0 .6em; padding: .55em .7em; overflow-x: auto; line-height: 1.4;
  white-space: pre; overflow-wrap: normal; }
.course-text pre code { padding: 0; background: none; }
.course-text blockquote { margin: 0 0 .6em; padding: 0 0 0 .8em;
  border-left: 3px solid var(--jp-border-color1, #bbb); color: var(--jp-content-font-color2, inherit); }
.course-text hr { border: 0; border-top: 1px solid var(--jp-border-color1, #bbb); margin: .8em 0; }
.course-text a { color: var(--jp-content-link-color, #0366d6); text-decoration: underline; }
.course-text .course-table { overflow-x: auto; margin: 0 0 .6em; }
.course-text table { border-collapse: collapse; margin: 0; font-size: inherit; }
.course-text th, .course-text td { border: 1px solid var(--jp-border-color1, #bbb); padding: .25em .6em;
  text-align: left; vertical-align: top; overflow-wrap: normal; max-width: 40em; }
.course-text th { font-weight: 600; background: var(--jp-layout-color2, rgba(128, 128, 128, .15)); }
.course-text > :first-child { margin-top: 0; }
.course-text > :last-child { margin-bottom: 0; }
"""

STYLE = f"<style>{CSS}</style>"
"""One `<style>` element; a page that shows many texts needs it once."""
