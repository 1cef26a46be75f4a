"""The chat cell in JupyterLab and Chromium, as a reader uses it, and with hostile texts in it."""

from __future__ import annotations

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from test_render import PAYLOADS

from browser.chat_page import ChatPage
from course_helpers import Conversation, models

LONG = "Tell me a very long story about the sea."
PARIS, ANSWER = "What is the capital of France?", "The capital of France is Paris."
WIDTH = "node => node.scrollWidth - node.clientWidth"


def test_typing_loses_nothing(chat):
    """Every keystroke is sent, at 120 a second and while the forecast counts, also JupyterLab's shortcuts.
    Enter does not send while composing, nor with Safari's key code 229, nor with Shift."""
    cells = len(chat.lab.notebook()["cells"])
    words = "abcdd xyz My cat is called Möhre, b b a a: what is the capital of France? " * 2
    chat.box.click()
    chat.box.press_sequentially(words, delay=1000 / 120)
    for how in ("isComposing: true", "keyCode: 229", "shiftKey: true"):
        event = f"new KeyboardEvent('keydown', {{key: 'Enter', bubbles: true, cancelable: true, {how}}})"
        assert chat.box.evaluate(f"box => box.dispatchEvent({event})")
    assert chat.questions() == []
    chat.lab.page.keyboard.press("Enter")
    chat.lab.page.keyboard.type("the next")
    chat.wait()
    assert chat.questions() == [words]
    assert chat.box.input_value() == "the next"
    assert len(chat.lab.notebook()["cells"]) == cells


def test_a_first_turn(lab, chat):
    """From starters and forecast to Stop and Esc; where its cell is run again, a chat ends, and no other."""
    other = chat
    chat = ChatPage.make(lab, f"cell = ChatCell(starters=[{PARIS!r}, 'Two?'], budget_usd=0.01)\ncell")
    chat.box.fill("My cat is called Tom.")
    expect(chat.part("forecast")).to_contain_text("tokens in · $")
    expect(chat.part("bar")).to_be_visible()
    chat.box.fill("")
    chat.click(PARIS)
    chat.wait()
    assert chat.replies() == [ANSWER]
    expect(chat.root.get_by_role("button", name="Two?")).to_be_hidden()
    assert "of a budget of $0.01" in chat.session.inner_text()
    lab.run("practice.pace(90, 0.2)")
    chat.box.fill(LONG)
    chat.main.dblclick()
    chat.until(lambda: len(chat.replies()[-1]) > 20)
    assert (lab.run("6 * 7"), chat.main.inner_text()) == ("42", "Stop")
    chat.wait()
    assert chat.replies()[1] == lab.run("print(cell.chat.turns[-1].assistant)").strip()
    lab.run("practice.pace(20, 0.5)")
    chat.ask(LONG, wait=False)
    chat.box.press("Escape")  # at the instant of sending
    chat.wait()
    chat.ask(LONG, wait=False)
    expect(chat.status).to_contain_text("is coming")
    chat.click("Stop")
    chat.wait()
    assert ["Stopped" in foot for foot in chat.feet()] == [False, False, True, True]
    other.ask(LONG, wait=False)
    lab.run_cell(chat.index)
    expect(chat.root).to_have_count(1)
    assert chat.questions() == []
    assert other.main.inner_text() == "Stop"
    other.click("Stop")


def test_retry_undo_edit_and_clear(chat):
    """Each does what it says to screen and conversation; none forgets money."""
    chat.ask("My cat is called Tom.")
    chat.ask(PARIS)
    spent = chat.dollars()
    chat.click("Retry")
    chat.until(lambda: chat.session.inner_text().startswith("2 turns") and chat.dollars() > spent)
    chat.click("Undo")
    expect(chat.box).to_have_value(PARIS)
    assert len(chat.questions()) == 1
    chat.click("Edit the question and ask again")
    editor = chat.root.get_by_label("Edit the question", exact=True)
    expect(editor).to_have_value("My cat is called Tom.")
    editor.fill("My dog is called Rex.")
    editor.press("Enter")
    chat.until(lambda: chat.questions() == ["My dog is called Rex."])
    chat.wait()
    assert chat.lab.run("len(cell.chat.turns), len(cell.chat.calls)") == "(1, 4)"
    chat.lab.run("practice.pace(20, 0.1)")
    chat.ask(LONG, wait=False)
    chat.click("Clear")
    expect(chat.status).to_contain_text("Cleared")
    assert (chat.questions(), chat.main.inner_text()) == ([], "Send")
    assert chat.dollars() > spent


AWKWARD = f"""Some **bold** words, `inline code`, a [link](https://example.org) and {"W" * 400}.

| name | what it is | price | more | and more | still more | the last column |
|------|:----------:|------:|------|----------|------------|-----------------|
| claude-haiku | a_rather_long_word_in_a_cell | $0.10 | more | and more | still more | the last |

```python
return a / b if b else None  # a line so long that it does not fit {"and so on " * 8}
```
"""


def test_copy_request_and_export(lab, echoing, echo, tmp_path):
    """Question, reply and code on the clipboard; what was sent in three languages; the chat in two files."""
    lab.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=lab.server.url)
    chat, read = echoing, "() => navigator.clipboard.readText()"
    chat.ask(AWKWARD)

    def copied(button: str) -> str:
        lab.page.evaluate("() => navigator.clipboard.writeText('')")
        chat.click(button)
        chat.until(lambda: lab.page.evaluate(read) != "")
        return lab.page.evaluate(read)

    assert copied("Copy the question") == copied("Copy the reply") == AWKWARD
    assert copied("Copy this code") in AWKWARD
    assert chat.root.locator(".course-c1").inner_text().startswith("# a line so long")
    chat.click("What was sent for this reply")
    shown = chat.part("request pre")
    expect(shown).to_contain_text('"model": "echo"')
    chat.click("curl")
    expect(shown).to_contain_text(f"curl {echo.url}/v1/messages")
    chat.click("Python")
    assert "import anthropic" in copied("Copy")
    for name, kind in (("chat.json", "Save as JSON"), ("chat.md", "Save as Markdown")):
        with lab.page.expect_download() as download:
            chat.click(kind)
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
    assert Conversation.load(tmp_path / "chat.json").turns[0].user == AWKWARD
    assert AWKWARD in (tmp_path / "chat.md").read_text()


CONTROLS = [
    *("System prompt", "Retry", "Undo", "Clear", "Conversation", "Copy the question"),
    *("Edit the question and ask again", "Copy the reply", "What was sent for this reply"),
    *("Send", "Save as Markdown", "Save as JSON"),
]


def test_settings_and_the_keyboard_alone(chat):
    """Model and system prompt hold from the next turn on. Tab reaches every control in the page's order."""
    choice = chat.root.get_by_label("Model", exact=True)
    choice.select_option(models.ALIASES["sonnet"])
    chat.click("System prompt")
    chat.root.get_by_role("textbox", name="System prompt").fill("You teach the sea.")
    chat.ask(PARIS)
    assert chat.lab.run("'sonnet' in cell.chat.model, cell.chat.system") == "(True, 'You teach the sea.')"
    choice.focus()
    names, focused = [], "document.activeElement"
    for _ in range(17):
        names.append(chat.lab.page.evaluate(f"{focused}.getAttribute('aria-label') ?? {focused}.innerText"))
        chat.lab.page.keyboard.press("Tab")
    assert [name for name in names if name in CONTROLS] == CONTROLS
    copy = chat.root.get_by_role("button", name="Copy the reply")
    copy.focus()
    expect(copy).to_have_css("opacity", "1")


def test_nothing_hinders_a_reader(lab, echoing):
    """axe-core finds nothing serious, in both themes, at 200 % zoom and at 480 pixels; nothing is cut off."""
    chat = echoing
    chat.ask(AWKWARD)
    chat.ask("fail here")
    chat.click("System prompt")
    chat.click("What was sent for this reply")
    chat.box.fill("not sent")
    expect(chat.part("forecast")).to_contain_text("tokens in")
    chat.root.evaluate("node => { node.id = 'this-chat'; }")
    lab.command("application:toggle-left-area")  # which leaves no room at 480 pixels
    lab.page.emulate_media(reduced_motion="reduce")
    for dark, width, zoom in ((True, 480, 1), (False, 1280, 2)):
        lab.theme(dark)
        lab.page.set_viewport_size({"width": width, "height": 1400})
        lab.page.evaluate(f"() => {{ document.body.style.zoom = {zoom}; }}")
        button = chat.root.get_by_role("button", name="Copy the question").first
        button.focus()
        expect(button).to_have_css("transition-property", "none")
        found = Axe().run(lab.page, context="#this-chat").response["violations"]
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        assert not serious, [(each["id"], each["nodes"][0]["html"]) for each in serious]
        assert max(part.evaluate(WIDTH) for part in (chat.root, chat.talk)) <= 1
    lab.page.evaluate("() => { document.body.style.zoom = 1; }")


def test_turns_from_code(lab, chat):
    """They show in the chat, not twice beneath the cell; an interrupt ends them in one sentence."""
    assert lab.run(f"reply = cell.send({PARIS!r})\nreply").startswith("In the chat: ")
    lab.run("practice.pace(20, 0.1)")
    index = lab.add_cell(f"cell.send({LONG!r})")
    lab.run_cell(index, wait=False)
    chat.until(lambda: len(chat.replies()) == 2 and chat.replies()[-1] != "")
    lab.command("notebook:interrupt-kernel")
    shown = lab.cell(index).locator(".jp-OutputArea-output")
    expect(shown).to_have_text("KeyboardInterrupt: the reply was stopped and is not kept.")
    chat.wait()
    assert "Stopped" in chat.feet()[-1]
    lab.command("notebook:delete-cell")


def test_reader_who_scrolls_up_is_left_in_peace(echoing):
    """Pinned to the end while text grows; held still for a reader who has scrolled up."""
    chat = echoing
    chat.ask("A paragraph.\n\n" * 30)
    chat.ask("say 150 at 60", wait=False)
    chat.until(lambda: len(chat.replies()[-1]) > 100)
    assert chat.talk.evaluate("talk => Math.round(talk.scrollTop)") == 0
    chat.talk.evaluate("talk => { talk.scrollTop = -200; }")
    top = "talk => talk.querySelector('.course-chat-you').getBoundingClientRect().top"
    before = chat.talk.evaluate(top)
    chat.wait()
    assert abs(chat.talk.evaluate(top) - before) <= 2


HELD = """
replies = []
for text in json.loads({texts!r}):
    for setting in ("model", "system"):
        with contextlib.suppress(Exception):  # half a character is refused
            setattr(cell.chat, setting, text)
    for words in (text, "fail " + text):
        with contextlib.suppress(Exception):
            replies.append(Reply(**vars(cell.send(words))))
"""

# What a page is, apart from the transcript: none of it may change.
OUTSIDE = """() => [document.title, location.href, String(window.pwned),
    document.querySelectorAll(".jp-Dialog").length, ...[...document.body.children].map(node => node.tagName),
    getComputedStyle(document.querySelector(".jp-Notebook")).color]"""

# Sets off what a reader could by moving about, and finds what should not be there.
TOUCH = """root => {
    const all = [...root.querySelectorAll(":is(.course-chat-talk, .course-text) *")];
    for (const name of ["mouseover", "pointerenter", "focus", "load", "error", "toggle", "scroll", "begin"])
        for (const node of all) node.dispatchEvent(new Event(name));
    for (const node of all) if (node.matches(".course-text *:not(a)")) node.click();
    const never = "script, img, svg, math, iframe, object, embed, form, link, base, meta, [src], [srcdoc], "
        + "[href]:not([href^=http i], [href^=mailto i])";
    const bad = node => node.matches(never) || node.getAttributeNames().some(name => name.startsWith("on"));
    return all.filter(bad).map(node => node.outerHTML);
}"""


@pytest.mark.parametrize("every", [20, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_hostile_texts_run_nowhere(lab, echo, every):
    """As prompt, reply, model name, system prompt and error, in the chat and as a reply that is displayed."""
    texts = list(PAYLOADS.values())[::every]
    lab.run(f"connect({echo.url!r})")
    chat = ChatPage.make(lab, "cell = ChatCell(keep=last_turns(1))\ncell")
    lab.page.evaluate("() => { delete window.pwned; }")
    before = lab.page.evaluate(OUTSIDE)
    lab.run(HELD.format(texts=json.dumps(texts)))
    chat.until(lambda: len(chat.feet()) >= 2 * len(texts) - 4)  # a few are blank: never sent
    index = lab.show("[display(reply) for reply in replies];")
    for root in (chat.talk, lab.cell(index).locator(".jp-OutputArea")):
        assert root.evaluate(TOUCH) == []
    lab.page.wait_for_timeout(300)
    assert chat.talk.evaluate(WIDTH) <= 1
    assert lab.page.evaluate(OUTSIDE) == before
    assert len(lab.context.pages) == 1
    # What does run in the same place: the silence above means something.
    raw = "<img src=x onerror=window.pwned=1><img src=http://hostile.test/a.png>"
    index = lab.show(f"display(ipywidgets.HTML({raw!r}))")
    lab.page.wait_for_function("window.pwned === 1")
    lab.command("notebook:delete-cell")
    assert lab.strangers.pop() == "http://hostile.test/a.png"
