"""Lesson 7, providers and local models."""

from __future__ import annotations

import copy

from ...models import ALIASES
from ...practice_api import PRACTICE_KEY
from ..grading import Bench, turns
from ..sandbox import shown
from . import grader, require

REQUEST = {
    "model": "some-model",
    "max_tokens": 200,
    "system": "Answer in one sentence.",
    "messages": [
        {"role": "user", "content": "Name a prime."},
        {"role": "assistant", "content": "Seven."},
        {"role": "user", "content": "And a larger one?"},
    ],
    "stop_sequences": ["END", "STOP"],
}


@grader(
    "7.1",
    "The other wire",
    "Most of it stays: model, max_tokens and the turns. Two things move: the system prompt and "
    "stop_sequences.",
    'The system prompt becomes {"role": "system", "content": …}, before all other messages; '
    "stop_sequences is called stop there.",
    'Build a new list, [system message, *request["messages"]], so that request stays as it was; ask '
    "`in request` before you use what may be missing.",
)
def to_openai(bench: Bench) -> None:
    """System first, stop renamed, nothing invented, the original untouched."""
    given = copy.deepcopy(REQUEST)
    body = _body(bench.call(given))
    said = turns(body.get("messages"))
    require(given == REQUEST, "it changed the request that it was given: build new lists and dicts.")
    require(
        "system" not in body, "there is no field system on that wire: the system prompt is the first message."
    )
    require(
        said[:1] == [("system", REQUEST["system"])],
        f"the first message was to be the system prompt, with the role system; it is {shown(said[:1])}.",
    )
    require(
        said[1:] == turns(REQUEST["messages"]),
        "after the system prompt, all turns were to follow as they were.",
    )
    require("stop_sequences" not in body, "stop_sequences is called stop on that wire.")
    require(
        body.get("stop") == ["END", "STOP"],
        f"stop was to be ['END', 'STOP']; it is {shown(body.get('stop'))}.",
    )
    require(body.get("model") == "some-model", "the model is missing.")
    limit = body.get("max_tokens", body.get("max_completion_tokens"))
    require(limit == 200, f"max_tokens was to stay 200; it is {shown(limit)}.")
    bare = {key: REQUEST[key] for key in ("model", "max_tokens", "messages")}
    body = _body(bench.call(copy.deepcopy(bare), when="without a system prompt and stop_sequences"))
    said = body["messages"] if isinstance(body.get("messages"), list) else []
    require(
        not any(isinstance(each, dict) and each.get("role") == "system" for each in said),
        "this request has no system prompt, and its body has a message with the role system: leave that out.",
    )
    require(
        turns(body.get("messages")) == turns(bare["messages"]),
        "without a system prompt, the messages are the turns as they were.",
    )
    require(not body.get("stop"), "without stop_sequences, stop was to be left out.")


def _body(value: object) -> dict:
    require(value is not None, "it returned None: is there a return at its end?")
    require(isinstance(value, dict), f"it was to return a dict, the body of the request, not {shown(value)}.")
    return value


@grader(
    "7.2",
    "Anywhere",
    "anthropic.Anthropic takes base_url and api_key; what you leave out, it takes from the environment.",
    'The SDK appends /v1/messages itself: take a /v1 off the end, base_url.removesuffix("/v1").',
    'there = anthropic.Anthropic(base_url=base_url.removesuffix("/v1"), api_key=api_key), and then '
    "there.messages.create(…) as ever.",
)
def ask_anywhere(bench: Bench) -> None:
    """The given server, key and model, with and without /v1."""
    url, question = bench.practice.url, "Which planet is the largest?"
    with bench.elsewhere(), bench.practice.shape("thinking_first"):
        for base_url, model in ((url, ALIASES["sonnet"]), (f"{url}/v1", ALIASES["haiku"])):
            when = "when base_url ends in /v1" if base_url != url else ""
            ran = bench.run(base_url, PRACTICE_KEY, model, question)
            arrived = bench.sent
            require(
                bool(arrived) or ran.error is not None,
                "nothing arrived at base_url: the call went to the server of another client.",
            )
            doubled = any("/v1/v1" in each.path for each in arrived)
            require(not doubled, "it called /v1/v1/messages: the SDK appends /v1/messages by itself.")
            refused = any(each.status == 401 for each in arrived)
            require(
                not refused,
                "the server refused the key (401): pass the `api_key` that you were given.",
            )
            value = bench.value(ran, when)
            body = bench.is_asked(question)
            require(body["model"] == model, f"it was to ask {model}, and it asked {shown(body['model'])}.")
            bench.is_reply(value, when)
