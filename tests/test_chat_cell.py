"""The chat cell without a page: turns, stopping, errors, money, what is left behind. See browser/ too."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import anthropic
import httpx2
import ipywidgets
import nbformat
import pytest
from echo_server import EchoServer
from hostile_texts import PAYLOADS
from nbclient import NotebookClient
from test_render import Reader

from course_helpers import Conversation, connect, practice, render
from course_helpers.chat_cell import Busy, ChatCell
from course_helpers.chat_cell.background import Background
from course_helpers.chat_cell.messages import bill, explain
from course_helpers.chat_cell.shown_exchange import UPDATES_PER_SECOND, ShownExchange
from course_helpers.chat_cell.view import TEXT
from course_helpers.history import BudgetExceeded, Call, StreamInterrupted
from course_helpers.models import available

PARIS = "What is the capital of France?"


@pytest.fixture
def cell():
    """A chat on the practice API, with no faults set; afterwards nothing of it may run on."""
    connect()
    practice.reset()
    chat_cell = ChatCell()
    yield chat_cell
    practice.reset()
    chat_cell.close()
    until(lambda: not running())


@pytest.fixture
def echo():
    """A server that says what it is told."""
    server = EchoServer()
    yield server
    server.close()


def running() -> list[str]:
    """The threads of chats."""
    return [thread.name for thread in threading.enumerate() if thread.name == "course-chat"]


def until(truth, seconds: float = 20) -> None:
    """Wait until `truth()`."""
    deadline = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.01)


def foot(exchange: ShownExchange) -> str:
    """What stands beneath a reply."""
    return exchange.children[-1].value


def ask_in_background(cell: ChatCell, text: str) -> list:
    """`cell.send(text)` in a thread; its reply or error will be the list's only entry."""
    came = []

    def ask() -> None:
        try:
            came.append(cell.send(text))
        except BaseException as error:
            came.append(error)

    threading.Thread(target=ask, daemon=True).start()
    until(lambda: cell._input.busy or came)
    return came


# ------------------------------------------------------------------------------------- turns


def test_a_turn_from_code_shows(cell):
    """The reply comes back and stands in the transcript as rendered Markdown, with its bill."""
    reply = cell.send(PARIS)
    assert str(reply) == "The capital of France is Paris."
    assert reply.turn is cell.chat.turns[-1]
    (exchange,) = cell._exchanges
    head, body, _ = exchange.children
    assert PARIS in head.value
    assert body.value == render.to_html(str(reply), style=False)
    assert bill(cell.chat.calls[-1]) in foot(exchange)
    assert cell._input.session.startswith("1 turn · ")
    assert not cell._input.busy


def test_asend_is_the_same_turn(cell):
    """Awaited on another loop than the one that drives the stream."""
    reply = asyncio.run(cell.asend(PARIS))
    assert str(reply) == "The capital of France is Paris."
    assert len(cell._exchanges) == len(cell.chat.turns) == 1


def test_it_needs_one_conversation_at_most():
    """Either a conversation or what to make one of."""
    with pytest.raises(TypeError, match="not both"):
        ChatCell(Conversation(), model="haiku")


def test_an_existing_conversation_is_shown(cell):
    """With what was said in it, and with what code does to it later."""
    chat = Conversation()
    chat.send(PARIS)
    other = ChatCell(chat)
    assert [exchange.question for exchange in other._exchanges] == [PARIS]
    chat.send("hello")
    chat.undo()
    chat.send("My cat is called Tom.")
    other.send("hello")
    assert [e.question for e in other._exchanges] == [PARIS, "My cat is called Tom.", "hello"]
    chat.reset()
    other.send("hello")
    assert [e.question for e in other._exchanges] == ["hello"]
    other.close()


def test_one_reply_at_a_time(cell):
    """A second question while a reply is on its way is refused, and the first goes on."""
    practice.pace(200, 0.3)
    came = ask_in_background(cell, PARIS)
    with pytest.raises(Busy, match="on its way"):
        cell.send("hello")
    until(lambda: came)
    assert str(came[0]) == "The capital of France is Paris."
    assert len(cell._exchanges) == 1


def test_waits_set_by_code_meanwhile_stay(cell):
    """What was there comes back after a turn; what code sets during one stays."""
    before, other = [].append, [].append
    cell.chat.on_wait = before
    cell.send("hello")
    assert cell.chat.on_wait is before
    practice.pace(50, 60)
    came = ask_in_background(cell, PARIS)
    until(lambda: cell.chat.on_wait is not before)
    cell.chat.on_wait = other
    cell.stop()
    until(lambda: came)
    assert cell.chat.on_wait is other


def test_a_huge_question_is_sent_whole_and_shown_in_part(cell):
    """A paste of a whole book does not slow the page down with every turn."""
    text = "word " * 4_000
    cell.send(text)
    shown = cell._exchanges[0].children[0].value
    assert len(shown) < 6_000
    assert "(20,000 characters were sent)" in shown
    assert cell.chat.turns[0].user == cell._exchanges[0].question == text


def test_the_session_line_says_whether_money_is_spent(cell, echo):
    """Dollars on the practice API are what the same calls would cost elsewhere."""
    cell.send("hello")
    assert cell._input.session.endswith("(practice: nothing is charged)")
    connect(echo.url)
    other = ChatCell(model="qwen3:4b")
    assert other._input.session == "0 turns · 0 tokens in · 0 out · $0 (on this machine)"
    other.close()


# ---------------------------------------------------------------------------------- stopping


def test_stop_before_the_first_piece(cell):
    """The reply is an empty one without a turn; the next question works."""
    practice.pace(50, 60)
    came = ask_in_background(cell, PARIS)
    time.sleep(0.2)
    cell.stop()
    until(lambda: came)
    assert (came[0].text, came[0].turn) == ("", None)
    assert cell.chat.messages == []
    assert "Stopped before anything came." in foot(cell._exchanges[0])
    practice.reset()
    assert str(cell.send(PARIS)) == "The capital of France is Paris."


def test_stop_in_the_middle_is_paid_for_and_not_kept(cell):
    """The partial text stays on the screen; the ledger holds what it cost; the history does not hold it."""
    practice.pace(20, 0)
    came = ask_in_background(cell, "Tell me a long story.")
    until(lambda: len(cell._exchanges[0].text) > 5)
    cell.stop()
    until(lambda: came)
    exchange = cell._exchanges[0]
    assert came[0].text == exchange.text
    assert exchange.text in Reader(exchange.children[1].value).text
    assert cell.chat.messages == []
    assert [call.kind for call in cell.chat.calls] == ["lost"]
    assert came[0].call == cell.chat.calls[0]
    assert "Not kept: at least " in foot(exchange)
    assert cell.chat.total.cost_usd > 0


def test_stop_during_a_retry_wait(cell):
    """The wait is told, and stopping does not sit it out."""
    practice.fail_next(529, times=9, retry_after=60)
    came = ask_in_background(cell, PARIS)
    until(lambda: "Trying again in 60.0 s, as the server asks: retry 1 of 5." in cell._input.status)
    cell.stop()
    until(lambda: came)
    assert came[0].turn is None


def test_an_interrupt_ends_a_blocking_send(cell):
    """KeyboardInterrupt goes on its way, and the stream behind it ends."""
    practice.pace(20, 0)

    def interrupt() -> None:
        until(lambda: cell._exchanges and len(cell._exchanges[0].text) > 5)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        cell.send("Tell me a long story.")
    until(lambda: not cell._input.busy)
    assert "Stopped" in foot(cell._exchanges[0])
    assert cell.chat.messages == []


def test_cancelling_an_await_ends_the_turn(cell):
    """As a timeout around it would."""

    async def hurried() -> None:
        async with asyncio.timeout(0.5):
            await cell.asend(PARIS)

    practice.pace(50, 60)
    with pytest.raises(TimeoutError):
        asyncio.run(hurried())
    until(lambda: not cell._input.busy)
    assert "Stopped" in foot(cell._exchanges[0])


def test_closing_leaves_no_stream_and_no_thread(echo):
    """The server sees the connection go; a closed chat says so when code uses it."""
    connect(echo.url)
    cell = ChatCell()
    came = ask_in_background(cell, "say 1000 at 20")
    until(lambda: echo.open_streams == 1)
    cell.close()
    until(lambda: came and echo.open_streams == 0 and not running())
    with pytest.raises(Busy, match="closed"):
        cell.send("hello")


def test_stop_that_overtakes_send_holds(cell):
    """Comm messages may run on two threads: the question goes back into the box."""
    told = []
    cell._input.send = told.append
    cell._on_stop("7")
    cell._on_send(PARIS, "7")
    assert cell._exchanges == []
    assert told == [{"draft": PARIS}]
    cell._on_stop("None")
    cell._on_send(PARIS, "8")
    until(lambda: not cell._input.busy)
    assert len(cell.chat.turns) == 1


def test_background_can_be_stopped_at_once():
    """Before its loop has begun, and again after its end."""

    async def forever() -> None:
        await asyncio.sleep(60)

    for _ in range(50):
        background = Background(forever, name="course-chat")
        background.stop()
        with pytest.raises(asyncio.CancelledError):
            background.wait()
        background.stop()
    until(lambda: not running())


class Late(Future):
    """A future whose end comes just after the time that a look at it may take."""

    def result(self, timeout: float | None = None) -> object:
        if timeout is not None:
            self.exception()
            raise TimeoutError
        return super().result()


def test_a_result_just_after_a_look_is_no_error():
    """The look's own TimeoutError says nothing about the turn; the coroutine's does."""
    may_end = threading.Event()

    async def late(error: Exception | None = None) -> str:
        while not may_end.is_set():
            await asyncio.sleep(0.01)
        if error is not None:
            raise error
        return "the reply"

    for error in (None, TimeoutError("too slow")):
        may_end.clear()
        background = Background(lambda error=error: late(error), name="course-chat")
        background._future = Late()
        may_end.set()
        if error is None:
            assert background.wait() == "the reply"
        else:
            with pytest.raises(TimeoutError, match="too slow"):
                background.wait()


# ---------------------------------------------------------------------------------- controls


def test_retry_undo_clear(cell):
    """Each on screen and in the conversation; no money is forgotten."""
    told = []
    cell._input.send = told.append
    cell.send("My cat is called Tom.")
    cell.send(PARIS)
    cell._retry.click()
    until(lambda: not cell._input.busy)
    assert [e.question for e in cell._exchanges] == ["My cat is called Tom.", PARIS]
    assert len(cell.chat.turns) == 2
    cell._undo.click()
    assert told == [{"draft": PARIS}]
    assert len(cell._exchanges) == len(cell.chat.turns) == 1
    cell._clear.click()
    assert cell._exchanges == []
    assert cell.chat.turns == []
    assert len(cell.chat.calls) == 3
    assert cell._retry.disabled
    assert cell._undo.disabled


def test_retry_after_an_error_asks_again(cell):
    """The failed exchange is replaced; nothing that was kept is taken back."""
    cell.send("hello")
    practice.fail_next(400)
    with pytest.raises(anthropic.BadRequestError):
        cell.send(PARIS)
    cell._retry.click()
    until(lambda: not cell._input.busy)
    assert [e.question for e in cell._exchanges] == ["hello", PARIS]
    assert len(cell.chat.turns) == 2


def test_model_and_system_prompt_follow_the_controls(cell):
    """And the controls follow what code sets."""
    cell._model.value = "claude-sonnet-5-5"
    cell._system.value = "Be brief."
    assert (cell.chat.model, cell.chat.system) == ("claude-sonnet-5-5", "Be brief.")
    cell.chat.model, cell.chat.system = "opus", None
    cell.send("hello")
    assert (cell._model.value, cell._system.value) == ("claude-opus-5-5", "")


def test_models_to_choose_from(echo, cell):
    """The course's on the practice API, with aliases and last days; of another's server those used on it."""
    labels = {name: label for label, name in cell._model.options}
    assert labels["claude-haiku-5-5"] == "haiku: claude-haiku-5-5"
    for model in (model for model in available() if model.retires):
        assert labels[model.id] == f"{model.id} (retires {model.retires})"
    assert not any("haiku-3" in name or "3-haiku" in name for name in labels)
    other = ChatCell(connect(echo.url) and Conversation(model="qwen3:4b"))
    assert other._model.options == (("qwen3:4b", "qwen3:4b"),)
    other.send("hello")
    other.chat.model = "llama3.2"
    other.send("hello")
    assert [name for _, name in other._model.options] == ["llama3.2", "qwen3:4b"]
    assert other.chat.model == other._model.value == "llama3.2"
    other._model.value = "qwen3:4b"
    other.send("hello")
    assert other.chat.model == other._model.value == "qwen3:4b"
    assert echo.requests[-1]["model"] == "qwen3:4b"
    other.close()


def test_what_goes_wrong_in_a_control_is_said(cell):
    """A callback's error would otherwise land in a log that nobody reads."""
    cell.chat.undo = lambda: 1 / 0
    cell.send("hello")
    cell._undo.click()
    assert "ZeroDivisionError" in cell._input.status


# ------------------------------------------------------------------------------------ errors


def test_errors_show_in_the_chat_and_are_raised(cell):
    """Code that asked gets the error; the reader gets words."""
    practice.fail_next(401)
    with pytest.raises(anthropic.AuthenticationError):
        cell.send(PARIS)
    assert "refused the key" in foot(cell._exchanges[0])
    assert cell._input.status.startswith("The API refused the key.")
    assert cell.chat.messages == []


def test_a_broken_stream_keeps_its_partial_text_on_screen(cell):
    """Marked as an error, paid for, not kept."""
    practice.break_stream("disconnect", after=4)
    with pytest.raises(StreamInterrupted) as caught:
        cell.send("Tell me a long story.")
    exchange = cell._exchanges[0]
    assert exchange.text == caught.value.partial != ""
    assert "The reply broke off." in foot(exchange)
    assert cell.chat.messages == []


def test_a_reply_that_is_not_kept_says_why(cell):
    """A refusal, and thinking that used up max_tokens, are no errors, but no turns either."""
    with practice.shape("refusal"):
        reply = cell.send(PARIS)
    assert reply.turn is None
    assert reply.note in Reader(foot(cell._exchanges[0])).text
    assert cell._input.status == reply.note


def _status_error(status: int, kind: str = "x", code: str | None = None) -> anthropic.APIStatusError:
    body = {"type": "error", "error": {"type": kind, "message": "Said so.", "details": {"error_code": code}}}
    response = httpx2.Response(status, json=body, request=httpx2.Request("POST", "http://x"))
    return anthropic.Anthropic(api_key="x")._make_status_error_from_response(response)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (_status_error(400), "refused the request. The server said: Said so."),
        (_status_error(401), "refused the key"),
        (_status_error(402), "no credit left"),
        (_status_error(403), "may not do that"),
        (_status_error(404), "no such model"),
        (_status_error(413), "too large"),
        (_status_error(418), "status 418"),
        (_status_error(429), "Wait a moment"),
        (_status_error(429, code="enforced_spend_limit_reached"), "Waiting does not help"),
        (_status_error(500), "not your mistake"),
        (_status_error(529), "overloaded"),
        (anthropic.APIConnectionError(request=httpx2.Request("POST", "http://x")), "No connection"),
        (anthropic.APITimeoutError(httpx2.Request("POST", "http://x")), "did not answer in time"),
        (BudgetExceeded("Nothing was sent: too dear."), "Nothing was sent: too dear."),
        (KeyError("a name"), "a name"),
        (TypeError("what"), "TypeError: what"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_error_has_words(error, words):
    """What it means and what to do, with the notes of the retries behind it."""
    error.add_note("Requests: 6.")
    told = explain(error)
    assert words in told
    assert told.endswith("\nRequests: 6.")


def test_a_bill_says_no_more_than_is_known():
    """A stopped reply's count is the last that came, a refusal is whole; one attempt needs no word."""
    call = Call(kind="lost", model="m", output_tokens=1, cost_usd=0.0, seconds=1.0, attempts=2)
    assert bill(call) == "Not kept: at least 0 tokens in · 1 out · $0 · 1.00 s in all · 2 attempts"
    refused = call.model_copy(update={"stop_reason": "refusal", "attempts": 1, "first_token_seconds": 0.5})
    assert bill(refused) == "Not kept: 0 tokens in · 1 out · $0 · first piece 0.50 s · 1.00 s in all"


def test_a_servers_endless_words_are_cut():
    """An error message is no place for a book."""
    error = _status_error(400)
    error.api_message = "long " * 1000
    assert len(explain(error)) < 500


# ------------------------------------------------------------------------ drawing and sending


def test_updates_are_bounded_in_number(echo):
    """However fast pieces come, the page is told at most so often."""
    connect(echo.url)
    cell = ChatCell()
    drawn = []

    def watch(change: dict) -> None:
        for exchange in change["new"]:
            if isinstance(exchange, ShownExchange):
                exchange._tail.observe(lambda _: drawn.append(1), "value")

    cell._talk.observe(watch, "children")
    reply = cell.send("say 400 at 400 as paragraph")
    assert 5 <= len(drawn) <= reply.turn.seconds * UPDATES_PER_SECOND + 3
    cell.close()


@pytest.mark.parametrize("kind", ["prose", "code", "list"])
def test_bytes_grow_with_the_reply_not_with_its_square(kind):
    """Twice the reply, about twice the bytes; the end shows the whole, drawn in one piece."""
    line = {
        "prose": "Some words make a sentence here. " * 5 + "\n\n",
        "code": "x = 1\n",
        "list": "- an item of a list, which is of the usual length\n",
    }[kind]
    sent = {}
    for length in (6_000, 12_000, 24_000):
        text = ("```python\n" if kind == "code" else "") + line * (length // len(line))
        exchange = a_growing_exchange(text, sent.setdefault(length, []))
        whole = render.to_html(text, style=False)
        assert len(exchange.children) == 3
        assert exchange.children[1].value == whole
        exchange.close()
    sums = [sum(sizes) for sizes in sent.values()]
    assert sums[1] < 2.3 * sums[0]
    assert sums[2] < 2.3 * sums[1]


def a_growing_exchange(text: str, sizes: list[int]) -> ShownExchange:
    """An exchange whose reply has grown to `text`, drawn every 24 characters; `sizes` of what was sent."""
    shared = {"piece": ipywidgets.Layout(), "exchange": ipywidgets.Layout(), "style": ipywidgets.HTML().style}
    exchange = ShownExchange("question", "model", shared)

    async def grow() -> None:
        for at in range(0, len(text), 24):
            tail = exchange._tail
            exchange.add(text[at : at + 24])
            exchange._timer.cancel()
            exchange._update()
            sizes.append(len(tail.value) + (len(exchange._tail.value) if exchange._tail is not tail else 0))

    asyncio.run(grow())
    exchange.finish([])
    return exchange


def test_clearing_closes_what_it_showed(cell):
    """No widget of a turn outlives it."""
    cell.send("hello")
    cell._clear.click()
    before = len(ipywidgets.widget._instances)
    for _ in range(3):
        cell.send(PARIS)
        cell._clear.click()
    assert len(ipywidgets.widget._instances) == before


@pytest.mark.parametrize("name", list(PAYLOADS))
def test_hostile_words_stay_words(name):
    """As question, model, reply and note, also while they grow: only the allowed tags, ours included."""
    text = PAYLOADS[name]
    call = Call(kind="reply", model="m", cost_usd=0.0, seconds=1.0)
    shared = {"piece": ipywidgets.Layout(), "exchange": ipywidgets.Layout(), "style": ipywidgets.HTML().style}
    exchange = ShownExchange(text, text, shared)
    exchange.say(text)
    values = [exchange.children[-1].value]
    exchange.text = text
    exchange.finish([call], text, "error")
    values += [child.value for child in exchange.children]
    for value in values:
        faults = [fault for fault in Reader(value).faults if not fault.startswith("class='course-chat-")]
        assert not faults


# --------------------------------------------------------------------------------- text form


def test_without_a_page_it_is_constant_text(tmp_path):
    """Executed where no widget can be, a notebook shows a sentence, and of the turns in it their words."""
    source = [
        "from course_helpers import connect\nfrom course_helpers.chat_cell import ChatCell\nconnect();",
        "cell = ChatCell()\ncell",
        f"print(cell.send({PARIS!r}))",
        "print(await cell.asend('hello'))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in source])
    NotebookClient(notebook, timeout=100, store_widget_state=False).execute(cwd=tmp_path)
    shown = [
        [output.get("text") or output["data"]["text/plain"] for output in cell["outputs"]]
        for cell in notebook["cells"][1:]
    ]
    assert shown == [
        [TEXT, ""],
        ["The capital of France is Paris.\n"],
        ["Hello! What would you like to know?\n"],
    ]


def test_its_files_come_with_the_package():
    """The script and the style are package data, and name no server."""
    folder = Path(render.__file__).with_name("chat_cell")
    for name in ("input.js", "style.css"):
        assert "http" not in (folder / name).read_text()
