"""What goes over the wire, comes back and costs: the exercises of lessons 1, 2, 4, 5 and 7."""

from __future__ import annotations

import copy
import math
from itertools import permutations, product

from anthropic.types import Usage

from ...models import available, find_model
from ...practice_api import PRACTICE_KEY
from ...pricing import estimate_cost
from ..grading import SHAPES, Bench, conversation, is_a, is_equal, number, require, text_of, texts, turns
from ..sandbox import shown

QUESTION = "Which planet is the largest?"
CODE = "def first(items):\n    return items[0]\n"
INSTRUCTIONS = "You are a careful reviewer. Name the worst problem in one sentence."
EXAMPLES = [("Great, I would buy it again!", "positive"), ("It broke on the first day.", "negative")]
BREAKS = {
    "truncate": "when the stream merely ends early, without an error",
    "disconnect": "when the connection drops in mid-stream",
    "error": "when the API sends an error in mid-stream",
    "garble": "when something arrives that is not JSON",
}
# Round numbers that are nobody's prices, so that the sum must come from `rates`.
RATES = {
    "model-a": {"input": 2.0, "output": 8.0, "cache_write": 3.0, "cache_read": 0.5},
    "model-b": {"input": 1.0, "output": 16.0, "cache_write": 7.0, "cache_read": 0.25},
}
IN, OUT, WRITTEN, READ = 1_003, 207, 5_002, 50_004


def ask(bench: Bench) -> None:
    bench.call(QUESTION)
    bench.request(QUESTION, most=300)
    require(bench.by_sdk, "not through the SDK: it was made by hand, not with client.messages.create.")
    bench.is_reply()
    for shape in SHAPES:
        with bench.shape(shape):
            bench.run(QUESTION)
            bench.is_reply()


def raw_call(bench: Bench) -> None:
    for status, key, when in (
        (200, PRACTICE_KEY, ""),
        (401, "not-a-key", "when the key is wrong, which is an answer too"),
        (529, PRACTICE_KEY, "when the API is overloaded"),
    ):
        fault = bench.practice.fail_next(529) if status == 529 else None
        with bench.case(when, "refusal raised" if when else "", fault):
            bench.run(bench.practice.url, key, QUESTION, elsewhere=True)
            require(not bench.by_sdk, "the SDK's call: make it without, with httpx2.post.")
            require(not bench.meant_for, "other address: nothing arrived at the `url` that it was given.")
            for sent in bench.sent[-1:]:
                require("x-api-key" in sent.headers, "no x-api-key: the key did not go along in that header.")
                refusal = f"status {sent.status}: the API said {shown((sent.reply or {}).get('error'), 200)}."
                require(sent.status == status, "key written in: it used another." if when else refusal)
            bench.value()
            bench.request(QUESTION, how="httpx2.post")
            seen, request_id = bench.pair("status, request_id")
            require(not str(request_id).startswith("msg_"), "the message's id: a header has the request's.")
            is_equal("the status, a number,", seen, status, "wrong status")
            is_equal("the id in the header request-id", request_id, sent.request_id, "wrong request id")


def review(bench: Bench) -> None:
    bench.run(CODE, INSTRUCTIONS)
    body = bench.request()
    said, system = "\n".join(texts(body["messages"])), text_of(body.get("system"))
    roles = [message.get("role") for message in body["messages"]]
    require("system" not in roles, "system as a message: the system prompt is the argument system.")
    require(INSTRUCTIONS not in said, "instructions in a user message: they belong in the argument system.")
    require(system, "no system prompt: the model never saw the instructions.")
    require(CODE.strip() not in system, "code in the system prompt: it is what the user says.")
    require(INSTRUCTIONS in system, f"other system prompt: it was not the instructions but {shown(system)}.")
    require("def divide" not in said, "lesson's code: it was to send the code that it was given.")
    require(CODE.strip() in said, "code not sent: it did not go along in the user's message.")
    bench.value()
    is_equal("max_tokens", body["max_tokens"], 500)
    bench.is_reply()
    with bench.shape("thinking_first"):
        bench.run(CODE, INSTRUCTIONS)
        bench.is_reply()


def few_shot(bench: Bench) -> None:
    asked = ("user", "Does what it says.")
    made = turns(bench.call(list(EXAMPLES), asked[1]))
    require("assistant" in dict(made), "no assistant turn: what the model should have answered is one.")
    require(made[-1][0] == "user", "question not last: the list ends with the assistant.")
    wanted = [turn for text, answer in EXAMPLES for turn in (("user", text), ("assistant", answer))]
    is_equal("the list", made, [*wanted, asked], "other turns")
    with bench.case("without examples"):
        is_equal("the list", turns(bench.call([], asked[1])), [asked], "other turns")


def stream_answer(bench: Bench) -> None:
    pieces, live = [], []

    def show(piece: object) -> None:
        pieces.append(piece)
        live.append(any(each.reply is None for each in bench.sent))  # a reply is noted once it is all sent

    def is_shown() -> None:
        for piece in pieces:
            require(isinstance(piece, str), f"no text shown: show was given {shown(piece)}.")
        require(len(pieces) > 1, "shown at once: call show for each piece.")
        is_equal("text", "".join(pieces), bench.reply())

    with bench.practice.pace(tokens_per_second=240):
        bench.run(QUESTION, show)
    bench.request(QUESTION, how="client.messages.stream")
    bench.value(wanted=False)
    is_shown()
    require(sum(live) > len(live) / 2, "shown at the end: the pieces were collected first.")
    value, tokens = bench.value(), bench.sent[-1].reply["usage"]["output_tokens"]
    require(value != len(pieces) or value == tokens, "pieces counted: a piece is not a token.")
    is_equal("number of tokens", value, tokens)
    pieces.clear()
    thinking = bench.practice.shape("thinking_first")
    with bench.case("when a thinking block comes first", "thinking taken for text", thinking):
        bench.call(QUESTION, show)
        is_shown()


def read_stream(bench: Bench) -> None:
    def read(question: str) -> tuple[str, bool]:
        bench.run(question)
        text, whole = bench.pair("text, whole")
        is_a(text, str)
        require(whole in (True, False), f"no bool: whole was to be True or False, and it is {shown(whole)}.")
        return text, bool(whole)

    text, whole = read(QUESTION)
    bench.request(QUESTION, most=100, how="client.messages.stream")
    full = bench.reply()
    is_equal("text", text, full)
    require(whole, "whole taken for broken: the model finished, and it returned False.")
    for kind, when in BREAKS.items():
        with bench.case(when, f"{kind} not caught", bench.practice.break_stream(kind, after=3)):
            text, whole = read(QUESTION)
            require(not whole, "broken taken for whole: only a stop_reason tells that the model finished.")
            require(text, "text lost: the text that had arrived before is lost.")
            require(full.startswith(text) and text != full, f"other text: {shown(text)} had not arrived.")
    with bench.case("when it is cut off with the stop reason max_tokens"):
        text, whole = read("Explain recursion with a short code example.")
        require(not whole, "cap taken for an end: it says that the model finished.")
        is_equal("text", text, bench.reply())


def cost_of(bench: Bench) -> None:
    for (model, other), write, read in product(permutations(RATES), (0, WRITTEN, None), (0, READ, None)):
        cached = {"cache_creation_input_tokens": write, "cache_read_input_tokens": read}
        when = f"with {write} tokens written to the cache and {read} read from it"
        with bench.case(when, "cache field None" if None in (write, read) else ""):
            value = bench.call(Usage(input_tokens=IN, output_tokens=OUT, **cached), model, RATES)
            _is_cost(value, model, other, write or 0, read or 0)
    ran = bench.run(Usage(input_tokens=IN, output_tokens=OUT), "model-c", RATES)
    require(isinstance(ran.error, Exception), f"a price for an unknown model: {shown(ran.value)} is a guess.")


def _is_cost(value: object, model: str, other: str, write: int, read: int) -> None:
    """Judges what these tokens cost on `model`, naming the likely mistake."""
    tokens = {"input": IN, "output": OUT, "cache_write": write, "cache_read": read}

    def cost(model: str = model, **mistaken: int) -> float:
        return sum(count * RATES[model][kind] for kind, count in (tokens | mistaken).items()) / 1_000_000

    got, right = number(value), cost()
    uncached = {"cache_write": 0, "cache_read": 0}
    require(got is not None, f"no number: it was to return a number, not {shown(value)}.")
    for wrong, mistake in (
        (right * 1_000_000, "not per million: the rates are USD per million tokens."),
        (right * 1_000, "not per million: the rates are USD per million tokens."),
        (cost(other), f"other model's rates: {model} has its own."),
        (cost(**uncached), "cached tokens left out: they come on top of input_tokens, at their rates."),
        (cost(input=IN - write - read), "cached tokens taken off: input_tokens does not include them."),
        (cost(cache_write=read, cache_read=write), "cache rates swapped: writing has one, reading another."),
        (cost(input=IN + write + read, **uncached), "cached as input: they have rates of their own."),
    ):
        require(not math.isclose(got, wrong) or math.isclose(wrong, right), mistake)
    counted = ", ".join(f"{count} {kind.replace('_', '-')}" for kind, count in tokens.items() if count)
    seen = f"other sum: {counted} tokens on {model} cost {right:.6f}; it returned {shown(value)}."
    require(math.isclose(got, right, rel_tol=1e-6), seen)


def cheapest(bench: Bench) -> None:
    def recounted(model: str) -> float:
        factor = find_model(model).tokenizer_factor
        return estimate_cost(*(round(count * factor) for count in counts), model)

    every = [model.id for model in available()]
    for counts, models in product(((10_001, 1_001), (150_000, 1_000)), [*permutations(every, 2), every]):
        right, second, *_ = sorted(models, key=recounted)
        if math.isclose(recounted(right), recounted(second), rel_tol=0.001):
            continue  # what is rounded how would decide
        with bench.case(f"for {counts[0]} input and {counts[1]} output tokens on {' or '.join(models)}"):
            value = bench.call(list(models), *counts)
            require(value in models, f"no id: it was to return one of these ids, not {shown(value)}.")
            misled = value == min(models, key=lambda model: estimate_cost(*counts, model)) != right
            require(not misled, f"not recounted: {value} counts more tokens for the same text.")
            is_equal("model", value, right, "not the cheapest")


def to_openai(bench: Bench) -> None:
    plain = {"model": "some-model", "max_tokens": 200, "messages": conversation(2)}
    full = plain | {"system": "Answer in one sentence.", "stop_sequences": ["END", "STOP"]}
    for request, when in ((full, ""), (plain, "without a system prompt and stop_sequences")):
        with bench.case(when, "optional taken for given" if when else ""):
            given = copy.deepcopy(request)
            body = bench.call(given)
            is_a(body, dict)
            require(given == request, "request changed: build new lists and dicts.")
            require("system" not in body, "system as a field: on that wire it is the first message.")
            require("stop_sequences" not in body, "stop not renamed: stop_sequences is called stop there.")
            said = [(role.replace("developer", "system"), text) for role, text in turns(body.get("messages"))]
            first = [] if when else [("system", request["system"])]
            require(said[: len(first)] == first, f"system not first: it begins with {shown(said[:1])}.")
            is_equal("messages", said, first + turns(request["messages"]), "other turns")
            limit = body.get("max_tokens", body.get("max_completion_tokens"))
            is_equal("max_tokens", limit, request["max_tokens"])
            is_equal("model", body.get("model"), request["model"])
            is_equal("stop", body.get("stop") or None, request.get("stop_sequences"))


def ask_anywhere(bench: Bench) -> None:
    # An address that nobody has; the request is led to the bench, and tells where it was to go. First of
    # all, for what takes off single letters fails otherwise only where the bench's port ends in a 1.
    for base_url in ("http://nobody.invalid:8111", "http://nobody.invalid:8111/v1"):
        bench.run(base_url, PRACTICE_KEY, find_model("haiku").id, QUESTION)
        for meant in bench.meant_for:
            cut = "nobody" in meant and not meant.startswith("http://nobody.invalid:8111/v1/")
            require(not cut, f"more than /v1 taken off: for {base_url} it called {shown(meant)}.")
    for path, name in (("", "sonnet"), ("/v1", "haiku")):
        model, base_url = find_model(name).id, bench.practice.url + path
        with bench.shape("thinking_first"):
            bench.run(base_url, PRACTICE_KEY, model, QUESTION, elsewhere=True)
            arrived = " ".join(f"{each.path} {each.status}" for each in bench.sent)
            require(not bench.meant_for, "other server: nothing arrived at base_url; whose client was that?")
            require("/v1/v1" not in arrived, "/v1 twice: it called /v1/v1/messages; the SDK adds a /v1.")
            require("401" not in arrived, "other key: the server refused it (401); pass the `api_key` given.")
            is_equal("model", bench.request(QUESTION)["model"], model)
            bench.is_reply()
