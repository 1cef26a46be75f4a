"""Conversations with the practice API: turns, the ledger, forks, budgets, what is shown."""

from __future__ import annotations

import copy
import math
import pickle
import re
import subprocess
import sys
import traceback

import anthropic
import pytest

import course_helpers
from course_helpers import Conversation, connect, estimate_cost, practice
from course_helpers.history import BudgetExceeded, Call, Reply, within_tokens
from course_helpers.models import UnknownModelError
from course_helpers.pricing import rates
from tests.drivers import Waits, all_drivers, chat_with, entry_of, send, standing_in_for_live, state, stream
from tests.drivers import streaming_drivers as streaming
from tests.scripted_server import MESSAGE, ScriptedServer, answer, failure, hang, reply

FRANCE, PARIS = "What is the capital of France?", "The capital of France is Paris."
COUNTLESS = "an estimate: this server does not count tokens"


@pytest.fixture(autouse=True)
def client() -> anthropic.Anthropic:
    practice.reset()
    yield connect()
    practice.reset()


@all_drivers
def test_a_turn(take):
    """A turn is in messages, turns and calls, priced by its own model, alike for every driver."""
    chat = Conversation(system="Be brief.", max_tokens=100)
    answered = take(chat, FRANCE)
    (turn,), (call,), sent = chat.turns, chat.calls, practice.journal[-1]
    assert (str(answered), answered.stop_reason, answered.note) == (PARIS, "end_turn", None)
    assert chat.messages == [{"role": "user", "content": FRANCE}, {"role": "assistant", "content": PARIS}]
    assert (answered.turn, answered.call, entry_of(turn)) == (turn, call, call)
    assert (turn.user, turn.assistant) == (FRANCE, PARIS)
    assert (call.model, call.kind, call.turn) == (chat.model, "reply", 1)
    usage = sent.reply["usage"]
    assert (call.input_tokens, call.output_tokens) == (usage["input_tokens"], usage["output_tokens"])
    cost = estimate_cost(call.input_tokens, call.output_tokens, chat.model)
    assert call.cost_usd == cost == chat.total.cost_usd
    assert (call.first_token_seconds is not None) == ("stream" in take.__name__)
    wanted = {"model": chat.model, "max_tokens": 100, "system": "Be brief.", "messages": chat.messages[:1]}
    assert {name: each for name, each in sent.body.items() if name != "stream"} == wanted == answered.request
    take(chat, "My name is Sam.")
    assert str(take(chat, "What is my name?")) == "Your name is Sam."
    assert practice.journal[-1].body["messages"] == chat.messages[:5]


def test_settings():
    """What makes no sense is refused as it is set; a blank system prompt is none."""
    wrong = {"max_tokens": (0, 1.5, True), "budget_usd": (-1, math.nan, "1"), "system": (["x"], 7, "\udc00")}
    for name, value in ((name, value) for name, values in wrong.items() for value in values):
        with pytest.raises((ValueError, TypeError), match=f"{name} is |system prompt (is text|holds half)"):
            Conversation(**{name: value})
    with pytest.raises(TypeError, match="asend needs no other"):
        Conversation(anthropic.AsyncAnthropic(api_key="x"))
    for text in ("", "  \n", "half \ud83d a character", 7):
        for take in (Conversation().send, Conversation().stream, Conversation().astream):
            with pytest.raises((ValueError, TypeError), match=r"essage (is empty|holds half|is text,)"):
                take(text)
    chat = Conversation(system="  ")
    for name in ("claude-haiku-5-6", "gpt-6-luna"):
        with pytest.raises(UnknownModelError, match="claude-"):
            chat.model = name
    chat.send(FRANCE)
    assert ("system" in practice.journal[-1].body, chat.model) == (False, course_helpers.models.MODEL)


def test_undo_and_reset_forget_no_money():
    """They shorten the history; the ledger only grows, and numbers its turns only once."""
    chat = Conversation()
    assert chat.undo() is None
    for text in ("My name is Sam.", FRANCE, "Hello!"):
        chat.send(text)
    last, spent = chat.turns[-1], chat.total.cost_usd
    assert chat.undo() is last
    assert [turn.user for turn in chat.turns] == ["My name is Sam.", FRANCE]
    chat.reset()
    assert (chat.messages, chat.turns, chat.total.cost_usd) == ([], [], spent)
    assert "Sam" not in str(chat.send("What is my name?"))
    assert [call.turn for call in chat.calls] == [1, 2, 3, 4]


PLAIN = [{"type": "text", "text": "Paris."}]
THOUGHT = [{"type": "thinking", "thinking": "", "signature": "x"}]
BLANK = [{"type": "text", "text": " \n"}]
STOPPED = [
    (PLAIN, "model_context_window_exceeded", True, "Cut off (model_context_window_exceeded): shorten"),
    (PLAIN, "max_tokens", True, "Cut off (max_tokens): raise max_tokens, or ask the model to go on."),
    (PLAIN, "a_reason_of_the_future", True, ""),
    (PLAIN, "refusal", False, "The model refused to answer. Nothing was kept"),
    (THOUGHT, "max_tokens", False, "Nothing was kept: raise max_tokens"),
    (BLANK, "end_turn", False, "The reply was empty (stop reason end_turn)"),
]


def test_stop_reasons():
    """What can stand in a history is kept whatever the stop reason; a note where there is something to do."""
    for content, stop_reason, kept, words in STOPPED:
        message = MESSAGE | {"content": content, "stop_reason": stop_reason}
        with ScriptedServer(answer(200, message)) as server:
            answered = send(chat := chat_with(server.url), FRANCE)
        assert (answered.turn is not None) == kept == bool(chat.turns) == bool(str(answered))
        assert words in (answered.note or "")
        assert bool(words) == bool(answered.note)
        assert [call.kind for call in chat.calls] == ["reply" if kept else "lost"]


def test_cache():
    """`cache=True` asks for caching; writes (by lifetime) and reads are in the ledger, and priced."""
    chat = Conversation(system="Remember: " + "the sea is wide. " * 400, cache=True)
    first, second = (take(chat, FRANCE).call for take in (stream, send))
    assert practice.journal[-1].body["cache_control"] == {"type": "ephemeral"}
    assert 0 < first.cache_write_tokens == second.cache_read_tokens < second.prompt_tokens
    usage = {"input_tokens": 3, "output_tokens": 5, "cache_read_input_tokens": 50}
    usage["cache_creation_input_tokens"] = 300
    usage["cache_creation"] = {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200}
    usage["output_tokens_details"] = {"thinking_tokens": 2}
    with ScriptedServer(answer(200, MESSAGE | {"usage": usage})) as server, standing_in_for_live(server.url):
        call = chat_with(server.url, model="opus").send(FRANCE).call
    counts = (call.cache_write_tokens, call.cache_write_1h_tokens, call.cache_read_tokens)
    assert (*counts, call.thinking_tokens) == (100, 200, 50, 2)
    assert call.cost_usd == rates("opus").cost(call.model_dump())


@all_drivers
def test_errors_leave_no_trace(take):
    """After an API error or a refusal, history and cost are as before; its traceback is short; it goes on."""
    chat = Conversation()
    take(chat, "My name is Sam.")
    before, calls = state(chat), chat.calls
    chat.waits = {"max_retries": 1, "sleep": lambda seconds: None}
    for fault in ({"status": 400}, {"status": 401}, {"status": 529}, {"status": 429, "spend_cap": True}):
        with practice.fail_next(times=2, **fault), pytest.raises(anthropic.APIStatusError) as caught:
            take(chat, FRANCE)
        assert (caught.value.status_code, state(chat), chat.calls) == (fault["status"], before, calls)
        shown = "".join(traceback.format_exception(caught.value))
        assert ("site-packages" in shown, len(shown.splitlines()) < 40) == (False, True)
    assert "spend cap" in caught.value.__notes__[0]
    with practice.shape("refusal"):
        answered, spent = take(chat, FRANCE), calls[0].cost_usd
    assert (answered.turn, str(answered), state(chat), chat.total.cost_usd) == (None, "", before, spent)
    assert "It said: Refused on purpose." in answered.note
    assert str(take(chat, "What is my name?")) == "Your name is Sam."


@all_drivers
def test_budget(take):
    """What could go over the budget is not sent: counted input at its dearest, max_tokens, what is spent."""
    chat = Conversation(max_tokens=100, budget_usd=0.0001, cache=True)
    take(chat, "Hello!")
    tokens = chat.count([*chat.messages, {"role": "user", "content": FRANCE}])
    worst = estimate_cost(0, 100, chat.model, cache_write_tokens=tokens)
    journal, before = len(practice.journal), state(chat)
    chat.budget_usd = chat.total.cost_usd + worst - 1e-9
    with pytest.raises(BudgetExceeded, match=r"^Nothing was sent: .* \$.* of the budget of \$"):
        take(chat, FRANCE)
    assert [entry.path for entry in practice.journal[journal:]] == ["/v1/messages/count_tokens"]
    assert state(chat) == before
    chat.budget_usd = chat.total.cost_usd + worst
    assert str(take(chat, FRANCE)) == PARIS
    assert chat.total.cost_usd <= chat.budget_usd


@streaming
def test_lost_attempts_count_toward_the_budget(take):
    """An attempt that broke off before its first piece is billed, and the next is sent only if it fits."""
    chat = Conversation(max_tokens=50, budget_usd=0.003)
    chat.waits = {"sleep": lambda seconds: None}
    broken_off = practice.break_stream("disconnect", after=0, times=6)
    with broken_off, pytest.raises(BudgetExceeded, match=r"^Not tried again: that could cost \$"):
        take(chat, FRANCE + " Be brief." * 4_000)
    assert {call.kind for call in chat.calls} == {"lost"}
    assert 0.001 < chat.total.cost_usd <= 0.003


REFUSALS = [failure(status) for status in (400, 401, 403, 404, 422, 429, 500, 529)]
REFUSALS += [answer(200, {"error": "Unexpected endpoint"}), answer(200, "no"), hang]


def test_counts_that_fail(monkeypatch):
    """Whatever a server answers in place of a count, an estimate is used, asked once, and said."""
    monkeypatch.setattr(course_helpers.wire, "COUNT_TIMEOUT", 0.3)
    for refusal in REFUSALS:
        with ScriptedServer(reply()) as server, standing_in_for_live(server.url):
            chat = chat_with(server.url, model="haiku", max_tokens=100, budget_usd=1.0, on_wait=Waits())
            chat.send("First?")
            chat.keep = within_tokens(500)
            server.play(refusal, reply())
            answered = chat.send(FRANCE)
            said = f"The size of the prompt was {COUNTLESS}."
            assert (answered.note, len(server.requests), chat.on_wait) == (said, 2, [])
            chat.budget_usd = chat.total.cost_usd + estimate_cost(5, 100, chat.model)
            server.play(refusal)
            with pytest.raises(BudgetExceeded, match=COUNTLESS):
                chat.send(FRANCE)


def test_prices_by_place():
    """On this machine any name costs nothing and is not counted; elsewhere an unknown price is unknown."""
    with ScriptedServer(reply()) as server:
        assert chat_with(server.url, model="llama3.2", budget_usd=0).send(FRANCE).call.cost_usd == 0
        assert len(server.requests) == 1
    chat = chat_with("http://gateway.example:1", model="their-own-model", budget_usd=1.0)
    steps = chat.server().afford(chat.server().request(chat.messages))
    next(steps)
    with pytest.raises(BudgetExceeded, match="cannot be kept where a price is not known"):
        steps.send(anthropic.types.MessageTokensCount(input_tokens=10))


def test_forks(tmp_path):
    """The same past, a future of its own, one purse; each call stands in one ledger; a copy is a fork."""
    chat = Conversation(system="Be brief.", budget_usd=1)
    for text in (FRANCE, "My town is Bern.", "Hello!"):
        chat.send(text)
    fork = chat.fork(after_turn=2, model="opus", system=None)
    assert ([turn.turn for turn in fork.turns], fork.calls, fork.total.calls) == ([1, 2], [], 0)
    assert (fork.past.calls, fork.past.cost_usd) == (2, sum(call.cost_usd for call in chat.calls[:2]))
    assert str(fork.send("What is my town?")) == "Your town is Bern."
    assert (fork.calls[0].turn, len(chat.turns), len(chat.fork().turns), chat.fork(0).turns) == (3, 3, 3, [])
    again = fork.fork(chat.turns[0])
    assert (again.messages, again.past.calls) == (chat.messages[:2], 1)
    fork.save(tmp_path / "fork.json")
    loaded = Conversation.load(tmp_path / "fork.json")
    assert (loaded.turns, loaded.calls, loaded.past) == (fork.turns, fork.calls, fork.past)
    assert loaded.send("Hello!").turn.turn == 4
    copied = copy.deepcopy(chat)
    copied.send("Hello!")
    assert (len(chat.turns), len(copied.turns), copied.past.calls, len(copied.calls)) == (3, 4, 3, 1)
    with pytest.raises(TypeError, match=r"use chat\.save.* and Conversation\.load"):
        pickle.dumps(chat)
    assert pickle.loads(pickle.dumps(chat.turns))[0] == chat.turns[0] == copy.deepcopy(chat.turns)[0]
    fork.budget_usd = sum(each.total.cost_usd for each in (chat, fork, copied))
    assert chat.budget_usd == fork.budget_usd == again.budget_usd
    for each in (chat, fork, again, chat.fork(), copy.copy(chat)):
        with pytest.raises(BudgetExceeded):
            each.send(FRANCE)
    with pytest.raises(ValueError, match=r"one of \[0, 1, 2, 3\]"):
        chat.fork(9)


NOTHING_STARTS = """
import asyncio, threading
from course_helpers.practice_api import in_process, practice
practice.in_process = True
in_process.lead_all_clients_here()
from course_helpers import Conversation, connect
from tests.drivers import ALL

def no_thread(*_): raise AssertionError("a thread")
async def inline(function, *arguments): return function(*arguments)  # as a browser tab's loop does
threading.Thread.start, asyncio.to_thread = no_thread, inline
chat = Conversation(connect(), budget_usd=1.0)
chat.waits = {"sleep": lambda seconds: None}
for number, take in enumerate(ALL):
    with practice.fail_next(529):
        assert str(take(chat, f"My number is {number}.")) == f"Noted: your number is {number}."
print(len(chat.turns))
"""


def test_without_threads_and_sockets():
    """As in a browser tab: all four ways work where nothing can be started, the practice API in process."""
    child = [sys.executable, "-c", NOTHING_STARTS]
    ended = subprocess.run(child, capture_output=True, text=True, timeout=60)
    assert ended.stdout.splitlines()[1:] == ["4"], ended.stderr


def test_reprs():
    """Short, useful, the same everywhere and at every time; no key is shown, and no markup runs."""
    chat = Conversation(system="Be brief.")
    answered = chat.send(FRANCE)
    meter = str(answered.call)
    assert re.fullmatch(r"\d+ tokens in · \d+ out · \$0\.0+\d+", meter)
    assert repr(chat) == f"Conversation({chat.model}, 1 turn, {meter})"
    assert repr(answered) == f"Reply('{PARIS}' · {meter})"
    assert repr(chat.turns[0]) == f"Turn('{FRANCE}' → '{PARIS}', {meter})"
    assert repr(chat.calls) == f"[Call(reply, {chat.model}, {meter})]"
    assert repr(chat.total) == f"Total(1 call, {meter})"
    assert "unknown" in repr(Call(kind="reply", model="theirs", cost_usd=math.nan, seconds=0.1))
    with ScriptedServer(failure(401)) as server, pytest.raises(anthropic.AuthenticationError) as caught:
        (chat := chat_with(server.url)).send(FRANCE)
    assert "key-of-a-test" not in repr(chat) + repr(caught.value) + str(caught.value.__notes__)
    page = Reply("<script>alert(1)</script> **bold**")._repr_html_()
    assert ("<script>" in page, "<strong>bold</strong>" in page) == (False, True)
