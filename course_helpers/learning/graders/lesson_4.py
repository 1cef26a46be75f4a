"""Lesson 4, streaming."""

from __future__ import annotations

import anthropic

from ..grading import Bench
from ..sandbox import plain, shown
from . import grader, require

QUESTION = "Write two lines of verse about rain."
LONG = "Explain recursion with a short code example."
"""A question whose answer takes more than `LIMIT` tokens."""
LIMIT = 100
PACE = 120  # tokens a second


@grader(
    "4.1",
    "Show it as it comes",
    "with client.messages.stream(model=…, max_tokens=…, messages=…) as stream: is the SDK's way in; "
    "stream.text_stream yields the pieces of text.",
    "Call show(piece) inside the loop. The number of billed tokens is known when the stream has ended.",
    "return stream.get_final_message().usage.output_tokens, inside the with block, after the loop.",
)
def stream_answer(bench: Bench) -> None:
    """Pieces shown while they arrive; the billed tokens at the end."""
    pieces, live = [], []

    def show(piece: object) -> None:
        pieces.append(plain(piece))
        live.append(any(each.reply is None for each in bench.sent))  # a reply is noted once it is all sent

    with bench.practice.pace(tokens_per_second=PACE):
        ran = bench.run(QUESTION, show)
    body = bench.is_asked(QUESTION, "client.messages.stream")
    value = bench.value(ran)
    require(bool(body.get("stream")), "the request did not ask for a stream: use client.messages.stream.")
    require(bool(pieces), "show was never called.")
    odd = [piece for piece in pieces if type(piece) is not str]
    require(not odd, f"show takes a piece of text, and it was given {shown(odd[:1])}.")
    text = bench.reply()
    require(len(pieces) > 1, "show was called once, with everything: call it for each piece.")
    require(
        "".join(pieces) == text,
        f"the pieces were to add up to the reply; they were {shown(''.join(pieces))}.",
    )
    require(live[0], "the pieces were collected first and shown at the end: call show inside the loop.")
    tokens = (bench.sent[-1].reply or {}).get("usage", {}).get("output_tokens")
    require(value is not None, "it returned None: the number of output tokens was asked for.")
    require(
        value == tokens or value != len(pieces), "it returned the number of pieces; a piece is not a token."
    )
    require(
        not isinstance(value, (anthropic.types.Message, anthropic.types.Usage)),
        f"it returned the whole {type(value).__name__}: the number is in usage.output_tokens.",
    )
    require(value == tokens, f"the reply was billed for {tokens} output tokens; it returned {shown(value)}.")


@grader(
    "4.2",
    "Did it end, or did it stop?",
    "Collect the pieces in a list that lives outside the try, so that an error does not take them along.",
    "A dropped connection is an httpx2.HTTPError, garbled data a ValueError; neither is an anthropic error. "
    "Catch all three kinds.",
    "A stream that was cut short may raise nothing: then its stop_reason is None. The model finished if "
    'stream.get_final_message().stop_reason is "end_turn" or "stop_sequence".',
)
def read_stream(bench: Bench) -> None:
    """All text that arrived, whole or not, for each way in which a stream breaks."""
    text, whole = _pair(bench.call(QUESTION), "with a stream that ends well")
    body = bench.is_asked(QUESTION, "client.messages.stream")
    require(bool(body.get("stream")), "the request did not ask for a stream: use client.messages.stream.")
    limit = body["max_tokens"]
    require(limit == LIMIT, f"max_tokens was to be {LIMIT}, and it was {limit}.")
    full = bench.reply()
    require(
        text == full,
        f"with a stream that ends well: the text was {shown(full)}, and it returned {shown(text)}.",
    )
    require(whole is True, "with a stream that ends well: the model finished, and it returned False.")
    _broken(bench, full, "truncate", "when the stream merely ends early, without an error")
    _broken(bench, full, "disconnect", "when the connection drops in mid-stream")
    _broken(bench, full, "error", "when the API sends an error in mid-stream")
    _broken(bench, full, "garble", "when something arrives that is not JSON")
    when = f"when {LIMIT} tokens are too few, so that the reply is cut off with the stop reason max_tokens"
    text, whole = _pair(bench.call(LONG, when=when), when)
    require(whole is False, f"{when}: it says that the model finished.")
    require(
        text == bench.reply(), f"{when}: the text was {shown(bench.reply())}, and it returned {shown(text)}."
    )


def _broken(bench: Bench, full: str, kind: str, when: str) -> None:
    with bench.practice.break_stream(kind, after=3):
        text, whole = _pair(bench.call(QUESTION, when=when), when)
    require(whole is False, f"{when}: it says that the model finished; only a stop_reason tells that it did.")
    require(bool(text), f"{when}: the text that had arrived before is lost.")
    require(
        full.startswith(text) and text != full, f"{when}: it returned {shown(text)}, not what had arrived."
    )


def _pair(value: object, when: str) -> tuple:
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    require(pair, f"{when}: it was to return a pair, (text, whole), and it returned {shown(value)}.")
    text, whole = value
    require(type(text) is str, f"{when}: the text was to be one string, and it is {shown(text)}.")
    require(type(whole) is bool, f"{when}: whole was to be True or False, and it is {shown(whole)}.")
    return text, whole
