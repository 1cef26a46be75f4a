"""Lesson 5, tokens and costs."""

from __future__ import annotations

import math
from typing import Any

from anthropic.types import Usage

from ..grading import Bench
from ..sandbox import shown
from . import grader, require

# Round numbers that are nobody's prices, so that the sum must come from `rates`.
RATES = {
    "model-a": {"input": 2.0, "output": 8.0, "cache_write": 3.0, "cache_read": 0.5},
    "model-b": {"input": 1.0, "output": 16.0, "cache_write": 7.0, "cache_read": 0.25},
}


def _usage(
    input_tokens: int, output_tokens: int, written: int | None = None, read: int | None = None
) -> Usage:
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_creation_input_tokens=written,
        cache_read_input_tokens=read,
    )


def _cached(usage: Usage) -> int:
    return (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)


def _cost(usage: Usage, model: str) -> float:
    rate = RATES[model]
    return (
        usage.input_tokens * rate["input"]
        + usage.output_tokens * rate["output"]
        + (usage.cache_creation_input_tokens or 0) * rate["cache_write"]
        + (usage.cache_read_input_tokens or 0) * rate["cache_read"]
    ) / 1_000_000


@grader(
    "5.1",
    "Where the cents go",
    "rates[model] holds what a million tokens of each kind cost. Four kinds, four products, one sum.",
    "The cached tokens are in usage.cache_creation_input_tokens and usage.cache_read_input_tokens; "
    "`(… or 0)` turns a None into 0. Leave input_tokens as it is: it does not include them.",
    "rate = rates[model], so that an unknown model raises a KeyError; then add up and divide by 1_000_000.",
)
def cost_of(bench: Bench) -> None:
    """All four kinds of tokens, None for 0, an error for an unknown model."""
    for model in ("model-a", "model-b"):
        _is_cost(bench, _usage(1_000, 200, 0, 0), model, "without a cache")
        _is_cost(bench, _usage(1_000, 200, 5_000, 0), model, "with tokens written to the cache")
        _is_cost(bench, _usage(1_000, 200, 0, 50_000), model, "with tokens read from the cache")
        _is_cost(bench, _usage(1_000, 200), model, "when the cache fields are None")
    ran = bench.run(_usage(1_000, 200, 0, 0), "model-c", RATES)
    require(
        ran.error is not None,
        f"for a model that rates does not know it returned {shown(ran.value)}: a guess about money.",
    )
    require(
        isinstance(ran.error, (LookupError, ValueError)),
        f"for a model that rates does not know {bench.words(ran.error)}; "
        "rates[model] raises a KeyError that names it.",
    )


def _is_cost(bench: Bench, usage: Usage, model: str, when: str) -> None:
    value, right = bench.call(usage, model, RATES, when=when), _cost(usage, model)
    require(value is not None, f"{when}: it returned None: is there a return at its end?")
    require(isinstance(value, (int, float)), f"{when}: it was to return a number, not {shown(value)}.")
    require(not math.isclose(value, right * 1_000_000), f"{when}: the rates are USD per million tokens.")
    no_cache = _cost(_usage(usage.input_tokens, usage.output_tokens), model)
    cached = not math.isclose(right, no_cache)
    require(
        not (cached and math.isclose(value, no_cache)),
        f"{when}: it left them out; they come on top of input_tokens, at rates of their own.",
    )
    double = right - (_cached(usage) * RATES[model]["input"]) / 1_000_000
    taken_off = cached and math.isclose(value, double)
    require(not taken_off, f"{when}: it took them off input_tokens, which does not include them.")
    other = _cost(usage, "model-a" if model == "model-b" else "model-b")
    require(not math.isclose(value, other), f"{when}: for {model} it used the rates of the other model.")
    require(
        math.isclose(value, right, rel_tol=1e-9),
        f"{when}: {usage.input_tokens} input and {usage.output_tokens} output tokens on {model} cost "
        f"{right:.6f}; it returned {shown(value)}.",
    )


@grader(
    "5.2",
    "The cheapest model for the job",
    "For each model: how many tokens would it count, and what do they cost there? Then take the smallest.",
    "find_model(model).tokenizer_factor is 1.0 for a 4.5 model and more for a newer one; multiply "
    "both counts by it and round them, since estimate_cost takes whole tokens.",
    "Write a small function cost(model) and return min(models, key=cost).",
)
def cheapest(bench: Bench) -> None:
    """The cheapest after recounting, where the list price alone would mislead too."""
    for models, input_tokens, output_tokens in (
        (["claude-opus-5-5", "claude-haiku-5-5", "claude-sonnet-5-5"], 8_000, 1_000),
        (["claude-opus-5-5", "claude-opus-4-5"], 10_001, 1_001),
        (["claude-haiku-4-5", "claude-haiku-5-5"], 150_000, 1_000),
        (["claude-sonnet-4-5", "claude-opus-4-5", "claude-opus-5-5"], 50_000, 3_000),
    ):
        value = bench.call(list(models), input_tokens, output_tokens)
        case = f"for {input_tokens} input and {output_tokens} output tokens on {' or '.join(models)}"
        require(value is not None, "it returned None: is there a return at its end?")
        require(value in models, f"{case}: it was to return one of these ids, not {shown(value)}.")
        costs = {model: _recounted(model, input_tokens, output_tokens) for model in models}
        right, at_face_value = min(costs, key=costs.get), _at_face_value(models, input_tokens, output_tokens)
        require(
            value == right or value != at_face_value,
            f"{case}: {value} has the lower price a token, and yet the job costs more there, since it counts "
            "more tokens for the same text.",
        )
        require(value == right, f"{case}: {right} costs ${costs[right]:.6f}, {value} ${costs[value]:.6f}.")


def _recounted(model: str, *counts: int) -> float:
    from ...models import find_model
    from ...pricing import estimate_cost

    factor = find_model(model).tokenizer_factor
    return estimate_cost(*(round(count * factor) for count in counts), model)


def _at_face_value(models: list[str], *counts: int) -> Any:
    from ...pricing import estimate_cost

    return min(models, key=lambda model: estimate_cost(*counts, model))
