"""The chat cell without a page: turns, stopping, errors, money, what is left behind. See browser/ too."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
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

from course_helpers import Conversation, connect, models, practice, render
from course_helpers.chat_cell import Busy, ChatCell, exchange
from course_helpers.chat_cell.exchange import Exchange
from course_helpers.chat_cell.page import TEXT
from course_helpers.chat_cell.texts import bill, explain, in_three_languages
from course_helpers.history import BudgetExceeded, Call, StreamInterrupted, last_turns

PARIS = "What is the capital of France?"


@pytest.fixture
def cell():
    """A chat on the practice API, with no faults set; afterwards nothing of it may run on."""
    connect()
    practice.reset()
    chat_cell = watched(ChatCell())
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


def watched(cell: ChatCell) -> ChatCell:
    """`cell`, whose list `posted` holds what its page is told from now on."""
    cell.posted = []
    cell._page.send = cell.posted.append
    return cell


def running() -> list[str]:
    """The threads of chats."""
    return [thread.name for thread in threading.enumerate() if thread.name == "course-chat"]


def until(truth, seconds: float = 20) -> None:
    """Wait until `truth()`."""
    deadline = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.01)


def questions(cell: ChatCell) -> list[str]:
    return [each.question for each in cell._exchanges]


def told(cell: ChatCell, name: str) -> object:
    """The last thing called `name` that the page was told."""
    return next(message[name] for message in reversed(cell.posted) if name in message)


def idle(cell: ChatCell) -> None:
    until(lambda: not cell._page.busy)


def ask_in_background(cell: ChatCell, text: str) -> list:
    """`cell.send(text)` in a thread; its reply or error will be the list's only entry."""
    came = []

    def ask() -> None:
        try:
            came.append(cell.send(text))
        except BaseException as error:
            came.append(error)

    threading.Thread(target=ask, daemon=True).start()
    until(lambda: cell._page.busy or came)
    return came


# ------------------------------------------------------------------------------------- turns


def test_a_turn_shows_from_code_and_awaited(cell):
    """The reply comes back and stands in the transcript as rendered Markdown, with its bill."""
    reply = cell.send(PARIS)
    assert str(reply) == "The capital of France is Paris."
    assert reply.turn is cell.chat.turns[-1]
    (shown,) = cell._exchanges
    assert PARIS in shown.whole()["head"]
    assert shown.whole()["body"] == render.to_html(str(reply), style=False)
    assert bill(cell.chat.calls[-1]) in shown.foot
    assert cell._page.session.startswith("1 turn · ")
    assert cell._page.session.endswith("(practice: free)")
    assert not cell._page.busy
    assert str(asyncio.run(cell.asend("hello"))).startswith("Hello")
    assert len(cell._exchanges) == len(cell.chat.turns) == 2
    with pytest.raises(TypeError, match="not both"):
        ChatCell(Conversation(), model="haiku")


def test_an_existing_conversation_is_shown(cell):
    """With what was said in it, and with what code does to it later."""
    chat = Conversation()
    chat.send(PARIS)
    other = watched(ChatCell(chat))
    assert questions(other) == [PARIS]
    chat.send("hello")
    chat.undo()
    chat.send("My cat is called Tom.")
    other.send("hello")
    assert questions(other) == [PARIS, "My cat is called Tom.", "hello"]
    other._act("hello", "v")
    assert [each["id"] for each in told(other, "all")] == [each.number for each in other._exchanges]
    chat.reset()
    other.send("hello")
    assert questions(other) == ["hello"]
    other.close()


def test_one_reply_at_a_time(cell):
    """A second question while a reply is on its way is refused, in one sentence, and the first goes on."""
    practice.pace(200, 0.3)
    came = ask_in_background(cell, PARIS)
    with pytest.raises(Busy, match="on its way") as caught:
        cell.send("hello")
    assert caught.value._render_traceback_() == ["Busy: A reply is on its way: stop it, or wait for it."]
    until(lambda: came)
    assert str(came[0]) == "The capital of France is Paris."
    assert len(cell._exchanges) == 1


# ---------------------------------------------------------------------------------- stopping


def test_stop_at_any_moment(cell):
    """Before the first piece, in the middle, while a retry waits: what is known to have cost is counted."""
    practice.pace(50, 60)
    came = ask_in_background(cell, PARIS)
    until(lambda: len(practice.journal))
    cell.stop()
    until(lambda: came)
    assert (came[0].text, came[0].turn) == ("", None)
    assert "Stopped before anything came." in cell._exchanges[0].foot
    practice.pace(20, 0)
    came = ask_in_background(cell, "Tell me a long story.")
    until(lambda: len(cell._exchanges[1].text) > 5)
    cell.stop()
    until(lambda: came)
    stopped = cell._exchanges[1]
    assert came[0].text == stopped.text
    assert stopped.text in Reader(stopped.whole()["body"]).text
    assert cell.chat.messages == []
    assert cell.chat.calls[-1].kind == "lost"
    assert came[0].call == cell.chat.calls[-1]
    assert "Not kept: at least " in stopped.foot
    practice.reset()
    practice.fail_next(529, times=9, retry_after=60)
    came = ask_in_background(cell, PARIS)
    until(lambda: "Waiting 60.0s, as the server asks, before retry 1/5" in cell._page.status)
    cell.stop()
    until(lambda: came)
    practice.reset()
    assert str(cell.send(PARIS)) == "The capital of France is Paris."


INTERRUPTED = """
import threading, _thread
from course_helpers import connect, practice
from course_helpers.chat_cell import ChatCell
connect(); practice.pace(20, 0); cell = ChatCell()
def watch():
    while not (cell._exchanges and len(cell._exchanges[0].text) > 5): pass
    print("now", flush=True)
threading.Thread(target=watch, daemon=True).start()
try:
    cell.send("Tell me a long story.")
except KeyboardInterrupt as error:
    cell._running and cell._running.ended.wait(10)
    print(error._render_traceback_(), "Stopped" in cell._exchanges[0].foot, cell.chat.messages)
"""


@pytest.mark.slow
def test_an_interrupt_ends_a_blocking_send():
    """KeyboardInterrupt goes on its way, as one sentence, and the stream behind it ends."""
    child = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True)
    assert [child.stdout.readline() for _ in range(2)][1] == "now\n"
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=60)
    assert out == "['KeyboardInterrupt: the reply was stopped and is not kept.'] True []\n"


def test_cancelling_an_await_ends_the_turn(cell):
    """As a timeout around it would."""

    async def hurried() -> None:
        async with asyncio.timeout(0.5):
            await cell.asend(PARIS)

    practice.pace(50, 60)
    with pytest.raises(TimeoutError):
        asyncio.run(hurried())
    idle(cell)
    assert "Stopped" in cell._exchanges[0].foot


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


def test_it_can_be_stopped_at_once(cell):
    """Before its loop has begun; the turn ends as any other that is stopped."""
    for number in range(20):
        running = cell._begin(PARIS)
        running.stop()
        running.join(20)
        assert running.task.result().turn is None
        running.stop()
        assert "Stopped" in cell._exchanges[number].foot


def test_nested_loops_leave_nothing_open():
    """Where nest_asyncio is applied, sixty turns leave no more open files than ten."""
    pytest.importorskip("nest_asyncio2")
    code = (
        "import nest_asyncio2, psutil; nest_asyncio2.apply()\n"
        "from course_helpers import connect\nfrom course_helpers.chat_cell import ChatCell\n"
        "connect(); cell = ChatCell(); me = psutil.Process(); seen = []\n"
        "for turn in range(60):\n    cell.send('hi'); seen.append(me.num_fds())\n"
        "print(max(seen[40:]) - max(seen[:20]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert int(run.stdout.split()[-1]) < 15, run.stderr


def test_without_threads_it_runs_on_the_loop_that_is_there(cell, monkeypatch):
    """As in a browser tab: asend and a typed message work; send, which cannot wait there, says what does."""

    async def chat() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "platform", "emscripten")
            assert str(await cell.asend(PARIS)) == "The capital of France is Paris."
            cell._act("send", "v", text="hello")
            while cell._page.busy:
                await asyncio.sleep(0.01)
            with pytest.raises(Busy, match=r"await cell\.asend"):
                cell.send("hello")

    asyncio.run(asyncio.wait_for(chat(), 60))
    assert [turn.user for turn in cell.chat.turns] == [PARIS, "hello"]


# ---------------------------------------------------------------------------------- controls


def test_retry_undo_edit_clear(cell):
    """Each on screen and in the conversation; no money is forgotten."""
    cell.send("My cat is called Tom.")
    cell.send(PARIS)
    cell._act("retry", "v")
    idle(cell)
    assert questions(cell) == ["My cat is called Tom.", PARIS]
    cell._act("undo", "v")
    assert told(cell, "draft") == PARIS
    assert len(cell._exchanges) == len(cell.chat.turns) == 1
    cell.send(PARIS)
    first = cell._exchanges[0].number
    cell._act("send", "v", text="My dog is called Rex.", edited=first)
    idle(cell)
    assert questions(cell) == [turn.user for turn in cell.chat.turns] == ["My dog is called Rex."]
    assert len(cell.chat.calls) == 5
    cell._act("clear", "v")
    assert (cell._exchanges, cell.chat.turns, len(cell.chat.calls)) == ([], [], 5)
    practice.fail_next(400)
    with pytest.raises(anthropic.BadRequestError):
        cell.send("hello")
    cell._act("retry", "v")
    idle(cell)
    assert questions(cell) == ["hello"]
    assert len(cell.chat.turns) == 1


def test_model_and_system_prompt_follow_the_controls(cell, echo):
    """And the controls follow what code sets; of another's server those models are known that were used."""
    sonnet = models.ALIASES["sonnet"]
    cell._act("model", "v", text=sonnet)
    cell._act("system", "v", text="Be brief.")
    assert (cell.chat.model, cell.chat.system) == (sonnet, "Be brief.")
    cell.chat.model, cell.chat.system = "opus", None
    cell.send("hello")
    assert (cell._page.model, cell._page.system) == (models.ALIASES["opus"], "")
    labels = {name: label for label, name in cell._page.models}
    assert labels[sonnet] == f"sonnet: {sonnet}"
    for model in models.available():
        assert (f"retires {model.retires}" in labels[model.id]) == bool(model.retires)
    other = watched(ChatCell(connect(echo.url) and Conversation(model="qwen3:4b")))
    other.send("hello")
    other.chat.model = "llama3.2"
    other.send("hello")
    assert [name for _, name in other._page.models] == ["llama3.2", "qwen3:4b"]
    other._act("model", "v", text="qwen3:4b")
    other.send("hello")
    assert echo.requests[-1]["model"] == other.chat.model == "qwen3:4b"
    assert "(on this machine)" in other._page.session
    other.close()


def test_before_it_is_sent(cell, echo):
    """What the strategy would send, its cost at least and at most; other servers hear nothing of it."""
    cell.chat.keep = last_turns(0)
    cell.send("hello")
    calls = len(cell.chat.calls)
    cell._act("preview", "v", text="My cat is called Tom.")
    preview = cell.chat.preview("My cat is called Tom.")
    assert f"{preview.input_tokens} tokens in" in told(cell, "forecast")
    assert "at least" in told(cell, "forecast")
    assert 0 < told(cell, "share") < 0.01
    assert len(cell.chat.calls) == calls
    reply = cell.send("My cat is called Tom.")
    assert reply.call.prompt_tokens == preview.input_tokens
    other = watched(ChatCell(Conversation(connect(echo.url), model="echo")))
    other._act("preview", "v", text="a secret")
    assert told(other, "forecast").startswith("This turn: ≈ ")
    assert echo.requests == []
    other.close()


def test_what_can_be_taken_out(cell, tmp_path):
    """Question and reply as they are, the request in three languages that all run, the chat in two files."""
    reply = cell.send(PARIS)
    (shown,) = cell._exchanges
    for what, text in (("question", PARIS), ("reply", str(reply))):
        cell._act("take", "v", id=shown.number, what=what, why="copy")
        assert told(cell, "taken") == text
    cell._act("take", "v", id=shown.number, what="request", why="show")
    languages = told(cell, "taken")
    assert json.loads(languages["JSON"]) == reply.request
    client = cell.chat.client
    assert client.api_key not in "".join(languages.values()).replace("practice API", "")
    quoted = in_three_languages(reply.request | {"system": 'It\'s "$HOME" `ls` \\ \n ä'}, client)
    environment = os.environ | {"ANTHROPIC_API_KEY": client.api_key, "NO_PROXY": "127.0.0.1"}
    for command in (["sh", "-c", quoted["curl"]], [sys.executable, "-c", quoted["Python"]]):
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
        assert "The capital of France is Paris." in run.stdout, run.stderr
        assert practice.journal[-1].body["system"] == 'It\'s "$HOME" `ls` \\ \n ä'
    cell._act("export", "v", kind="json")
    (tmp_path / "chat.json").write_text(told(cell, "text"))
    assert Conversation.load(tmp_path / "chat.json").turns == cell.chat.turns
    cell._act("export", "v", kind="markdown")
    assert f"## You\n\n{PARIS}\n\n## {models.MODEL}\n\n{reply}" in told(cell, "text")


def test_what_goes_wrong_in_a_control_is_said(cell):
    """A callback's error would otherwise land in a log that nobody reads."""
    cell.chat.undo = lambda: 1 / 0
    cell.send("hello")
    cell._act("undo", "v")
    assert "ZeroDivisionError" in cell._page.status
    cell._act("nonsense", "v")
    assert "nonsense" in cell._page.status


# ------------------------------------------------------------------------------------ errors


def test_errors_show_in_the_chat_and_are_raised(cell):
    """Code that asked gets the error; the reader gets words, and what had come; nothing is kept."""
    practice.fail_next(401)
    with pytest.raises(anthropic.AuthenticationError):
        cell.send(PARIS)
    assert "refused the key" in cell._exchanges[0].foot
    assert cell._page.status.startswith("The API refused the key.")
    practice.break_stream("disconnect", after=4)
    with pytest.raises(StreamInterrupted) as caught:
        cell.send("Tell me a long story.")
    assert cell._exchanges[1].text == caught.value.partial != ""
    assert "The reply broke off." in cell._exchanges[1].foot
    with practice.shape("refusal"):
        reply = cell.send(PARIS)
    assert reply.turn is None
    assert reply.note in Reader(cell._exchanges[2].foot).text
    assert cell._page.status == reply.note
    assert cell.chat.messages == []


def _status_error(status: int, kind: str = "x", code: str | None = None) -> anthropic.APIStatusError:
    body = {"type": "error", "error": {"type": kind, "message": "Said so.", "details": {"error_code": code}}}
    response = httpx2.Response(status, json=body, request=httpx2.Request("POST", "http://x"))
    return anthropic.Anthropic(api_key="x")._make_status_error_from_response(response)


def test_errors_in_words():
    """What happened, whose fault it is and what to do; the server's own words where they say more."""
    request = httpx2.Request("POST", "http://x")
    cases = [
        (_status_error(400), "The API refused the request.\n400 x: Said so."),
        (_status_error(429, code="enforced_spend_limit_reached"), "spend limit of this account"),
        (_status_error(503), "not your mistake"),
        (_status_error(418), "The API refused the request.\n418 x: Said so."),
        (anthropic.APIConnectionError(request=request), "No connection."),
        (anthropic.APITimeoutError(request=request), "did not answer in time"),
        (StreamInterrupted("The connection closed", request=request), "The reply broke off."),
        (BudgetExceeded("Nothing was sent: too dear"), "Nothing was sent: too dear"),
        (ZeroDivisionError("x"), "Something unexpected went wrong: ZeroDivisionError.\nx"),
    ]
    for error, words in cases:
        error.add_note("Tried twice")
        assert words in explain(error)
        assert explain(error).endswith(" Tried twice")


# --------------------------------------------------------------------------- what the page gets


def grown(text: str, monkeypatch) -> list[dict]:
    """What the page is told while a reply grows to `text`, 24 characters in each 40 milliseconds."""
    posted, now = [], [0.0]
    monkeypatch.setattr(exchange.time, "monotonic", lambda: now[0])
    shown = Exchange(1, "question", "model", lambda **message: posted.append(message))
    for at in range(0, len(text), 24):
        now[0] += 0.05
        shown.add(text[at : at + 24])
    shown.finish([])
    return [*posted, shown.whole()]


@pytest.mark.parametrize("kind", ["prose", "code", "list"])
def test_bytes_grow_with_the_reply_not_with_its_square(kind, monkeypatch):
    """Twice the reply, about twice the bytes; drawn as Markdown twice a second; the end shows the whole."""
    line = {
        "prose": "Some words make a sentence here. " * 5 + "\n\n",
        "code": "x = 1\n",
        "list": "- an item of a list, which is of the usual length\n",
    }[kind]
    sums = []
    for length in (6_000, 12_000, 24_000):
        text = ("```text\n" if kind == "code" else "") + line * (length // len(line))
        posted = grown(text, monkeypatch)
        assert posted[-1]["body"] == render.to_html(text, style=False)
        assert 0.3 < len([m for m in posted if "tail" in m]) / (length / 24 * 0.05) <= 2.1
        sums.append(sum(len(json.dumps(message)) for message in posted))
    assert sums[1] < 2.3 * sums[0]
    assert sums[2] < 2.3 * sums[1]


@pytest.mark.parametrize("name", ["handler-10", "link-8", "script-3", "svg-mathml-0", "control-0"])
def test_hostile_words_go_through_render(name, monkeypatch):
    """As question, model, reply and note, also while they grow: all HTML is made by render."""
    text = PAYLOADS[name]
    posted = grown(f"{text}\n\n" * 30, monkeypatch)
    shown = Exchange(1, text, text, lambda **message: posted.append(message))
    shown.text = text
    shown.finish([Call(kind="reply", model="m", cost_usd=0.0, seconds=1.0)], text, "error")
    posted.append(shown.whole())
    pages = [
        message[part]
        for message in posted
        for part in ("head", "done", "tail", "body", "foot")
        if part in message
    ]
    assert len(pages) > 5
    for page in pages:
        assert [f for f in Reader(page).faults if not f.startswith("class='course-chat-")] == []


def test_closing_closes_its_widgets(cell):
    """No widget outlives the chat."""
    before = len(ipywidgets.widget._instances)
    other = ChatCell()
    other.send("hello")
    other.close()
    assert len(ipywidgets.widget._instances) == before


# --------------------------------------------------------------------------------- text form


def test_without_a_page_it_is_constant_text(tmp_path):
    """Executed where no widget can be, a notebook shows a sentence, and of the turns what they took."""
    source = [
        "from course_helpers import connect\nfrom course_helpers.chat_cell import ChatCell\nconnect();",
        "cell = ChatCell()\ncell",
        f"print(cell.send({PARIS!r}))",
        "reply = await cell.asend('hello')\nreply",
        "print(reply)\nreply",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in source])
    NotebookClient(notebook, timeout=100, store_widget_state=False).execute(cwd=tmp_path)
    shown = [
        [output.get("text") or output["data"]["text/plain"] for output in cell["outputs"]]
        for cell in notebook["cells"][1:]
    ]
    assert shown[:2] == [[TEXT, ""], ["The capital of France is Paris.\n"]]
    assert shown[2][0].startswith("In the chat: ")
    assert "Hello" in shown[3][0]
    assert "Reply(" in shown[3][1]


def test_its_files_come_with_the_package():
    """The script and the style are package data, and name no server."""
    folder = Path(render.__file__).with_name("chat_cell")
    for name in ("page.js", "style.css"):
        assert "http" not in (folder / name).read_text()
