"""Figures of whole sessions: several over each other, and what one will have cost."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..formatting import count, dollars, short
from ..frames import TOKENS, as_frame, to_frame
from ..history import storage
from ..history.records import Total
from . import theme as look
from .forecast import STRATEGIES, name_of, turn_costs, turn_range, turn_sizes

_IDENTITY = ["kind", "model", *TOKENS, "cost_usd", "seconds"]
"""What tells one call from all others: no two take the same time to the billionth of a second."""


@look.styled
def plot_sessions(sessions: Iterable[Any] | Mapping[str, Any], ax: Axes | None = None) -> Axes:
    """The cost curves of several sessions over each other: dollars so far, call by call.

    `sessions`: conversations, frames and files of saved conversations, in a list, or in a dict with their
    names. A fork starts where its past ends, at what that had cost. A call that stands in several of them, as
    in a conversation and its saved copy, counts once in the total.
    """
    if isinstance(sessions, str | os.PathLike | pd.DataFrame) or hasattr(sessions, "calls"):
        sessions = [sessions]
    named = sessions.items() if isinstance(sessions, Mapping) else [(None, one) for one in sessions]
    ax = look.style_axes(look.new_axes(ax)[0], "What the sessions cost", "call", "USD so far")
    if not named:
        return look.empty(ax, "no sessions yet")
    frames, words = [], []
    for number, (name, source) in enumerate(named):
        if isinstance(source, str | os.PathLike):
            name, source = name or Path(source).stem, storage.read(source)
        name, (start, before) = short(name or f"session {number + 1}"), _past(source)
        calls = as_frame(source, "plot_sessions", "cost_usd").reindex(columns=_IDENTITY).round(9)
        so_far = before + np.append(0, calls["cost_usd"].fillna(0)).cumsum()
        look.line(ax, start + np.arange(len(so_far)), so_far, number, name)
        after = f", after a past of {dollars(before)}" if start else ""
        words.append(f"{name}: {dollars(so_far[-1] - before)} ({count(len(calls), 'call')}{after})")
        # Of calls that are the same, the second in one session is the second in another.
        frames.append(calls.assign(nth=calls.groupby(_IDENTITY, dropna=False).cumcount()))
    look.counts_on(ax.xaxis)
    look.dollars_on(ax.yaxis)
    ax.set_ylim(0, ax.get_ylim()[1])
    look.legend(ax)
    calls = pd.concat(frames).drop_duplicates()
    total = f"{count(len(frames), 'session')} cost {dollars(calls['cost_usd'].sum())}: "
    total += f"{count(len(calls), 'call')}, each counted once. {'; '.join(words)}."
    unknown = int(calls["cost_usd"].isna().sum())
    total += f" Not in this sum: {count(unknown, 'call')} at prices that are not known." if unknown else ""
    return look.with_caption(ax, total)


def _past(source: Any) -> tuple[int, float]:
    """How many calls the shared past of a fork had, and what they cost; nothing for what is no fork."""
    past = getattr(source, "past", ())  # of a saved conversation the calls, of one that is open their total
    total = past if isinstance(past, Total) else Total().plus(past if isinstance(past, list) else ())
    return total.calls, total.cost_usd


@look.styled
def plot_forecast(chat: Any, turns: int = 50, ax: Axes | None = None) -> Axes:
    """What the session will have cost when it has `turns` turns, as a range, under each strategy.

    `chat`: a conversation, the file of a saved one, or a frame. Nothing is sent to find out: the coming turns
    are taken to be like those so far, as the caption says. Raises a ValueError where the session has them.
    """
    chat = storage.read(chat) if isinstance(chat, str | os.PathLike) else chat
    calls = as_frame(chat, "plot_forecast", "kind", "model", "turn", *TOKENS, "cost_usd")
    replies = to_frame(chat.turns) if hasattr(chat, "turns") else calls[calls["kind"] == "reply"]
    spent, done = _past(chat)[1] + calls["cost_usd"].sum(), len(replies)
    title = f"What this session will have cost by turn {turns}"
    ax = look.style_axes(look.new_axes(ax, 3.6)[0], title, "turn", "USD so far")
    if not done or not spent:
        return look.empty(ax, "these calls cost nothing that is known" if done else "no turns yet")
    if turns <= done:
        raise ValueError(f"The session has {count(done, 'turn')} already: ask for more than that.")
    (sizes, system), model, words = turn_sizes(replies), replies["model"].iloc[-1], []
    low, mean, high = turn_range(sizes)
    keep, cache = getattr(chat, "keep", None), bool(calls["cache_read_tokens"].any())
    for number, strategy in enumerate(keep if type(keep) is type(one) else one for one in STRATEGIES):
        curves = []
        for size in (low, mean, high):
            coming = np.vstack([sizes, np.tile(size, (turns - done, 1))])
            usd = turn_costs(coming, model, strategy, system=system, cache=cache)
            curves.append(spent + np.append(0, usd[done:].cumsum()))
        name = name_of(strategy) + (", as now" if strategy is keep else "")
        drawn = look.line(ax, np.arange(done, turns + 1), curves[1], number, name)
        ax.fill_between(
            drawn.get_xdata(), curves[0], curves[2], color=drawn.get_color(), alpha=0.15, linewidth=0
        )
        words.append(f"{name}: {dollars(curves[0][-1])} to {dollars(curves[2][-1])}")
    own = calls.groupby(calls["turn"].bfill().ffill().array)["cost_usd"].sum().to_numpy(float)
    so_far = _past(chat)[1] + own.cumsum()
    ax.plot(done + 1 + np.arange(-len(own), 0), so_far, color=look.ink(), label="so far")
    look.counts_on(ax.xaxis)
    look.dollars_on(ax.yaxis)
    ax.set(xlim=(0, turns), ylim=(0, ax.get_ylim()[1]))
    look.legend(ax)
    said = (
        f"{count(done, 'turn')} cost {dollars(spent)}. By turn {turns}: {'; '.join(words)}. Assumed: turns "
    )
    said += f"of {low.sum():,.0f} to {high.sum():,.0f} tokens of question and answer, as "
    said += "the shorter and the longer half of those so far" if done > 3 else "half to twice the few so far"
    said += f"; {model}, at the prices of the course; no call lost or tried twice"
    return look.with_caption(ax, said + ("; a cache that is always found." if cache else "."))
