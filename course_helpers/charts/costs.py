"""Figures whose axis is money or tokens: sessions, strategies, models, tiers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..formatting import count, dollars, share, short, times
from ..frames import PARTS, PROMPT_TOKENS, TOKENS, cost_parts
from . import theme as look

LOOKS = {
    "cache read": ("cache_read_usd", look.CACHE_READ),
    "cache write": ("cache_write_usd", look.CACHE_WRITE),
    "input": ("input_usd", look.INPUT),
    "output": ("output_usd", look.OUTPUT),
}


@look.figure("call", "model", *TOKENS, "cost_usd")
def plot_session(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """What each call cost, of what it is made, and the running total; below, the tokens of each call.

    `frame`: as `chat.to_frame()` or `reprice` gives it.
    """
    parts, known = cost_parts(frame), frame["cost_usd"].count()
    costs, sums = parts.sum(axis=1).to_numpy(), parts.sum()
    top, *below = look.panels(ax, 4.4, nrows=2, sharex=True, height_ratios=(3, 2))
    look.style_axes(top, "What each call cost", "" if below else "call", "USD a call")
    look.bars(top, {name: (paint, parts[part]) for name, (part, paint) in LOOKS.items()}, "USD")
    for at in np.flatnonzero((costs > 0) & (costs < 0.02 * costs.max())):  # too flat to be seen
        words = {"rotation": 90, "ha": "center", "va": "bottom", "fontsize": 8}
        top.annotate(dollars(costs[at]), (at + 1, costs[at]), (0, 6), textcoords="offset points", **words)
    for panel in below:
        look.style_axes(panel, "Tokens of each call", "call", "tokens a call")
        spoken = frame.assign(output_tokens=frame["output_tokens"] - frame["thinking_tokens"])
        tokens = {name: (paint, spoken[[*PARTS[part]]].sum(axis=1)) for name, (part, paint) in LOOKS.items()}
        tokens["output, thinking"] = look.THINKING, frame["thinking_tokens"]
        look.bars(panel, tokens)
    if not known:
        return look.with_caption(top, f"{count(len(frame), 'call')} at prices that are not known.")
    cache = sums["cache_read_usd"] + sums["cache_write_usd"]
    of = {"input": sums["input_usd"], "output": sums["output_usd"], "cache": cache}
    made = ", ".join(f"{name} {dollars(usd)} ({share(usd, costs.sum())})" for name, usd in of.items() if usd)
    words = [f"{count(known, 'call')} cost {dollars(costs.sum())}{': ' * bool(made)}{made}."]
    if len(frame) > 1 and costs.any():
        dearest = frame.iloc[costs.argmax()]
        words.append(f"The dearest, call {dearest['call']:,}, cost {dollars(dearest['cost_usd'])}.")
    return look.with_caption(top, *words, unpriced(len(frame) - known))


def unpriced(calls: int) -> str:
    """What a caption says of the number of calls whose cost is not known."""
    return f"Not in this sum: {count(calls, 'call')} at prices that are not known." if calls else ""


@look.figure("turn", *TOKENS)
def plot_turn_tokens(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The tokens that each turn sends: what is new, and what was sent or received before and goes again.

    `frame`: as `chat.to_frame()` gives it, of a conversation that keeps its whole history.
    """
    table = frame.assign(sent=frame[list(PROMPT_TOKENS)].sum(axis=1))
    # Of a reply goes again what is kept of it: all but the thinking.
    table["kept"] = frame["output_tokens"] - frame["thinking_tokens"]
    turns = table.groupby("turn")[["sent", "kept"]].sum()
    sent, again = turns["sent"], np.minimum(turns["sent"], turns.sum(axis=1).shift(fill_value=0))
    ax = look.style_axes(ax, "Tokens sent with each turn", "turn", "tokens sent")
    parts = {"sent or received before": (look.IDLE, again), "new in this turn": (look.INPUT, sent - again)}
    look.bars(ax, parts, "tokens")
    words = f"{count(len(sent), 'turn')} sent {count(sent.sum(), 'token')}"
    if again.any():
        words += f", {share(again.sum(), sent.sum())} of them sent or received before"
        words += f"; the last turn sent {times(sent.iloc[-1] / max(sent.iloc[0], 1))} what the first did"
    return look.with_caption(ax, words + ".")


@look.figure("strategy", "turn", *PROMPT_TOKENS, "cost_usd")
def plot_strategies(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The same script under several strategies: tokens sent in each turn, and dollars so far.

    `frame`: the sessions' frames under one another, with a column `strategy`. A call without a turn (a
    summary) counts to the turn that it was made for, the next one.
    """
    table = frame[["strategy", "turn"]].assign(usd=frame["cost_usd"])
    table["sent"] = frame[list(PROMPT_TOKENS)].sum(axis=1)
    sessions = table.groupby("strategy", sort=False)
    totals = sessions[["sent", "usd"]].sum().sort_values("usd", kind="stable")
    table["turn"] = sessions["turn"].transform(lambda turn: turn.bfill().ffill()).astype(float)
    lines = table.pivot_table(["sent", "usd"], "turn", "strategy", "sum", sort=False).sort_index()
    axes = look.panels(ax, 3.8, ncols=2)
    shown = {"Tokens sent in each turn": lines["sent"], "Dollars so far": lines["usd"].cumsum()}
    units = ("tokens sent", "USD so far")
    for panel, unit, (title, values) in zip(axes, units, shown.items(), strict=False):
        look.style_axes(panel, title, "turn", unit)
        panel.plot(values.index, values, label=[*map(short, values)])
        panel.set_ylim(bottom=0)
    look.legend(axes[0], above=ax is None)
    said = [f"{name}: {count(sent, 'token')} sent, {dollars(usd)}" for name, sent, usd in totals.itertuples()]
    return look.with_caption(axes[0], f"Cheapest first: {'; '.join(said)}.")


@look.figure("model", "cost_usd")
def plot_models(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """What the same session costs on each model, the cheapest on top.

    `frame`: `model` and `cost_usd`; other columns of `compare_models` split the bars.
    """
    ranked = frame.sort_values("cost_usd", kind="stable").reset_index(drop=True)
    height = 1.5 + 0.3 * len(ranked)
    ax = look.style_axes(ax, "The same session on each model", "USD for the session", "", "x", height)
    costs = ranked["cost_usd"].to_numpy(float)
    parts = {name: (paint, ranked[part]) for name, (part, paint) in LOOKS.items() if part in ranked}
    parts = parts or {"": (look.INPUT, costs)}
    dearer = [f"  ({times(usd / costs[0])})" if usd > 1.0005 * costs[0] > 0 else "" for usd in costs]
    right = [dollars(usd) + more for usd, more in zip(costs, dearer, strict=True)]
    look.rows(ax, parts, [*map(short, ranked["model"])], right)
    held = ranked["model"] == "as held"
    words = [f"As held, the session cost {dollars(usd)}." for usd in ranked["cost_usd"][held]]
    others = ranked[~held].dropna(subset="cost_usd")
    if not len(others):
        return look.with_caption(ax, *words)
    low, high = others["cost_usd"].iloc[[0, -1]]
    cheapest = [*map(short, others["model"][others["cost_usd"] == low])]
    said = f"The cheapest {'are' if cheapest[1:] else 'is'} {' and '.join(cheapest)} at {dollars(low)}"
    if len(others) > len(cheapest):
        said += f", the dearest {short(others['model'].iloc[-1])} at {dollars(high)}"
        said += f", {times(high / low)} as much" if low > 0 else ""
    return look.with_caption(ax, *words, f"{said}.")


@look.figure("model", "prompt_tokens", "cost_usd")
def plot_tiers(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """What one request costs by the length of its prompt, with the cliffs where a dearer tier begins.

    `frame`: `model`, `prompt_tokens` (rising for each model) and `cost_usd`, as `cost_curve` gives it.
    """
    title, words = "One request, by the length of its prompt", []
    ax = look.style_axes(ax, title, "tokens in the prompt", "USD a request")
    for name, part in frame.groupby("model", sort=False):
        x, y = part["prompt_tokens"].to_numpy(float), part["cost_usd"].to_numpy(float)
        label = name = short(name)
        for at in np.flatnonzero((y[1:] > 1.2 * y[:-1]) & (x[1:] < 1.01 * x[:-1])):
            low, high = dollars(y[at]), dollars(y[at + 1])
            label += f": {low}, then {high} beyond {x[at]:,.0f}"
            said = f"At {x[at]:,.0f} tokens a request to {name} costs {low}, at {x[at + 1]:,.0f} it costs"
            words.append(f"{said} {high}: {times(y[at + 1] / y[at])} as much.")
        ax.plot(x, y, label=label)
    ax.set_ylim(bottom=0)
    look.legend(ax)
    return look.with_caption(ax, " ".join(words) or "No cliff: the price grows evenly with the prompt.")
