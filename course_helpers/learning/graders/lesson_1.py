"""Lesson 1, the raw call."""

from __future__ import annotations

from ...practice_api import PRACTICE_KEY
from ..grading import MESSAGES, Bench, is_at_most, is_pair
from ..sandbox import shown
from . import grader, require

QUESTION = "Which planet is the largest?"
SHAPES = {
    "thinking_first": "when the reply begins with a thinking block, and content[0] is not the text",
    "thinking_only": "when the reply holds no text block at all",
    "empty": "when the reply holds no block at all",
}


@grader
def ask(bench: Bench) -> None:
    """One request through the SDK with the question; the text whatever comes first."""
    value = bench.call(QUESTION)
    body = bench.is_asked(QUESTION)
    by_hand = "that call was made by hand: make it through the SDK, with client.messages.create."
    require("x-stainless-lang" in bench.sent[-1].headers, by_hand, "not through the SDK")
    is_at_most(body, 300)
    bench.is_reply(value)
    for shape, when in SHAPES.items():
        mistake = "position 0" if shape == "thinking_first" else "no text block"
        with bench.practice.shape(shape):
            bench.is_reply(bench.call(QUESTION, when=when, mistake=mistake), when, mistake)


@grader
def raw_call(bench: Bench) -> None:
    """Status and request id, by hand, for a good key, for a wrong one, and for a refusal of another kind."""
    url = bench.practice.url
    with bench.elsewhere():
        ran = bench.run(url, PRACTICE_KEY, QUESTION)
        sdk = "that was the SDK's call: make it with httpx2.post."
        by_sdk = any("x-stainless-lang" in each.headers for each in [*bench.meant_for, *bench.sent])
        require(not by_sdk, sdk, "the SDK's call")
        require(bench.sent or ran.error, "nothing arrived at the `url` that it was given.", "other address")
    for sent in bench.sent[-1:]:
        refusal = ((sent.reply or {}).get("error") or {}).get("message", "")
        require(sent.path == MESSAGES, f"it called {shown(sent.path)}: the path is {MESSAGES}.", "other path")
        require(sent.method == "POST", f"it made a {sent.method} request, and this one is a POST.", "no POST")
        key = "the key did not go along: send it in the header x-api-key."
        require("x-api-key" in sent.headers, key, "no x-api-key")
        require(sent.status == 200, f"the API answered {sent.status}: {refusal}", f"status {sent.status}")
    value = bench.value(ran)
    bench.is_asked(QUESTION, "httpx2.post")
    _is_status_and_id(bench, value, 200, "when all is well")

    when = "when the key is wrong"
    answer = f"{when}, which is an answer too, with its own request id"
    value = bench.call(url, "not-a-key", QUESTION, when=answer, mistake="refusal raised")
    again = f"{when}: it sent {len(bench.sent)} requests; is the key written into it?"
    require(len(bench.sent) == 1, again, "key written in")
    other = f"{when}: it used another key than the one it was given."
    require(bench.sent[0].status == 401, other, "key written in")
    _is_status_and_id(bench, value, 401, when)
    with bench.practice.fail_next(529):
        when = "when the API is overloaded"
        value = bench.call(url, PRACTICE_KEY, QUESTION, when=when, mistake="refusal raised")
        _is_status_and_id(bench, value, 529, when)


def _is_status_and_id(bench: Bench, value: object, status: int, when: str) -> None:
    returned, request_id = is_pair(value, "status, request_id", when)
    seen = f"{when}: the status is the number {status}; it returned {shown(returned)}."
    require(returned == status, seen, "wrong status")
    of_message = isinstance(request_id, str) and request_id.startswith("msg_")
    body = f"{when}: that is the message's id, from the body; the request id is in the headers."
    require(not of_message, body, "the message's id")
    right = bench.sent[-1].request_id
    seen = f"{when}: the request id, in the header request-id, was {right}; it returned {shown(request_id)}."
    require(request_id == right, seen, "wrong request id")
