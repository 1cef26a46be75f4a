"""Markdown as models write it, to HTML in which nothing can run, load or leave its box: see `render`.

Raw HTML and images are off, links are http, https or mailto and open in a new tab, code is coloured. Beyond
CommonMark: tables, strikethrough, bold beside Chinese, Japanese and Korean, formulas as written.
"""

from __future__ import annotations

import html
import re
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline, emphasis

DEEPEST = 20  # levels of quotations and lists (a list has two) inside one another
LONGEST_CODE = 6_000  # characters of code in one text that are coloured: some lexers are slow on bad text
_LANGUAGES = """bash c cpp css go html ini java javascript js json julia kotlin php py python python3 r ruby
rust sh shell sql swift toml ts typescript xml yaml"""
LANGUAGES = frozenset(_LANGUAGES.split())  # those that are coloured: not every one that Pygments knows
_ALLOWED_LINK = re.compile(r"(?:https?://|mailto:)[^\s]", re.IGNORECASE)
_FORMULA = re.compile(r"\\\(.{1,400}?\\\)|\\\[.{1,400}?\\\](?!\()", re.DOTALL)
_CJK = re.compile(
    "[\u1100-\u11ff\u2e80-\u2fff\u3001-\ua4cf\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f"
    "\uff00-\uffef\U00020000-\U0003ffff]"
)


def to_html(text: str) -> str | None:
    """The HTML of `text`, or None where it is nested so deep that the parser would drop some of it."""
    markdown, notes = parser(), {}
    tokens = markdown.parse(text, notes)
    if any(token.level >= DEEPEST - 1 for token in tokens):
        return None
    return markdown.renderer.render(tokens, markdown.options, notes)


@cache
def parser() -> MarkdownIt:
    """The parser and renderer, made once."""
    made = MarkdownIt("commonmark", {"html": False, "maxNesting": DEEPEST})
    made.inline.ruler.before("escape", "mathematics", _mathematics)
    made.inline.ruler.at("emphasis", _emphasis)
    made.enable(["table", "strikethrough"])
    made.disable(["image", "html_block", "html_inline"])
    made.validateLink = lambda url: bool(_ALLOWED_LINK.match(url))  # type: ignore[method-assign]
    for name, rule in {
        "link_open": _link_open,
        "fence": _code,
        "code_block": _code,
        "heading_open": _heading_open,
        "heading_close": lambda *_: "</div>\n",
        "table_open": lambda *_: '<div class="course-table" tabindex="0"><table>\n',
        "table_close": lambda *_: "</table></div>\n",
    }.items():
        made.add_render_rule(name, rule)
    return made


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
    if found and state.src[start] == "*" and (_CJK.match(before) or _CJK.match(after)):
        for delimiter in state.delimiters[known:]:
            delimiter.open, delimiter.close = (bool(char) and not char.isspace() for char in (after, before))
    return found


def _link_open(renderer, tokens, index, options, env) -> str:
    if _ALLOWED_LINK.match(str(tokens[index].attrs["href"])):
        tokens[index].attrs |= {"target": "_blank", "rel": "noopener noreferrer"}
    else:
        del tokens[index].attrs["href"]  # [nothing](): would open JupyterLab once more
    return renderer.renderToken(tokens, index, options, env)


def _heading_open(renderer, tokens, index, options, env) -> str:
    # Not <h1>: JupyterLab would list the model's headings in the notebook's table of contents.
    level = tokens[index].tag[1]
    return f'<div role="heading" aria-level="{level}" class="course-h course-h{level}">'


def _code(renderer, tokens, index, options, env) -> str:
    # The language after ``` is the model's word too: it is looked up, and not made a class name.
    code, language = tokens[index].content, (tokens[index].info.split() or [""])[0].lower()
    env["code"] = env.get("code", 0) + len(code)
    known = language in LANGUAGES and env["code"] <= LONGEST_CODE
    words = _coloured(code, language) if known else html.escape(code)
    return f'<pre tabindex="0"><code>{words}</code></pre>\n'


def _coloured(code: str, language: str) -> str:
    """`code` as HTML, letter by letter, with its words in classes that render.css colours."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    return highlight(code, lexer, HtmlFormatter(nowrap=True, classprefix="course-"))
