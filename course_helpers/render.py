"""Model text as safe HTML: Markdown with `to_html`, one plain string with `escape`.

What a model says is hostile text: it may hold markup, script, links that run code and characters that hide
or reorder others. Here it becomes HTML in which nothing can run, load or leave its box: raw HTML and images
are off, links are http, https or mailto and open in a new tab. Beyond CommonMark: tables, strikethrough, bold
beside Chinese, Japanese and Korean, formulas as written, code in colours.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from unicodedata import east_asian_width

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline, emphasis
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from .formatting import plain

LONGEST_MARKDOWN = 100_000  # characters; a longer text is shown as it is: the worst takes three seconds
LONGEST_CODE = 6_000  # characters of a block of code that is coloured: some lexers are slow on bad text
DEEPEST = 20  # levels of quotations and lists (a list has two) inside one another
LANGUAGES = """bash c cpp css go html ini java javascript js json julia kotlin php py python python3 r ruby
rust sh shell sql swift toml ts typescript xml yaml"""  # that are coloured: not all that Pygments knows
CSS = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
_COLOURS = HtmlFormatter(nowrap=True, classprefix="course-")  # words in classes that render.css colours
_ALLOWED_LINK = re.compile(r"(?:https?://|mailto:)[^\s]", re.IGNORECASE)
_FORMULA = re.compile(r"\\\(.{1,400}?\\\)|\\\[.{1,400}?\\\](?!\()", re.DOTALL)


def escape(text: object) -> str:
    """`text` as it is, safe between tags and inside a quoted attribute."""
    return html.escape(plain(text), quote=True)


def to_html(text: object, *, style: bool = True) -> str:
    """The Markdown `text` as one `<div>`; `style=False` where the page already holds `CSS`."""
    words, notes = plain(text), {}
    tokens = _MARKDOWN.parse(words, notes) if len(words) <= LONGEST_MARKDOWN else None
    if tokens is None or any(token.level >= DEEPEST - 1 for token in tokens):  # it would drop what is deeper
        body = f'<p class="course-flat">{html.escape(words)}</p>'
    else:
        body = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, notes)
    looks = f"<style>{CSS}</style>" if style else ""
    return f'{looks}<div class="course-text mathjax_ignore tex2jax_ignore">{body}</div>'


def _mathematics(state: StateInline, silent: bool) -> bool:
    r"""`\(x\)` and `\[x\]` come out as written: Markdown would take the backslashes, and more, away."""
    found = state.src.startswith("\\", state.pos) and _FORMULA.match(state.src, state.pos, state.posMax)
    if found:
        state.pending += "" if silent else found[0]
        state.pos = found.end()
    return bool(found)


def _emphasis(state: StateInline, silent: bool) -> bool:
    """Beside scripts that write no blanks, only a blank keeps `**` from beginning or ending what is bold."""
    start, known = state.pos, len(state.delimiters)
    found = emphasis.tokenize(state, silent)
    before, after = state.src[max(0, start - 1) : start], state.src[state.pos : state.posMax][:1]
    if found and state.src[start] == "*" and any(east_asian_width(char) in "WF" for char in before + after):
        for delimiter in state.delimiters[known:]:
            delimiter.open, delimiter.close = (bool(char) and not char.isspace() for char in (after, before))
    return found


def _link_open(tokens, index, options, env) -> str:
    if not tokens[index].attrs["href"]:  # [nothing](): would open JupyterLab once more
        del tokens[index].attrs["href"]
    tokens[index].attrs |= {"target": "_blank", "rel": "noopener noreferrer"}
    return _MARKDOWN.renderer.renderToken(tokens, index, options, env)


def _heading_open(tokens, index, options, env) -> str:
    # Not <h1>: JupyterLab would list the model's headings in the notebook's table of contents.
    level = tokens[index].tag[1]
    return f'<div role="heading" aria-level="{level}" class="course-h course-h{level}">'


def _code(code: str, language: str, _: str) -> str:
    """A block of code as HTML, letter by letter."""
    # The language after ``` is the model's word too: it is looked up, and not made a class name.
    coloured = language.lower() in LANGUAGES.split() and len(code) <= LONGEST_CODE
    lexer = get_lexer_by_name(language if coloured else "text", stripnl=False, ensurenl=False)
    return f'<pre tabindex="0"><code>{highlight(code, lexer, _COLOURS)}</code></pre>'


_MARKDOWN = MarkdownIt("commonmark", {"html": False, "maxNesting": DEEPEST, "highlight": _code})
_MARKDOWN.enable(["table", "strikethrough"]).disable(["image", "html_block", "html_inline"])
_MARKDOWN.inline.ruler.before("escape", "mathematics", _mathematics)
_MARKDOWN.inline.ruler.at("emphasis", _emphasis)
_MARKDOWN.validateLink = lambda url: bool(_ALLOWED_LINK.match(url))  # type: ignore[method-assign]
_MARKDOWN.renderer.rules |= {
    "link_open": _link_open,
    "code_block": _MARKDOWN.renderer.rules["fence"],
    "heading_open": _heading_open,
    "heading_close": lambda *_: "</div>\n",
    "table_open": lambda *_: '<div class="course-table" tabindex="0"><table>\n',
    "table_close": lambda *_: "</table></div>\n",
}
