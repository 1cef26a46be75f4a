"""Replies that break on the way: each is a `StreamInterrupted`, and leaves no trace but its cost."""

from __future__ import annotations

import pickle

import anthropic
import pytest

from course_helpers import Conversation, connect, estimate_cost, practice
from course_helpers.history import StreamInterrupted
from tests import broken_server as broken
from tests.broken_server import BREAKS, BROKEN_BEFORE, NO_REPLY, PARTIAL, broken_server
from tests.drivers import (
    all_drivers,
    asend,
    astream,
    blocking_drivers,
    chat_with,
    send,
    standing_in_for_live,
    state,
    stream,
    streaming_drivers,
)
from tests.scripted_server import MESSAGE, answer, cut, drop, failure, hang, reply, reset

KEPT = [{"role": "user", "content": "First?"}, {"role": "assistant", "content": "Paris is it."}]


def chat_after_a_turn(server, **settings) -> Conversation:
    """A conversation with one turn, taken from a good stream."""
    chat = chat_with(server.url, model="claude-haiku-5-5", read_timeout=1.0, **settings)
    server.play(broken.stream(broken.whole()))
    stream(chat, "First?")
    assert chat.messages == KEPT
    return chat


def goes_on(server, chat) -> None:
    """The next turn works, in both ways, and sends what it should."""
    server.play(reply("Fine."), broken.stream(broken.whole("Go", "od.")))
    assert str(chat.send("Second?")) == "Fine."
    assert str(stream(chat, "Third?")) == "Good."
    assert [message["content"] for message in chat.messages][-4:] == ["Second?", "Fine.", "Third?", "Good."]


@streaming_drivers
@pytest.mark.parametrize("name", BREAKS)
def test_broken_streams(take, name):
    """However a stream breaks: one request, one exception, the partial text, no turn, and its known cost."""
    with broken_server(BREAKS[name]) as server, standing_in_for_live(server.url):
        chat = chat_after_a_turn(server)
        before = state(chat)
        server.play(BREAKS[name])
        with pytest.raises(StreamInterrupted) as caught:
            take(chat, "What is the capital of France?")
        assert caught.value.partial == PARTIAL
        assert isinstance(caught.value, anthropic.APIConnectionError)
        assert caught.value.request.method == "POST"
        assert len(server.requests) == 1
        assert state(chat) == before
        lost = chat.calls[-1]
        assert (lost.kind, lost.turn, lost.input_tokens, lost.attempts) == ("lost", None, 40, 1)
        assert lost.cost_usd == pytest.approx(estimate_cost(40, lost.output_tokens, chat.model))
        assert len(chat.calls) == 2
        goes_on(server, chat)


@streaming_drivers
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dropped", "The connection closed before the reply was complete."),
        ("stalled", "Nothing came for longer than the read timeout."),
        ("cut short", "The stream ended before the reply was complete (no stop reason)."),
        ("no message_stop", "The stream ended before the reply was complete (no message_stop)."),
        ("overloaded", "The server reported overloaded_error: Told to fail."),
        ("error in plain words", "The server reported an error: Bad gateway"),
        ("garbled", "The server sent something that is no part of a reply (JSONDecodeError)."),
    ],
)
def test_what_is_said_of_a_break(take, name, words):
    """The message names what happened."""
    with broken_server(BREAKS[name]) as server:
        with pytest.raises(StreamInterrupted) as caught:
            take(chat_with(server.url, read_timeout=0.5), "Hello!")
        assert str(caught.value) == words


@streaming_drivers
@pytest.mark.parametrize("name", BROKEN_BEFORE)
def test_broken_before_the_first_piece(take, name):
    """Nothing has been shown, so it is tried again; what the first try cost, where known, is counted."""
    with broken_server(BROKEN_BEFORE[name]) as server, standing_in_for_live(server.url):
        chat = chat_after_a_turn(server)
        server.play(BROKEN_BEFORE[name], broken.stream(broken.whole()))
        answered = take(chat, "What is the capital of France?")
        assert str(answered) == "Paris is it."
        assert len(server.requests) == answered.call.attempts == 2
        lost = [call for call in chat.calls if call.kind == "lost"]
        assert [call.input_tokens for call in lost] == ([40] if "think" in name or "overl" in name else [])
        goes_on(server, chat)


@streaming_drivers
def test_gives_up_before_the_first_piece(take):
    """Tries are bounded; each of them that reported tokens is in the ledger."""
    with broken_server(BROKEN_BEFORE["dropped while thinking"]) as server, standing_in_for_live(server.url):
        chat = chat_with(server.url)
        chat.waits["max_retries"] = 2
        with pytest.raises(StreamInterrupted) as caught:
            take(chat, "Hello!")
        assert caught.value.partial == ""
        assert "max_retries=2 is reached" in caught.value.__notes__[0]
        assert len(server.requests) == 3
        assert [call.attempts for call in chat.calls] == [1, 2, 3]
        assert chat.total.input_tokens == 120


@streaming_drivers
def test_errors_that_no_retry_mends(take):
    """An error event that says the request is wrong is not tried again, even before the first piece."""
    step = broken.stream([broken.start(), broken.error_event("invalid_request_error")])
    with broken_server(step) as server:
        with pytest.raises(StreamInterrupted, match="invalid_request_error") as caught:
            take(chat_with(server.url), "Hello!")
        assert len(server.requests) == 1
        assert caught.value.__notes__[0].startswith("Not retried")


@all_drivers
@pytest.mark.parametrize("name", NO_REPLY)
def test_a_200_that_is_no_reply(take, name):
    """A proxy's page, other JSON, or JSON cut short: one request, and no raw error of the SDK."""
    with broken_server(NO_REPLY[name]) as server:
        chat = chat_after_a_turn(server)
        before = (*state(chat), chat.calls)
        server.play(NO_REPLY[name])
        with pytest.raises(StreamInterrupted) as caught:
            take(chat, "What is the capital of France?")
        assert caught.value.partial == ""
        assert "200" in str(caught.value)
        assert len(server.requests) == 1
        assert (*state(chat), chat.calls) == before
        goes_on(server, chat)


@blocking_drivers
@pytest.mark.parametrize("step", [drop, reset, cut, hang])
def test_blocking_calls_that_break(take, step):
    """Without a stream, a broken connection is the SDK's own error, tried again like any other."""
    with broken_server(step) as server:
        chat = chat_after_a_turn(server)
        server.play(step, reply())
        answered = take(chat, "What is the capital of France?")
        assert (str(answered), answered.call.attempts) == ("Paris.", 2)
        chat.waits["max_retries"] = 1
        before = state(chat)
        server.play(step)
        with pytest.raises(anthropic.APIConnectionError):
            take(chat, "And of Spain?")
        assert len(server.requests) == 2
        assert state(chat) == before
        goes_on(server, chat)


@all_drivers
@pytest.mark.parametrize(
    "changes",
    [{"content": None}, {"usage": {"input_tokens": -1, "output_tokens": 1}}, {"content": [{"type": "text"}]}],
)
def test_replies_that_are_malformed(take, changes):
    """JSON that is nearly a reply is none."""
    with broken_server(answer(200, MESSAGE | changes)) as server:
        chat = chat_with(server.url)
        with pytest.raises(StreamInterrupted):
            take(chat, "Hello!")
        assert len(server.requests) == 1
        assert state(chat) == ([], [])


@streaming_drivers
def test_odd_but_good_streams(take):
    """Pings, comments, unknown events and blocks, text in a block's start, several blocks are fine."""
    parts = [
        b": a comment\n\n",
        broken.start(),
        broken.event("something_new", data=1),
        broken.thought(0),
        broken.event("content_block_start", index=1, content_block={"type": "text", "text": "Pa"}),
        broken.event("content_block_delta", index=1, delta={"type": "text_delta", "text": "ris"}),
        broken.event("content_block_delta", index=1, delta={"type": "a_delta_of_the_future", "x": 1}),
        broken.event("content_block_delta", index=1, delta={"type": "text_delta", "text": ""}),
        broken.event(
            "content_block_start", index=2, content_block={"type": "a_block_of_the_future", "text": 1}
        ),
        b'data: {"type": "nameless"}\n\n',
        *broken.block(" is", " it.", index=3),
        broken.event("message_delta", delta={"stop_reason": "end_turn"}),
        broken.end(output_tokens=9),
        broken.event("ping"),
    ]
    with broken_server(broken.stream(parts)) as server:
        answered = take(chat_with(server.url), "Hello!")
        assert str(answered) == "Paris is it."
        assert answered.call.output_tokens == 9


@streaming_drivers
def test_a_drop_after_the_end(take):
    """Once message_stop has come the reply is complete, whatever happens to the connection then."""
    with broken_server(broken.stream(broken.whole(), broken.leave)) as server:
        assert str(take(chat_with(server.url), "Hello!")) == "Paris is it."


@streaming_drivers
@pytest.mark.parametrize("kind", ["disconnect", "truncate", "error", "garble", "stall"])
def test_the_practice_apis_faults(take, kind):
    """The fault lab's streams break the same way, and nothing is asked twice."""
    connect(timeout=1.0)
    practice.reset()
    chat = Conversation()
    take(chat, "My name is Sam.")
    before = state(chat)
    with practice.break_stream(kind, after=3), pytest.raises(StreamInterrupted) as caught:
        take(chat, "What is the capital of France?")
    assert caught.value.partial == "The capital of"
    assert state(chat) == before
    assert len(practice.journal) == 2
    assert [call.kind for call in chat.calls] == ["reply", "lost"]
    assert str(take(chat, "What is my name?")) == "Your name is Sam."
    practice.reset()


def test_all_ways_agree_on_errors():
    """The same failure is the same class and words in each driver."""
    with broken_server(failure(400, "invalid_request_error")) as server:
        seen = set()
        for take in (send, stream, asend, astream):
            with pytest.raises(anthropic.BadRequestError) as caught:
                take(chat_with(server.url), "Hello!")
            seen.add((str(caught.value), *caught.value.__notes__))
        assert len(seen) == 1


def test_interrupted_survives_pickling():
    """It may travel between processes, as exceptions do in process pools."""
    with broken_server(BREAKS["dropped"]) as server, pytest.raises(StreamInterrupted) as caught:
        stream(chat_with(server.url), "Hello!")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.partial, copy.final) == (str(caught.value), PARTIAL, False)


def test_a_stall_before_the_first_piece_is_tried_again_and_waits_are_told():
    """`on_wait` hears of it too."""
    waits = []
    with broken_server(BROKEN_BEFORE["stalled while thinking"]) as server:
        chat = chat_with(server.url, read_timeout=0.5, on_wait=waits.append)
        server.play(BROKEN_BEFORE["stalled while thinking"], broken.stream(broken.whole()))
        stream(chat, "Hello!")
    assert [wait.reason for wait in waits] == ["Connection error"]
