"""Sessions that were not held: what turns to come would send, receive and cost under each strategy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..frames import PROMPT_TOKENS, TOKENS, as_frame, to_frame
from ..history.strategies import Strategy, last_turns, summarise_older, within_tokens
from ..models import MODELS
from ..pricing import rates

STRATEGIES = (None, last_turns(5), within_tokens(2000), summarise_older(5))
SUMMARY = 200
"""Tokens of a summary of at most 150 words; the sentences that ask for it are left out."""


def name_of(strategy: Strategy | None) -> str:
    """`strategy` as it is written in code."""
    if strategy is None:
        return "everything"
    return f"{type(strategy).__name__}({getattr(strategy, 'tokens', None) or strategy.turns})"


@dataclass(frozen=True)
class Habit:
    """How somebody chats, in tokens: the sizes of turns, and what each prompt holds besides them."""

    model: str
    sizes: np.ndarray
    """One row a turn: question, answer and thinking."""
    system: float = 0
    cache: bool = False
    batch: bool = False

    @classmethod
    def of(cls, source: Any) -> Habit:
        """The habit that the turns of a conversation show, or the replies in a frame."""
        turns = getattr(source, "turns", None)
        ledger = source if turns is None else to_frame(turns)
        frame = as_frame(ledger, "plot_forecast", "kind", "model", *TOKENS).query("kind == 'reply'")
        prompt = frame[list(PROMPT_TOKENS)].sum(axis=1).to_numpy(float)
        thinking = frame["thinking_tokens"].to_numpy(float)
        answer = frame["output_tokens"].to_numpy(float) - thinking
        if turns:  # the answers say how many tokens the words of a question have
            said, asked = (sum(len(getattr(t, who)) for t in turns) for who in ("assistant", "user"))
            question = np.array([len(turn.user) for turn in turns]) * answer.sum() / max(said, 1)
        else:  # what a prompt has beyond the last prompt and its answer is the new question
            more = np.diff(prompt) - answer[:-1]
            usual = np.median(more[more > 0]) if (more > 0).any() else prompt[:1].sum()
            question = np.minimum(prompt, np.append(usual, np.where(more > 0, more, usual))[: len(prompt)])
        model = getattr(source, "model", None) if turns is not None else frame["model"].iloc[-1:].sum()
        sizes, system = np.column_stack([question, answer, thinking]), (prompt - question)[:1].sum()
        return cls(model or "", sizes, max(0.0, system), getattr(source, "cache", False) is True)

    @property
    def range(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The mean of the shorter half of the turns, of all, and of the longer half.

        Of fewer than four turns half of the mean, the mean, and twice the mean.
        """
        ordered = self.sizes[np.argsort(self.sizes.sum(axis=1), kind="stable")]
        half, mean = math.ceil(len(ordered) / 2), ordered.mean(axis=0)
        if len(ordered) < 4:
            return mean / 2, mean, mean * 2
        return ordered[:half].mean(axis=0), mean, ordered[-half:].mean(axis=0)

    def assumptions(self) -> str:
        """What a forecast takes for granted, in words."""
        low, _, high = self.range
        few = len(self.sizes) < 4
        words = f"turns of {low.sum():,.0f} to {high.sum():,.0f} tokens of question and answer ("
        words += "half and twice the mean" if few else "the shorter and the longer half"
        words += f" of those so far), {self.model} at the prices of the course, no call lost or tried twice"
        return words + (", and a cache that is always found." if self.cache else ".")


def simulate(habit: Habit, strategy: Strategy | None, sizes: np.ndarray | None = None) -> pd.DataFrame:
    """A session as a frame: turns of `sizes` (by default `habit.sizes`), of which `strategy` sends what it keeps."""
    sizes = habit.sizes if sizes is None else sizes
    reach = np.append(0, sizes[:, :2].sum(axis=1).cumsum())  # tokens of history before each turn
    least = MODELS[habit.model].min_cacheable_tokens if habit.model in MODELS else 0
    rows, start, summed_up, before = [], 0, 0, 0.0
    for turn, (question, answer, thinking) in enumerate(sizes):
        kept_from = start
        if isinstance(strategy, last_turns):
            start = max(0, turn - strategy.turns)
        elif isinstance(strategy, within_tokens):
            room = strategy.tokens - habit.system - question
            start = min(turn, int(np.searchsorted(reach, reach[turn] - room)))
        elif isinstance(strategy, summarise_older) and turn - start >= 2 * strategy.turns:
            start = turn - strategy.turns
            rows.append(("summary", pd.NA, summed_up + reach[start] - reach[kept_from], SUMMARY, 0, 0))
            summed_up = SUMMARY
        prompt = habit.system + summed_up + reach[turn] - reach[start] + question
        again = before if habit.cache and kept_from == start and before >= least else 0.0
        rows.append(("reply", turn + 1, prompt, answer + thinking, thinking, again))
        before = prompt
    columns = ["kind", "turn", "prompt", "output_tokens", "thinking_tokens", "cache_read_tokens"]
    frame = pd.DataFrame(rows, columns=columns).round(dict.fromkeys(columns[2:], 0))
    new = frame.pop("prompt") - frame["cache_read_tokens"]
    written = new.where(
        habit.cache & (new + frame["cache_read_tokens"] >= least) & (frame["kind"] == "reply"), 0
    )
    frame = frame.assign(cache_write_tokens=written, cache_write_1h_tokens=0, input_tokens=new - written)
    frame = frame.assign(call=np.arange(1, len(frame) + 1), model=habit.model)
    return as_frame(
        frame.assign(cost_usd=rates(habit.model, batch=habit.batch).cost(frame)), "simulate", "call"
    )


def costs_to_come(habit: Habit, strategy: Strategy | None, turns: int, size: np.ndarray) -> np.ndarray:
    """USD after each of `turns` more turns, each of `size`, in a session of that `habit`."""
    frame = simulate(habit, strategy, np.vstack([habit.sizes, np.tile(size, (turns, 1))]))
    return frame.groupby(frame["turn"].bfill().array)["cost_usd"].sum().to_numpy()[-turns:].cumsum()
