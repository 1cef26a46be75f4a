"""What of a history is sent: the four strategies, and functions of one's own."""

from __future__ import annotations

import pytest

from course_helpers import Conversation, connect, practice
from course_helpers.history import drop_where, last_turns, summarise_older, within_tokens
from course_helpers.history.strategies import ASKED_BEFORE, SUMMARISE
from tests.drivers import all_drivers, state

NOW = "And now?"


@pytest.fixture
def chat():
    practice.reset()
    yield Conversation(connect())
    practice.reset()


def asked() -> list[dict]:
    """The bodies of the requests for replies."""
    return [entry.body for entry in practice.journal if entry.path == "/v1/messages"]


def sent() -> list[str]:
    """The texts of the last request for a reply; they begin with a user's, and take turns."""
    messages = asked()[-1]["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant"] * (len(messages) // 2) + ["user"]
    return [message["content"] for message in messages]


def fill(chat: Conversation, turns: int) -> None:
    for number in range(1, turns + 1):
        chat.send(f"My number is {number}.")


@all_drivers
def test_last_turns_and_drop_where(chat, take):
    """The last exchanges, or those that are not dropped whole, and the new question, which may go alone."""
    fill(chat, 5)
    for turns in (0, 1, 3, 50, None):
        chat.keep = None if turns is None else last_turns(turns)
        take(chat, NOW)
        kept = 5 if turns is None else min(turns, 5)
        assert sent()[::2] == [*(f"My number is {n}." for n in range(6 - kept, 6)), NOW]
        assert len(chat.messages) == 12
        chat.undo()
    chat.keep = drop_where(lambda m: m["content"] in ("My number is 2.", "Noted: your number is 4."))
    take(chat, NOW)
    assert sent()[::2] == [*(f"My number is {n}." for n in (1, 3, 5)), NOW]


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
        assert chat.count(chat.messages[-1 - len(sent()) - 2 : -1]) > limit
        chat.undo()
    chat.keep, long = within_tokens(10), "Tell me about the sea. " * 20
    take(chat, long)
    assert sent() == [long]


@all_drivers
def test_summarise_older(chat, take):
    """Older exchanges become a summary, asked for now and then; what it says is still known to the model."""
    chat.keep, chat.system = summarise_older(turns=2), "Be brief."
    take(chat, "My name is Sam.")
    for number in range(9):
        take(chat, f"My number is {number}.")
        assert len(sent()) <= 2 + 2 * 3 + 1
    assert str(take(chat, "What is my name?")) == "Your name is Sam."
    assert (sent()[0], "Sam" in sent()[1]) == (ASKED_BEFORE, True)
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
    assert sent() == ["My name is Sam."]
    chat.reset()
    chat.send("My name is Ann.")
    fill(chat, 3)
    for _ in range(3):
        chat.undo()
    chat.send("What is my name?")
    assert sent()[0] == "My name is Ann."


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
    assert (len(sent()), sent()[0]) == (5, "My number is 1.")  # the history as it is
    chat.send(NOW)
    assert sent()[0] == ASKED_BEFORE
    chat.send(NOW)
    chat.budget_usd, known = chat.total.cost_usd, len(asked())
    with pytest.raises(ValueError, match="Nothing was sent"):
        chat.send(NOW)
    assert len(asked()) == known


@all_drivers
def test_a_function_of_ones_own(chat, take):
    """Any function of the shape works; it gets a list of its own, and the conversation to count and ask."""
    fill(chat, 3)
    seen = []

    def first_and_last(messages, conversation):
        seen.append((conversation, conversation.count(messages), conversation.ask(messages[:1])))
        messages[0]["content"] = "spoilt"
        chosen = messages[:2] + messages[-1:]
        messages.clear()
        return chosen

    chat.keep = first_and_last
    take(chat, NOW)
    assert sent() == ["spoilt", "Noted: your number is 1.", NOW]
    assert (chat.messages[0]["content"], seen[0][0]) == ("My number is 1.", chat)
    assert (seen[0][1] > 20, seen[0][2]) == (True, "Noted: your number is 1.")
    assert [call.kind for call in chat.calls[3:]] == ["summary", "reply"]
    chat.keep = lambda messages, conversation: 1 / 0
    with pytest.raises(ZeroDivisionError):
        take(chat, NOW)


ORDERED = [
    (lambda messages, chat: [], [NOW]),
    (lambda messages, chat: messages[1:-1], [NOW]),
    (lambda messages, chat: (m for m in messages if m["role"] == "user"), ["My number is 1.", NOW]),
]


def test_what_a_function_gives_back(chat):
    """It is put in order, from a question to the new one."""
    fill(chat, 1)
    for keep, wanted in ORDERED:
        chat.keep = keep
        chat.send(NOW)
        assert [message["content"] for message in asked()[-1]["messages"]] == wanted
        chat.undo()
    known = len(asked())
    chat.keep = 5
    with pytest.raises(TypeError, match=r"such as last_turns\(5\)"):
        chat.send(NOW)
    assert len(asked()) == known
    for make, number in ((last_turns, -1), (summarise_older, 1.5), (within_tokens, True)):
        with pytest.raises(ValueError, match="is a whole number from"):
            make(number)


@all_drivers
def test_strategies_are_functions_that_compose(chat, take):
    """One's own may call the course's, the asking ones too, on what another has left."""
    fill(chat, 4)

    def recent_without_three(messages, chat):
        rest = drop_where(lambda message: "number is 3" in message["content"])(messages, chat)
        return within_tokens(10_000)(last_turns(2)(rest, chat), chat)

    chat.keep = recent_without_three
    take(chat, NOW)
    assert sent()[::2] == ["My number is 2.", "My number is 4.", NOW]
