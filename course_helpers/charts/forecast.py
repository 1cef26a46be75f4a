"""What turns to come will cost: their sizes from those so far, and what a strategy sends of them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ..frames import PROMPT_TOKENS
from ..history.strategies import Strategy, last_turns, summarise_older, within_tokens
from ..models import MODELS
from ..pricing import rates

STRATEGIES = (None, last_turns(5), within_tokens(2000), summarise_older(5))
SUMMARY = 200  # tokens of 150 words; the sentences that ask for a summary are left out


def name_of(strategy: Strategy | None) -> str:
    """`strategy` as it is written in code."""
    if strategy is None:
        return "everything"
    return f"{type(strategy).__name__}({getattr(strategy, 'tokens', None) or strategy.turns})"


def turn_sizes(replies: pd.DataFrame) -> tuple[np.ndarray, float]:
    """Tokens of question, answer and thinking, a row a reply, and those that each prompt holds besides."""
    prompt = replies[list(PROMPT_TOKENS)].sum(axis=1).to_numpy(float)
    thinking = replies["thinking_tokens"].to_numpy(float)
    answer = replies["output_tokens"].to_numpy(float) - thinking
    # What a prompt has beyond the last prompt and its answer is the new question; where a strategy has cut
    # the history it has less, and a usual question is taken.
    more = np.diff(prompt) - answer[:-1]
    usual = np.median(more[more > 0]) if (more > 0).any() else prompt.min(initial=0)
    question = np.minimum(prompt, np.append(usual, np.where(more > 0, more, usual))[: len(prompt)])
    return np.column_stack([question, answer, thinking]), float((prompt - question)[:1].sum())


def turn_range(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean of the shorter half of the turns, of all, of the longer half; of up to three half to twice."""
    ordered, mean = sizes[np.argsort(sizes.sum(axis=1), kind="stable")], sizes.mean(axis=0)
    if len(sizes) < 4:
        return mean / 2, mean, mean * 2
    half = math.ceil(len(sizes) / 2)
    return ordered[:half].mean(axis=0), mean, ordered[-half:].mean(axis=0)


def turn_costs(
    sizes: np.ndarray, model: str, keep: Strategy | None, *, system=0.0, cache=False, batch=False
) -> np.ndarray:
    """USD of each turn of a session whose turns have `sizes`, where `keep` chooses what of them is sent.

    `system`: the tokens that each prompt holds besides. A cache holds the last prompt as long as the next one
    begins with it, and what is new is written to it.
    """
    prices, turn = rates(model, batch=batch), np.arange(len(sizes))
    before = np.append(0, sizes[:, :2].sum(axis=1).cumsum())  # tokens of the turns before each turn
    if isinstance(keep, last_turns):
        first = np.maximum(0, turn - keep.turns)
    elif isinstance(keep, within_tokens):
        room = keep.tokens - system - sizes[:, 0]
        first = np.minimum(turn, np.searchsorted(before, before[turn] - room))
    elif isinstance(keep, summarise_older):  # as many again have to grow old before they are summarised
        first = np.maximum(0, turn // keep.turns - 1) * keep.turns
    else:
        first = 0 * turn
    prompt = system + before[turn] - before[first] + sizes[:, 0]
    summarised = np.diff(before[first], prepend=0) * isinstance(keep, summarise_older)
    prompt += SUMMARY * (summarised.cumsum() > 0)
    held = np.append(0, prompt[:-1]) * (np.diff(first, prepend=0) == 0)
    least = getattr(MODELS.get(model), "min_cacheable_tokens", None) or 0
    read = np.where(cache & (held >= least), held, 0)
    write = np.where(cache & (prompt >= least), prompt - read, 0)
    tokens = {"cache_read_tokens": read, "cache_write_tokens": write, "input_tokens": prompt - read - write}
    usd = prices.cost({**tokens, "output_tokens": sizes[:, 1:].sum(axis=1)})
    return usd + (summarised > 0) * prices.cost({"input_tokens": summarised, "output_tokens": SUMMARY})
