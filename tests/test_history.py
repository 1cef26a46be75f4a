"""Conversations with the practice API: turns, the ledger, what is sent, what is shown."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import traceback

import anthropic
import pytest

import course_helpers
from course_helpers import Conversation, connect, estimate_cost, history, practice
from course_helpers.history import BudgetExceeded, Call, Reply, Turn, last_turns
from course_helpers.history.turn import Counter
from course_helpers.models import MODELS, UnknownModelError, available
from course_helpers.pricing import rates
from tests import broken_server as broken
from tests.broken_server import broken_server
from tests.drivers import (
    all_drivers,
    astream,
    chat_with,
    send,
    standing_in_for_live,
    state,
    stream,
    streaming_drivers,
)
from tests.scripted_server import MESSAGE, answer, failure, reply

FRANCE, PARIS = "What is the capital of France?", "The capital of France is Paris."


@pytest.fixture(autouse=True)
def client() -> anthropic.Anthropic:
    practice.reset()
    yield connect()
    practice.reset()


def test_names_of_the_design():
    """What design.md imports from here is here."""
    assert course_helpers.Conversation is history.Conversation
    assert all(hasattr(history, name) for name in history.__all__)


@all_drivers
def test_a_turn(take):
    """A turn is in messages, turns and calls, priced by its own model, alike for every driver."""
    chat = Conversation(system="Be brief.", max_tokens=100)
    answered = take(chat, FRANCE)
    assert (str(answered), answered.text, answered.stop_reason, answered.note) == (
        PARIS,
        PARIS,
        "end_turn",
        None,
    )
    assert chat.messages == [{"role": "user", "content": FRANCE}, {"role": "assistant", "content": PARIS}]
    (turn,), (call,) = chat.turns, chat.calls
    assert answered.turn is turn
    assert answered.call is call
    assert (turn.user, turn.assistant, turn.model) == (FRANCE, PARIS, chat.model)
    assert (call.kind, call.turn, call.attempts, call.stop_reason) == ("reply", 1, 1, "end_turn")
    assert call == turn.call
    sent = practice.journal[-1]
    usage = sent.reply["usage"]
    assert (call.input_tokens, call.output_tokens) == (usage["input_tokens"], usage["output_tokens"])
    assert call.cost_usd == estimate_cost(call.input_tokens, call.output_tokens, chat.model)
    assert call.seconds > 0
    assert (call.first_token_seconds is not None) == (take.__name__ in ("stream", "astream"))
    assert call.first_token_seconds is None or 0 < call.first_token_seconds <= call.seconds
    wanted = {"model": chat.model, "max_tokens": 100, "system": "Be brief.", "messages": chat.messages[:1]}
    assert {name: value for name, value in sent.body.items() if name != "stream"} == wanted


@all_drivers
def test_remembers(take):
    """The whole history goes with each question, and the answers show it."""
    chat = Conversation()
    take(chat, "My name is Sam.")
    assert str(take(chat, "What is my name?")) == "Your name is Sam."
    assert practice.journal[-1].body["messages"] == chat.messages[:3]


def test_drivers_mix(client):
    """One conversation may be driven in all four ways, in one event loop and in several."""
    chat = Conversation(client)

    async def turns():
        await chat.asend("My name is Sam.")
        async with chat.astream("My town is Bern.") as pieces:
            async for _ in pieces:
                pass

    asyncio.run(turns())
    chat.send("My age is 30.")
    assert str(stream(chat, "What is my town?")) == "Your town is Bern."
    assert str(astream(chat, "What is my age?")) == "Your age is 30."
    assert [call.turn for call in chat.calls] == [1, 2, 3, 4, 5]


def test_plain_for():
    """A stream can be read without `with`; the last piece ends the turn."""
    chat = Conversation()
    pieces = chat.stream(FRANCE)
    assert pieces.reply is None
    assert [*pieces] == ["The", " capital", " of", " France", " is", " Paris."]
    assert str(pieces.reply) == PARIS == chat.turns[0].assistant
    assert [*pieces] == []
    pieces.close()
    assert len(chat.turns) == len(chat.calls) == 1


def test_plain_async_for():
    """So can an asynchronous one."""
    chat = Conversation()

    async def turn():
        pieces = chat.astream(FRANCE)
        return [piece async for piece in pieces], pieces.reply

    pieces, answered = asyncio.run(turn())
    assert "".join(pieces) == PARIS == str(answered) == chat.turns[0].assistant


def test_nothing_is_sent_before_it_is_read():
    """A stream that nobody reads asks nothing and costs nothing."""
    chat = Conversation()
    chat.stream(FRANCE).close()
    chat.stream(FRANCE)
    with chat.stream(FRANCE):
        pass
    assert len(practice.journal) == 0
    assert chat.calls == []
    assert str(chat.send(FRANCE)) == PARIS


@pytest.mark.parametrize("text", ["", "  \n", "half \ud83d a character"])
@pytest.mark.parametrize("name", ["send", "stream", "asend", "astream"])
def test_text_that_cannot_be_sent(name, text):
    """Blank text and half characters are refused at once, in a sentence."""
    chat = Conversation()
    with pytest.raises(ValueError, match=r"^The message (is empty|holds half a character)"):
        asyncio.run(chat.asend(text)) if name == "asend" else getattr(chat, name)(text)
    with pytest.raises(TypeError, match="A message is text, not int"):
        chat.send(7)
    assert len(practice.journal) == 0


def test_what_learners_do_to_lists():
    """The lists that a conversation gives are copies: nothing done to them reaches it."""
    chat = Conversation()
    chat.send(FRANCE)
    chat.messages[0]["content"] = ""
    chat.messages.clear()
    chat.turns.clear()
    chat.calls.clear()
    assert len(chat.messages) == 2
    assert chat.messages[0]["content"] == FRANCE
    assert (len(chat.turns), len(chat.calls)) == (1, 1)
    with pytest.raises(ValueError, match="frozen"):
        chat.turns[0].user = ""
    assert chat.turns[0] is chat.turns[0]


@all_drivers
@pytest.mark.parametrize("model", [model.id for model in available()])
def test_every_model(take, model):
    """A conversation goes on on every model: only text is stored, and blocks are chosen by type."""
    chat = Conversation(model=model)
    take(chat, "Think about this step by step: what is 17 times 23?")
    with practice.shape("thinking_first"):
        answered = take(chat, FRANCE)
    assert str(answered) == PARIS
    assert chat.calls[-1].thinking_tokens > 0
    assert chat.calls[-1].cost_usd == rates(model).cost(chat.calls[-1].model_dump())
    take(chat, "Thank you.")
    assert len(chat.turns) == 3


def test_models_in_mid_conversation():
    """Aliases are resolved, unknown names refused at once, each call is priced by its own model."""
    chat = Conversation(model="haiku")
    chat.send("My name is Sam.")
    chat.model = " Sonnet "
    assert chat.model == "claude-sonnet-5-5"
    assert str(chat.send("What is my name?")) == "Your name is Sam."
    with pytest.raises(UnknownModelError, match="claude-haiku-5-5"):
        chat.model = "claude-haiku-5-6"
    with pytest.raises(UnknownModelError):
        Conversation(model="gpt-none")
    assert chat.model == "claude-sonnet-5-5"
    assert [call.model for call in chat.calls] == ["claude-haiku-5-5", "claude-sonnet-5-5"]
    for call in chat.calls:
        assert call.cost_usd == estimate_cost(call.input_tokens, call.output_tokens, call.model)
    assert chat.total.cost_usd == pytest.approx(sum(call.cost_usd for call in chat.calls))


def test_every_model_of_the_course_has_a_price():
    """So no reply can come for which the ledger has none."""
    assert all(rates(model) for model in MODELS)


def test_system():
    """The system prompt may change at any time; a blank one is none."""
    chat = Conversation(system="  ")
    chat.send(FRANCE)
    assert "system" not in practice.journal[-1].body
    chat.system = "Be brief."
    chat.send(FRANCE)
    assert practice.journal[-1].body["system"] == "Be brief."
    with pytest.raises(TypeError, match="system is text or None"):
        chat.system = ["Be brief."]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 0},
        {"max_tokens": 1.5},
        {"max_tokens": True},
        {"budget_usd": -1},
        {"budget_usd": math.nan},
    ],
)
def test_settings_that_make_no_sense(wrong):
    """They are refused at once."""
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} is "):
        Conversation(**wrong)


def test_client():
    """Without a client it is the last that connect returned; an async one is not needed, and refused."""
    client = connect()
    assert Conversation().client is client
    with pytest.raises(TypeError, match="asend needs no other"):
        Conversation(anthropic.AsyncAnthropic(api_key="x"))


def test_undo_and_reset_forget_no_money():
    """They shorten the history; the ledger only grows, and numbers its turns only once."""
    chat = Conversation()
    assert chat.undo() is None
    for text in ("My name is Sam.", FRANCE, "Hello!"):
        chat.send(text)
    last, total = chat.turns[-1], chat.total
    assert chat.undo() is last
    assert [turn.user for turn in chat.turns] == ["My name is Sam.", FRANCE]
    chat.send("What is my name?")
    chat.reset()
    assert (chat.messages, chat.turns) == ([], [])
    assert str(chat.send("What is my name?")).startswith("I don't know your name")
    assert [call.turn for call in chat.calls] == [1, 2, 3, 4, 5]
    assert chat.total.calls == 5
    assert chat.total.cost_usd > total.cost_usd
    assert len(practice.journal[-1].body["messages"]) == 1


@all_drivers
@pytest.mark.parametrize(
    ("shape", "words", "billed"),
    [
        ("refusal", "The model refused to answer", False),
        ("empty", r"The reply was empty \(stop reason end_turn\)", True),
        ("thinking_only", r"max_tokens=1,024 went into thinking", True),
    ],
)
def test_replies_without_text(take, shape, words, billed):
    """They are no turn and no error: the note says what happened and what to do, the ledger what it cost."""
    chat = Conversation()
    take(chat, "My name is Sam.")
    before = state(chat)
    with practice.shape(shape):
        answered = take(chat, FRANCE)
    assert answered.turn is None
    assert str(answered) == ""
    assert re.search(words, answered.note)
    assert "Nothing was kept" in answered.note
    assert state(chat) == before
    assert (chat.calls[-1].kind, chat.calls[-1].turn) == ("lost", None)
    assert (chat.calls[-1].cost_usd > 0) == billed
    assert str(take(chat, "What is my name?")) == "Your name is Sam."


@all_drivers
def test_cut_off_replies_are_kept(take):
    """A reply that max_tokens cut short is a turn, with a note."""
    chat = Conversation(model="claude-haiku-4-5", max_tokens=5)
    answered = take(chat, FRANCE)
    assert answered.turn is chat.turns[0]
    assert PARIS.startswith(str(answered).strip())
    assert answered.note == "Cut off at max_tokens=5: raise it, or ask the model to go on."
    take(chat, "Go on.")
    assert len(chat.turns) == 2


@pytest.mark.parametrize(
    ("content", "stop_reason", "kept", "words"),
    [
        (
            [{"type": "text", "text": "Par"}],
            "model_context_window_exceeded",
            True,
            "the context window is full",
        ),
        ([], "model_context_window_exceeded", False, "the context window is full"),
        ([{"type": "text", "text": " \n"}], "end_turn", False, "The reply was empty"),
        (
            [{"type": "thinking", "thinking": "", "signature": "x"}],
            "end_turn",
            False,
            "thought, and then said nothing",
        ),
        ([{"type": "redacted_thinking", "data": "x"}], "max_tokens", False, "went into thinking"),
        ([], "max_tokens", False, "max_tokens=1,024 ran out"),
        (
            [{"type": "text", "text": "Pa"}, {"type": "thinking"}, {"type": "text", "text": "ris"}],
            "end_turn",
            True,
            "",
        ),
        ([{"type": "text", "text": "Paris."}], "stop_sequence", True, ""),
        ([{"type": "text", "text": "Paris."}], "a_reason_of_the_future", True, ""),
        ([{"type": "text", "text": "Paris."}], None, True, ""),
        ([{"type": "text", "text": "Par"}], "refusal", False, "refused"),
    ],
)
def test_stop_reasons(content, stop_reason, kept, words):
    """What can stand in a history is kept whatever the stop reason; a note where there is something to do."""
    message = MESSAGE | {"content": content, "stop_reason": stop_reason}
    with broken_server(answer(200, message)) as server:
        chat = chat_with(server.url)
        answered = send(chat, FRANCE)
        assert (answered.turn is not None) == kept == bool(chat.turns) == bool(str(answered))
        assert words in (answered.note or "")
        assert bool(words) == bool(answered.note)
        assert len(chat.calls) == 1


def test_half_characters_in_a_reply():
    """Halves of an emoji are made whole, or replaced where they stand alone: all that is kept can be sent."""
    for said, kept in (("\ud83d\ude00!", "\U0001f600!"), ("a\ud83d", "a\ufffd")):
        with broken_server(reply(said)) as server:
            chat = chat_with(server.url)
            assert str(chat.send(FRANCE)) == kept
            chat.send("And?")
            assert len(chat.turns) == 2


@all_drivers
def test_cache(take):
    """`cache=True` asks for caching; what was written and read is in the ledger, and priced."""
    chat = Conversation(system="Remember: " + "the sea is wide. " * 400, cache=True)
    take(chat, FRANCE)
    take(chat, "Hello!")
    first, second = chat.calls
    assert practice.journal[-1].body["cache_control"] == {"type": "ephemeral"}
    assert first.cache_write_tokens > 0
    assert second.cache_read_tokens == first.cache_write_tokens
    assert second.prompt_tokens > second.cache_read_tokens > second.input_tokens
    tier = rates(chat.model).tiers[0]
    written = second.cache_write_tokens * tier.cache_write + second.cache_read_tokens * tier.cache_read
    plain = second.input_tokens * tier.input + second.output_tokens * tier.output
    assert second.cost_usd == pytest.approx((written + plain) / 1e6)


def test_cache_counts_by_ttl():
    """One-hour writes are told apart, in a whole reply and where a stream corrects its counts."""
    usage = {
        "input_tokens": 3,
        "output_tokens": 5,
        "cache_creation_input_tokens": 300,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
        "cache_read_input_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 2},
    }
    with broken_server(answer(200, MESSAGE | {"usage": usage})) as server, standing_in_for_live(server.url):
        chat = chat_with(server.url, model="claude-opus-4-5")
        call = chat.send(FRANCE).call
        assert (call.cache_write_tokens, call.cache_write_1h_tokens, call.cache_read_tokens) == (100, 200, 50)
        assert call.thinking_tokens == 2
        assert call.cost_usd == pytest.approx((3 * 5 + 5 * 25 + 100 * 6.25 + 200 * 10 + 50 * 0.5) / 1e6)
        server.play(
            broken.stream(
                [broken.start(usage), *broken.block("Paris"), broken.end(cache_creation_input_tokens=320)]
            )
        )
        call = stream(chat, FRANCE).call
        assert (call.cache_write_tokens, call.cache_write_1h_tokens, call.cache_read_tokens) == (120, 200, 50)


def test_local_models_cost_nothing():
    """On another server of this machine any model name goes, and costs nothing; one that is sold elsewhere
    may be passed on, and has its price."""
    with broken_server(reply()) as server:
        chat = chat_with(server.url, model="llama3.2", budget_usd=0)
        assert chat.send(FRANCE).call.cost_usd == 0
        assert chat.total.prompt_tokens == 9
        assert all(b"count_tokens" not in body for _, body in server.requests)
        assert len(server.requests) == 1
        assert chat_with(server.url, model=available()[0].id).send(FRANCE).call.cost_usd > 0


def test_other_servers_may_sell_what_has_no_known_price():
    """The cost of such a call is not a guess but unknown, and no budget can be kept there."""
    chat = chat_with("http://gateway.example:1", model="their-own-model", budget_usd=1.0)
    assert math.isnan(chat._rates(chat.model).cost({"input_tokens": 10, "output_tokens": 10}))
    settings = chat._settings()
    steps = Counter().afford(settings.request([{"role": "user", "content": "x"}]), settings, chat._ledger)
    next(steps)
    with pytest.raises(BudgetExceeded, match="where a price is not known"):
        steps.send(anthropic.types.MessageTokensCount(input_tokens=10))
    call = Call(kind="reply", model="their-own-model", cost_usd=math.nan, seconds=0.1)
    assert math.isnan(Call.model_validate_json(call.model_dump_json()).cost_usd)
    assert "unknown" in repr(call)


@all_drivers
def test_waits(take):
    """Transient failures before the reply are waited out, as told to `on_wait`, and counted."""
    waits = []
    with broken_server(failure(529), failure(429)) as server:
        chat = chat_with(server.url, on_wait=waits.append)
        good = reply() if take.__name__ in ("send", "asend") else broken.stream(broken.whole())
        server.play(failure(529), failure(429, retry_after="0.01"), good)
        answered = take(chat, FRANCE)
        assert str(answered).startswith("Paris")
        assert [(wait.attempt, wait.reason) for wait in waits] == [(1, "API error 529"), (2, "Rate limited")]
        assert len(server.requests) == answered.call.attempts == 3
        assert all(headers["x-stainless-retry-count"] == "0" for headers, _ in server.requests)


@all_drivers
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422, 429, 500, 529])
def test_errors_leave_no_trace(take, status):
    """After an API error, history and ledger are as before, and the next turn works."""
    chat = Conversation()
    take(chat, "My name is Sam.")
    before, calls = state(chat), chat.calls
    chat.waits = {"max_retries": 1, "sleep": lambda seconds: None}
    with practice.fail_next(status, times=2), pytest.raises(anthropic.APIStatusError) as caught:
        take(chat, FRANCE)
    assert caught.value.status_code == status
    assert state(chat) == before
    assert chat.calls == calls
    assert str(take(chat, "What is my name?")) == "Your name is Sam."


@all_drivers
def test_spend_cap(take):
    """The spend cap is not waited out."""
    chat = Conversation()
    with practice.fail_next(429, spend_cap=True), pytest.raises(anthropic.RateLimitError) as caught:
        take(chat, FRANCE)
    assert "spend cap" in caught.value.__notes__[0]
    assert chat.turns == []


def test_nothing_at_the_address():
    """A server that is gone is an APIConnectionError."""
    with broken_server(reply()) as server:
        url = server.url
    chat = chat_with(url)
    for take in (send, stream, astream):
        with pytest.raises(anthropic.APIConnectionError):
            take(chat, FRANCE)
    assert state(chat) == ([], [])


@all_drivers
def test_an_error_shows_no_way_through_the_sdk(take):
    """Its traceback is short; what caused it stays in place."""
    chat = Conversation()
    with practice.fail_next(400), pytest.raises(anthropic.BadRequestError) as caught:
        take(chat, FRANCE)
    shown = "".join(traceback.format_exception(caught.value))
    assert "site-packages" not in shown
    assert len(shown.splitlines()) < 40


def test_a_system_prompt_is_text_that_can_be_sent():
    """Half a character is refused when it is set, not by the SDK in the middle of a call."""
    with pytest.raises(ValueError, match="The system prompt holds half a character"):
        Conversation(system="\udc00")


def test_on_practice_a_model_of_another_maker_is_refused_at_once():
    """It would answer 404: the names that are near are those of the course."""
    with pytest.raises(UnknownModelError, match="Known models: claude-haiku-5-5"):
        Conversation(model="gpt-6-luna")


def test_max_tokens_that_only_a_stream_may_have():
    """The SDK refuses a blocking call that could take ten minutes; a stream may."""
    chat = Conversation(max_tokens=60_000)
    with pytest.raises(ValueError, match="Streaming is required"):
        chat.send(FRANCE)
    assert str(stream(chat, FRANCE)) == PARIS
    assert len(chat.turns) == len(chat.calls) == 1


# ------------------------------------------------------------------------------------- budget


@all_drivers
def test_budget(take):
    """What could go over the budget is not sent: counted input, max_tokens out, and what is spent."""
    chat = Conversation(model="haiku", max_tokens=100, budget_usd=0.0001)
    take(chat, "Hello!")
    journal, before = len(practice.journal), state(chat)
    counted = chat.client.messages.count_tokens(
        model=chat.model, messages=[*chat.messages, {"role": "user", "content": FRANCE}]
    ).input_tokens
    worst = estimate_cost(counted, 100, chat.model)
    chat.budget_usd = chat.total.cost_usd + worst - 1e-9
    with pytest.raises(BudgetExceeded, match=r"^Nothing was sent: .* \$.* of the budget of \$"):
        take(chat, FRANCE)
    assert [entry.path for entry in practice.journal[journal:]] == ["/v1/messages/count_tokens"] * 2
    assert state(chat) == before
    chat.budget_usd = chat.total.cost_usd + worst
    assert str(take(chat, FRANCE)) == PARIS
    assert chat.total.cost_usd <= chat.budget_usd


@pytest.mark.parametrize("take", [stream, astream])
def test_lost_attempts_count_toward_the_budget(take):
    """An attempt that broke off before its first piece is billed, and the next is sent only if it fits."""
    chat = Conversation(model="haiku", max_tokens=50, budget_usd=0.003)
    chat.waits = {"sleep": lambda seconds: None}
    with (
        practice.break_stream("disconnect", after=0, times=6),
        pytest.raises(BudgetExceeded, match=r"^Not tried again: another request could cost \$"),
    ):
        take(chat, FRANCE + " Be brief." * 4_000)
    assert {call.kind for call in chat.calls} == {"lost"}
    assert 0.001 < chat.total.cost_usd <= 0.003


def test_budget_is_never_overrun():
    """However many turns are tried, less than the budget is spent."""
    chat = Conversation(max_tokens=50, budget_usd=0.0004)
    for number in range(30):
        with contextlib.suppress(BudgetExceeded):
            chat.send(f"My number is {number}.")
    assert 0 < chat.total.cost_usd <= 0.0004
    assert 2 < len(chat.turns) == chat.total.calls < 20


def test_budget_counts_the_dearest_rate():
    """With caching on, input may cost what writing to the cache costs."""
    chat = Conversation(max_tokens=1, cache=True, system="The sea is wide. " * 100)
    tokens = chat.client.messages.count_tokens(
        model=chat.model, system=chat.system, messages=[{"role": "user", "content": "Hello!"}]
    ).input_tokens
    chat.budget_usd = estimate_cost(tokens, 1, chat.model) * 1.1
    with pytest.raises(BudgetExceeded):
        chat.send("Hello!")
    chat.budget_usd = estimate_cost(0, 1, chat.model, cache_write_tokens=tokens)
    chat.send("Hello!")
    assert chat.total.cost_usd <= chat.budget_usd


@pytest.mark.parametrize(
    "refusal", [failure(404), failure(405), answer(200, "no"), answer(200, {}), failure(501)]
)
@streaming_drivers
def test_budget_without_a_count(take, refusal):
    """Where the server cannot count, an estimate on the safe side is used, and both outcomes say so."""
    with broken_server(refusal) as server, standing_in_for_live(server.url):
        chat = chat_with(server.url, model="haiku", max_tokens=100, budget_usd=1.0)
        chat.waits["max_retries"] = 0
        server.play(refusal, broken.stream(broken.whole()))
        answered = take(chat, FRANCE)
        assert answered.note == "The budget was checked with an estimate: this server does not count tokens."
        assert answered.turn
        chat.budget_usd = chat.total.cost_usd + estimate_cost(5, 100, chat.model)
        server.play(refusal)
        with pytest.raises(BudgetExceeded, match="an estimate: this server does not count tokens"):
            take(chat, FRANCE)
        assert len(server.requests) == 1


def test_budget_when_counting_fails():
    """A count that fails for another reason fails the turn, with nothing sent."""
    with broken_server(failure(401, "authentication_error")) as server, standing_in_for_live(server.url):
        chat = chat_with(server.url, budget_usd=1.0)
        with pytest.raises(anthropic.AuthenticationError):
            chat.send(FRANCE)
        assert len(server.requests) == 1


# -------------------------------------------------------------------------------------- shown


def test_reprs():
    """Short, useful, the same on every machine and at every time."""
    chat = Conversation(model="haiku", system="Be brief.")
    answered = chat.send(FRANCE)
    assert repr(chat) == "Conversation(claude-haiku-5-5, 1 turn, 19 tokens in · 12 out · $0.0000079)"
    assert repr(answered) == f"Reply('{PARIS}' · 19 tokens in · 12 out · $0.0000079)"
    assert repr(chat.turns[0]) == f"Turn('{FRANCE}' → '{PARIS}', 19 tokens in · 12 out · $0.0000079)"
    assert repr(chat.calls) == "[Call(reply, claude-haiku-5-5, 19 tokens in · 12 out · $0.0000079)]"
    assert repr(chat.total) == "Total(1 call, 19 tokens in · 12 out · $0.0000079)"
    pieces = chat.stream(FRANCE)
    next(pieces)
    assert repr(pieces) == "Pieces(open, 3 characters so far)"
    assert len(repr(Reply("x" * 10_000))) < 100


def test_rich_display_is_safe():
    """The answer first, the figures small beneath; nothing that a model or a user says can run."""
    chat = Conversation(model="haiku")
    with broken_server(reply("<script>alert(1)</script> **bold** [x](javascript:alert(1))")) as server:
        chat = chat_with(server.url, model="<img src=x onerror=alert(1)>")
        answered = chat.send("<script>alert(2)</script>")
    for page in (answered._repr_html_(), chat.turns[0]._repr_html_(), chat._repr_html_()):
        assert "<script>" not in page
        assert "<img" not in page
        assert "javascript:" not in page.replace("](javascript:", "")
        assert "<strong>bold</strong>" in page
        assert page.index("bold</strong>") < page.index("9 tokens in")
    assert not hasattr(chat, "_repr_markdown_")
    assert "refused" in Reply("", note="The model refused.")._repr_html_()


def test_keys_are_never_shown():
    """Not in a repr, a rich display, or an error."""
    with broken_server(failure(401)) as server:
        chat = chat_with(server.url)
        with pytest.raises(anthropic.AuthenticationError) as caught:
            chat.send(FRANCE)
        shown = repr(chat) + chat._repr_html_() + repr(caught.value) + str(caught.value.__notes__)
        assert "key-of-a-test" not in shown


def test_frame():
    """The ledger as a frame: one row a call, of the same figures."""
    chat = Conversation()
    chat.send(FRANCE)
    with practice.shape("empty"):
        chat.send(FRANCE)
    frame = chat.to_frame()
    assert list(frame["kind"]) == ["reply", "lost"]
    assert frame["turn"].isna().tolist() == [False, True]
    assert frame["cost_usd"].sum() == pytest.approx(chat.total.cost_usd)


def test_turn_is_a_call():
    """A turn has the figures of its call, so that either can be shown the same way."""
    assert issubclass(Turn, Call)
    assert set(Turn.model_fields) - set(Call.model_fields) == {"user", "assistant"}


def test_keep_of_the_repr():
    """Strategies show how they were made."""
    assert repr(last_turns(5)) == "last_turns(turns=5)"
