"""Lesson 4, streaming."""

from __future__ import annotations

import anthropic

from ..grading import Bench, is_at_most, is_pair, is_returned
from ..sandbox import shown
from . import grader, require

QUESTION = "Write two lines of verse about rain."
LONG = "Explain recursion with a short code example."
"""A question whose answer takes more than `LIMIT` tokens."""
LIMIT = 100
PACE = 240  # tokens a second
BREAKS = {
    "truncate": "when the stream merely ends early, without an error",
    "disconnect": "when the connection drops in mid-stream",
    "error": "when the API sends an error in mid-stream",
    "garble": "when something arrives that is not JSON",
}
STREAM = "client.messages.stream"


@grader
def stream_answer(bench: Bench) -> None:
    """Pieces shown while they arrive; the billed tokens at the end."""
    pieces, live = [], []

    def show(piece: object) -> None:
        pieces.append(piece)
        live.append(any(each.reply is None for each in bench.sent))  # a reply is noted once it is all sent

    with bench.practice.pace(tokens_per_second=PACE):
        ran = bench.run(QUESTION, show)
    body = bench.is_asked(QUESTION, STREAM)
    value = bench.value(ran)
    require(body.get("stream"), f"the request did not ask for a stream: use {STREAM}.", "no stream")
    _is_shown(bench, pieces)
    late = "the pieces were collected first and shown at the end: call show inside the loop."
    require(sum(live) > len(live) / 2, late, "shown at the end")
    tokens = (bench.sent[-1].reply or {}).get("usage", {}).get("output_tokens")
    is_returned(value)
    counted = "it returned the number of pieces; a piece is not a token."
    require(value == tokens or value != len(pieces), counted, "pieces counted")
    whole = f"it returned the whole {type(value).__name__}: the number is in usage.output_tokens."
    require(not isinstance(value, (anthropic.types.Message, anthropic.types.Usage)), whole, "no number")
    billed = f"the reply was billed for {tokens} output tokens; it returned {shown(value)}."
    require(value == tokens, billed, "other number of tokens")
    pieces.clear()
    with bench.practice.shape("thinking_first"):
        when = "when the reply begins with a thinking block"
        bench.call(QUESTION, show, when=when, mistake="thinking taken for text")
        _is_shown(bench, pieces)


def _is_shown(bench: Bench, pieces: list) -> None:
    require(pieces, "show was never called.", "show not called")
    odd = [piece for piece in pieces if not isinstance(piece, str)]
    require(not odd, f"show takes a piece of text, and it was given {shown(odd[:1])}.", "no text shown")
    once = "show was called once, with everything: call it for each piece."
    require(len(pieces) > 1, once, "shown at once")
    text = "".join(pieces)
    require(
        text == bench.reply(),
        f"the pieces were to add up to the reply; they were {shown(text)}.",
        "other text",
    )


@grader
def read_stream(bench: Bench) -> None:
    """All text that arrived, whole or not, for each way in which a stream breaks."""
    when = "with a stream that ends well"
    text, whole = _text_and_whole(bench.call(QUESTION), when)
    body = bench.is_asked(QUESTION, STREAM)
    require(body.get("stream"), f"the request did not ask for a stream: use {STREAM}.", "no stream")
    is_at_most(body, LIMIT)
    full = bench.reply()
    require(text == full, f"{when}: the text was {shown(full)}, and it returned {shown(text)}.", "other text")
    require(whole, f"{when}: the model finished, and it returned False.", "whole taken for broken")
    for kind, when in BREAKS.items():
        with bench.practice.break_stream(kind, after=3):
            text, whole = _text_and_whole(bench.call(QUESTION, when=when, mistake=f"{kind} not caught"), when)
        finished = f"{when}: it says that the model finished; only a stop_reason tells that it did."
        require(not whole, finished, "broken taken for whole")
        require(text, f"{when}: the text that had arrived before is lost.", "text lost")
        arrived = full.startswith(text) and text != full
        require(arrived, f"{when}: it returned {shown(text)}, not what had arrived.", "other text")
    when = "when its tokens are too few, so that the reply is cut off with the stop reason max_tokens"
    text, whole = _text_and_whole(bench.call(LONG, when=when), when)
    require(not whole, f"{when}: it says that the model finished.", "cap taken for an end")
    full = bench.reply()
    require(text == full, f"{when}: the text was {shown(full)}, and it returned {shown(text)}.", "other text")


def _text_and_whole(value: object, when: str) -> tuple[str, bool]:
    text, whole = is_pair(value, "text, whole", when)
    one = f"{when}: the text was to be one string, and it is {shown(text)}."
    require(isinstance(text, str), one, "no string")
    require(
        whole in (True, False), f"{when}: whole was to be True or False, and it is {shown(whole)}.", "no bool"
    )
    return text, bool(whole)
