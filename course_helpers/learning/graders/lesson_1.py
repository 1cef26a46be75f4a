"""Lesson 1, the raw call."""

from __future__ import annotations

from ..grading import MESSAGES, Bench
from ..sandbox import shown
from . import grader, require

QUESTION = "Which planet is the largest?"


@grader(
    "1.1",
    "Ask",
    "client.messages.create takes model, max_tokens and messages, a list with one user message, and "
    "returns a Message. Its content is a list of blocks; only some of them hold text.",
    'Go through message.content and keep block.text of the blocks whose block.type is "text".',
    'return "".join(block.text for block in message.content if block.type == "text")',
)
def ask(bench: Bench) -> None:
    """One request with the question; the text whatever comes first."""
    value = bench.call(QUESTION)
    body = bench.is_asked(QUESTION)
    require(body["max_tokens"] <= 300, f"max_tokens was to be at most 300, and it was {body['max_tokens']}.")
    bench.is_reply(value)
    with bench.practice.shape("thinking_first"):
        when = "when the reply begins with a thinking block, and content[0] is not the text"
        bench.is_reply(bench.call(QUESTION, when=when), when)
    with bench.practice.shape("thinking_only"):
        when = "when the reply holds no text block at all"
        bench.is_reply(bench.call(QUESTION, when=when), when)


@grader(
    "1.2",
    "The call by hand",
    "httpx2 is what the SDK itself uses. httpx2.post(address, headers={…}, json={…}) sends a dict as "
    "JSON and sets the content type; its answer has status_code and headers.",
    'The headers that you must set are "x-api-key" and "anthropic-version" (2023-06-01 will do); the '
    "body needs model, max_tokens and messages.",
    'return answer.status_code, answer.headers["request-id"]; httpx2 raises nothing for a 401 as long '
    "as you do not call raise_for_status().",
)
def raw_call(bench: Bench) -> None:
    """Status and request id, by hand, for a good key and for a wrong one."""
    url = bench.practice.url
    ran = bench.run(url, "practice", QUESTION)
    for sent in bench.sent[-1:]:
        refusal = ((sent.reply or {}).get("error") or {}).get("message", "")
        require("x-stainless-lang" not in sent.headers, "that was the SDK's call: make it with httpx2.post.")
        require(sent.path == MESSAGES, f"it called {shown(sent.path)}: the path is {MESSAGES}.")
        require(sent.method == "POST", f"it made a {sent.method} request, and this one is a POST.")
        named = sent.headers.keys() & {"x-api-key", "authorization"}
        require(bool(named), "the key did not go along: send it in the header x-api-key.")
        require(sent.status == 200, f"the API answered {sent.status}: {refusal}")
    value = bench.value(ran)
    bench.is_asked(QUESTION, "httpx2.post")
    _is_status_and_id(bench, value, 200)

    when = "when the key is wrong"
    value = bench.call(
        url, "not-a-key", QUESTION, when=f"{when}, which is an answer too, with its own request id"
    )
    require(len(bench.sent) == 1, f"{when}: it sent {len(bench.sent)} requests; is the key written into it?")
    require(bench.sent[0].status == 401, f"{when}: it used another key than the one it was given.")
    _is_status_and_id(bench, value, 401)


def _is_status_and_id(bench: Bench, value: object, status: int) -> None:
    sent = bench.sent[-1]
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    require(pair, f"it was to return a pair, (status, request_id), and it returned {shown(value)}.")
    require(value[0] == status, f"the status is the number {status}; it returned {shown(value[0])}.")
    is_message_id = isinstance(value[1], str) and value[1].startswith("msg_")
    require(not is_message_id, "that is the message's id, from the body; the request id is in the headers.")
    require(
        value[1] == sent.request_id,
        f"the request id, in the header request-id, was {shown(sent.request_id)}; "
        f"it returned {shown(value[1])}.",
    )
