"""Lesson 5, tokens and costs."""

from __future__ import annotations

import math
from itertools import permutations

from anthropic.types import Usage

from ...models import available, find_model
from ...pricing import estimate_cost
from ..grading import Bench, is_returned
from ..sandbox import number, shown
from . import grader, require

# Round numbers that are nobody's prices, so that the sum must come from `rates`.
RATES = {
    "model-a": {"input": 2.0, "output": 8.0, "cache_write": 3.0, "cache_read": 0.5},
    "model-b": {"input": 1.0, "output": 16.0, "cache_write": 7.0, "cache_read": 0.25},
}
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


@grader
def cost_of(bench: Bench) -> None:
    """All four kinds of tokens, None for 0, an error for an unknown model."""
    for model, other in permutations(RATES):
        for when, (written, read) in CACHES.items():
            usage = Usage(
                input_tokens=IN,
                output_tokens=OUT,
                cache_creation_input_tokens=written,
                cache_read_input_tokens=read,
            )
            none = "cache field None" if None in (written, read) else ""
            value = bench.call(usage, model, RATES, when=when, mistake=none)
            _is_cost(value, when, model, other, written or 0, read or 0)
    ran = bench.run(Usage(input_tokens=IN, output_tokens=OUT), "model-c", RATES)
    guess = f"for a model that rates does not know it returned {shown(ran.value)}: a guess about money."
    require(isinstance(ran.error, Exception), guess, "a price for an unknown model")


def _is_cost(value: object, when: str, model: str, other: str, written: int, read: int) -> None:
    """Raises NotYet, naming the likely mistake, unless `value` is what these tokens cost on `model`."""
    is_returned(value, when)
    got = number(value)
    require(got is not None, f"{when}: it was to return a number, not {shown(value)}.", "no number")

    def cost(rate: dict[str, float], plain: int = IN, written: int = written, read: int = read) -> float:
        cached = written * rate["cache_write"] + read * rate["cache_read"]
        return (plain * rate["input"] + OUT * rate["output"] + cached) / 1_000_000

    rate = RATES[model]
    right, swapped = cost(rate), rate | {"cache_read": rate["cache_write"], "cache_write": rate["cache_read"]}
    as_input = rate | dict.fromkeys(("cache_read", "cache_write"), rate["input"])
    for wrong, said, mistake in (
        (right * 1_000_000, "the rates are USD per million tokens", "not per million"),
        (right * 1_000, "the rates are USD per million tokens, not per thousand", "not per million"),
        (cost(RATES[other]), f"for {model} it used the rates of the other model", "other model's rates"),
        (
            cost(rate, written=0, read=0),
            "it left them out; they come on top of input_tokens, at rates of their own",
            "cached tokens left out",
        ),
        (
            cost(rate, IN - written - read),
            "it took them off input_tokens, which does not include them",
            "cached tokens taken off",
        ),
        (cost(swapped), "it took the rate for writing for the one for reading", "cache rates swapped"),
        (cost(as_input), "it took the rate of input; they have rates of their own", "cached as input"),
    ):
        made = math.isclose(got, wrong, rel_tol=1e-9) and not math.isclose(wrong, right, rel_tol=1e-9)
        require(not made, f"{when}: {said}.", mistake)
    kinds = {"input": IN, "output": OUT, "cache-write": written, "cache-read": read}
    tokens = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    seen = f"{when}: {tokens} tokens on {model} cost {right:.6f}; it returned {shown(value)}."
    require(math.isclose(got, right, rel_tol=1e-6), seen, "other sum")


@grader
def cheapest(bench: Bench) -> None:
    """The cheapest after recounting, where the list price alone would mislead too."""
    pairs = list(permutations([model.id for model in available()], 2))
    for counts in ((10_001, 1_001), (150_000, 1_000)):
        for models in [*pairs, [model.id for model in available()]]:
            costs = {model: _recounted(model, counts) for model in models}
            if math.isclose(*sorted(costs.values())[:2], rel_tol=0.001):
                continue  # what is rounded how would decide
            value = bench.call(list(models), *counts)
            case = f"for {counts[0]} input and {counts[1]} output tokens on {' or '.join(models)}"
            is_returned(value)
            ids = f"{case}: it was to return one of these ids, not {shown(value)}."
            require(value in models, ids, "no id")
            right = min(costs, key=costs.get)
            price = (
                f"{case}: {value} has the lower price a token, and yet the job costs more there, since it "
                "counts more tokens for the same text."
            )
            at_face_value = min(models, key=lambda model: estimate_cost(*counts, model))
            require(value == right or value != at_face_value, price, "not recounted")
            dearer = f"{case}: {right} costs ${costs[right]:.6f}, {value} ${costs[value]:.6f}."
            require(value == right, dearer, "not the cheapest")


def _recounted(model: str, counts: tuple[int, int]) -> float:
    factor = find_model(model).tokenizer_factor
    return estimate_cost(*(round(count * factor) for count in counts), model)
