"""Model text becomes HTML in which nothing runs, loads or is lost."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hostile_texts import PAYLOADS

from course_helpers import render

ALLOWED = {
    "a": {"href", "title", "target", "rel"},
    "div": {"class", "role", "aria-level", "tabindex"},
    "p": {"class"},
    "pre": {"tabindex"},
    "ol": {"start"},
    "th": {"style"},
    "td": {"style"},
    **{tag: set() for tag in ("blockquote", "br", "code", "em", "hr", "li", "s", "strong", "ul")},
    **{tag: set() for tag in ("table", "thead", "tbody", "tr")},
}
OUR_CLASSES = re.compile(r"course-(text mathjax_ignore tex2jax_ignore|flat|table|h course-h[1-6])")


class Reader(HTMLParser):
    """Collects what a browser would see: tags, visible text, and everything that should not be there."""

    def __init__(self, page: str):
        super().__init__(convert_charrefs=True)
        self.tags, self.text, self.faults, self.open = [], "", [], []
        self.feed(page)
        self.close()
        if self.open:
            self.faults.append(f"left open: {self.open}")

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"br", "hr"}:
            self.open.append(tag)
        for name, value in attrs:
            if tag not in ALLOWED or name not in ALLOWED[tag]:
                self.faults.append(f"<{tag} {name}={value!r}>")
            if name == "href" and not re.match(r"(https?://|mailto:)", value, re.IGNORECASE):
                self.faults.append(f"href={value!r}")
            if name == "style" and not re.fullmatch(r"text-align:(left|right|center)", value):
                self.faults.append(f"style={value!r}")
            if name == "class" and not OUR_CLASSES.fullmatch(value):
                self.faults.append(f"class={value!r}")
        if tag not in ALLOWED:
            self.faults.append(f"<{tag}>")

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


@pytest.mark.parametrize("name", PAYLOADS)
def test_hostile_text_becomes_only_allowed_tags(name):
    """Alone, within prose, within a list and within a table, no payload leaves the allowed tags."""
    text = PAYLOADS[name]
    for frame in ("{}", "before {} after", "- item\n\n  {}", "| a |\n|---|\n| {} |", "> {}", "# {}"):
        read(frame.format(text))


@pytest.mark.parametrize("name", PAYLOADS)
def test_hostile_text_stays_text_when_escaped(name):
    """`escape` yields no tag and no way out of an attribute."""
    words = render.escape(PAYLOADS[name])
    seen = Reader(f'<p class="course-flat">{words}</p>')
    assert not seen.faults
    assert [tag for tag, _ in seen.tags] == ["p"]
    assert not set(words) & set("<>\"'")


def test_there_are_enough_payloads():
    """The corpus is as large as promised, without repeating itself."""
    assert len(set(PAYLOADS.values())) >= 200


def test_corpus_would_be_noticed():
    """The reader used above does find faults in raw HTML, so that its silence means something."""
    noticed = [name for name, text in PAYLOADS.items() if Reader(text).faults]
    assert len(noticed) > 200


def test_markdown_of_a_usual_reply():
    """What models write every day looks as meant."""
    seen = read(
        "# Title\n\nSome **bold**, *italic*, ~~old~~ and `code`.\n\n1. one\n2. two\n\n> said\n\n---\n"
    )
    tags = [tag for tag, _ in seen.tags]
    for tag in ("strong", "em", "s", "code", "ol", "li", "blockquote", "hr"):
        assert tag in tags
    assert ("div", {"role": "heading", "aria-level": "1", "class": "course-h course-h1"}) in seen.tags


def test_tables_keep_their_alignment_and_scroll_on_their_own():
    """A wide table scrolls in a box of its own."""
    seen = read("| a | b |\n|:--|--:|\n| 1 | 2 |\n")
    assert ("td", {"style": "text-align:right"}) in seen.tags
    assert ("div", {"class": "course-table", "tabindex": "0"}) in seen.tags


def test_code_is_kept_to_the_letter():
    """Indentation, blank lines, tags and backslashes of a code block arrive unchanged."""
    code = 'if a < b:\n\n    print("<b>&amp;\\n</b>")\n\t$x$ *not bold*\n'
    assert code in read(f"```python\n{code}```").text


def test_links_open_elsewhere_and_tell_nothing():
    """A link opens a new tab that knows nothing of the notebook."""
    seen = read("[a](https://example.org/?a=1&b=2 'T') <http://b.example> <me@c.example> [d](MAILTO:x@y.z)")
    links = [attributes for tag, attributes in seen.tags if tag == "a"]
    assert len(links) == 4
    assert all(link["target"] == "_blank" and link["rel"] == "noopener noreferrer" for link in links)


@pytest.mark.parametrize(
    "target",
    ["javascript:x", "data:text/html,x", "file:///x", "/lab", "//b", "#c", "?d", "x.html", "ftp://x", ""],
)
def test_other_links_lead_nowhere(target):
    """No script, no file, no page of JupyterLab itself."""
    seen = read(f"[click]({target})")
    assert not any("href" in attributes for _, attributes in seen.tags)
    assert "click" in seen.text


def test_money_is_not_mathematics():
    """Dollar signs stay dollar signs."""
    page = render.to_html("$5 and $6")
    assert "$5 and $6" in page
    assert "mathjax_ignore" in page


def test_no_heading_reaches_the_table_of_contents():
    """A reply's headings are not those of the notebook."""
    assert not re.search(r"<h\d", render.to_html("# a\n## b\n\nc\n===\n"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", "a␛[31mb"),
        ("a\u202eb", "a[U+202E]b"),
        ("a\u2066b", "a[U+2066]b"),
        ("a\x00b", "a␀b"),
        ("a\x7fb\x9bc", "a␡b�c"),
        ("a\ud800b", "a�b"),
        ("a\rb\r\nc", "a\nb\nc"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("שלום مرحبا 👩‍🔬 e\u0301", "שלום مرحبا 👩‍🔬 e\u0301"),
    ],
)
def test_hidden_characters_become_visible(text, shown):
    """What drives a terminal or reorders text is shown; real languages are left alone."""
    assert render.plain(text) == shown
    assert render.escape(text) == shown
    render.to_html(text).encode("utf-8")


def test_any_object_can_be_escaped():
    """Not only text needs escaping."""
    assert render.escape(None) == "None"
    assert render.escape(ValueError("<b>")) == "&lt;b&gt;"


@pytest.mark.parametrize("depth", [1, 5, 8, 9, 10, 18, 19, 20, 21, 60, 3000])
@pytest.mark.parametrize("mark", ["> ", "- ", "1. ", "> - "])
def test_deep_nesting_loses_nothing(mark, depth):
    """However deep, the words are there."""
    assert "the words" in read(mark * depth + "the words").text


@pytest.mark.parametrize(
    "text",
    [
        "[" * 90_000,
        "> " * 30 + "a\n" * 49_000,
        "*a **b " * 14_000,
        "`" * 99_999,
        "|a" * 1000 + "\n" + "|-" * 1000 + "\n" + "|\n" * 48_000,
        "<![CDATA[" * 11_000,
        "[a](" * 25_000,
        "\n\n- a" * 20_000,
        "a" * 100_000,
        "word " * 400_000,
        "<&>" * 1_000_000,
    ],
    ids=lambda text: text[:6].encode("unicode_escape").decode(),
)
@pytest.mark.timeout(60)
def test_huge_text_ends(text):
    """The worst texts known for Markdown readers, as long as Markdown is tried, and longer ones."""
    assert len(render.to_html(text)) >= min(len(text), 1000)


def test_text_too_long_for_markdown_is_shown_whole():
    """Nothing is cut off, it is only not formatted."""
    text = "**x** <b>\n" * 20_000
    assert read(text).text == text


def test_style_stands_once_and_only_names_our_classes():
    """The style cannot reach anything else on the page."""
    assert render.to_html("a").count("<style>") == 1
    assert "<style>" not in render.to_html("a", style=False)
    rules = re.sub(r"\{[^}]*\}", "|", render.STYLE.removeprefix("<style>").removesuffix("</style>"))
    for selector in re.split(r"[|,]", rules):
        assert not selector.strip() or selector.strip().startswith(".course-"), selector
    assert "url(" not in render.STYLE


def settle(text: str, step: int = 7, longest: int = 300) -> list[str]:
    """The parts of `text` as it grows by `step` characters and settles once it has `longest`."""
    parts, rest = [], ""
    for at in range(0, len(text), step):
        rest += text[at : at + step]
        if len(rest) > longest:
            done, rest = render.settled(rest)
            parts += [done] if done else []
    return [*parts, rest]


GROWING = {
    "prose": "One sentence of a paragraph. " * 8 + "\n\n",
    "code": "```python\nfor i in range(3):\n    print(i)\n\n" + "x = [1, 2]\n" * 60 + "```\n\n",
    "tilde code": "~~~\n" + "```\n" * 60 + "~~~\n",
    "list": "- one item\n  - below it\n- another\n" * 25 + "\n",
    "numbers": "".join(f"{n}. item number {n}\n" for n in range(1, 60)),
    "table": "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 40 + "\n",
    "quote": "> said\n" * 60 + "\n",
    "headings": "# Title\n\ntext\n\nUnder\n=====\n\n---\n\n" * 9,
}


@pytest.mark.parametrize("text", [*GROWING.values(), "".join(GROWING.values())], ids=[*GROWING, "all"])
@pytest.mark.parametrize("step", [1, 7, 50])
def test_a_growing_text_says_the_same_in_parts_as_whole(text, step):
    """Settled parts, each rendered on its own, hold the words and the code of the whole, in order."""

    def words(seen: Reader) -> str:
        return "".join(seen.text.split())

    parts = [read(part) for part in settle(text, step)]
    whole = read(text)
    assert "".join(words(part) for part in parts) == words(whole)
    for tag in ("td", "li", "blockquote", "hr"):
        in_parts = sum(tag == name for part in parts for name, _ in part.tags)
        assert in_parts == sum(tag == name for name, _ in whole.tags), tag


@pytest.mark.parametrize("kind", ["prose", "code", "list", "numbers", "headings"])
def test_what_is_sent_again_stays_short(kind):
    """Prose, code and lists settle as they grow, however long the reply."""
    text = GROWING[kind] * 5
    assert max(len(part) for part in settle(text)) < 700


@pytest.mark.parametrize("name", PAYLOADS)
def test_hostile_text_settles_into_allowed_tags(name):
    """Wherever a hostile text is divided, each part is as harmless as the whole."""
    for part in settle(f"text {PAYLOADS[name]}\n\n" * 3, longest=20):
        read(part)
