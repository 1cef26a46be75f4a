"""Tokens and money: the exercises of lesson 5, and what lesson 8's chatbot counts."""

from __future__ import annotations

import math
from itertools import permutations, product

from anthropic.types import Usage

from ...models import MODEL, available, find_model
from ...pricing import estimate_cost
from ..grading import ASK, Bench, is_equal, number, require
from ..sandbox import shown

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
    for (model, other), (when, (write, read)) in product(permutations(RATES), CACHES.items()):
        cached = {"cache_creation_input_tokens": write, "cache_read_input_tokens": read}
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


def show_tokens(bench: Bench) -> None:
    message = bench.client.messages.create(model=MODEL, **ASK)
    now = {"input": message.usage.input_tokens, "output": message.usage.output_tokens}
    becomes = {"turns": 4, "input": 1_000 + now["input"], "output": 500 + now["output"]}
    prints = {f"this turn's {key} tokens": count for key, count in now.items()}
    prints |= {f"the session's {key} tokens": becomes[key] for key in now}
    bench.settles(bench.session(turns=3, input=1_000, output=500), message, prints=prints, **becomes)


def show_cost(bench: Bench) -> None:
    message, before = bench.client.messages.create(model=ANOTHER_MODEL, **ASK), 0.5000004
    cost = estimate_cost(message.usage.input_tokens, message.usage.output_tokens, ANOTHER_MODEL)
    prints = {"this turn's cost": f"{cost:.6f}", "the session's cost": f"{before + cost:.6f}"}
    session = bench.session(model=ANOTHER_MODEL, cost=before)
    bench.settles(session, message, prints=prints, cost=before + cost)


def show_stats(bench: Bench) -> None:
    prints = {"turns": 7, "input": 4321, "output": 987, "cost": "0.012345"}
    bench.settles(bench.session(turns=7, input=4_321, output=987, cost=0.0123454), prints=prints)
