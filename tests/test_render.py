"""Model text becomes HTML in which nothing runs, loads or is lost."""

from __future__ import annotations

import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest

from course_helpers import render
from course_helpers.formatting import plain
from course_helpers.render import LANGUAGES, LONGEST_CODE

_GROUPS = tomllib.loads(Path(__file__).with_name("hostile_texts.toml").read_text(encoding="utf-8"))
_GROUPS["control"] += [  # what cannot stand there
    "\ud800 half a character \udfff",
    "Z" + "\u0335\u0336\u0337\u0338\u033f\u0346\u0301" * 120 + "algo",
    "W" * 4000,
    *(char * 1000 for char in "*<&`"),
    "[" * 500 + "](javascript:window.pwned=1)",
    "|" * 500 + "\n" + "|-" * 500,
]
PAYLOADS = {f"{group}-{n}": text for group, texts in _GROUPS.items() for n, text in enumerate(texts)}

TAGS = re.compile("a|blockquote|br|code|div|em|hr|li|ol|p|pre|s|span|strong|table|tbody|t[dhr]|thead|ul")
CLASSES = "text mathjax_ignore tex2jax_ignore|flat|table|h course-h[1-6]"
CODE = r"[a-z]{1,3}\d?( course-l-[A-Za-z-]+)*"  # what words in code are, as Pygments calls it
ATTRIBUTES = (
    "a href=(?i:https?://|mailto:).*|a title=.*|a target=_blank|a rel=noopener noreferrer",
    rf"(div|p|span) class=course-({CLASSES}|{CODE})|div role=heading|div aria-level=[1-6]",
    r"(div|pre) tabindex=0|ol start=\d+|t[dh] style=text-align:(left|right|center)",
)
ALLOWED = re.compile("|".join(ATTRIBUTES), re.DOTALL)


class Reader(HTMLParser):
    """Collects what a browser would see: tags, visible text, and everything that should not be there."""

    def __init__(self, page: str):
        super().__init__(convert_charrefs=True)
        self.tags, self.text, self.faults, self.open = [], "", [], []
        self.feed(page)
        self.close()
        self.faults += [f"left open: {tag}" for tag in self.open]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open += [tag] if tag not in {"br", "hr"} else []
        self.faults += [f"<{tag}>"] if not TAGS.fullmatch(tag) else []
        for name, value in attrs:
            if not ALLOWED.fullmatch(f"{tag} {name}={value}"):
                self.faults.append(f"<{tag} {name}={value!r}>")

    def handle_endtag(self, tag):
        if tag not in {"br", "hr"} and (not self.open or self.open.pop() != tag):
            self.faults.append(f"</{tag}> closes what is not open")

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.faults.append(f"comment {data!r}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def read(text: str) -> Reader:
    """What a browser sees of `text`, checked against the few tags that may appear."""
    seen = Reader(render.to_html(text, style=False))
    assert not seen.faults, (text, seen.faults)
    return seen


FRAMES = ("{}", "before {} after", "- item\n\n  {}", "| a |\n|---|\n| {} |", "> {}", "```html\n{}\n```")


def test_hostile_texts_become_only_allowed_tags():
    """Alone, in prose, list, table and code, escaped, and divided in the middle."""
    assert len(set(PAYLOADS.values())) >= 250
    noticed = 0
    for name, text in PAYLOADS.items():
        for frame in FRAMES:
            read(frame.format(text))
        words = render.escape(text)
        assert not Reader(f'<p class="course-flat">{words}</p>').faults, name
        assert not set(words) & set("<>\"'"), name
        read(text[len(text) // 2 :])
        noticed += bool(Reader(text).faults)
    assert noticed > 200  # the reader used here does find faults in raw HTML


AS_MEANT = {
    "# Title\n\n**bold**, *italic*, ~~old~~ and `code`": "strong em s code div",
    "1. one\n2. two\n\n> said\n\n---\n": "ol li blockquote hr",
    "| a | b |\n|:--|--:|\n| 1 | 2 |\n": "table td",
    "これは**「重要」**です": "strong",
    "3 * 4 * 5 and a*": "",
}


def test_markdown_of_usual_replies():
    """What models write every day looks as meant, also beside scripts that write no blanks."""
    for text, tags in AS_MEANT.items():
        seen = {tag for tag, _ in read(text).tags}
        assert seen >= set(tags.split()), text
        assert tags or not seen & {"em", "strong"}, text
    seen = read("| a | b |\n|:--|--:|\n| 1 | 2 |\n").tags
    assert ("td", {"style": "text-align:right"}) in seen
    assert ("div", {"class": "course-table", "tabindex": "0"}) in seen
    assert ("div", {"role": "heading", "aria-level": "1", "class": "course-h course-h1"}) in read("# a").tags
    assert not re.search(r"<h\d", render.to_html("# a\n## b\n\nc\n===\n"))


def test_code_and_formulas_are_kept_to_the_letter():
    """Indentation, blank lines, tags and backslashes arrive unchanged; dollars stay dollars."""
    code = 'if a < b:\n\n    print("<b>&amp;\\n</b>")  # 1\n\t$x$ *not bold*\n\n\n'
    for language in ("", "nonsense", "py {x=1}", *LANGUAGES.split()):
        assert code in read(f"```{language}\n{code}```").text, language
    assert "```python\nx = 1\n```\n" in read("````markdown\n```python\nx = 1\n```\n````").text
    spans = [attributes["class"] for tag, attributes in read(f"```python\n{code}```").tags if tag == "span"]
    assert set(spans) >= {"course-k", "course-nb", "course-s2", "course-c1"}
    assert not [tag for tag, _ in read(f"```python\n{code * (LONGEST_CODE // 40)}```").tags if tag == "span"]
    for formula in (r"\(a_1 * b_1 * c\)", r"\[ \frac{1}{2} \]", "$5 and $6"):
        assert read(f"so {formula} is").text == f"so {formula} is\n"
    assert read(r"\*a\* \[b\](http://c)").text == "*a* [b](http://c)\n"


def test_links():
    """A link opens a new tab that knows nothing of the notebook; others lead nowhere."""
    seen = read("[a](https://example.org/?a=1&b=2 'T') <http://b.example> <me@c.example> [d](MAILTO:x@y.z)")
    links = [(link["target"], link["rel"]) for tag, link in seen.tags if tag == "a"]
    assert links == [("_blank", "noopener noreferrer")] * 4
    for target in ("javascript:x", "data:text/html,x", "file:///x", "/lab", "//b", "#c", "?d", "x.html", ""):
        seen = read(f"[click]({target})")
        assert ("click" in seen.text, any("href" in each for _, each in seen.tags)) == (True, False), target


def test_hidden_characters_become_visible():
    """What drives a terminal or reorders text is shown; real languages are left alone."""
    same = "\tand\nline שלום مرحبا 👩‍🔬 e\u0301"
    hidden = "a\x1b[31mb\u202ec\u2066d\x00e\x7ff\x9bg\ud800h\ri\r\nj"
    seen = "a[U+001B][31mb[U+202E]c[U+2066]d[U+0000]e[U+007F]f[U+009B]g[U+D800]h\ni\nj"
    for text, shown in {hidden: seen, same: same}.items():
        assert plain(text) == render.escape(text) == shown
        render.to_html(text).encode("utf-8")
    assert render.escape(ValueError("<b>")) == "&lt;b&gt;"


HUGE = ("[" * 90_000, "> " * 30 + "a\n" * 9_000, "`" * 99_999, "重**" * 33_000, "```cpp\n" + "\n" * 90_000)


@pytest.mark.timeout(60)
def test_nothing_is_lost_however_deep_or_long():
    """What cannot be formatted is shown as it is; the worst texts known for Markdown readers end too."""
    for depth in (1, 9, 10, 19, 20, 60, 3000):
        for mark in ("> ", "- ", "1. ", "> - "):
            assert "the words" in read(mark * depth + "the words").text, (mark, depth)
    text = "**x** <b>\n" * 20_000
    assert read(text).text == text
    assert all(len(render.to_html(text)) >= 1000 for text in HUGE)
