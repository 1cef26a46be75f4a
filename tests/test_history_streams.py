"""Replies that break on the way: each is an `APIError`, and leaves no trace but its cost."""

from __future__ import annotations

import anthropic
import pytest

from course_helpers import Conversation, estimate_cost
from course_helpers.history import StreamInterrupted
from tests import scripted_server as broken
from tests.drivers import Waits, all_drivers, chat_with, standing_in_for_live, state, stream
from tests.drivers import streaming_drivers as both
from tests.scripted_server import MESSAGE, ScriptedServer, answer, drop, reply

QUESTION = "What is the capital of France?"


def chat_after_a_turn(server) -> Conversation:
    """A conversation with one turn, taken from a good stream."""
    chat = chat_with(server.url, read_timeout=0.5, on_wait=Waits())
    server.play(broken.stream(broken.whole()))
    assert str(stream(chat, "First?")) == "Paris is it."
    return chat


def goes_on(server, chat) -> None:
    """The next turn works, in both ways, and sends what it should."""
    server.play(reply("Fine."), broken.stream(broken.whole("Go", "od.")))
    assert (str(chat.send("Second?")), str(stream(chat, "Third?"))) == ("Fine.", "Good.")
    assert [message["content"] for message in chat.messages][-4:] == ["Second?", "Fine.", "Third?", "Good."]


SAID = {
    "dropped": "The connection closed before the reply was complete.",
    "stalled": "Nothing came for longer than the read timeout.",
    "cut short": "The stream ended before the reply was complete (no stop reason).",
    "no message_stop": "The stream ended before the reply was complete (no message_stop).",
    "overloaded": "The server reported overloaded_error: Told to fail.",
    "garbled": "The server sent something that is no part of a reply (JSONDecodeError).",
}


@both
@pytest.mark.parametrize("name", broken.BREAKS)
def test_broken_streams(take, name):
    """However a stream breaks: one request, one exception, the partial text, no turn, and its known cost."""
    with ScriptedServer() as server, standing_in_for_live(server.url):
        chat = chat_after_a_turn(server)
        before = state(chat)
        server.play(broken.BREAKS[name])
        with pytest.raises(StreamInterrupted) as caught:
            take(chat, QUESTION)
        error, lost = caught.value, chat.calls[-1]
        assert str(error) == SAID.get(name, str(error))
        assert (error.partial, isinstance(error, anthropic.APIConnectionError)) == (broken.PARTIAL, True)
        assert (len(server.requests), state(chat), len(chat.calls)) == (1, before, 2)
        assert (lost.kind, lost.turn, lost.input_tokens, lost.attempts) == ("lost", None, 40, 1)
        assert lost.cost_usd == pytest.approx(estimate_cost(40, lost.output_tokens, chat.model))
        goes_on(server, chat)


@both
@pytest.mark.parametrize("name", broken.BROKEN_BEFORE)
def test_broken_before_the_first_piece(take, name):
    """Nothing has been shown, so it is tried again, in bounds; what a try is known to cost counts."""
    with ScriptedServer() as server, standing_in_for_live(server.url):
        chat = chat_after_a_turn(server)
        server.play(broken.BROKEN_BEFORE[name], broken.stream(broken.whole()))
        answered = take(chat, QUESTION)
        assert (str(answered), len(server.requests), answered.call.attempts) == ("Paris is it.", 2, 2)
        known = "think" in name or "overl" in name
        assert [call.input_tokens for call in chat.calls if call.kind == "lost"] == [40] * known
        chat.waits["max_retries"], calls = 1, len(chat.calls)
        server.play(broken.BROKEN_BEFORE[name])
        with pytest.raises(anthropic.APIConnectionError) as caught:
            take(chat, QUESTION)
        assert (getattr(caught.value, "partial", ""), len(server.requests)) == ("", 2)
        assert "max_retries=1 is reached" in caught.value.__notes__[0]
        assert [call.attempts for call in chat.calls[calls:]] == [1, 2] * known


NEGATIVE = {"input_tokens": -1, "output_tokens": 1}
MALFORMED = ({"content": None}, {"usage": NEGATIVE}, {"content": [{"type": "text"}]})
FINAL = broken.NO_REPLY | {str(changes): answer(200, MESSAGE | changes) for changes in MALFORMED}


@all_drivers
def test_a_200_that_is_no_reply(take):
    """A proxy's page, other JSON, JSON cut short: one request."""
    kind = StreamInterrupted if "stream" in take.__name__ else anthropic.APIResponseValidationError
    with ScriptedServer() as server:
        chat = chat_after_a_turn(server)
        before = state(chat)
        for step in FINAL.values():
            server.play(step)
            with pytest.raises(kind) as caught:
                take(chat, QUESTION)
            assert (len(server.requests), state(chat)) == (1, before)
            assert caught.value.__notes__[0].startswith("Not retried")
        goes_on(server, chat)


@both
def test_odd_but_good_streams(take):
    """Pings, comments, unknown events and blocks, text in a block's start, a drop after the end are fine."""
    odd = {"type": "a_delta_of_the_future", "x": 1}, {"type": "text_delta", "text": ""}
    parts = [
        b": a comment\n\n",
        broken.start(),
        broken.event("something_new", data=1),
        broken.thought(),
        broken.event("content_block_start", index=1, content_block={"type": "text", "text": "Paris"}),
        *(broken.event("content_block_delta", index=1, delta=delta) for delta in odd),
        broken.event("content_block_start", index=2, content_block={"type": "of_the_future", "text": 1}),
        b'data: {"type": "nameless"}\n\n',
        *broken.block(" is", " it.", index=3),
        broken.event("message_delta", delta={"stop_reason": "end_turn"}),
        broken.end(output_tokens=9),
        broken.event("ping"),
    ]
    for step, tokens in ((broken.stream(parts), 9), (broken.stream(broken.whole(), drop), 5)):
        with ScriptedServer(step) as server:
            answered = take(chat_with(server.url), "Hello!")
            assert (str(answered), answered.call.output_tokens) == ("Paris is it.", tokens)
