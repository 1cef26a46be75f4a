"""Tokens and money: the exercises of lesson 5, and what lesson 8's chatbot counts."""

from __future__ import annotations

import copy
import math
from itertools import permutations
from typing import Any

from anthropic.types import Message, Usage

from ...models import MODEL, available, find_model
from ...pricing import estimate_cost
from ..grading import Bench, is_equal, number
from ..sandbox import shown
from . import require

# Round numbers that are nobody's prices, so that the sum must come from `rates`.
RATES = {
    "model-a": {"input": 2.0, "output": 8.0, "cache_write": 3.0, "cache_read": 0.5},
    "model-b": {"input": 1.0, "output": 16.0, "cache_write": 7.0, "cache_read": 0.25},
}
ANOTHER_MODEL = next(model.id for model in available() if find_model(MODEL) != model)
IN, OUT, WRITTEN, READ = 1_003, 207, 5_002, 50_004
CACHES = {
    "without a cache": (0, 0),
    "with tokens written to the cache": (WRITTEN, 0),
    "with tokens read from the cache": (0, READ),
    "with tokens written to the cache and others read from it": (WRITTEN, READ),
    "when the cache fields are None": (None, None),
    "when one cache field is None": (None, READ),
    "when the other cache field is None": (WRITTEN, None),
}


def cost_of(bench: Bench) -> None:
    usage = Usage(input_tokens=IN, output_tokens=OUT)
    for model, other in permutations(RATES):
        for when, (written, read) in CACHES.items():
            cached = {"cache_creation_input_tokens": written, "cache_read_input_tokens": read}
            with bench.case(when, "cache field None" if None in (written, read) else ""):
                value = bench.call(usage.model_copy(update=cached), model, RATES)
                _is_cost(value, model, other, written or 0, read or 0)
    ran = bench.run(usage, "model-c", RATES)
    guess = f"a price for an unknown model: {shown(ran.value)} is a guess about money."
    require(isinstance(ran.error, Exception), guess)


def _is_cost(value: object, model: str, other: str, written: int, read: int) -> None:
    """Judges what these tokens cost on `model`, naming the likely mistake."""
    got = number(value)
    require(got is not None, f"no number: it was to return a number, not {shown(value)}.")

    def cost(rate: dict[str, float], plain: int = IN, cached: int = 1) -> float:
        extra = cached * (written * rate["cache_write"] + read * rate["cache_read"])
        return (plain * rate["input"] + OUT * rate["output"] + extra) / 1_000_000

    rate = RATES[model]
    right = cost(rate)
    swapped = rate | {"cache_read": rate["cache_write"], "cache_write": rate["cache_read"]}
    as_input = rate | dict.fromkeys(("cache_read", "cache_write"), rate["input"])
    for wrong, mistake in (
        (right * 1_000_000, "not per million: the rates are USD per million tokens."),
        (right * 1_000, "not per million: the rates are USD per million tokens."),
        (cost(RATES[other]), f"other model's rates: {model} has its own."),
        (cost(rate, cached=0), "cached tokens left out: they come on top of input_tokens, at their rates."),
        (cost(rate, IN - written - read), "cached tokens taken off: input_tokens does not include them."),
        (cost(swapped), "cache rates swapped: writing has one rate, reading another."),
        (cost(as_input), "cached as input: they have rates of their own."),
    ):
        require(not math.isclose(got, wrong) or math.isclose(wrong, right), mistake)
    kinds = {"input": IN, "output": OUT, "cache-write": written, "cache-read": read}
    tokens = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    seen = f"other sum: {tokens} tokens on {model} cost {right:.6f}; it returned {shown(value)}."
    require(math.isclose(got, right, rel_tol=1e-6), seen)


def cheapest(bench: Bench) -> None:
    every = [model.id for model in available()]
    for counts in ((10_001, 1_001), (150_000, 1_000)):
        for models in [*permutations(every, 2), every]:
            costs = {model: _recounted(model, counts) for model in models}
            if math.isclose(*sorted(costs.values())[:2], rel_tol=0.001):
                continue  # what is rounded how would decide
            with bench.case(f"for {counts[0]} input and {counts[1]} output tokens on {' or '.join(models)}"):
                value, right = bench.call(list(models), *counts), min(costs, key=costs.get)
                require(value in models, f"no id: it was to return one of these ids, not {shown(value)}.")
                listed = min(models, key=lambda model: estimate_cost(*counts, model))
                misled = value == listed != right
                require(not misled, f"not recounted: {value} counts more tokens for the same text.")
                is_equal("model", value, right, "not the cheapest")


def _recounted(model: str, counts: tuple[int, int]) -> float:
    factor = find_model(model).tokenizer_factor
    return estimate_cost(*(round(count * factor) for count in counts), model)


def settles(bench: Bench, session: dict[str, Any], *args: Any, **becomes: Any) -> None:
    """Judges whether the function makes of `session` what it `becomes`, and changes nothing else."""
    before = copy.deepcopy(session)
    bench.call(session, *args, wanted=False)
    for key in before if becomes else before | session:
        was, now = before.get(key), session.get(key)
        right, seen = becomes.get(key, was), f'session["{key}"] was {shown(was)}'
        same = now == right or (number(right) and math.isclose(number(now) or 0, right, rel_tol=1e-12))
        require(same or key in becomes, f"{key} changed: {seen} and was to stay; it is {shown(now)}.")
        require(same or now != was, f"{key} not changed: {seen}, and still is.")
        require(same, f"other {key}: {seen} and was to become {shown(right)}; it is {shown(now)}.")


def show_tokens(bench: Bench) -> None:
    message = _a_message(bench, MODEL)
    used, session = message.usage, bench.session(turns=3, input=1_000, output=500)
    totals = {"input": 1_000 + used.input_tokens, "output": 500 + used.output_tokens}
    settles(bench, session, message, turns=4, **totals)
    bench.prints("this turn's input tokens", used.input_tokens)
    bench.prints("this turn's output tokens", used.output_tokens)
    for key, count in totals.items():
        bench.prints(f"the session's {key} tokens", count)


def show_cost(bench: Bench) -> None:
    before, message = 0.5000004, _a_message(bench, ANOTHER_MODEL)  # more than six decimals
    cost = estimate_cost(message.usage.input_tokens, message.usage.output_tokens, ANOTHER_MODEL)
    settles(bench, bench.session(model=ANOTHER_MODEL, cost=before), message, cost=before + cost)
    bench.prints("this turn's cost", f"{cost:.6f}")
    bench.prints("the session's cost", f"{before + cost:.6f}")


def _a_message(bench: Bench, model: str) -> Message:
    asked = [{"role": "user", "content": "What is my name?"}]
    return bench.client.messages.create(model=model, max_tokens=50, messages=asked)


def show_stats(bench: Bench) -> None:
    settles(bench, bench.session(turns=7, input=4_321, output=987, cost=0.0123454))
    for what, count in (("turns", 7), ("input", 4321), ("output", 987), ("cost", "0.012345")):
        bench.prints(what, count)
