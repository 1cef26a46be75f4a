"""Figures of whole sessions: several over each other, and what one will have cost."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..formatting import count, dollars, short
from ..frames import PROMPT_TOKENS, TOKENS, as_frame, to_frame
from ..history import storage
from ..history.records import Total
from ..history.strategies import Strategy, last_turns, summarise_older, within_tokens
from ..models import MODELS
from ..pricing import rates
from . import theme as look
from .costs import unpriced

STRATEGIES = (None, last_turns(5), within_tokens(2000), summarise_older(5))
SUMMARY = 200  # tokens of 150 words; the sentences that ask for a summary are left out
# What tells one call from all others: no two take the same time to the billionth of a second.
_IDENTITY = ["kind", "model", *TOKENS, "cost_usd", "seconds"]


@look.figure()
def plot_sessions(sessions: Iterable[Any] | Mapping[str, Any], ax: Axes | None = None) -> Axes:
    """The cost curves of several sessions over each other: dollars so far, call by call.

    `sessions`: conversations, frames and files of saved conversations, in a list, or in a dict by name. A
    fork starts at what its past had cost. A call that stands in several of them counts once in the total.
    """
    if isinstance(sessions, str | os.PathLike | pd.DataFrame) or hasattr(sessions, "calls"):
        sessions = [sessions]
    named = sessions.items() if isinstance(sessions, Mapping) else [(None, one) for one in sessions]
    if not named:
        return look.nothing(ax, "No sessions yet")
    ax = look.style_axes(ax, "What the sessions cost", "call", "USD so far")
    frames, words = [], []
    for number, (name, source) in enumerate(named, 1):
        if isinstance(source, str | os.PathLike):
            name, source = name or Path(source).stem, storage.read(source)
        name, past = short(name or f"session {number}"), _past(source)
        calls = as_frame(source, "plot_sessions", "cost_usd").reindex(columns=_IDENTITY).round(9)
        so_far = past.cost_usd + np.append(0, calls["cost_usd"].fillna(0)).cumsum()
        ax.plot(past.calls + np.arange(len(so_far)), so_far, label=name)
        after = f", after a past of {dollars(past.cost_usd)}" if past.calls else ""
        words.append(f"{name}: {dollars(calls['cost_usd'].sum())} ({count(len(calls), 'call')}{after})")
        # Of calls that are the same, the second in one session is the second in another.
        frames.append(calls.assign(nth=calls.groupby(_IDENTITY, dropna=False).cumcount()))
    ax.set_ylim(bottom=0)
    look.legend(ax)
    calls = pd.concat(frames).drop_duplicates()
    total = f"{count(len(frames), 'session')} cost {dollars(calls['cost_usd'].sum())}: "
    total += f"{count(len(calls), 'call')}, each counted once."
    return look.with_caption(ax, total, f"{'; '.join(words)}.", unpriced(calls["cost_usd"].isna().sum()))


def _past(source: Any) -> Total:
    """The shared past of a fork; nothing for what is no fork."""
    past = getattr(source, "past", ())  # of a saved conversation the calls, of one that is open their total
    return past if isinstance(past, Total) else Total.of(past)


@look.figure()
def plot_forecast(chat: Any, turns: int = 50, ax: Axes | None = None) -> Axes:
    """What the session will have cost when it has `turns` turns, as a range, under each strategy.

    `chat`: a conversation, the file of a saved one, or a frame. Nothing is sent to find out: the coming turns
    are taken to be like those so far, as the caption says. Raises a ValueError where the session has them.
    """
    chat = storage.read(chat) if isinstance(chat, str | os.PathLike) else chat
    calls = as_frame(chat, "plot_forecast", "kind", "model", "turn", *TOKENS, "cost_usd")
    replies = to_frame(chat.turns) if hasattr(chat, "turns") else calls[calls["kind"] == "reply"]
    before, done = _past(chat).cost_usd, len(replies)
    spent = before + calls["cost_usd"].sum()
    if not done or not spent:
        return look.nothing(ax, "These calls cost nothing that is known" if done else "No turns yet")
    if turns <= done:
        raise ValueError(f"The session has {count(done, 'turn')} already: ask for more than that.")
    title = f"What this session will have cost by turn {turns}"
    ax = look.style_axes(ax, title, "turn", "USD so far", height=3.6)
    (sizes, system), model, words = _turn_sizes(replies), replies["model"].iloc[-1], []
    ordered, half = sizes[np.argsort(sizes.sum(axis=1), kind="stable")], -(-done // 2)
    mean = sizes.mean(axis=0)
    low, high = (ordered[:half].mean(0), ordered[-half:].mean(0)) if done > 3 else (mean / 2, mean * 2)
    keep, cache = getattr(chat, "keep", None), bool(calls["cache_read_tokens"].any())
    for strategy in (keep if type(keep) is type(one) else one for one in STRATEGIES):
        least, usual, most = (
            spent + np.append(0, turn_costs(coming, model, strategy, system, cache)[done:].cumsum())
            for coming in (np.vstack([sizes, np.tile(size, (turns - done, 1))]) for size in (low, mean, high))
        )
        name = name_of(strategy) + (", as now" if strategy is keep else "")
        x = np.arange(done, turns + 1)
        (line,) = ax.plot(x, usual, label=name)
        ax.fill_between(x, least, most, color=line.get_color(), alpha=0.15, linewidth=0)
        words.append(f"{name}: {dollars(least[-1])} to {dollars(most[-1])}")
    own = calls.groupby(calls["turn"].bfill().ffill().array)["cost_usd"].sum().to_numpy(float)
    x = done + 1 + np.arange(-len(own), 0)
    ax.plot(x, before + own.cumsum(), "-", color=look.ink(), label="so far")
    ax.set(xlim=(0, turns), ylim=(0, None))
    look.legend(ax)
    like = "the shorter and the longer half so far" if done > 3 else "half to twice as long as those so far"
    assumed = f"turns of {low.sum():,.0f} to {high.sum():,.0f} tokens of question and answer, as {like}; "
    assumed += f"{model}, at the prices of the course; no call lost or tried twice"
    assumed += "; a cache that is always found" if cache else ""
    spent = f"{count(done, 'turn')} cost {dollars(spent)}."
    return look.with_caption(ax, spent, f"By turn {turns}: {'; '.join(words)}.", f"Assumed: {assumed}.")


def name_of(strategy: Strategy | None) -> str:
    """`strategy` as it is written in code."""
    return re.sub(r"\w+=", "", repr(strategy)) if strategy else "everything"


def _turn_sizes(replies: pd.DataFrame) -> tuple[np.ndarray, float]:
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


def turn_costs(
    sizes: np.ndarray, model: str, keep: Strategy | None, system=0.0, cache=False, batch=False
) -> np.ndarray:
    """USD of each turn of a session whose turns have `sizes` (question, answer and thinking in tokens).

    `keep` chooses what of them is sent; `system` are the tokens that each prompt holds besides. A cache holds
    the last prompt as long as the next one begins with it, and what is new is written to it.
    """
    prices, turn = rates(model, batch=batch), np.arange(len(sizes))
    before = np.append(0, sizes[:, :2].sum(axis=1).cumsum())  # tokens of the turns before each turn
    first = 0 * turn  # the first turn that is sent along
    if isinstance(keep, last_turns):
        first = np.maximum(0, turn - keep.turns)
    elif isinstance(keep, within_tokens):
        room = keep.tokens - system - sizes[:, 0]
        first = np.minimum(turn, np.searchsorted(before, before[turn] - room))
    elif isinstance(keep, summarise_older):  # as many again have to grow old before they are summarised
        first = np.maximum(0, turn // keep.turns - 1) * keep.turns
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
