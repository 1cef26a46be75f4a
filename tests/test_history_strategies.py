"""What of a history is sent: the four strategies, and functions of one's own."""

from __future__ import annotations

import pytest

from course_helpers import Conversation, connect, practice
from course_helpers.history import drop_where, last_turns, summarise_older, within_tokens
from course_helpers.history.strategies import ASKED_BEFORE, SUMMARISE
from tests.broken_server import broken_server
from tests.drivers import all_drivers, chat_with, send, state, stream
from tests.scripted_server import failure, reply

NOW = "And now?"


@pytest.fixture
def chat():
    practice.reset()
    yield Conversation(connect())
    practice.reset()


def asked() -> list[dict]:
    """The bodies of the requests for replies."""
    return [entry.body for entry in practice.journal if entry.path == "/v1/messages"]


def sent() -> list[dict]:
    """The messages of the last request for a reply; they begin with a user's, and take turns."""
    messages = asked()[-1]["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant"] * (len(messages) // 2) + ["user"]
    return messages


def texts(messages: list[dict]) -> list[str]:
    return [message["content"] for message in messages]


def fill(chat: Conversation, turns: int) -> None:
    for number in range(1, turns + 1):
        chat.send(f"My number is {number}.")


@all_drivers
def test_last_turns(chat, take):
    """The last exchanges and the new question, which goes alone with 0; the transcript keeps everything."""
    fill(chat, 5)
    for turns in (0, 1, 3, 5, 50, None):
        chat.keep = None if turns is None else last_turns(turns)
        take(chat, NOW)
        kept = 5 if turns is None else min(turns, 5)
        assert texts(sent())[::2] == [*(f"My number is {n}." for n in range(6 - kept, 6)), NOW]
        assert len(chat.messages) == 12
        chat.undo()


@all_drivers
def test_within_tokens(chat, take):
    """As many of the last exchanges as fit, by the server's own count: one more would not."""
    fill(chat, 20)  # longer than each limit, however short the replies are
    for text in ("私の名前は太郎です。" * 5, "😀" * 30, "x" * 200):
        chat.send(text)
    chat.system = "Be brief."
    for limit in (30, 100, 400, 700):
        chat.keep, before = within_tokens(limit), len(practice.journal)
        call = take(chat, NOW).call
        assert len(practice.journal) - before <= within_tokens.TRIES + 1
        assert call.prompt_tokens <= limit or len(sent()) == 1
        more = chat.messages[-1 - len(sent()) - 2 : -1]
        counted = chat.client.messages.count_tokens(model=chat.model, system=chat.system, messages=more)
        assert counted.input_tokens > limit
        chat.undo()
    chat.keep, long = within_tokens(10), "Tell me about the sea. " * 20
    take(chat, long)
    assert texts(sent()) == [long]


def test_within_tokens_where_the_server_cannot_count():
    """An estimate on the safe side takes the count's place."""
    with broken_server(reply()) as server:
        chat = chat_with(server.url, model="llama")
        fill(chat, 10)
        server.play(failure(404), reply())
        chat.keep = within_tokens(60)
        chat.send(NOW)
        assert 1 < server.requests[-1][1].decode().count('"role"') < 12


@all_drivers
def test_drop_where(chat, take):
    """An exchange goes where the predicate holds for the question or the answer; never half of one."""
    for text in ("My name is Sam.", "What is the capital of France?", "My town is Bern.", "Hello!"):
        chat.send(text)
    chat.keep = drop_where(lambda m: "Paris" in m["content"] or m["content"] == "My town is Bern.")
    assert str(take(chat, "What is my name?")) == "Your name is Sam."
    assert texts(sent())[::2] == ["My name is Sam.", "Hello!", "What is my name?"]
    chat.keep = drop_where(lambda message: True)
    take(chat, NOW)
    assert (texts(sent()), len(chat.turns)) == ([NOW], 6)


@all_drivers
def test_summarise_older(chat, take):
    """Older exchanges become a summary, asked for now and then; what it says is still known to the model."""
    chat.keep, chat.system = summarise_older(turns=2), "Be brief."
    take(chat, "My name is Sam.")
    for number in range(9):
        take(chat, f"My number is {number}.")
        assert len(sent()) <= 2 + 2 * 3 + 1
    assert str(take(chat, "What is my name?")) == "Your name is Sam."
    assert sent()[0]["content"] == ASKED_BEFORE
    assert "Sam" in sent()[1]["content"]
    summaries = [call for call in chat.calls if call.kind == "summary"]
    assert (len(summaries), len(chat.turns), chat.total.calls) == (4, 11, 15)
    assert all(call.cost_usd > 0 and call.turn is None for call in summaries)
    bodies = [body for body in asked() if body["messages"][-1]["content"] == SUMMARISE]
    assert all("system" not in body and "stream" not in body for body in bodies)
    # Each summary builds on the one before: no old message is paid for twice.
    assert [body["messages"][0]["content"] == ASKED_BEFORE for body in bodies] == [False, True, True, True]


def test_summary_follows_the_history(chat):
    """Undo, reset and other conversations make it start afresh."""
    chat.keep = strategy = summarise_older(turns=1)
    fill(chat, 4)
    Conversation(chat.client, keep=strategy).send("My name is Sam.")
    assert texts(sent()) == ["My name is Sam."]
    chat.reset()
    chat.send("My name is Ann.")
    fill(chat, 3)
    for _ in range(3):
        chat.undo()
    chat.send("What is my name?")
    assert texts(sent())[0] == "My name is Ann."


def test_summaries_that_fail(chat):
    """One that fails is no turn; one that comes back empty is not paid for again each turn; budgets hold."""
    chat.keep = summarise_older(turns=1)
    fill(chat, 2)
    before, calls = state(chat), chat.calls
    with practice.fail_next(400), pytest.raises(Exception, match="told to refuse"):
        chat.send(NOW)
    assert (state(chat), chat.calls) == (before, calls)
    for shape in ("refusal", "empty"):
        with practice.shape(shape):
            assert chat.send(NOW).turn is None
    assert [call.kind for call in chat.calls[2:]] == ["summary", "lost", "lost"]
    assert chat.send(NOW).turn
    assert (len(sent()), sent()[0]["content"]) == (5, "My number is 1.")  # the history as it is
    chat.send(NOW)
    assert sent()[0]["content"] == ASKED_BEFORE
    chat.send(NOW)
    chat.budget_usd, known = chat.total.cost_usd, len(asked())
    with pytest.raises(ValueError, match="Nothing was sent"):
        chat.send(NOW)
    assert len(asked()) == known


def test_summary_is_kept_when_its_turn_fails():
    """A summary that is paid for serves the next try."""
    with broken_server(reply()) as server:
        chat = chat_with(server.url, model="haiku", keep=summarise_older(turns=1))
        fill(chat, 2)
        server.play(reply("In short."), failure(400))
        with pytest.raises(Exception, match="Told to fail"):
            chat.send(NOW)
        server.play(reply())
        chat.send(NOW)
        assert [b"In short." in body for _, body in server.requests] == [True]


@all_drivers
def test_a_function_of_ones_own(chat, take):
    """Any function of the shape works; it gets a list of its own, and the conversation to count and ask."""
    fill(chat, 3)
    seen = []

    def first_and_last(messages, conversation):
        seen.append(
            (len(messages), conversation, conversation.count(messages), conversation.ask(messages[:1]))
        )
        messages[0]["content"] = "spoilt"
        chosen = messages[:2] + messages[-1:]
        messages.clear()
        return chosen

    chat.keep = first_and_last
    take(chat, NOW)
    assert texts(sent()) == ["spoilt", "Noted: your number is 1.", NOW]
    assert (chat.messages[0]["content"], seen[0][:2]) == ("My number is 1.", (7, chat))
    assert (seen[0][2] > 20, seen[0][3]) == (True, "Noted: your number is 1.")
    assert [call.kind for call in chat.calls[3:]] == ["summary", "reply"]


ONE = ["My number is 1.", "Noted: your number is 1."]
ORDERED = {
    "nothing": (lambda messages, chat: [], [NOW]),
    "without the question": (lambda messages, chat: messages[:-1], [*ONE, NOW]),
    "from an answer on": (lambda messages, chat: messages[1:], [NOW]),
    "only an answer": (lambda messages, chat: messages[1:-1], [NOW]),
    "an iterator": (lambda messages, chat: iter(messages), [*ONE, NOW]),
    "no answers": (lambda messages, chat: (m for m in messages if m["role"] == "user"), [ONE[0], NOW]),
}


def test_what_a_function_gives_back(chat):
    """It is put in order, from a question to the new one; of what cannot be sent the function is named."""
    fill(chat, 1)
    for name, (keep, wanted) in ORDERED.items():
        chat.keep = keep
        chat.send(NOW)
        assert texts(asked()[-1]["messages"]) == wanted, name
        chat.undo()
    known, said = len(asked()), {"role": "system", "content": "x"}
    for wrong in (None, 7, ["text"], [{"role": "user"}], [said], [{"role": "user", "content": " "}]):

        def mine(messages, chat, wrong=wrong):
            return wrong

        chat.keep = mine
        with pytest.raises(ValueError, match="What the strategy mine gave back cannot be sent"):
            chat.send(NOW)
    chat.keep = 5
    with pytest.raises(TypeError, match=r"such as last_turns\(5\)"):
        chat.send(NOW)
    assert len(asked()) == known
    for make in (last_turns, summarise_older, within_tokens):
        for number in (-1, 1.5, True, "3"):
            with pytest.raises(ValueError, match="is a whole number from"):
                make(number)


def test_strategies_can_be_called(chat):
    """Each is a function of messages and conversation, also for a function of one's own that builds on it."""
    fill(chat, 5)
    messages = [*chat.messages, {"role": "user", "content": NOW}]
    assert last_turns(1)(messages, chat) == messages[-3:]
    assert drop_where(lambda m: "2" in m["content"])(messages, chat) == messages[:2] + messages[4:]
    assert 1 < len(within_tokens(80)(messages, chat)) < len(messages)
    summaries = summarise_older(turns=2)
    assert summaries(messages, chat)[0]["content"] == ASKED_BEFORE
    chat.keep = lambda messages, chat: last_turns(1)(summaries(messages, chat), chat)
    for take in (send, stream):
        take(chat, NOW)
        assert len(sent()) == 3
