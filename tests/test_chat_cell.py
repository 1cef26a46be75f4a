"""The chat cell without a page: turns, stopping, errors, money, what is left behind. See browser/ too."""

from __future__ import annotations

import asyncio
import json
import math
import re
import subprocess
import sys
import threading
from types import SimpleNamespace

import anthropic
import httpx2
import ipywidgets
import pytest
from test_render import Reader

from course_helpers import Conversation, connect, models, practice, render
from course_helpers.chat_cell import Busy, ChatCell, exchange
from course_helpers.chat_cell.exchange import Exchange
from course_helpers.chat_cell.texts import bill, explain, in_three_languages
from course_helpers.history import (
    BudgetExceeded,
    Call,
    StreamInterrupted,
    last_turns,
    summarise_older,
    within_tokens,
)
from tests.drivers import wait_until

PARIS, ANSWER = "What is the capital of France?", "The capital of France is Paris."


class Watched(ChatCell):
    """A chat whose list `posted` holds what its page is told."""

    def __init__(self, *arguments, **named) -> None:
        self.posted = []
        super().__init__(*arguments, **named)

    def post(self, **message) -> None:
        self.posted.append(message)

    def do(self, name: str, /, **given) -> None:
        """What the page would say, and wait until no reply is on its way."""
        self._act(name, "view", **given)
        wait_until(lambda: not self.busy)

    def told(self, name: str) -> object:
        return next(message[name] for message in reversed(self.posted) if name in message)

    def questions(self) -> list[str]:
        return [each.question for each in self._exchanges]


@pytest.fixture
def cell():
    """A chat on the practice API, with no faults set; afterwards nothing of it may run on."""
    connect()
    practice.reset()
    chat_cell = Watched()
    yield chat_cell
    practice.reset()
    chat_cell.close()
    wait_until(lambda: "course-chat" not in [thread.name for thread in threading.enumerate()])


def test_turns_from_code(cell):
    """Sent, or made by the conversation itself, before and after: each stands in the transcript."""
    cell.do("clear")
    assert cell.status == "Cleared. What was spent stays counted."
    reply = cell.send(PARIS)
    assert (str(reply), reply.turn) == (ANSWER, cell.chat.turns[-1])
    shown = cell._exchanges[0].whole()
    assert (PARIS in shown["head"], bill(reply.call) in shown["foot"]) == (True, True)
    assert shown["body"] == render.to_html(ANSWER, style=False)
    assert re.fullmatch(r"1 turn · .* \(practice: free\)", cell.session)
    cell.send("hello")
    other = Watched(cell.chat)
    assert other.questions() == [PARIS, "hello"]
    cell.chat.undo()
    cell.chat.send("My cat is called Tom.")
    other.send("hello")
    assert other.questions() == [PARIS, "My cat is called Tom.", "hello"]
    cell.chat.reset()
    other.send("hello")
    assert other.questions() == ["hello"]
    other.close()


def test_one_reply_at_a_time_and_stop_at_any_moment(cell):
    """A second question is refused in one sentence, and the first goes on. Stopped at once, in the middle,
    while a retry waits: what is known to have cost is counted. A chat that blocks holds up no other."""
    blocked, gate = Watched(keep=lambda messages, _: gate.wait(60) and messages), threading.Event()
    waiting = blocked._begin(PARIS)
    practice.pace(200, 0.3)
    running = cell._begin(PARIS)
    with pytest.raises(Busy) as caught:
        cell.send("hello")
    assert caught.value._render_traceback_() == ["Busy: A reply is on its way: stop it, or wait for it."]
    cell.do("send", text="hello")
    assert (cell.told("draft"), cell.questions()) == ("hello", [PARIS])
    assert str(running.result()) == ANSWER
    running = cell._begin(PARIS)
    cell.stop(20)
    assert running.result().turn is None
    assert "Stopped before anything came." in cell._exchanges[1].foot
    practice.pace(20, 0)
    running = cell._begin("Tell me a long story.")
    stopped = cell._exchanges[2]
    wait_until(lambda: len(stopped.text) > 5)
    cell.stop(20)
    reply = running.result()
    assert reply.text == stopped.text
    assert stopped.text in Reader(stopped.whole()["body"]).text
    assert (reply.call, reply.call.kind) == (cell.chat.calls[-1], "lost")
    assert "Not kept: at least " in stopped.foot
    practice.fail_next(529, times=9, retry_after=60)
    cell._begin(PARIS)
    wait_until(lambda: "Waiting 60.0s, as the server asks, before retry 1/5" in cell.status)
    cell.chat.on_wait = print  # what code sets meanwhile stays
    other = Watched(cell.chat)
    other.do("send", text="hello")  # the same conversation elsewhere: refused, and the first goes on
    assert "waits for a reply" in other._exchanges[-1].foot
    other.close()
    cell.stop(20)
    practice.reset()
    assert str(cell.send(PARIS)) == ANSWER
    assert (len(cell.chat.turns), cell.chat.on_wait) == (2, print)
    gate.set()
    assert str(waiting.result(60)) == ANSWER
    blocked.close()


def test_nothing_is_left_behind(cell, echo):
    """After a close the server sees the connection go, no widget is left, and a closed chat says so."""
    before = len(ipywidgets.widget._instances)
    other = Watched(connect(echo.url) and Conversation())
    other._begin("say 1000 at 20")
    wait_until(lambda: echo.under_way == 1)
    other.close()
    wait_until(lambda: echo.under_way == 0)
    with pytest.raises(Busy, match="closed"):
        other.send("hello")
    assert len(ipywidgets.widget._instances) == before


def test_without_threads_it_runs_on_the_loop_that_is_there(cell, monkeypatch):
    """As in a browser tab: a typed message works; send, which cannot wait there, says so."""

    async def chat() -> None:
        cell._act("send", "view", text=PARIS)
        await asyncio.wrap_future(cell._running)
        with pytest.raises(Busy, match="type it"):
            cell.send("hello")

    monkeypatch.setattr(sys, "platform", "emscripten")
    asyncio.run(asyncio.wait_for(chat(), 60))
    assert [turn.assistant for turn in cell.chat.turns] == [ANSWER]


def test_model_and_system_prompt_follow_the_controls(cell, echo):
    """And the controls follow what code sets; what was not sent never reaches another's server."""
    sonnet = models.ALIASES["sonnet"]
    cell.do("set", name="model", text=sonnet)
    cell.do("set", name="system", text="Be brief.")
    assert (cell.chat.model, cell.chat.system) == (sonnet, "Be brief.")
    cell.chat.model, cell.chat.system = "opus", None
    cell.send("hello")
    assert (cell.model, cell.system) == (models.ALIASES["opus"], "")
    labels = {name: label for label, name in cell.models}
    assert all((f"retires {m.retires}" in labels[m.id]) == bool(m.retires) for m in models.available())
    other = Watched(connect(echo.url) and Conversation(model="qwen3:4b"))
    other.do("preview", text="a secret")
    assert other.told("forecast").startswith("This turn: ≈ ")
    assert "a secret" not in str(echo.requests)  # text that was not sent never leaves the machine
    other.send("hello")
    assert other.session.endswith("(on this machine)")
    other.close()


def test_before_and_after_it_is_sent(cell, monkeypatch, capsys):
    """What the strategy would send, and its cost; then the request as JSON, and as curl and Python that run,
    in which the key is named, never shown."""
    cell.chat.keep = last_turns(0)
    cell.send(PARIS)
    known = len(practice.journal), cell.chat.calls
    for cell.chat.keep in (
        summarise_older(1),
        within_tokens(9),
        lambda messages, chat: chat.ask(messages).strip() or messages[-1:],
        lambda messages, chat: messages[2 * len(chat.turns) * chat.total.calls :],  # as last_turns(0) here
    ):
        cell.do("preview", text=PARIS)
    assert (len(practice.journal), cell.chat.calls) == known
    reply, client, system = cell.send(PARIS), cell.chat.client, 'It\'s "$HOME" `ls` \\ \n ä'
    assert cell.told("forecast").startswith(f"This turn: ≈ {reply.call.prompt_tokens} tokens in · $")
    assert 0 < cell.told("share") < 0.01
    cell.do("take", id=cell._exchanges[-1].number, what="request", why="show")
    assert json.loads(cell.told("taken")["JSON"]) == reply.request
    quoted = in_three_languages(reply.request | {"system": system}, client)
    assert client.api_key not in "".join(quoted.values()).replace("practice API", "")
    monkeypatch.setenv("ANTHROPIC_API_KEY", client.api_key)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    run = subprocess.run(["sh", "-c", quoted["curl"]], capture_output=True, text=True, timeout=60)
    assert ANSWER in run.stdout, run.stderr
    exec(quoted["Python"], {})
    assert ANSWER in capsys.readouterr().out
    assert [entry.body["system"] for entry in practice.journal[-2:]] == [system, system]


def test_errors_show_in_the_chat_and_are_raised(cell):
    """Code that asked gets the error; the reader gets what had come, what it means, whose fault it is and
    what to do, then the server's own words and what was tried; nothing is kept."""
    practice.break_stream("disconnect", after=4)
    with pytest.raises(StreamInterrupted) as caught:
        cell.send("Tell me a long story.")
    assert cell._exchanges[0].text == caught.value.partial != ""
    assert "The reply broke off." in cell._exchanges[0].foot
    assert cell.status == "The reply broke off. Nothing was kept: Retry asks again."
    with practice.shape("refusal"):
        reply = cell.send(PARIS)
    assert (reply.turn, reply.note, cell.chat.messages) == (None, cell.status, [])
    assert reply.note in Reader(cell._exchanges[1].foot).text
    cell.chat.keep = lambda *_: sys.exit()
    with pytest.raises(RuntimeError, match="SystemExit"):
        cell.send(PARIS)
    cell.chat.keep = None
    assert str(cell.send(PARIS)) == ANSWER  # it has ended nothing but its turn

    request = httpx2.Request("POST", "http://x")
    told = {"message": "Said so.", "response": httpx2.Response(400, request=request), "body": None}
    capped = anthropic.RateLimitError(**told)
    capped.error_code = "enforced_spend_limit_reached"
    cases = {
        anthropic.BadRequestError(**told): "The API refused the request.\n400 : Said so. Tried twice",
        anthropic.InternalServerError(**told): "not your mistake",
        capped: "spend limit of this account",
        anthropic.APIConnectionError(request=request): "No connection.",
        anthropic.APIConnectionError(message="Closed.", request=request): "^Closed. Tried twice",
        anthropic.NotFoundError(
            **told | {"response": httpx2.Response(404, request=request)}
        ): "no such model",
        BudgetExceeded("Nothing was sent: too dear"): "Nothing was sent: too dear. Tried twice",
        ZeroDivisionError("x"): "Something unexpected went wrong: ZeroDivisionError.\nx",
    }
    for error, words in cases.items():
        error.add_note("Tried twice")
        assert words in f"^{explain(error)}"


@pytest.mark.parametrize("line", ["Some words. " * 15 + "\n\n", "x = 1\n", "- an item of a list\n"])
def test_bytes_grow_with_the_reply_not_with_its_square(line, monkeypatch):
    """Twice the reply, about twice the bytes; drawn as Markdown again and again; the end shows the whole."""
    before, now, posted = math.inf, [0.0], []
    monkeypatch.setattr(exchange, "time", SimpleNamespace(monotonic=lambda: now[0]))
    for length in (6_000, 12_000, 24_000):
        text = ("```text\n" if "=" in line else "") + line * (length // len(line))
        posted.clear()
        shown = Exchange(1, text, text, lambda **message: posted.append(message))
        for at in range(0, len(text), 24):  # 24 characters in each 50 milliseconds
            now[0] += 0.05
            shown.add(text[at : at + 24])
        shown.finish([Call(kind="reply", model="m", cost_usd=0.0, seconds=1.0)], text, "error")
        assert shown.whole()["body"] == render.to_html(text, style=False)
        assert sum("tail" in message for message in posted) > length / 2_500
        told = sum(len(json.dumps(message)) for message in posted)
        assert told < 2.3 * before
        before = told
