"""The chat cell in JupyterLab and Chromium, as a reader uses it, against the practice API."""

from __future__ import annotations

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from browser.chat_page import ChatPage
from course_helpers import Conversation

SETUP = """
from course_helpers import Conversation, connect, practice
from course_helpers.chat_cell import ChatCell

client = connect()
"""
LONG = "Tell me a very long story about the sea."
PARIS = "What is the capital of France?"
THREADS = "import threading, time; time.sleep(.3); [t.name for t in threading.enumerate()]"
STAND_IN = "A chat with a language model: run this cell to open it."


@pytest.fixture(scope="module")
def page(shared_lab):
    """One notebook for all tests of this module, with the setup cell run."""
    shared_lab.open([SETUP])
    assert shared_lab.run_all()
    return shared_lab


@pytest.fixture
def lab(page):
    """That notebook; each test gets it with no faults set, and must leave no error and no stranger behind."""
    page.run("practice.reset()")
    errors = len(page.errors())
    yield page
    assert page.errors()[errors:] == []
    assert page.strangers == []
    assert page.faults == []


@pytest.fixture
def chat(lab):
    """A fresh chat."""
    return ChatPage.make(lab)


# -------------------------------------------------------------------------------------- typing


def test_typing_loses_nothing(chat):
    """Every keystroke is sent, at 120 a second and while the forecast counts, also JupyterLab's shortcuts."""
    cells = len(chat.lab.notebook()["cells"])
    words = "abcdd xyz My cat is called Möhre, b b a a: what is the capital of France? " * 4
    chat.box.click()
    chat.box.press_sequentially(words, delay=1000 / 120)
    chat.lab.page.keyboard.press("Enter")
    chat.lab.page.keyboard.type("the next")
    chat.wait()
    assert chat.questions() == [words]
    assert chat.box.input_value() == "the next"
    assert len(chat.lab.notebook()["cells"]) == cells
    chat.box.fill("one")
    chat.lab.page.keyboard.press("Shift+Enter")
    chat.lab.page.keyboard.type("two")
    chat.lab.page.keyboard.press("Enter")
    chat.wait()
    assert chat.questions()[1] == "one\ntwo"


def test_enter_that_confirms_other_scripts_never_sends(chat):
    """Neither while composing, nor with Safari's key code 229."""
    chat.box.fill("こんにちは")
    for how in ("isComposing: true", "keyCode: 229"):
        event = f"new KeyboardEvent('keydown', {{key: 'Enter', bubbles: true, cancelable: true, {how}}})"
        assert chat.box.evaluate(f"box => box.dispatchEvent({event})")
    assert chat.box.input_value() == "こんにちは"
    assert chat.questions() == []


def test_starters_and_forecast(lab):
    """An empty chat offers questions; what a text would cost is said before it is sent."""
    chat = ChatPage.make(lab, f"cell = ChatCell(starters=[{PARIS!r}, 'Two?'], budget_usd=0.01)\ncell")
    chat.box.fill("My cat is called Tom.")
    forecast = chat.root.locator(".course-chat-forecast")
    expect(forecast).to_contain_text("tokens in · $")
    expect(forecast).to_contain_text("at least")
    expect(forecast.locator(".course-chat-bar")).to_be_visible()
    assert lab.run("len(cell.chat.calls)") == "0"
    chat.box.fill("")
    expect(forecast).to_have_text("")
    chat.click(PARIS)
    chat.wait()
    assert chat.replies() == ["The capital of France is Paris."]
    expect(chat.root.get_by_role("button", name="Two?")).to_be_hidden()
    assert "of a budget of $0.01" in chat.session.inner_text()
    for words in ("tokens in", "out", "$", "first piece", "s in all"):
        assert words in chat.feet()[0]


def test_other_cells_run_while_a_reply_grows(chat):
    """The kernel stays free; text comes piece by piece; a double click on Send is no Stop."""
    chat.lab.run("practice.pace(60, 0.2)")
    chat.box.fill(LONG)
    chat.button_.dblclick()
    expect(chat.status).to_contain_text("Stop or Esc ends it")
    chat.until(lambda: len(chat.replies()[0]) > 20)
    assert chat.lab.run("6 * 7") == "42"
    assert chat.button_.inner_text() == "Stop"
    chat.wait()
    assert chat.replies()[0] == chat.lab.run("print(cell.chat.turns[-1].assistant)").strip()


# ------------------------------------------------------------------------------------ stopping


def test_stop_at_any_moment(chat):
    """At the instant of sending, before the first piece, in the middle, while a retry waits."""
    chat.lab.run("practice.pace(50, 30)")
    chat.box.fill(LONG)
    chat.box.press("Enter")
    chat.box.press("Escape")
    chat.wait()
    chat.ask(LONG, wait=False)
    expect(chat.status).to_contain_text("Waiting")
    chat.stop()
    assert "Stopped" in chat.feet()[-1]
    chat.lab.run("practice.reset(); practice.pace(20, 0.1)")
    before = chat.dollars()
    chat.ask(LONG, wait=False)
    chat.until(lambda: len(chat.replies()[-1]) > 5)
    chat.stop()
    assert len(chat.replies()[-1]) > 5
    assert "Stopped" in chat.feet()[-1]
    assert chat.dollars() > before
    chat.lab.run("practice.reset(); practice.fail_next(529, times=9, retry_after=25)")
    chat.ask("hello", wait=False)
    expect(chat.status).to_contain_text("Waiting 25.0s, as the server asks, before retry 1/")
    chat.stop()
    assert chat.lab.run("cell.chat.messages") == "[]"
    chat.lab.run("practice.reset()")
    chat.ask(PARIS)
    assert chat.replies()[-1] == "The capital of France is Paris."


def test_two_chats_at_once(lab):
    """Both stream; stopping one leaves the other alone; running a cell again ends its old chat."""
    first = ChatPage.make(lab, "one = ChatCell()\none")
    second = ChatPage.make(lab, "two = ChatCell()\ntwo")
    lab.run("practice.pace(60, 2)")
    first.ask("My cat is called Tom. Tell me about it.", wait=False)
    second.ask("My dog is called Rex. Tell me about it.", wait=False)
    assert first.button_.inner_text() == second.button_.inner_text() == "Stop"
    second.stop()
    first.wait()
    assert "Stopped" in second.feet()[0]
    assert "Stopped" not in first.feet()[0]
    assert lab.run("len(one.chat.turns), len(two.chat.turns)") == "(1, 0)"
    first.ask(LONG, wait=False)
    lab.run_cell(first.index)
    expect(lab.cell(first.index).locator(".course-chat")).to_have_count(1)
    assert ChatPage(lab, first.index).questions() == []
    assert "course-chat" not in lab.run(THREADS)


# ------------------------------------------------------------------------------------ controls


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
    editor.press("Escape")
    chat.click("Edit the question and ask again")
    editor.fill("My dog is called Rex.")
    editor.press("Enter")
    chat.until(lambda: chat.questions() == ["My dog is called Rex."])
    chat.wait()
    assert chat.lab.run("[t.user for t in cell.chat.turns], len(cell.chat.calls)") == (
        "(['My dog is called Rex.'], 4)"
    )
    chat.lab.run("practice.pace(20, 0.1)")
    chat.ask(LONG, wait=False)
    chat.click("Clear")
    expect(chat.status).to_contain_text("Cleared")
    assert chat.questions() == []
    assert chat.button_.inner_text() == "Send"
    assert chat.dollars() > spent
    assert "course-chat" not in chat.lab.run(THREADS)


CODE = "Show me this:\n\n```python\nprint('hi')  # a comment\n```"


def test_copy_request_and_export(lab, echo, tmp_path):
    """Question, reply and code on the clipboard; what was sent in three languages; the chat in two files."""
    lab.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=lab.server.url)
    chat = ChatPage.make(lab, f"cell = ChatCell(Conversation(connect({echo.url!r}), model='echo'))\ncell")
    chat.ask(CODE)

    def copied(button: str) -> str:
        lab.page.evaluate("() => navigator.clipboard.writeText('')")
        chat.click(button)
        chat.until(lambda: lab.page.evaluate("() => navigator.clipboard.readText()") != "")
        return lab.page.evaluate("() => navigator.clipboard.readText()")

    assert copied("Copy the question") == copied("Copy the reply") == CODE
    assert copied("Copy this code") == "print('hi')  # a comment\n"
    assert chat.root.locator(".course-c").inner_text() == "# a comment"
    chat.click("What was sent for this reply")
    shown = chat.root.locator(".course-chat-request pre")
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
    assert Conversation.load(tmp_path / "chat.json").turns[0].user == CODE
    assert CODE in (tmp_path / "chat.md").read_text()
    lab.run("client = connect()")


def test_model_and_system_prompt(chat):
    """Both hold from the next turn on."""
    chat.ask("hello")
    choice = chat.root.get_by_label("Model", exact=True)
    labels = choice.locator("option").all_text_contents()
    assert any(label.startswith("sonnet: ") for label in labels)
    choice.select_option(index=[label.startswith("sonnet: ") for label in labels].index(True))
    chat.click("System prompt")
    chat.root.get_by_role("textbox", name="System prompt").fill("You are a patient teacher of the sea.")
    chat.ask("Tell me something.")
    model, system = json.loads(
        chat.lab.run("import json; print(json.dumps([cell.chat.model, cell.chat.system]))")
    )
    assert "sonnet" in model
    assert system == "You are a patient teacher of the sea."
    assert model in chat.root.locator(".course-chat-model").nth(1).inner_text()


def test_keyboard_alone(chat):
    """Tab reaches every control in the order of the page; Enter and Space work them."""
    chat.ask(PARIS)
    chat.root.get_by_label("Model", exact=True).focus()
    names, script = (
        [],
        "() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText",
    )
    for _ in range(16):
        names.append(chat.lab.page.evaluate(script))
        chat.lab.page.keyboard.press("Tab")
    wanted = ["System prompt", "Retry", "Undo", "Clear", "Conversation", "Copy the question"]
    wanted += ["Edit the question and ask again", "Copy the reply", "What was sent for this reply"]
    wanted += ["", "Send", "Save as Markdown", "Save as JSON"]
    assert [name for name in names if name in wanted][: len(wanted)] == wanted
    focused = chat.root.get_by_role("button", name="Copy the reply")
    focused.focus()
    expect(focused).to_have_css("opacity", "1")
    request = chat.root.get_by_role("button", name="What was sent for this reply")
    request.press("Enter")
    expect(chat.root.locator(".course-chat-request")).to_be_visible()
    expect(request).to_have_attribute("aria-expanded", "true")


def test_nothing_hinders_a_reader(chat):
    """axe-core finds nothing serious in both themes, at 200 % zoom, at 480 pixels; nothing is cut off."""
    chat.ask("What is a token?")
    chat.lab.run(f"cell.send({CODE!r});")
    chat.click("System prompt")
    chat.click("What was sent for this reply")
    chat.lab.run("practice.fail_next(400)")
    chat.ask("hello")
    chat.box.fill("not sent")
    expect(chat.root.locator(".course-chat-forecast")).to_contain_text("tokens in")
    chat.lab.page.emulate_media(reduced_motion="reduce")
    chat.lab.command("application:toggle-left-area")  # which leaves no room at 480 pixels
    for dark in (False, True):
        chat.lab.theme(dark)
        for width, zoom in ((1280, 1), (1280, 2), (480, 1)):
            chat.lab.page.set_viewport_size({"width": width, "height": 1400})
            chat.lab.page.evaluate(f"() => {{ document.body.style.zoom = {zoom}; }}")
            chat.root.scroll_into_view_if_needed()
            chat.root.get_by_role("button", name="Copy the question").first.focus()
            found = Axe().run(chat.lab.page, context=".course-chat").response["violations"]
            serious = [each for each in found if each["impact"] in ("serious", "critical")]
            assert not serious, (dark, width, zoom, [(v["id"], v["nodes"][0]["html"]) for v in serious])
            assert chat.root.evaluate("node => node.scrollWidth <= node.clientWidth + 1"), (dark, width, zoom)
            chat.lab.screenshot(f"chat-{'dark' if dark else 'light'}-{width}-{zoom}", of=chat.root)
        chat.lab.page.evaluate("() => { document.body.style.zoom = 1; }")
    chat.lab.page.set_viewport_size({"width": 1280, "height": 900})
    chat.lab.page.emulate_media(reduced_motion="no-preference")
    chat.lab.command("application:toggle-left-area")
    chat.lab.theme(False)


# ------------------------------------------------------------------------------------ from code


def test_turns_from_code(lab):
    """They show in the chat, not twice beneath the cell; Stop and an interrupt end them in one sentence."""
    chat = ChatPage.make(lab)
    assert lab.run(f"cell.send({PARIS!r})").startswith("In the chat: ")
    assert "Hello!" in lab.run('print(await cell.asend("hello"))')
    lab.run('cell.chat.send("My cat is called Tom.");')
    chat.ask("hello")
    assert chat.questions() == [PARIS, "hello", "My cat is called Tom.", "hello"]
    lab.run("practice.pace(20, 0.1)")
    for call in ("await cell.asend", "cell.send"):
        index = lab.add_cell(f"reply = {call}({LONG!r})\nprint(reply.turn)")
        lab.start_cell(index)
        chat.until(lambda: chat.replies()[-1:] > [""] and "Stop" in chat.button_.inner_text())
        chat.stop()
        expect(lab.cell(index)).to_contain_text("None")
    errors = len(lab.errors())
    index = lab.add_cell(f"cell.send({LONG!r})")
    lab.start_cell(index)
    chat.until(lambda: len(chat.questions()) == 7 and chat.replies()[-1] != "")
    lab.interrupt()
    shown = lab.cell(index).locator(".jp-OutputArea-output")
    expect(shown).to_have_text("KeyboardInterrupt: the reply was stopped and is not kept.")
    chat.wait()
    assert "Stopped" in chat.feet()[-1]
    assert len(lab.errors()) == errors + 1
    lab.remove_cell(index)


def test_reader_who_scrolls_up_is_left_in_peace(chat):
    """Pinned to the end while text grows; held still for a reader who has scrolled up."""
    where = "talk => Math.round(-talk.scrollTop)"
    for _ in range(4):
        chat.ask("Tell me something.\n\n\n\nplease")
    assert chat.talk.evaluate(where) == 0
    chat.lab.run("practice.pace(60, 0.1)")
    chat.ask(LONG, wait=False)
    chat.until(lambda: len(chat.replies()[-1]) > 10)
    assert chat.talk.evaluate(where) == 0
    chat.talk.evaluate("talk => { talk.scrollTop = -200; }")
    top = "talk => talk.querySelector('.course-chat-you').getBoundingClientRect().top"
    before = chat.talk.evaluate(top)
    chat.wait()
    assert abs(chat.talk.evaluate(top) - before) <= 2
    assert chat.talk.evaluate(where) >= 200


FAILURES = {
    "practice.fail_next(429, retry_after=600)": "Too many requests or tokens",
    "practice.fail_next(502, html=True, should_retry=False)": "status 502",
    "cell.chat.budget_usd = 0.0000001": "Nothing was sent: the call could cost",
    "practice.shape('refusal')": "refused to answer",
    "practice.break_stream('disconnect')": "The connection closed before",
}


@pytest.mark.slow
def test_errors_are_told_inside_the_chat(chat):
    """In plain words beneath the question, with what to do, no traceback anywhere; the next turn works."""
    mend = "practice.reset(); cell.chat.client, cell.chat.waits, cell.chat.budget_usd = client, {}, None"
    for fault, words in FAILURES.items():
        chat.lab.run(f"{mend}; {fault};")
        chat.ask("Tell me a long story.")
        assert words in chat.feet()[-1], fault
        assert "Traceback" not in chat.feet()[-1]
    assert chat.lab.run("cell.chat.messages") == "[]"
    chat.lab.run(mend)
    chat.ask(PARIS)
    assert chat.replies()[-1] == "The capital of France is Paris."


# ------------------------------------------------------------------------------- later, again


@pytest.mark.slow
def test_two_hundred_turns_open_at_once(lab):
    """Under a second from the run's end to the last turn on the page, and the next turn works."""
    lab.run(f"long = ChatCell()\nfor number in range(200): long.chat.send({PARIS!r});")
    index = lab.add_cell("long = ChatCell(long.chat)\nlong")
    lab.run_cell(index)
    expect(lab.cell(index).locator(".course-chat-exchange")).to_have_count(200, timeout=5000)
    chat = ChatPage(lab, index)
    chat.ask("hello")
    assert len(chat.questions()) == 201
    assert chat.talk.evaluate("talk => Math.round(talk.scrollTop)") == 0


@pytest.mark.slow
def test_restart_leaves_a_chat_that_says_so_and_no_stream(lab, echo):
    """The server sees the stream go; the chat keeps what is typed and says what to do."""
    chat = ChatPage.make(lab, f"cell = ChatCell(Conversation(connect({echo.url!r}), model='echo'))\ncell")
    chat.ask("say 1000 at 20", wait=False)
    chat.until(lambda: echo.open_streams == 1)
    lab.restart()
    chat.until(lambda: echo.open_streams == 0)
    chat.box.fill("still there?")
    chat.box.press("Enter")
    expect(chat.status).to_contain_text("run the setup cell and this chat's cell again")
    assert chat.box.input_value() == "still there?"
    lab.run(SETUP)
    lab.run_cell(chat.index)
    again = ChatPage(lab, chat.index)
    again.ask("hello")
    assert again.replies() == ["hello"]
    lab.run("client = connect()")


def test_saved_and_opened_again(page):
    """While the kernel lives, the chat is there with a Stop that works; afterwards, one constant sentence."""
    page.open([SETUP])
    assert page.run_all()
    chat = ChatPage.make(page)
    chat.ask("My cat is called Tom.")
    page.run("practice.pace(20, 0)")
    chat.ask(LONG, wait=False)  # the page is loaded anew while it comes
    chat.until(lambda: len(chat.replies()[-1]) > 5)
    assert page.outputs(chat.index)[0]["data"]["text/plain"] == STAND_IN
    page.command("docmanager:save")
    page.reload()
    chat = ChatPage(page, chat.index)
    chat.until(lambda: chat.questions() == ["My cat is called Tom.", LONG])
    grown = len(chat.replies()[-1])
    assert grown > 5
    chat.until(lambda: len(chat.replies()[-1]) > grown + 20)
    chat.stop()
    assert "Stopped" in chat.feet()[1]
    page.server.end_kernels()
    page.reload()
    shown = page.cell(chat.index).locator(".jp-OutputArea")
    expect(shown).to_have_text(STAND_IN, use_inner_text=True)
    notebook = page.notebook()
    for output in notebook["cells"][chat.index]["outputs"]:  # as committed: no widget, and not yet trusted
        output["data"].pop("application/vnd.jupyter.widget-view+json", None)
    page.open(notebook)
    expect(shown).to_have_text(STAND_IN, use_inner_text=True)
