"""What of a history is sent: the four strategies, and functions of one's own."""

from __future__ import annotations

import asyncio

import pytest

from course_helpers import Conversation, connect, practice
from course_helpers.history import drop_where, last_turns, summarise_older, within_tokens
from course_helpers.history.records import Turn
from course_helpers.history.strategies import ASKED_BEFORE, SUMMARISE, Transcript
from tests.broken_server import broken_server
from tests.drivers import all_drivers, chat_with, send, state
from tests.scripted_server import MESSAGE, answer, failure, reply


@pytest.fixture
def chat():
    practice.reset()
    yield Conversation(connect(), model="haiku")
    practice.reset()


def sent() -> list[dict]:
    """The messages of the last request for a reply."""
    return next(entry for entry in reversed(list(practice.journal)) if entry.path == "/v1/messages").body[
        "messages"
    ]


def texts(messages: list[dict]) -> list[str]:
    return [message["content"] for message in messages]


def in_order(messages: list[dict], question: str) -> bool:
    """Does it start with a user turn, take turns, and end with the question?"""
    roles = [message["role"] for message in messages]
    return (
        roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] and messages[-1]["content"] == question
    )


def fill(chat: Conversation, turns: int) -> None:
    for number in range(1, turns + 1):
        chat.send(f"My number is {number}.")


@all_drivers
@pytest.mark.parametrize("turns", [0, 1, 3, 5, 50])
def test_last_turns(chat, take, turns):
    """The last exchanges and the new question; the transcript keeps everything."""
    fill(chat, 5)
    chat.keep = last_turns(turns)
    take(chat, "And now?")
    kept = min(turns, 5)
    assert in_order(sent(), "And now?")
    assert texts(sent())[0:-1:2] == [f"My number is {number}." for number in range(6 - kept, 6)]
    assert len(chat.turns) == 6
    assert len(chat.messages) == 12


@all_drivers
def test_within_tokens(chat, take):
    """As many of the last exchanges as fit, by the server's own count: one more would not."""
    fill(chat, 12)
    chat.system = "Be brief."
    for limit in (30, 60, 100, 150, 400):
        chat.keep = within_tokens(limit)
        before = len(practice.journal)
        call = take(chat, "And now?").call
        messages = sent()
        assert in_order(messages, "And now?")
        assert call.prompt_tokens <= limit
        more = [*chat.messages[: -2 - len(messages) + 1], *messages][-len(messages) - 2 :]
        if len(messages) < len(chat.messages) - 1:
            counted = chat.client.messages.count_tokens(model=chat.model, system=chat.system, messages=more)
            assert counted.input_tokens > limit
        assert len(practice.journal) - before <= 1 + within_tokens.TRIES + 1
        chat.undo()


def test_within_tokens_of_a_long_question(chat):
    """The new question is sent even if it alone is too long."""
    fill(chat, 2)
    chat.keep = within_tokens(10)
    question = "Tell me about the sea. " * 20
    chat.send(question)
    assert sent() == [{"role": "user", "content": question}]


def test_within_tokens_in_any_script(chat):
    """The count is the server's, so it holds for text that has more tokens than bytes suggest, or fewer."""
    for text in ("私の名前は太郎です。" * 5, "😀" * 30, "x" * 200, "a b c d " * 40):
        chat.send(text)
    chat.keep = within_tokens(400)
    assert chat.send("And now?").call.prompt_tokens <= 400
    assert len(sent()) >= 3


def test_within_tokens_where_the_server_cannot_count():
    """An estimate on the safe side takes the count's place."""
    with broken_server(failure(404)) as server:
        chat = chat_with(server.url, model="llama")
        server.play(reply())
        fill(chat, 10)
        server.play(failure(404), reply())
        chat.keep = within_tokens(60)
        chat.send("And now?")
        assert b"count_tokens" not in server.requests[-1][1]
        body = server.requests[-1][1].decode()
        assert 1 < body.count('"role"') < 12


@all_drivers
def test_drop_where(chat, take):
    """An exchange goes where the predicate holds for the question or the answer; never half of one."""
    for text in ("My name is Sam.", "What is the capital of France?", "My town is Bern.", "Hello!"):
        chat.send(text)
    chat.keep = drop_where(
        lambda message: "Paris" in message["content"] or message["content"] == "My town is Bern."
    )
    assert str(take(chat, "What is my name?")) == "Your name is Sam."
    assert texts(sent())[::2] == ["My name is Sam.", "Hello!", "What is my name?"]
    assert in_order(sent(), "What is my name?")
    chat.keep = drop_where(lambda message: True)
    take(chat, "What is my name?")
    assert texts(sent()) == ["What is my name?"]
    assert len(chat.turns) == 6


@all_drivers
def test_summarise_older(chat, take):
    """Older exchanges become a summary, asked for now and then; what it says is still known to the model."""
    chat.keep = summarise_older(turns=2)
    chat.system = "Be brief."
    take(chat, "My name is Sam.")
    for number in range(9):
        take(chat, f"My number is {number}.")
        assert in_order(sent(), f"My number is {number}.")
        assert len(sent()) <= 2 + 2 * 3 + 1
    assert str(take(chat, "What is my name?")) == "Your name is Sam."
    assert "Sam" in sent()[1]["content"]
    assert sent()[0]["content"] == ASKED_BEFORE
    kinds = [call.kind for call in chat.calls]
    assert kinds.count("reply") == len(chat.turns) == 11
    assert kinds.count("summary") == 4
    summaries = [call for call in chat.calls if call.kind == "summary"]
    assert all(
        call.cost_usd > 0 and call.turn is None and call.stop_reason == "end_turn" for call in summaries
    )
    asked = [e.body for e in practice.journal if e.body["messages"][-1]["content"] == SUMMARISE]
    assert len(asked) == 4
    assert all("system" not in body and "stream" not in body for body in asked)
    # Each summary builds on the one before: no old message is paid for twice.
    assert all(body["messages"][0]["content"] == ASKED_BEFORE for body in asked[1:])
    assert chat.total.calls == 15


def test_summary_follows_the_history(chat):
    """Undo, reset and other conversations make it start afresh."""
    strategy = summarise_older(turns=1)
    chat.keep = strategy
    fill(chat, 4)
    other = Conversation(chat.client, keep=strategy)
    other.send("My name is Sam.")
    assert texts(sent()) == ["My name is Sam."]
    assert "summary" in [call.kind for call in chat.calls]
    chat.reset()
    chat.send("My name is Ann.")
    assert texts(sent()) == ["My name is Ann."]
    fill(chat, 3)
    for _ in range(3):
        chat.undo()
    chat.send("What is my name?")
    assert texts(sent())[:1] == ["My name is Ann."]


def test_summary_that_fails(chat):
    """Without a summary no turn; what was paid for it stays in the ledger; the next try asks again."""
    chat.keep = summarise_older(turns=1)
    fill(chat, 2)
    before, calls = state(chat), len(chat.calls)
    with practice.fail_next(400), pytest.raises(Exception, match="told to refuse"):
        chat.send("And now?")
    assert state(chat) == before
    assert len(chat.calls) == calls
    with practice.shape("refusal"):
        assert chat.send("And now?").turn is None
    assert [call.kind for call in chat.calls[calls:]] == ["summary", "lost"]
    assert len(sent()) == 5  # the history as it is, as the summary was refused
    assert chat.send("And now?").turn
    assert sent()[0]["content"] != ASKED_BEFORE  # not asked, and paid, again until one more has grown old
    chat.send("And then?")
    assert sent()[0]["content"] == ASKED_BEFORE


def test_summary_is_kept_when_its_turn_fails(chat):
    """A summary that is paid for serves the next try."""
    chat.keep = summarise_older(turns=1)
    fill(chat, 2)
    refused = MESSAGE | {"content": [{"type": "text", "text": "In short."}]}
    with broken_server(answer(200, refused), failure(400)) as server:
        chat = chat_with(server.url, model="haiku", keep=chat.keep)
        server.play(reply())
        fill(chat, 2)
        server.play(reply("In short."), failure(400))
        with pytest.raises(Exception, match="Told to fail"):
            chat.send("And now?")
        server.play(reply())
        chat.send("And now?")
        assert len(server.requests) == 1
        assert b"In short." in server.requests[0][1]


@pytest.mark.parametrize("make", [last_turns, summarise_older, within_tokens])
@pytest.mark.parametrize("wrong", [-1, 1.5, True, "3"])
def test_wrong_numbers(make, wrong):
    """They are refused as the strategy is made."""
    with pytest.raises(ValueError, match="is a whole number from"):
        make(wrong)


@all_drivers
def test_a_function_of_ones_own(chat, take):
    """Any function of the shape works; it gets a list of its own, and the conversation."""
    seen = []

    def first_and_last(messages, conversation):
        seen.append((list(messages), conversation))
        messages[0]["content"] = "spoilt"
        chosen = messages[:2] + messages[-1:]
        messages.clear()
        return chosen

    fill(chat, 3)
    chat.keep = first_and_last
    take(chat, "And now?")
    assert texts(sent()) == ["spoilt", "Noted: your number is 1.", "And now?"]
    assert chat.messages[0]["content"] == "My number is 1."
    assert seen[0][1] is chat
    assert len(seen[0][0]) == 7


@pytest.mark.parametrize(
    ("keep", "wanted"),
    [
        (lambda messages, chat: [], ["And now?"]),
        (lambda messages, chat: messages[:-1], ["My number is 1.", "Noted: your number is 1.", "And now?"]),
        (lambda messages, chat: messages[1:], ["And now?"]),
        (lambda messages, chat: messages[1:-1], ["And now?"]),
        (lambda messages, chat: iter(messages), ["My number is 1.", "Noted: your number is 1.", "And now?"]),
        (
            lambda messages, chat: (m for m in messages if m["role"] == "user"),
            ["My number is 1.", "And now?"],
        ),
    ],
)
def test_what_a_function_gives_back_is_put_in_order(chat, keep, wanted):
    """What is sent starts with a user turn, ends with the new question, and is never empty."""
    fill(chat, 1)
    chat.keep = keep
    chat.send("And now?")
    assert texts(sent()) == wanted


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        7,
        ["text"],
        [{"role": "user"}],
        [{"role": "system", "content": "x"}],
        [{"role": "user", "content": " "}],
    ],
)
def test_what_cannot_be_sent(chat, wrong):
    """It is refused before anything is sent, naming the function."""

    def mine(messages, chat):
        return wrong

    chat.keep = mine
    with pytest.raises(ValueError, match="What the strategy mine gave back cannot be sent"):
        chat.send("And now?")
    assert len(practice.journal) == 0


def test_what_is_no_strategy(chat):
    """A number is not one, and the message says what is."""
    chat.keep = 5
    with pytest.raises(TypeError, match=r"such as last_turns\(5\)"):
        chat.send("And now?")


def test_strategies_can_be_called(chat):
    """Each is a function of messages and conversation, also for a function of one's own that builds on it."""
    fill(chat, 5)
    messages = [*chat.messages, {"role": "user", "content": "And now?"}]
    assert last_turns(1)(messages, chat) == messages[-3:]
    assert drop_where(lambda m: "2" in m["content"])(messages, chat) == messages[:2] + messages[4:]
    assert in_order(within_tokens(80)(messages, chat), "And now?")
    assert summarise_older(turns=2)(messages, chat)[0]["content"] == ASKED_BEFORE
    summaries = summarise_older(turns=2)
    chat.keep = lambda messages, chat: last_turns(1)(summaries(messages, chat), chat)
    chat.send("And now?")
    assert texts(sent()) == ["My number is 5.", "Noted: your number is 5.", "And now?"]

    async def turn():
        return await chat.asend("And then?")

    assert asyncio.run(turn()).turn


def test_budget_holds_for_summaries(chat):
    """A summary that could go over the budget is not asked for."""
    chat.keep = summarise_older(turns=1)
    fill(chat, 2)
    chat.budget_usd = chat.total.cost_usd
    known = len([entry for entry in practice.journal if entry.path == "/v1/messages"])
    with pytest.raises(ValueError, match="Nothing was sent"):
        chat.send("And now?")
    assert len([entry for entry in practice.journal if entry.path == "/v1/messages"]) == known


def test_transcript_is_a_sequence():
    """It behaves as the list that it stands for."""
    turns = [
        Turn(kind="reply", turn=n, model="m", cost_usd=0, seconds=0, user=f"q{n}", assistant=f"a{n}")
        for n in (1, 2)
    ]
    whole = Transcript(turns, "new")
    expected = [{"role": "user", "content": "q1"}, {"role": "assistant", "content": "a1"}]
    expected += [{"role": "user", "content": "q2"}, {"role": "assistant", "content": "a2"}]
    expected += [{"role": "user", "content": "new"}]
    assert list(whole) == expected
    assert len(whole) == 5
    assert [whole[at] for at in range(-5, 5)] == expected * 2
    assert whole[-3:] == expected[-3:]
    assert whole[::-2] == expected[::-2]
    with pytest.raises(IndexError):
        whole[5]
    assert list(Transcript(turns)) == expected[:4]


def test_keep_of_a_conversation_that_keeps_all(chat):
    """By default everything is sent."""
    fill(chat, 4)
    send(chat, "And now?")
    assert sent() == chat.messages[:-1]
