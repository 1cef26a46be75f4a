"""Markdown as models write it, to HTML in which nothing can run, load or leave its box: see `render`.

Raw HTML and images are off, links are http, https or mailto and open in a new tab, code is coloured. Beyond
CommonMark: tables, strikethrough, bold beside Chinese, Japanese and Korean, formulas as written.
"""

from __future__ import annotations

import html
import re
from functools import cache
from itertools import groupby

from markdown_it import MarkdownIt
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_inline import StateInline

DEEPEST = 20  # levels of quotations and lists (a list has two) inside one another
LONGEST_CODE = 6_000  # characters of code in one text that are coloured: some lexers are slow on bad text
_LANGUAGES = """bash c cpp css go html ini java javascript js json julia kotlin php py python python3 r ruby
rust sh shell sql swift toml ts typescript xml yaml"""
LANGUAGES = frozenset(_LANGUAGES.split())  # those that are coloured: not every one that Pygments knows
# Words in the names that Pygments gives to kinds of tokens, with the class that colours them.
_COLOURS = dict.fromkeys(("Function", "Class", "Builtin", "Attribute", "Tag"), "course-n")
_COLOURS |= {"Comment": "course-c", "String": "course-s", "Number": "course-m", "Keyword": "course-k"}
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
    made.inline = _Inline()
    made.configure("commonmark")
    made.inline.ruler.before("escape", "mathematics", _mathematics)
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


class _Line(StateInline):
    """Beside scripts that write no blanks, only a blank keeps `**` from beginning or ending what is bold."""

    def scanDelims(self, start: int, canSplitWord: bool):
        found = super().scanDelims(start, canSplitWord)
        before, end = self.src[max(0, start - 1) : start], start + found.length
        after = self.src[end : min(end + 1, self.posMax)]
        if canSplitWord and (_CJK.match(before) or _CJK.match(after)):
            opens, closes = (bool(char) and not char.isspace() for char in (after, before))
            return type(found)(opens, closes, found.length)
        return found


class _Inline(ParserInline):
    """`ParserInline` that reads a `_Line`; the rest is as there."""

    def parse(self, src, md, env, tokens):
        line = _Line(src, md, env, tokens)
        self.tokenize(line)
        for rule in self.ruler2.getRules(""):
            rule(line)
        return line.tokens


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
    """`code` as HTML, letter by letter, with its words coloured."""
    from pygments.lexers import get_lexer_by_name

    tokens = get_lexer_by_name(language, stripnl=False, ensurenl=False).get_tokens(code)
    classed = (
        (next((_COLOURS[name] for name in kind if name in _COLOURS), ""), text) for kind, text in tokens
    )
    parts = []
    for name, pieces in groupby(classed, key=lambda piece: piece[0]):
        words = html.escape("".join(text for _, text in pieces))
        parts.append(f'<span class="{name}">{words}</span>' if name else words)
    return "".join(parts)
