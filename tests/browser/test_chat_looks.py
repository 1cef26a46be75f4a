"""Hostile and awkward texts in the chat, in a trusted notebook: nothing runs, loads or spills."""

from __future__ import annotations

import json

import pytest
from echo_server import EchoServer
from hostile_texts import PAYLOADS

from browser.chat_page import ChatPage
from browser.lab import Lab

SETUP = """
from IPython.display import display
from course_helpers import Conversation, connect
from course_helpers.chat_cell import ChatCell
from course_helpers.history import last_turns
client = connect({url!r})
"""

HELD = """
import contextlib, json
replies = []
for text in json.loads({texts!r}):
    for setting in ("model", "system"):
        with contextlib.suppress(Exception):  # half a character is refused
            setattr(cell.chat, setting, text)
    for words in (text, "fail " + text):
        with contextlib.suppress(Exception):
            replies.append(cell.send(words))
"""

# What a page is, apart from the transcript: none of it may change.
OUTSIDE = """() => ({
    title: document.title, address: location.href, run: String(window.pwned),
    styles: document.querySelectorAll("style, link, script, base, meta, iframe, object, embed").length,
    body: [...document.body.children].map(node => node.tagName + node.id).join(" "),
    looks: ["display", "visibility", "color", "backgroundColor", "fontFamily"]
        .map(name => getComputedStyle(document.querySelector(".jp-Notebook"))[name]).join(" "),
    dialogs: document.querySelectorAll(".jp-Dialog").length,
    contents: document.querySelector(".jp-TableOfContents")?.innerText ?? "",
})"""

# Everything that a reader could set off by moving about: inline handlers run on such events too.
TOUCH = """root => {
    for (const node of root.querySelectorAll("*"))
        for (const name of ["mouseover", "mouseenter", "pointerenter", "focus", "load", "error", "toggle",
                            "scroll", "animationstart", "transitionend", "wheel", "copy", "begin"])
            node.dispatchEvent(new Event(name));
    for (const node of root.querySelectorAll(".course-text *:not(a)")) node.click();
}"""

FOUND = """root => ({
    tags: [...new Set([...root.querySelectorAll("*")].map(node => node.tagName.toLowerCase()))],
    links: [...new Set([...root.querySelectorAll("[href]")].map(node => new URL(node.href).protocol))],
    targets: [...new Set([...root.querySelectorAll("[href]")].map(node => node.target + " " + node.rel))],
    handlers: [...root.querySelectorAll("*")].flatMap(node => node.getAttributeNames())
        .filter(name => name.startsWith("on") || name === "src" || name === "srcdoc"),
    ids: [...root.querySelectorAll(".course-text [id], .course-chat-words [id]")].length,
    mathematics: root.querySelectorAll("mjx-container, .MathJax").length,
})"""

TAGS = {
    "a",
    "blockquote",
    "br",
    "button",
    "code",
    "div",
    "em",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "span",
    "strong",
}
TAGS |= {"table", "tbody", "td", "th", "thead", "tr", "ul"}


@pytest.fixture(scope="module")
def page(shared_lab):
    """One notebook for all tests of this module, connected to a server that says what it is told."""
    echo = EchoServer()
    shared_lab.open([SETUP.format(url=echo.url)])
    assert shared_lab.run_all()
    yield shared_lab
    echo.close()


def check_hostile(lab: Lab, names: list[str]) -> None:
    """Hold a conversation of the payloads called `names`, and look at what came of it."""
    chat = ChatPage.make(lab, "cell = ChatCell(keep=last_turns(1))\ncell")
    lab.page.wait_for_timeout(300)
    before = lab.page.evaluate(OUTSIDE)
    for at in range(0, len(names), 20):
        lab.run(HELD.format(texts=json.dumps([PAYLOADS[name] for name in names[at : at + 20]])))
    assert (
        len(chat.feet()) >= 2 * len(names) - 4
    )  # a few are blank or half a character: refused before sending
    chat.talk.evaluate(TOUCH)
    lab.page.wait_for_timeout(300)
    found = chat.talk.evaluate(FOUND)
    assert set(found["tags"]) <= TAGS
    assert set(found["links"]) <= {"http:", "https:", "mailto:"}
    assert set(found["targets"]) <= {"_blank noopener noreferrer"}
    assert found["handlers"] == []
    assert found["ids"] == 0
    assert found["mathematics"] == 0
    width = "node => node.scrollWidth - node.clientWidth"
    assert chat.talk.evaluate(width) <= 1
    assert lab.page.evaluate(OUTSIDE) == before
    assert lab.strangers == []
    assert len(lab.context.pages) == 1
    index = lab.add_cell("[display(reply) for reply in replies];")
    lab.run_cell(index)
    lab.page.wait_for_timeout(500)
    shown = lab.cell(index).locator(".jp-OutputArea")
    shown.evaluate(TOUCH)
    assert shown.evaluate(FOUND)["mathematics"] == 0
    after = lab.page.evaluate(OUTSIDE)
    assert after["run"] == "undefined"
    assert {**after, "styles": 0} == {**before, "styles": 0}  # a rich display brings its own style
    assert lab.strangers == []
    assert lab.faults == []
    assert lab.errors() == []


def test_hostile_texts(page):
    """Every tenth payload as prompt, reply, model name, system prompt and error message."""
    check_hostile(page, list(PAYLOADS)[::10])


AWKWARD = """# A reply with everything

Some **bold** and *italic* words, `inline code`, a [link](https://example.org) and $5 or $6.

{word}

| name | what it is | price | more | and more | still more | the last column |
|------|:----------:|------:|------|----------|------------|-----------------|
{rows}

```python
def divide(a, b):
    return a / b if b else None  # a line so long that it does not fit {and_so_on}
```

1. first
   - below it

> A quotation.

שלום, this line begins in Hebrew. **「重要」**です。
"""


def test_awkward_texts_look_right(page):
    """A long word, a wide table, code and lists stay within the chat, in both themes."""
    lab, chat = page, ChatPage.make(page)
    row = "| claude-haiku | a_rather_long_word_in_a_cell | $0.10 | more | and more | still more | the last |"
    chat.ask(AWKWARD.format(word="W" * 400, rows="\n".join([row] * 3), and_so_on="and so on " * 8))
    width = "node => node.scrollWidth - node.clientWidth"
    assert chat.talk.evaluate(width) <= 1
    assert chat.root.locator("pre").evaluate(width) > 1
    chat.talk.evaluate("talk => { talk.style.height = '1100px'; }")
    for dark in (False, True):
        lab.theme(dark)
        lab.screenshot(f"chat-awkward-{'dark' if dark else 'light'}", of=chat.root)
    lab.theme(False)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_hostile_texts(page):
    """All of them."""
    check_hostile(page, list(PAYLOADS))


def test_the_check_would_notice(page):
    """Raw HTML in the same place does run: the silence of the tests above means something."""
    page.run(
        "import ipywidgets\n"
        "display(ipywidgets.HTML('<img src=x onerror=window.pwned=1>'\n"
        "    '<img src=http://hostile.test/a.png>'))"
    )
    page.page.wait_for_function("window.pwned === 1")
    assert page.strangers == ["http://hostile.test/a.png"]
