"""Lesson 7, providers and local models."""

from __future__ import annotations

import copy

from ...models import find_model
from ...practice_api import PRACTICE_KEY
from ..grading import Bench, is_returned, turns
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
QUESTION = "Which planet is the largest?"


@grader
def to_openai(bench: Bench) -> None:
    """System first, stop renamed, nothing invented, the original untouched."""
    given = copy.deepcopy(REQUEST)
    body = _body(bench.call(given))
    changed = "it changed the request that it was given: build new lists and dicts."
    require(given == REQUEST, changed, "request changed")
    field = "there is no field system on that wire: the system prompt is the first message."
    require("system" not in body, field, "system as a field")
    said = turns(body.get("messages"))
    first = f"the first message was to be the system prompt, with the role system; it is {shown(said[:1])}."
    roles = [("system", REQUEST["system"])], [("developer", REQUEST["system"])]
    require(said[:1] in roles, first, "system not first")
    follow = "after the system prompt, all turns were to follow as they were."
    require(said[1:] == turns(REQUEST["messages"]), follow, "other turns")
    require("stop_sequences" not in body, "stop_sequences is called stop on that wire.", "stop not renamed")
    stop = body.get("stop")
    require(stop == ["END", "STOP"], f"stop was to be ['END', 'STOP']; it is {shown(stop)}.", "other stop")
    require(body.get("model") == "some-model", "the model is missing.", "no model")
    limit = body.get("max_tokens", body.get("max_completion_tokens"))
    require(limit == 200, f"max_tokens was to stay 200; it is {shown(limit)}.", "other max_tokens")
    bare = {key: REQUEST[key] for key in ("model", "max_tokens", "messages")}
    when = "without a system prompt and stop_sequences"
    body = _body(bench.call(copy.deepcopy(bare), when=when, mistake="optional taken for given"))
    messages = body["messages"] if isinstance(body.get("messages"), list) else []
    invented = any(
        isinstance(each, dict) and each.get("role") in ("system", "developer") for each in messages
    )
    none = (
        "this request has no system prompt, and its body has a message with the role system: leave that out."
    )
    require(not invented, none, "system invented")
    same = "without a system prompt, the messages are the turns as they were."
    require(turns(messages) == turns(bare["messages"]), same, "other turns")
    require(not body.get("stop"), "without stop_sequences, stop was to be left out.", "stop invented")


def _body(value: object) -> dict:
    is_returned(value)
    seen = f"it was to return a dict, the body of the request, not {shown(value)}."
    require(isinstance(value, dict), seen, "no dict")
    return value


@grader
def ask_anywhere(bench: Bench) -> None:
    """The given server, key and model, with and without /v1."""
    url = bench.practice.url
    with bench.elsewhere(), bench.practice.shape("thinking_first"):
        for base_url, name in ((url, "sonnet"), (f"{url}/v1", "haiku")):
            model, when = find_model(name).id, "when base_url ends in /v1" if base_url != url else ""
            ran = bench.run(base_url, PRACTICE_KEY, model, QUESTION)
            arrived = bench.sent
            nothing = "nothing arrived at base_url: the call went to the server of another client."
            require(arrived or ran.error is not None, nothing, "other server")
            doubled = "it called /v1/v1/messages: the SDK appends /v1/messages by itself."
            require(not any("/v1/v1" in each.path for each in arrived), doubled, "/v1 twice")
            refused = "the server refused the key (401): pass the `api_key` that you were given."
            require(not any(each.status == 401 for each in arrived), refused, "other key")
            value = bench.value(ran, when)
            body = bench.is_asked(QUESTION)
            other = f"it was to ask {model}, and it asked {shown(body['model'])}."
            require(body["model"] == model, other, "other model")
            bench.is_reply(value, when, "position 0")
        # An address that nobody has; the request is led to the bench, and tells where it was to go.
        for base_url in ("http://127.0.0.1:8111", "http://127.0.0.1:8111/v1"):
            bench.run(base_url, PRACTICE_KEY, find_model("haiku").id, QUESTION)
            meant = [str(request.url) for request in bench.meant_for]
            cut = (
                f"with the base_url {base_url} it called {shown(meant[-1:])}: take off /v1, and nothing else."
            )
            right = all(each.startswith("http://127.0.0.1:8111/v1/") for each in meant)
            require(right, cut, "more than /v1 taken off")
