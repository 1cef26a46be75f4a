"""Figures whose axis is money or tokens: sessions, strategies, models, tiers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..formatting import count, dollars, share, short, times
from ..frames import PROMPT_TOKENS, TOKENS, as_frame, cost_parts
from . import theme as look

_COSTS = {
    "cache read": ("cache_read_usd", look.CACHE_READ),
    "cache write": ("cache_write_usd", look.CACHE_WRITE),
    "input": ("input_usd", look.INPUT),
    "output": ("output_usd", look.OUTPUT),
}


def plot_session(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """What each call cost, of what it is made, and the running total; below, the tokens of each call.

    `frame`: as `chat.to_frame()` or `reprice` gives it.
    """
    frame = as_frame(frame, "plot_session", "call", "kind", "model", *TOKENS, "cost_usd")
    parts = cost_parts(frame).fillna(0)
    with look.style():
        axes = look.new_axes(ax, 4.4, nrows=2, sharex=True, height_ratios=(3, 2))
        group = look.group_size(len(frame))
        each = "USD a call" if group == 1 else f"USD a call\n(mean of each {group})"
        look.dress(axes[0], "What each call cost", "call" if ax is not None else "", each)
        if parts.to_numpy().any():
            stacked = {name: (paint, parts[column]) for name, (column, paint) in _COSTS.items()}
            handles = look.stack(axes[0], stacked)
            handles += _mark_kinds(axes[0], frame, parts.sum(axis=1))
            look.money_axis(axes[0].yaxis)
            look.count_axis(axes[0].xaxis)
            look.legend(axes[0], [*handles, look.running_total(axes[0], parts.sum(axis=1), "USD")])
        else:
            why = (
                "what these calls cost is not known"
                if frame["cost_usd"].isna().any()
                else "these calls cost nothing"
            )
            look.nothing_yet(axes[0], why if len(frame) else "no calls yet")
        if ax is None:
            _token_panel(axes[1], frame)
        return look.with_caption(axes[0], _session_words(frame, parts))


def _mark_kinds(ax: Axes, frame: pd.DataFrame, tops: pd.Series) -> list:
    """Marks the calls that are no replies, where each call has a bar of its own."""
    handles = []
    for kind, marker in (("summary", "P"), ("lost", "X")) if len(frame) <= look.FEW else ():
        at = np.flatnonzero(frame["kind"].to_numpy() == kind)
        if len(at):
            marks = {"marker": marker, "s": 36, "color": look.ink(ax), "label": kind, "clip_on": False}
            handles.append(ax.scatter(at + 1, tops.to_numpy()[at], zorder=5, **marks))
    return handles


def _token_panel(ax: Axes, frame: pd.DataFrame) -> None:
    look.dress(ax, "Tokens of each call", "call", "tokens a call")
    if not len(frame):
        return look.nothing_yet(ax, "")
    write = frame["cache_write_tokens"] + frame["cache_write_1h_tokens"]
    handles = look.stack(
        ax,
        {
            "cache read": (look.CACHE_READ, frame["cache_read_tokens"]),
            "cache write": (look.CACHE_WRITE, write),
            "input": (look.INPUT, frame["input_tokens"]),
            "output": (look.OUTPUT, frame["output_tokens"] - frame["thinking_tokens"]),
            "output, thinking": (look.THINKING, frame["thinking_tokens"]),
        },
    )
    look.count_axis(ax.yaxis)
    look.count_axis(ax.xaxis)
    return look.legend(ax, handles)


def _session_words(frame: pd.DataFrame, parts: pd.DataFrame) -> str:
    if not len(frame):
        return "No calls yet, so nothing was spent."
    costs, unknown = frame["cost_usd"].fillna(0).to_numpy(float), int(frame["cost_usd"].isna().sum())
    if unknown == len(frame):
        return f"{count(unknown, 'call')} at prices that are not known."
    total, dearest = costs.sum(), int(costs.argmax())
    sums = {"input": parts["input_usd"].sum(), "output": parts["output_usd"].sum()}
    sums["cache"] = parts["cache_read_usd"].sum() + parts["cache_write_usd"].sum()
    made = ", ".join(f"{name} {dollars(usd)} ({share(usd, total)})" for name, usd in sums.items() if usd)
    words = f"{count(len(frame), 'call')} cost {dollars(total)}"
    words += f": {made}." if made else "."
    if len(frame) > 1 and total:
        words += f" The dearest, call {frame['call'].iloc[dearest]:,}, cost {dollars(costs[dearest])}."
    words += f" Not in this sum: {count(unknown, 'call')} at prices that are not known." if unknown else ""
    for kind, what in (("summary", "summarised older turns"), ("lost", "brought no reply")):
        number = int((frame["kind"] == kind).sum())
        words += f" {count(number, 'call')} {what}." if number else ""
    return words


def plot_turn_tokens(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The tokens that each turn sends: what is new, and what was sent or received before and goes again.

    `frame`: as `chat.to_frame()` gives it, of a conversation that keeps its whole history.
    """
    frame = as_frame(frame, "plot_turn_tokens", "turn", *TOKENS)
    sent, replied = _by_turn(frame)
    known = np.append(0, (sent + replied)[:-1])[: len(sent)]
    again = np.minimum(sent, known)
    with look.style():
        ax = look.new_axes(ax)[0]
        look.dress(ax, "Tokens sent with each turn", "turn", "tokens sent")
        parts = {"sent before": (look.IDLE, again), "new in this turn": (look.INPUT, sent - again)}
        if len(sent):
            look.legend(ax, [*look.stack(ax, parts), look.running_total(ax, sent, "tokens")])
            look.count_axis(ax.yaxis)
            look.count_axis(ax.xaxis)
        else:
            look.nothing_yet(ax, "no turns yet")
        words = f"{count(len(sent), 'turn')} sent {count(sent.sum(), 'token')}"
        if again.any():
            words += f", {share(again.sum(), sent.sum())} of them not for the first time"
            words += f"; the last turn sent {times(sent[-1] / max(sent[0], 1))} what the first did"
        return look.with_caption(ax, words + ".")


def _by_turn(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Tokens sent in each turn, and tokens of each reply that the next turn sends (thinking is not kept)."""
    replied = frame["output_tokens"] - frame["thinking_tokens"]
    sums = pd.DataFrame({"sent": frame[list(PROMPT_TOKENS)].sum(axis=1), "replied": replied})
    sums = sums.groupby(frame["turn"].array).sum()
    return sums["sent"].to_numpy(float), sums["replied"].to_numpy(float)


def plot_strategies(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The same script under several strategies: tokens sent in each turn, and dollars so far.

    `frame`: the frames of the sessions under one another, with a column `strategy`.
    A call without a turn (a summary) counts to the turn that it was made for, the next one.
    """
    frame = as_frame(frame, "plot_strategies", "strategy", "turn", *PROMPT_TOKENS, "cost_usd")
    turns = frame.groupby("strategy", sort=False)["turn"].transform(lambda turn: turn.bfill().ffill())
    sent = frame[list(PROMPT_TOKENS)].sum(axis=1)
    columns = {
        "strategy": frame["strategy"].astype(str),
        "turn": turns,
        "sent": sent,
        "usd": frame["cost_usd"],
    }
    table = pd.DataFrame({name: column.array for name, column in columns.items()})
    lines = dict(list(table.groupby("strategy", sort=False)))
    totals = table.groupby("strategy", sort=False)[["sent", "usd"]].sum().sort_values("usd", kind="stable")
    with look.style():
        axes = look.new_axes(ax, 3.8, ncols=2)
        look.dress(axes[0], "Tokens sent in each turn", "turn", "tokens sent")
        if ax is None:
            look.dress(axes[1], "Dollars so far", "turn", "USD so far")
        for number, (name, calls) in enumerate(lines.items()):
            sums = calls.groupby("turn")[["sent", "usd"]].sum()
            turns = sums.index.to_numpy(float)
            look.line(axes[0], turns, sums["sent"].to_numpy(float), number, short(name))
            if ax is None:
                look.line(axes[1], turns, sums["usd"].to_numpy(float).cumsum(), number, "")
        for panel, y_axis in zip(axes, (look.count_axis, look.money_axis), strict=False):
            if not lines:
                look.nothing_yet(panel, "no turns yet")
                continue
            look.count_axis(panel.xaxis)
            y_axis(panel.yaxis)
            panel.set_ylim(0, panel.get_ylim()[1] * 1.03 or 1)
        look.legend(axes[0], over=axes[1] if ax is None else None)
        listed = (
            f"{name}: {count(row.sent, 'token')} sent, {dollars(row.usd)}" for name, row in totals.iterrows()
        )
        words = "Cheapest first: " + "; ".join(listed) + "." if lines else "No turns yet."
        return look.with_caption(axes[0], words)


def plot_models(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """What the same session costs on each model, the cheapest on top.

    `frame`: as `compare_models` gives it, or any with `model` (or another name) and `cost_usd`; `input_usd`,
    `output_usd`, `cache_read_usd` and `cache_write_usd` split the bars, `fits` marks what could not be.
    """
    frame = as_frame(frame, "plot_models", "model", "cost_usd")
    ranked = frame.sort_values("cost_usd", kind="stable").reset_index(drop=True)
    table = ranked.head(look.ROWS)
    costs, left = table["cost_usd"].to_numpy(float), np.zeros(len(table))
    high = costs[np.isfinite(costs)].max(initial=0)
    fits = table["fits"].to_numpy(bool) if "fits" in table else np.ones(len(table), bool)
    with look.style():
        ax = look.new_axes(ax, 1.5 + 0.3 * len(table))[0]
        some = f": the {look.ROWS} cheapest of {len(ranked)}" if len(ranked) > look.ROWS else ""
        look.dress(ax, f"The same session on each model{some}", "USD for the session", grid="x")
        if not len(table):
            look.nothing_yet(ax, "no models")
            return look.with_caption(ax, "No models to compare.")
        parts = {n: (table[c].to_numpy(float), paint) for n, (c, paint) in _COSTS.items() if c in table}
        handles = []
        for name, (usd, paint) in (parts or {"": (costs, look.INPUT)}).items():
            usd = np.nan_to_num(usd)
            if usd.any():
                handles.append(look.spans(ax, np.arange(len(table)), left, usd, paint, name))
                left = left + usd
        look.money_axis(ax.xaxis, 4)
        look.legend(ax, handles if parts else [])
        ratios = costs / costs[0] if costs[0] > 0 else np.ones(len(costs))
        right = [
            dollars(usd)
            + (f"  ({times(ratio)})" if ratio > 1.0005 else "")
            + ("" if fit else "  does not fit")
            for usd, ratio, fit in zip(costs, ratios, fits, strict=True)
        ]
        look.row_words(ax, [short(name) for name in table["model"]], right)
        ax.set_xlim(0, high * 1.02 or 1)
        return look.with_caption(ax, _models_words(ranked))


def _models_words(ranked: pd.DataFrame) -> str:
    held = ranked["model"] == "as held"
    words = f"As held, the session cost {dollars(ranked['cost_usd'][held].iloc[0])}. " if held.any() else ""
    others = ranked[~held].dropna(subset="cost_usd")
    if not len(others):
        return words.strip()
    low, high = others["cost_usd"].iloc[[0, -1]]
    cheapest = [short(name) for name in others["model"][others["cost_usd"] == low]]
    words += (
        f"The cheapest {'is' if len(cheapest) == 1 else 'are'} {' and '.join(cheapest)} at {dollars(low)}"
    )
    if len(others) > len(cheapest):
        words += f", the dearest {short(others['model'].iloc[-1])} at {dollars(high)}"
        words += f", {times(high / low)} as much" if low > 0 else ""
    unfit = others["model"][~others["fits"].astype(bool)] if "fits" in others else others["model"][:0]
    return words + "." + (f" It would not fit {', '.join(map(short, unfit))}." if len(unfit) else "")


def plot_tiers(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """What one request costs by the length of its prompt, with the cliffs where a dearer tier begins.

    `frame`: `model`, `prompt_tokens` (rising for each model) and `cost_usd`, as `cost_curve` gives it.
    """
    frame = as_frame(frame, "plot_tiers", "model", "prompt_tokens", "cost_usd")
    words = []
    with look.style():
        ax = look.new_axes(ax)[0]
        look.dress(ax, "One request, by the length of its prompt", "tokens in the prompt", "USD a request")
        for number, (name, part) in enumerate(frame.groupby("model", sort=False)):
            x, y = part["prompt_tokens"].to_numpy(float), part["cost_usd"].to_numpy(float)
            label = short(name)
            cliffs = np.flatnonzero((y[1:] > 1.2 * y[:-1]) & (x[1:] < 1.01 * x[:-1]))
            for at in cliffs:
                ax.plot(x[[at, at + 1]], y[[at, at + 1]], color=look.ink(ax), linestyle=":", linewidth=1.2)
                label += f": {dollars(y[at])}, then {dollars(y[at + 1])} beyond {x[at]:,.0f}"
                words.append(
                    f"At {x[at]:,.0f} tokens a request to {short(name)} costs {dollars(y[at])}, "
                    f"at {x[at + 1]:,.0f} it costs {dollars(y[at + 1])}: {times(y[at + 1] / y[at])} as much."
                )
            look.line(ax, np.insert(x, cliffs + 1, np.nan), np.insert(y, cliffs + 1, np.nan), number, label)
        if not len(frame):
            look.nothing_yet(ax, "no prices")
            return look.with_caption(ax, "No prices.")
        look.count_axis(ax.xaxis)
        look.money_axis(ax.yaxis)
        ax.set_ylim(0, ax.get_ylim()[1] or 1)
        look.legend(ax)
        return look.with_caption(ax, " ".join(words) or "No cliff: the price grows evenly with the prompt.")
