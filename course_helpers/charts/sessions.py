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
from ..frames import TOKENS, as_frame
from ..history import storage
from . import theme as look
from .simulate import STRATEGIES, Habit, costs_to_come, name_of

_IDENTITY = ["kind", "model", *TOKENS, "cost_usd", "seconds"]
"""What tells one call from all others: no two take the same time to the billionth of a second."""


@look.style()
def plot_sessions(sessions: Iterable[Any] | Mapping[str, Any], ax: Axes | None = None) -> Axes:
    """The cost curves of several sessions over each other: dollars so far, call by call.

    `sessions`: conversations, frames and files of saved conversations, in a list, or in a dict with their
    names. A fork starts where its past ends, at what that had cost. A call that stands in several of them, as
    in a conversation and its saved copy, counts once in the total.
    """
    if isinstance(sessions, str | os.PathLike | pd.DataFrame) or hasattr(sessions, "calls"):
        sessions = [sessions]
    named = sessions.items() if isinstance(sessions, Mapping) else [(None, one) for one in sessions]
    ax, frames, words = look.new_axes(ax)[0], [], []
    look.style_axes(ax, "What the sessions cost", "call", "USD so far")
    for number, (name, source) in enumerate(named):
        if isinstance(source, str | os.PathLike):
            name, source = name or Path(source).stem, storage.read(source)
        name = short(name or f"session {number + 1}")
        frame = as_frame(source, "plot_sessions", *_IDENTITY)
        start, before = past_of(source)
        so_far = before + np.append(0, frame["cost_usd"].fillna(0)).cumsum()
        look.line(ax, np.arange(len(so_far)) + start, so_far, number, name)
        words.append(f"{name}: {dollars(so_far[-1] - before)} ({count(len(frame), 'call')}")
        words[-1] += f", after a past of {dollars(before)})" if start else ")"
        frames.append(frame[_IDENTITY].round(9))
    if not frames:
        look.nothing_yet(ax, "no sessions yet")
        return look.with_caption(ax, "No sessions yet.")
    look.count_axis(ax.xaxis)
    look.money_axis(ax.yaxis)
    ax.set_ylim(0, ax.get_ylim()[1] or 1)
    look.legend(ax)
    # Of calls that are the same, the second in one session is the second in another.
    alike = [frame.assign(nth=frame.groupby(_IDENTITY, dropna=False).cumcount()) for frame in frames]
    calls = pd.concat(alike).drop_duplicates()
    total = f"{count(len(frames), 'session')} cost {dollars(calls['cost_usd'].sum())}: "
    total += f"{count(len(calls), 'call')}, each counted once. "
    unknown = int(calls["cost_usd"].isna().sum())
    words = "; ".join(words) + "."
    words += f" Not in this sum: {count(unknown, 'call')} at prices that are not known." if unknown else ""
    return look.with_caption(ax, total + words)


def past_of(source: Any) -> tuple[int, float]:
    """How many calls the shared past of a fork had, and what they cost; nothing for what is no fork."""
    past = getattr(source, "past", None)
    return (past.calls, past.cost_usd) if hasattr(past, "cost_usd") else (0, 0.0)


@look.style()
def plot_forecast(chat: Any, turns: int = 50, ax: Axes | None = None) -> Axes:
    """What the session will have cost when it has `turns` turns, as a range, under each strategy.

    `chat`: a conversation, the file of a saved one, or a frame. Nothing is sent to find out: the coming turns
    are taken to be like those so far, as the caption says. Raises a ValueError where `turns` are over already.
    """
    if isinstance(chat, str | os.PathLike):
        chat = storage.read(chat)
    habit, frame = Habit.of(chat), as_frame(chat, "plot_forecast", "turn", "cost_usd")
    spent, done = past_of(chat)[1] + frame["cost_usd"].sum(), len(habit.sizes)
    ax = look.new_axes(ax, 3.6)[0]
    look.style_axes(ax, f"What this session will cost until turn {turns}", "turn", "USD so far")
    if not done or not spent > 0:
        look.nothing_yet(ax, "these calls cost nothing that is known" if done else "no turns yet")
        return look.with_caption(ax, "There is nothing yet that a forecast could go by.")
    if turns <= done:
        raise ValueError(f"The session has {count(done, 'turn')} already: ask for more than {done}.")
    words = []
    keep = getattr(chat, "keep", None)
    strategies = [keep if type(keep) is type(one) else one for one in STRATEGIES]
    for number, strategy in enumerate(strategies):
        low, mean, high = (costs_to_come(habit, strategy, turns - done, size) + spent for size in habit.range)
        x, name = np.arange(done, turns + 1), name_of(strategy)
        name += ", as now" if strategy is keep else ""
        drawn = look.line(ax, x, np.append(spent, mean), number, name)
        ax.fill_between(x, np.append(spent, low), np.append(spent, high), color=drawn.get_color(), alpha=0.15)
        words.append(f"{name}: {dollars(low[-1])} to {dollars(high[-1])}")
    own = frame["cost_usd"].fillna(0).groupby(frame["turn"].bfill().ffill().array).sum()
    so_far = past_of(chat)[1] + own.to_numpy(float).cumsum()
    ax.plot(np.arange(done - len(own), done) + 1, so_far, color=look.text_color(ax), label="so far")
    look.count_axis(ax.xaxis)
    look.money_axis(ax.yaxis)
    ax.set(xlim=(0, turns), ylim=(0, ax.get_ylim()[1]))
    look.legend(ax)
    said = f"{count(done, 'turn')} cost {dollars(spent)}. By turn {turns}: {'; '.join(words)}. Assumed: "
    return look.with_caption(ax, said + habit.assumptions())
