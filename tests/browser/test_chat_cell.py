"""The chat cell in JupyterLab and Chromium, as a reader uses it, against the practice API."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from browser.chat_page import ChatPage
from course_helpers.models import available

SETUP = """
from course_helpers import Conversation, connect, practice
from course_helpers.chat_cell import ChatCell

client = connect()
"""
LONG = "Tell me a very long story about the sea."


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


def test_fast_typing_and_enter_lose_nothing(chat):
    """What is sent is every keystroke, also of keys that are JupyterLab shortcuts; the box is empty after."""
    cells = len(chat.lab.notebook()["cells"])
    words = "abcdd xyz My cat is called Möhre, b b a a: what is the capital of France?"
    chat.type(words)
    chat.lab.page.keyboard.press("Enter")
    chat.lab.page.keyboard.type("the next")
    chat.wait()
    assert chat.questions() == [words]
    assert chat.replies() == ["The capital of France is Paris."]
    assert chat.box.input_value() == "the next"
    assert len(chat.lab.notebook()["cells"]) == cells


def test_shift_enter_makes_a_new_line(chat):
    chat.type("one")
    chat.lab.page.keyboard.press("Shift+Enter")
    chat.lab.page.keyboard.type("two")
    assert chat.box.input_value() == "one\ntwo"
    chat.lab.page.keyboard.press("Enter")
    chat.wait()
    assert chat.questions() == ["one\ntwo"]


def test_blank_message_is_not_sent(chat):
    """Neither is an error shown: there was nothing to say."""
    chat.ask("   ")
    assert chat.questions() == []


def test_send_button_and_keys_of_other_controls(chat):
    """The button sends too; no key pressed on any control reaches the notebook; saving still does."""
    cells = len(chat.lab.notebook()["cells"])
    chat.type("hello")
    chat.button_.click()
    chat.wait()
    assert chat.questions() == ["hello"]
    chat.root.locator("select").focus()
    reached = []
    for _ in range(8):
        name = chat.lab.page.evaluate(
            "(e => e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent)"
            "(document.activeElement)"
        )
        reached.append(name)
        for key in ("a", "b", "d", "d", "z"):
            chat.lab.page.keyboard.press(key)
        chat.lab.page.keyboard.press("Tab")
    assert reached == [
        "Model",
        "System prompt",
        "Retry",
        "Undo",
        "Clear",
        "Conversation",
        "Your message",
        "Send",
    ]
    chat.lab.page.keyboard.press("Shift+Tab")
    chat.lab.page.keyboard.press("Control+s")
    expect(chat.lab.page.locator(".jp-mod-current.jp-mod-dirty")).to_have_count(0)
    assert len(chat.lab.notebook()["cells"]) == cells


def test_text_grows_while_another_cell_runs(chat):
    """A reply arrives in at least five steps, and a cell run meanwhile ends before it does."""
    chat.lab.run("practice.pace(25, 0.2)")
    chat.ask(LONG, wait=False)
    assert chat.button_.inner_text() == "Stop"
    assert chat.lab.run("import time; time.sleep(0.3); 6 * 7") == "42"
    assert chat.button_.inner_text() == "Stop"
    assert len(chat.lengths_while_busy()) >= 5
    assert "Tell me a very long story" in chat.replies()[0]


def test_reply_has_its_bill(chat):
    """Tokens, cost and times beneath the reply; the session beneath the box."""
    chat.ask("What is the capital of France?")
    foot, session = chat.feet()[0], chat.session.inner_text()
    for words in ("tokens in", "out", "$", "first piece", "s in all"):
        assert words in foot
    assert "attempt" not in foot
    assert session.startswith("1 turn · ")
    assert chat.dollars() > 0


def test_stop_before_the_first_piece(chat):
    """While the model is silent, Stop works, and the next turn too."""
    chat.lab.run("practice.pace(50, 30)")
    chat.ask(LONG, wait=False)
    expect(chat.status).to_contain_text("Waiting")
    chat.lab.page.wait_for_timeout(300)
    chat.stop()
    assert "Stopped" in chat.feet()[0]
    assert chat.lab.run("cell.chat.messages") == "[]"
    chat.lab.run("practice.reset()")
    chat.ask("What is the capital of France?")
    assert chat.replies()[-1] == "The capital of France is Paris."


def test_stop_at_the_instant_of_sending(chat):
    """Enter and Escape in one breath."""
    chat.lab.run("practice.pace(50, 30)")
    chat.box.fill(LONG)
    chat.box.press("Enter")
    chat.box.press("Escape")
    chat.wait()
    assert chat.lab.run("cell.chat.messages") == "[]"


def test_double_click_on_send_is_no_stop(chat):
    """The second click of a double click is not taken for Stop."""
    chat.lab.run("practice.pace(100, 0.5)")
    chat.box.fill("What is the capital of France?")
    chat.button_.dblclick()
    chat.wait()
    assert chat.replies() == ["The capital of France is Paris."]


def test_stop_in_the_middle(chat):
    """The partial text stays, marked, and counts in the money; the conversation does not hold it."""
    chat.ask("What is the capital of France?")
    before = chat.dollars()
    chat.lab.run("practice.pace(30, 0.1)")
    chat.ask(LONG, wait=False)
    expect(chat.talk).to_contain_text("That needs a real")
    chat.stop()
    assert chat.replies()[1].startswith("That needs a real")
    assert "Stopped" in chat.feet()[1]
    assert chat.dollars() > before
    assert chat.lab.run("len(cell.chat.messages)") == "2"


def test_stop_during_a_retry_wait(chat):
    """What is waited for and how long is said; Stop does not wait for it."""
    chat.lab.run("practice.fail_next(529, times=9, retry_after=25)")
    chat.ask("hello", wait=False)
    expect(chat.status).to_contain_text("Trying again in 25.0 s")
    assert "retry 1 of" in chat.feet()[0]
    chat.stop()
    assert chat.lab.run("cell.chat.messages") == "[]"


def test_a_retry_that_helps_shows_its_attempts(chat):
    """A limit that passes costs a wait, and the bill says so."""
    chat.lab.run("practice.fail_next(429, retry_after=1)")
    chat.ask("What is the capital of France?", wait=False)
    expect(chat.status).to_contain_text("Rate limited")
    chat.wait()
    assert "2 attempts" in chat.feet()[0]


def test_retry_undo_and_clear(chat):
    """Each does what it says to screen and conversation; none forgets money."""
    chat.ask("My cat is called Tom.")
    chat.ask("What is the capital of France?")
    spent = chat.dollars()
    chat.click("Retry")
    chat.until(lambda: chat.session.inner_text().startswith("2 turns") and chat.dollars() > spent)
    assert len(chat.questions()) == 2
    assert chat.lab.run("len(cell.chat.turns), len(cell.chat.calls)") == "(2, 3)"
    chat.click("Undo")
    expect(chat.box).to_have_value("What is the capital of France?")
    assert len(chat.questions()) == 1
    assert chat.lab.run("len(cell.chat.turns)") == "1"
    chat.click("Clear")
    expect(chat.status).to_contain_text("Cleared")
    assert chat.questions() == []
    assert chat.lab.run("len(cell.chat.turns), len(cell.chat.calls)") == "(0, 3)"
    assert chat.dollars() > spent


def test_clear_ends_a_reply_on_its_way(chat):
    """Nothing is left of it, no thread either."""
    chat.lab.run("practice.pace(20, 0.1)")
    chat.ask(LONG, wait=False)
    expect(chat.talk).to_contain_text("I am the")
    chat.click("Clear")
    expect(chat.status).to_contain_text("Cleared")
    assert chat.questions() == []
    assert chat.button_.inner_text() == "Send"
    assert "course-chat" not in chat.lab.run(
        "import threading, time; time.sleep(.3); [t.name for t in threading.enumerate()]"
    )


def test_switching_model_and_system_prompt(chat):
    """Both hold from the next turn on; a model that goes says when."""
    labels = [label.replace("\xa0", " ") for label in chat.root.locator("select option").all_inner_texts()]
    for model in (model for model in available() if model.retires):
        assert f"{model.id} (retires {model.retires})" in labels
    assert any(label.startswith("haiku") for label in labels)
    chat.ask("hello")
    chat.root.locator("select").select_option(index=1)
    chat.click("System prompt")
    chat.root.locator(".widget-textarea textarea").fill("You are a patient teacher of the sea.")
    chat.ask("Tell me something.")
    assert "claude-sonnet-5-5" in chat.root.locator(".course-chat-model").nth(1).inner_text()
    assert "a system prompt of 37 characters" in chat.replies()[1]
    assert chat.lab.run("cell.chat.model") == "'claude-sonnet-5-5'"


def test_two_chats_at_once(lab):
    """Both stream; stopping one leaves the other alone."""
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


def test_turns_from_code_show_in_the_chat(chat):
    """`send`, `asend` and what code does to the conversation itself."""
    assert chat.lab.run('str(cell.send("What is the capital of France?"))') == (
        "'The capital of France is Paris.'"
    )
    assert chat.lab.run('print(await cell.asend("hello"))') == "Hello! What would you like to know?\n"
    assert chat.lab.run('_ = cell.chat.send("My cat is called Tom.")') == ""
    assert chat.questions()[:2] == ["What is the capital of France?", "hello"]
    chat.ask("hello")
    assert chat.questions() == ["What is the capital of France?", "hello", "My cat is called Tom.", "hello"]


def test_interrupting_a_blocking_send_stops_it(lab):
    """The interrupt reaches the cell that waits, and ends the reply."""
    chat = ChatPage.make(lab)
    lab.run("practice.pace(20, 0.1)")
    index = lab.add_cell(
        f"try:\n    cell.send({LONG!r})\nexcept KeyboardInterrupt:\n    print('interrupted')"
    )
    lab.start_cell(index)
    expect(chat.talk).to_contain_text("I am the")
    lab.interrupt()
    expect(lab.cell(index)).to_contain_text("interrupted")
    chat.wait()
    assert "Stopped" in chat.feet()[0]


@pytest.mark.parametrize("call", ["await cell.asend", "cell.send"])
def test_stop_ends_a_turn_from_code(lab, call):
    """The reply of a stopped turn holds what had come."""
    chat = ChatPage.make(lab)
    lab.run("practice.pace(20, 0.1)")
    index = lab.add_cell(f"reply = {call}({LONG!r})\nprint(reply.turn, str(reply)[:8])")
    lab.start_cell(index)
    expect(chat.talk).to_contain_text("I am the")
    chat.stop()
    expect(lab.cell(index)).to_contain_text("None I am the")


def test_running_the_cell_again_ends_the_old_chat(lab):
    """Its stream and its thread end; the new chat is empty."""
    index = lab.add_cell("cell = ChatCell()\ncell")
    lab.run_cell(index)
    chat = ChatPage(lab, index)
    lab.run("practice.pace(20, 0.1)")
    chat.ask(LONG, wait=False)
    expect(chat.talk).to_contain_text("I am the")
    lab.run_cell(index)
    expect(lab.cell(index).locator(".course-chat")).to_have_count(1)
    assert ChatPage(lab, index).questions() == []
    assert "course-chat" not in lab.run(
        "import threading, time; time.sleep(.3); [t.name for t in threading.enumerate()]"
    )


def test_reader_who_scrolls_up_is_left_in_peace(chat):
    """Pinned to the end while text grows; held still for a reader who has scrolled up."""
    where = "talk => Math.round(-talk.scrollTop)"
    for _ in range(4):
        chat.ask("Tell me something.\n\n\n\nplease")
    assert chat.talk.evaluate(where) == 0
    chat.lab.run("practice.pace(60, 0.1)")
    chat.ask(LONG, wait=False)
    expect(chat.talk).to_contain_text("I am the practice")
    assert chat.talk.evaluate(where) == 0
    chat.talk.evaluate("talk => { talk.scrollTop = -200; }")
    top = "talk => talk.querySelector('.course-chat-you').getBoundingClientRect().top"
    before = chat.talk.evaluate(top)
    chat.wait()
    assert abs(chat.talk.evaluate(top) - before) <= 2
    assert chat.talk.evaluate(where) >= 200


FAILURES = {
    "wrong key": ("cell.chat.client = client.with_options(api_key='wrong')", "refused the key"),
    "rate limit": ("practice.fail_next(429, retry_after=600)", "Too many requests or tokens"),
    "spend cap": ("practice.fail_next(429, spend_cap=True)", "spend limit of this account"),
    "overloaded": ("practice.fail_next(529, should_retry=False)", "overloaded"),
    "server error": ("practice.fail_next(500, should_retry=False)", "not your mistake"),
    "proxy page": ("practice.fail_next(502, html=True, should_retry=False)", "status 502"),
    "no such model": ("practice.fail_next(404)", "no such model"),
    "too large": ("practice.fail_next(413)", "too large to send"),
    "no network": (
        "cell.chat.client = client.with_options(base_url='http://127.0.0.1:9'); "
        "cell.chat.waits = {'max_retries': 0}",
        "No connection",
    ),
    "budget": ("cell.chat.budget_usd = 0.0000001", "Nothing was sent: the call could cost"),
    "refusal": ("practice.shape('refusal')", "refused to answer"),
    "empty": ("practice.shape('empty')", "The reply was empty"),
    "cut off while thinking": ("practice.shape('thinking_only')", "No text came"),
    "disconnect": ("practice.break_stream('disconnect')", "The connection closed before"),
    "truncate": ("practice.break_stream('truncate')", "ended before the reply was complete"),
    "error event": ("practice.break_stream('error')", "The reply broke off. The server reported"),
    "garble": ("practice.break_stream('garble')", "no part of a reply"),
}


def test_every_error_is_told_inside_the_chat(chat):
    """In plain words beneath the question, with what to do, no traceback anywhere; the next turn works."""
    mend = "practice.reset(); cell.chat.client, cell.chat.waits, cell.chat.budget_usd = client, {}, None"
    cells = len(chat.lab.notebook()["cells"])
    for number, (name, (fault, words)) in enumerate(FAILURES.items()):
        chat.lab.run(f"{mend}; {fault};")
        chat.ask("Tell me a long story.")
        foot = chat.feet()[number]
        assert words in foot, name
        assert "Traceback" not in foot
        assert chat.status.inner_text() != "The reply is complete.", name
    assert chat.lab.run("cell.chat.messages") == "[]"
    outputs = [chat.lab.text(index) for index in range(cells, len(chat.lab.notebook()["cells"]))]
    assert not any("rror" in text for text in outputs)
    chat.talk.evaluate("talk => { talk.style.height = '2400px'; }")
    chat.lab.screenshot("chat-errors", of=chat.root)
    chat.lab.run(mend)
    chat.ask("What is the capital of France?")
    assert chat.replies()[-1] == "The capital of France is Paris."


def test_budget_is_shown(lab):
    """The status line says what of the budget is spent."""
    chat = ChatPage.make(lab, "cell = ChatCell(budget_usd=0.01)\ncell")
    chat.ask("hello")
    assert "of a budget of $0.01" in chat.session.inner_text()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_fifty_turns(chat):
    """Typed one after the other, none is lost, and the page stays pinned to the last."""
    for number in range(50):
        chat.ask(f"My number is {number}.")
    assert len(chat.replies()) == 50
    assert chat.replies()[-1] == "Noted: your number is 49."
    assert chat.session.inner_text().startswith("50 turns")
    assert chat.talk.evaluate("talk => Math.round(talk.scrollTop)") == 0
    chat.lab.run("for number in range(150): cell.send('hello');")
    chat.ask("What is my number?")
    assert chat.replies()[-1] == "Your number is 49."
    assert len(chat.questions()) == 201
    chat.lab.screenshot("chat-many-turns")


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
    again.ask("say 1000 at 20", wait=False)
    again.until(lambda: echo.open_streams == 1)
    lab.server.end_kernels()
    again.until(lambda: echo.open_streams == 0)


def test_saved_and_opened_again(page):
    """While the kernel lives, the chat is there with a Stop that works; afterwards, one constant sentence."""
    text = "A chat with a language model: run this cell to open it."
    page.open([SETUP])
    assert page.run_all()
    chat = ChatPage.make(page)
    chat.ask("My cat is called Tom.")
    page.run("practice.pace(20, 0)")
    assert page.outputs(chat.index)[0]["data"]["text/plain"] == text
    page.command("docmanager:save")
    page.reload()
    chat = ChatPage(page, chat.index)
    assert chat.questions() == ["My cat is called Tom."]
    chat.ask(LONG, wait=False)
    expect(chat.talk).to_contain_text("I am the")
    chat.stop()
    assert "Stopped" in chat.feet()[1]
    page.server.end_kernels()
    page.reload()
    shown = page.cell(chat.index).locator(".jp-OutputArea")
    expect(shown).to_have_text(text, use_inner_text=True)
    page.page.wait_for_timeout(1000)
    assert shown.inner_text() == text
    notebook = page.notebook()
    for output in notebook["cells"][chat.index]["outputs"]:  # as committed: no widget, and not yet trusted
        output["data"].pop("application/vnd.jupyter.widget-view+json", None)
    page.open(notebook)
    expect(shown).to_have_text(text, use_inner_text=True)
