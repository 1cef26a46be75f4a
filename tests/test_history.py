"""Conversations with the practice API: turns, the ledger, forks, budgets, what is shown."""

from __future__ import annotations

import asyncio
import copy
import math
import pickle
import re
import subprocess
import sys
import traceback
from types import SimpleNamespace as Namespace

import anthropic
import pytest

import course_helpers
from course_helpers import Conversation, connect, estimate_cost, history, practice
from course_helpers.history import (
    BudgetExceeded,
    Call,
    Reply,
    Turn,
    last_turns,
    summarise_older,
    within_tokens,
)
from course_helpers.history.turn import Exchange
from course_helpers.models import MODELS, UnknownModelError, available
from course_helpers.pricing import rates
from tests import broken_server as broken
from tests.broken_server import broken_server
from tests.drivers import (
    ALL,
    Waits,
    all_drivers,
    astream,
    chat_with,
    send,
    standing_in_for_live,
    state,
    stream,
)
from tests.scripted_server import MESSAGE, answer, failure, hang, reply

FRANCE, PARIS = "What is the capital of France?", "The capital of France is Paris."
CUT = "The history was cut by an estimate: this server does not count tokens."
COUNTLESS = "The budget was checked with an estimate: this server does not count tokens."


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
    wanted = (PARIS, PARIS, "end_turn", None)
    assert (str(answered), answered.text, answered.stop_reason, answered.note) == wanted
    assert chat.messages == [{"role": "user", "content": FRANCE}, {"role": "assistant", "content": PARIS}]
    (turn,), (call,), sent = chat.turns, chat.calls, practice.journal[-1]
    assert (answered.turn, answered.call) == (turn, call)
    assert call == turn.call
    wanted = (FRANCE, PARIS, chat.model, "reply", 1)
    assert (turn.user, turn.assistant, turn.model, call.kind, call.turn) == wanted
    usage = sent.reply["usage"]
    assert (call.input_tokens, call.output_tokens) == (usage["input_tokens"], usage["output_tokens"])
    assert (
        call.cost_usd
        == estimate_cost(call.input_tokens, call.output_tokens, chat.model)
        == chat.total.cost_usd
    )
    assert (call.first_token_seconds is not None) == ("stream" in take.__name__)
    assert call.seconds > 0
    wanted = {"model": chat.model, "max_tokens": 100, "system": "Be brief.", "messages": chat.messages[:1]}
    assert (
        {name: value for name, value in sent.body.items() if name != "stream"} == wanted == answered.request
    )
    take(chat, "My name is Sam.")
    assert str(take(chat, "What is my name?")) == "Your name is Sam."
    assert practice.journal[-1].body["messages"] == chat.messages[:5]


def test_drivers_mix(client):
    """One conversation may be driven in all four ways, in one event loop and in several."""
    chat = Conversation(client)
    for number, take in enumerate(ALL * 2):
        assert str(take(chat, f"My number is {number}.")) == f"Noted: your number is {number}."
    assert [call.turn for call in chat.calls] == [*range(1, 9)]


def test_readers():
    """A stream can be read without `with`, closed twice, and asks nothing before it is read."""
    chat = Conversation()
    chat.stream(FRANCE).close()
    with chat.stream(FRANCE):
        pass
    assert (len(practice.journal), chat.calls) == (0, [])
    pieces = chat.stream(FRANCE)
    assert pieces.reply is None
    assert next(pieces) == "The"
    assert pieces.text == "The"
    assert [*pieces] == [" capital", " of", " France", " is", " Paris."]
    assert [*pieces] == []
    assert str(pieces.reply) == PARIS == chat.turns[0].assistant

    async def turn():
        pieces = chat.astream(FRANCE)
        return "".join([piece async for piece in pieces]), pieces.reply.text

    assert asyncio.run(turn()) == (PARIS, PARIS)


@pytest.mark.parametrize("name", ["send", "stream", "asend", "astream"])
def test_text_that_cannot_be_sent(name):
    """Blank text and half characters are refused at once, in a sentence."""
    chat = Conversation()
    for text in ("", "  \n", "half \ud83d a character", 7):
        with pytest.raises(
            (ValueError, TypeError), match=r"[mM]essage (is empty|holds half|is text, not int)"
        ):
            asyncio.run(chat.asend(text)) if name == "asend" else getattr(chat, name)(text)
    assert len(practice.journal) == 0


def test_lists_are_copies():
    """Nothing done to them reaches the conversation."""
    chat = Conversation()
    chat.send(FRANCE)
    chat.messages[0]["content"] = ""
    for each in (chat.messages, chat.turns, chat.calls):
        each.clear()
    wanted = (2, FRANCE, 1, 1)
    assert (len(chat.messages), chat.messages[0]["content"], len(chat.turns), len(chat.calls)) == wanted
    with pytest.raises(ValueError, match="frozen"):
        chat.turns[0].user = ""


@all_drivers
def test_every_model(take):
    """A conversation goes on on every model, each call priced by its own; thinking is told apart by type."""
    chat = Conversation()
    for model in available():
        chat.model = f" {model.id} "
        with practice.shape("thinking_first"):
            assert str(take(chat, FRANCE)) == PARIS
        call = chat.calls[-1]
        assert (call.model, call.thinking_tokens > 0) == (model.id, True)
        assert call.cost_usd == rates(model.id).cost(call.model_dump())
    assert len(chat.turns) == len(available())
    for name in ("claude-haiku-5-6", "gpt-none", "gpt-6-luna"):
        with pytest.raises(UnknownModelError, match="claude-"):
            chat.model = name
    assert chat.model == available()[-1].id
    assert all(rates(model) for model in MODELS)
    chat.model = "Sonnet"
    assert "sonnet" in chat.model


def test_settings():
    """What makes no sense is refused as it is set; a blank system prompt is none."""
    wrong = {"max_tokens": (0, 1.5, True), "budget_usd": (-1, math.nan, "1"), "system": (["x"], 7, "\udc00")}
    for name, value in ((name, value) for name, values in wrong.items() for value in values):
        with pytest.raises((ValueError, TypeError), match=f"{name} is |system prompt holds half"):
            Conversation(**{name: value})
    with pytest.raises(TypeError, match="asend needs no other"):
        Conversation(anthropic.AsyncAnthropic(api_key="x"))
    chat = Conversation(system="  ")
    chat.send(FRANCE)
    assert "system" not in practice.journal[-1].body
    assert chat.model == course_helpers.models.MODEL
    assert all(hasattr(history, name) for name in history.__all__)
    with pytest.raises(ValueError, match="Streaming is required"):
        Conversation(max_tokens=60_000).send(FRANCE)
    assert str(stream(Conversation(max_tokens=60_000), FRANCE)) == PARIS


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


@all_drivers
def test_replies_without_text(take):
    """They are no turn and no error: the note says what happened and what to do, the ledger what it cost."""
    chat = Conversation()
    take(chat, "My name is Sam.")
    for shape, words, billed in (
        ("refusal", "The model refused to answer", False),
        ("empty", r"The reply was empty \(stop reason end_turn\)", True),
        ("thinking_only", r"empty \(stop reason max_tokens\)", True),
    ):
        before = state(chat)
        with practice.shape(shape):
            answered = take(chat, FRANCE)
        assert (answered.turn, str(answered), state(chat)) == (None, "", before)
        assert re.search(words, answered.note)
        assert "Nothing was kept" in answered.note
        wanted = ("lost", None, billed)
        assert (chat.calls[-1].kind, chat.calls[-1].turn, chat.calls[-1].cost_usd > 0) == wanted
    assert str(take(chat, "What is my name?")) == "Your name is Sam."


PLAIN, THOUGHT = (
    [{"type": "text", "text": "Paris."}],
    [{"type": "thinking", "thinking": "", "signature": "x"}],
)


@pytest.mark.parametrize(
    ("content", "stop_reason", "kept", "words"),
    [
        (PLAIN, "model_context_window_exceeded", True, "Cut off by the context window: shorten the history"),
        (PLAIN, "max_tokens", True, "Cut off at max_tokens=1,024: raise it, or ask the model to go on."),
        (PLAIN, "stop_sequence", True, ""),
        (PLAIN, "a_reason_of_the_future", True, ""),
        (PLAIN, None, True, ""),
        (PLAIN, "refusal", False, "refused"),
        ([*PLAIN, *THOUGHT, *PLAIN], "end_turn", True, ""),
        ([{"type": "text", "text": "a\ud83d"}, {"type": "text", "text": "\ude00"}], "end_turn", True, ""),
        ([], "model_context_window_exceeded", False, "shorten the history"),
        ([], "max_tokens", False, "raise it"),
        (THOUGHT, "end_turn", False, "The reply was empty"),
        ([{"type": "redacted_thinking", "data": "x"}], "max_tokens", False, "raise it"),
        ([{"type": "text", "text": " \n"}], "end_turn", False, "The reply was empty"),
    ],
)
def test_stop_reasons(content, stop_reason, kept, words):
    """What can stand in a history is kept whatever the stop reason; a note where there is something to do."""
    with broken_server(answer(200, MESSAGE | {"content": content, "stop_reason": stop_reason})) as server:
        chat = chat_with(server.url)
        answered = send(chat, FRANCE)
    assert (answered.turn is not None) == kept == bool(chat.turns) == bool(str(answered))
    assert words in (answered.note or "")
    assert bool(words) == bool(answered.note)
    assert len(chat.calls) == 1
    assert str(answered).encode().decode() == str(answered)  # half characters were made whole


def test_cache():
    """`cache=True` asks for caching; writes (by lifetime) and reads are in the ledger, and priced."""
    chat = Conversation(system="Remember: " + "the sea is wide. " * 400, cache=True)
    first, second = (take(chat, FRANCE).call for take in (stream, send))
    assert practice.journal[-1].body["cache_control"] == {"type": "ephemeral"}
    assert 0 < first.cache_write_tokens == second.cache_read_tokens < second.prompt_tokens
    usage = {
        "input_tokens": 3,
        "output_tokens": 5,
        "cache_creation_input_tokens": 300,
        "cache_read_input_tokens": 50,
    }
    usage["cache_creation"] = {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200}
    usage["output_tokens_details"] = {"thinking_tokens": 2}
    late = [broken.start(usage), *broken.block("Paris"), broken.end(cache_creation_input_tokens=320)]
    told = (answer(200, MESSAGE | {"usage": usage}), 100), (broken.stream(late), 120)
    for take, (step, written) in zip((send, stream), told, strict=True):
        with broken_server(step) as server, standing_in_for_live(server.url):
            call = take(chat_with(server.url, model="opus"), FRANCE).call
        wanted = (written, 200, 50)
        assert (call.cache_write_tokens, call.cache_write_1h_tokens, call.cache_read_tokens) == wanted
        assert call.thinking_tokens == 2
        assert call.cost_usd == rates("opus").cost(call.model_dump())


@all_drivers
def test_errors_leave_no_trace(take):
    """After an API error, history and ledger are as before, its traceback is short, the next turn works."""
    chat = Conversation()
    take(chat, "My name is Sam.")
    before, calls = state(chat), chat.calls
    chat.waits = {"max_retries": 1, "sleep": lambda seconds: None}
    for status in (400, 401, 402, 403, 404, 413, 422, 429, 500, 529):
        with practice.fail_next(status, times=2), pytest.raises(anthropic.APIStatusError) as caught:
            take(chat, FRANCE)
        assert (caught.value.status_code, state(chat), chat.calls) == (status, before, calls)
        shown = "".join(traceback.format_exception(caught.value))
        assert "site-packages" not in shown
        assert len(shown.splitlines()) < 40
    with practice.fail_next(429, spend_cap=True), pytest.raises(anthropic.RateLimitError) as caught:
        take(chat, FRANCE)
    assert "spend cap" in caught.value.__notes__[0]
    assert str(take(chat, "What is my name?")) == "Your name is Sam."


@all_drivers
def test_waits(take):
    """Transient failures before the reply are waited out, as told to `on_wait`, and counted."""
    good = broken.stream(broken.whole()) if "stream" in take.__name__ else reply()
    with broken_server(failure(529), failure(429, retry_after="0.01"), good) as server:
        chat = chat_with(server.url, on_wait=Waits())
        answered = take(chat, FRANCE)
    told = [(wait.attempt, wait.reason) for wait in chat.on_wait]
    assert told == [(1, "API error 529"), (2, "Rate limited")]
    assert len(server.requests) == 3 == answered.call.attempts
    assert {headers["x-stainless-retry-count"] for headers, _ in server.requests} == {"0"}


@all_drivers
def test_final_causes(take):
    """A closed client is one request and one sentence; a header with a key in it is not shown."""
    with connect() as client:
        chat = Conversation(client, on_wait=Waits())
    for where, words in (
        (chat, "The client is closed"),
        (chat_with("localhost:1", on_wait=Waits()), "Unsupported"),
    ):
        if where is chat and take.__name__.startswith("a"):
            continue  # the async twin is another client, and open
        with pytest.raises(anthropic.APIConnectionError, match=words) as caught:
            take(where, FRANCE)
        assert where.on_wait == []
        assert "Requests: 1 " in caught.value.__notes__[0]


# ------------------------------------------------------------------------------------- budget


@all_drivers
def test_budget(take):
    """What could go over the budget is not sent: counted input at its dearest, max_tokens, what is spent."""
    chat = Conversation(max_tokens=100, budget_usd=0.0001, cache=True)
    take(chat, "Hello!")
    journal, before = len(practice.journal), state(chat)
    tokens, model = chat.preview(FRANCE).input_tokens, chat.model
    worst = estimate_cost(0, 100, model, cache_write_tokens=tokens)
    assert chat.preview(FRANCE).most_usd == pytest.approx(worst)
    chat.budget_usd = chat.total.cost_usd + worst - 1e-9
    with pytest.raises(BudgetExceeded, match=r"^Nothing was sent: .* \$.* of the budget of \$"):
        take(chat, FRANCE)
    assert [entry.path for entry in practice.journal[journal:]] == ["/v1/messages/count_tokens"]
    assert state(chat) == before
    chat.budget_usd = chat.total.cost_usd + worst
    assert str(take(chat, FRANCE)) == PARIS
    assert chat.total.cost_usd <= chat.budget_usd


@pytest.mark.parametrize("take", [stream, astream])
def test_lost_attempts_count_toward_the_budget(take):
    """An attempt that broke off before its first piece is billed, and the next is sent only if it fits."""
    chat = Conversation(max_tokens=50, budget_usd=0.003)
    chat.waits = {"sleep": lambda seconds: None}
    broken_off = practice.break_stream("disconnect", after=0, times=6)
    with broken_off, pytest.raises(BudgetExceeded, match=r"^Not tried again: another request could cost \$"):
        take(chat, FRANCE + " Be brief." * 4_000)
    assert {call.kind for call in chat.calls} == {"lost"}
    assert 0.001 < chat.total.cost_usd <= 0.003


REFUSALS = {str(status): failure(status) for status in (400, 403, 404, 405, 422, 429, 500, 501, 503, 529)}
REFUSALS |= {
    "LM Studio": answer(200, {"error": "Unexpected endpoint"}),
    "no JSON": answer(200, "no"),
    "never": hang,
}


@pytest.mark.parametrize("take", [stream, astream])
def test_counts_that_fail(take, monkeypatch):
    """Whatever a server answers in place of a count, an estimate is used, asked once, and said."""
    monkeypatch.setattr(course_helpers.wire, "COUNT_TIMEOUT", 0.3)
    for name, refusal in REFUSALS.items():
        with broken_server(reply()) as server, standing_in_for_live(server.url):
            chat = chat_with(server.url, model="haiku", max_tokens=100, budget_usd=1.0, on_wait=Waits())
            chat.send("First?")
            chat.keep = within_tokens(500)
            server.play(refusal, broken.stream(broken.whole()))
            answered = take(chat, FRANCE)
            assert answered.note == f"{CUT} {COUNTLESS}", name
            assert (answered.turn.turn, len(server.requests), chat.on_wait) == (2, 2, []), name
            chat.budget_usd = chat.total.cost_usd + estimate_cost(5, 100, chat.model)
            server.play(refusal)
            with pytest.raises(BudgetExceeded, match="an estimate: this server does not count tokens"):
                take(chat, FRANCE)
    with broken_server(failure(401, "authentication_error")) as server, standing_in_for_live(server.url):
        with pytest.raises(anthropic.AuthenticationError):
            take(chat_with(server.url, budget_usd=1.0), FRANCE)
        assert len(server.requests) == 1


def test_prices_by_place():
    """On this machine any name costs nothing and is not counted; elsewhere an unknown price is unknown."""
    with broken_server(reply()) as server:
        assert chat_with(server.url, model="llama3.2", budget_usd=0).send(FRANCE).call.cost_usd == 0
        assert b"count_tokens" not in server.requests[0][1]
        assert len(server.requests) == 1
    chat = chat_with("http://gateway.example:1", model="their-own-model", budget_usd=1.0)
    settings = chat._settings()
    assert math.isnan(settings.rates.cost({"input_tokens": 10, "output_tokens": 10}))
    turn = Exchange(chat._settings, chat._ledger)
    steps = turn._afford(settings.request([{"role": "user", "content": "x"}]), settings)
    next(steps)
    with pytest.raises(BudgetExceeded, match="where a price is not known"):
        steps.send(anthropic.types.MessageTokensCount(input_tokens=10))
    call = Call(kind="reply", model="their-own-model", cost_usd=math.nan, seconds=0.1)
    assert "unknown" in repr(call)
    assert math.isnan(Call.model_validate_json(call.model_dump_json()).cost_usd)


# ----------------------------------------------------------------------------- forks, previews, copies


def test_forks(tmp_path):
    """The same past, a future of its own, one purse; each call stands in one ledger; saved and loaded too."""
    chat = Conversation(system="Be brief.", budget_usd=1)
    for text in (FRANCE, "My town is Bern.", "Hello!"):
        chat.send(text)
    fork = chat.fork(after_turn=2, model="opus", system=None)
    assert ([turn.turn for turn in fork.turns], fork.calls, fork.total.calls) == ([1, 2], [], 0)
    assert (fork.past.calls, fork.past.cost_usd) == (2, sum(call.cost_usd for call in chat.calls[:2]))
    assert (fork.system, fork.max_tokens, chat.past.calls) == (None, chat.max_tokens, 0)
    assert str(fork.send("What is my town?")) == "Your town is Bern."
    assert fork.calls[0].turn == 3
    assert len(chat.turns) == 3
    assert len(chat.fork().turns) == 3
    assert chat.fork(0).turns == []
    again = fork.fork(chat.turns[0])
    assert (again.messages, again.past.calls) == (chat.messages[:2], 1)
    fork.save(tmp_path / "fork.json")
    loaded = Conversation.load(tmp_path / "fork.json")
    assert (loaded.turns, loaded.calls, loaded.past) == (fork.turns, fork.calls, fork.past)
    assert loaded.send("Hello!").turn.turn == 4
    fork.budget_usd = chat.total.cost_usd + fork.total.cost_usd
    assert chat.budget_usd == fork.budget_usd == again.budget_usd
    for each in (chat, fork, again, chat.fork(), copy.copy(chat)):
        with pytest.raises(BudgetExceeded):
            each.send(FRANCE)
    for wrong in (9, -1, "2"):
        with pytest.raises(ValueError, match=r"one of \[0, 1, 2, 3\]"):
            chat.fork(wrong)


def test_copies():
    """A copy has turns of its own; a pickle refuses in a sentence, values do not."""
    chat = Conversation()
    answered = chat.send(FRANCE)
    for copied in (copy.copy(chat), copy.deepcopy(chat)):
        copied.send("Hello!")
        wanted = (1, 2, 1, 2, chat.client)
        known = copied.past.calls + len(copied.calls)
        assert (len(chat.turns), len(copied.turns), len(copied.calls), known, copied.client) == wanted
    with pytest.raises(TypeError, match=r"use chat\.save"):
        pickle.dumps(chat)
    assert pickle.loads(pickle.dumps(answered)).turn == chat.turns[0] == copy.deepcopy(chat.turns)[0]


def test_preview(client):
    """What the strategy would send, exact on practice and near enough elsewhere; nothing is sent."""
    chat = Conversation(client, system="Be brief.", keep=summarise_older(turns=1), max_tokens=100)

    def told(messages, chat):
        return [
            {"role": "user", "content": f"{chat.count(messages)} {chat.ask(messages).strip()}"},
            *messages[1:],
        ]

    for keep in (told, None, last_turns(1), within_tokens(60), summarise_older(turns=1)):
        chat.keep = keep
        for number in range(3):
            chat.send(f"My number is {number}. " + "x" * 100)
        known = len(practice.journal), chat.calls
        seen = chat.preview("And now? " * 50)
        assert (len(practice.journal), chat.calls) == known
        assert (seen.estimated, seen.window) == (False, MODELS[chat.model].context_window)
        counted = client.messages.count_tokens(**{k: v for k, v in seen.request.items() if k != "max_tokens"})
        assert seen.input_tokens == counted.input_tokens
        assert 0 < seen.least_usd < seen.most_usd
    assert chat.preview("x" * 5_000_000).input_tokens > 1_000_000
    chat.keep = None
    chat.send("My number is 7.")
    url, exact = str(client.base_url), chat.preview("And now?").input_tokens
    with standing_in_for_live(url), pytest.MonkeyPatch.context() as patch:
        patch.setattr(course_helpers.history.conversation, "place", lambda client: "live")
        near = chat.preview("And now?")
    assert near.estimated
    assert near.input_tokens == pytest.approx(exact, rel=0.3)
    assert chat_with("http://127.0.0.1:1", model="llama").preview("Hi").most_usd == 0.0


def test_a_turn_without_io():
    """A turn is a generator that says what it needs: it works with no client, no thread and no socket."""
    chat, told = Conversation(keep=within_tokens(30), budget_usd=1.0), Namespace
    usage = told(input_tokens=9, output_tokens=3)
    delta = told(stop_reason="end_turn", stop_details=None)
    script = [
        told(type="message_start", message=told(usage=usage)),
        told(type="content_block_delta", delta=told(type="text_delta", text="Paris.")),
        told(type="message_delta", delta=delta, usage=usage),
        told(type="message_stop"),
        None,
    ]
    for number in (1, 2):
        events, seen, reader = iter(script), [], chat.stream(FRANCE)
        needs = reader._steps
        answers = {"count": lambda: usage, "open": lambda: told(response=None)}
        answers["event"] = lambda events=events: next(events)
        need, pieces = next(needs), []
        while len(seen) < number + 5:
            pieces += [need] if isinstance(need, str) else []
            seen += [] if isinstance(need, str) else [need.what]
            need = needs.send(None if isinstance(need, str) else answers[need.what]())
        with pytest.raises(StopIteration) as ended:
            needs.send(None)
        assert (pieces, ended.value.value.turn.turn) == (["Paris."], number)
        assert seen == ["count"] * number + ["open"] + ["event"] * 4
    assert (len(practice.journal), chat.total.input_tokens) == (0, 18)


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
print(len(chat.turns), chat.preview("Hello!").estimated)
"""


def test_without_threads_and_sockets():
    """As in a browser tab: all four ways work where nothing can be started, the practice API in process."""
    child = [sys.executable, "-c", NOTHING_STARTS]
    ended = subprocess.run(child, capture_output=True, text=True, timeout=60)
    assert ended.stdout.splitlines()[1:] == ["4 False"], ended.stderr


# -------------------------------------------------------------------------------------- shown


def test_reprs(client):
    """Short, useful, the same on every machine and at every time; keys are never shown."""
    chat = Conversation(system="Be brief.")
    answered = chat.send(FRANCE)
    meter = history.records.meter(answered.call)
    assert re.fullmatch(r"\d+ tokens in · \d+ out · \$0\.0+\d+", meter)
    assert repr(chat) == f"Conversation({chat.model}, 1 turn, {meter})"
    assert repr(answered) == f"Reply('{PARIS}' · {meter})"
    assert len(repr(Reply("x" * 10_000))) < 100
    assert repr(chat.turns[0]) == f"Turn('{FRANCE}' → '{PARIS}', {meter})"
    assert repr(chat.calls) == f"[Call(reply, {chat.model}, {meter})]"
    assert repr(chat.total) == f"Total(1 call, {meter})"
    assert repr(last_turns(5)) == "last_turns(turns=5)"
    assert issubclass(Turn, Call)
    assert set(Turn.model_fields) - set(Call.model_fields) == {"user", "assistant"}
    with broken_server(failure(401)) as server, pytest.raises(anthropic.AuthenticationError) as caught:
        (chat := chat_with(server.url)).send(FRANCE)
    assert "key-of-a-test" not in repr(chat) + repr(caught.value) + str(caught.value.__notes__)


def test_rich_display_is_safe():
    """The answer first, the figures small beneath; nothing that a model or a user says can run."""
    with broken_server(reply("<script>alert(1)</script> **bold** [x](javascript:alert(1))")) as server:
        chat = chat_with(server.url, model="<img src=x onerror=alert(1)>")
        answered = chat.send("<script>alert(2)</script>")
    for page in (answered._repr_html_(), chat.turns[0]._repr_html_()):
        assert not re.search(r"<script>|<img", page)
        assert "javascript:" not in page.replace("](javascript:", "")
        assert page.index("<strong>bold</strong>") < page.index("9 tokens in")
    assert not hasattr(chat, "_repr_markdown_")
    assert "refused" in Reply("", note="It refused.")._repr_html_()
