"""Figures whose axis is time: one call's attempts, waiting for the first words, a crowd coming back."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..formatting import count, short
from . import theme as look


@look.figure("attempt", "started", "seconds", "outcome", "wait", "asked")
def plot_attempts(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """One call, or a storm, as a timeline: each request, how it ended, and the wait before the next.

    `frame`: of a list of `retries.Attempt`, or a report card's; `asked`: the server named the wait.
    """
    what, height = "storm" if "case" in frame else "call", 1.3 + 0.3 * len(frame)
    title, unit = f"The attempts of one {what}", f"seconds since the {what} began"
    ax = look.style_axes(ax, title, unit, "request", "x", height)
    start, took, wait = (frame[name].to_numpy() for name in ("started", "seconds", "wait"))
    asked, good = frame["asked"].to_numpy(), (frame["outcome"] == "reply").to_numpy(bool)
    # A request on loopback is over in a millisecond: it stays visible beside waits of seconds.
    least = np.maximum(took, (np.ptp([start, start + took + wait]) or 1) * 0.006)
    parts = {
        "request that got its reply": (look.GOOD, least * good),
        "request that failed": (look.BAD, least * ~good),
        "wait of our own backoff": (look.IDLE, wait * ~asked),
        "wait that the server asked for": (look.ASKED, wait * asked),
    }
    left = [f"{n}: {short(end, 24)}" for n, end in zip(frame["attempt"], frame["outcome"], strict=True)]
    right = [f"waits {seconds:,.2g} s" if seconds else "" for seconds in wait]
    look.rows(ax, parts, left, right, start)
    outcomes, waits = frame["outcome"], frame[frame["wait"] > 0]
    failed = Counter(outcomes[outcomes != "reply"]).items()  # in the order in which they came
    listed = ", ".join(outcome if n == 1 else f"{outcome} ({n:,} times)" for outcome, n in failed)
    got = "the last got the reply" if outcomes.iloc[-1] == "reply" else "none got a reply"
    words = [f"{count(len(frame), 'request')}; {got}.", listed and f"Failed: {listed}."]
    words.append(f"{count(len(waits), 'wait')}, {waits['asked'].sum()} of them as long as the server asked.")
    timed = f"The {what} took {(start + took + wait).max():,.2f} s, {wait.sum():,.2f} s of it waiting."
    return look.with_caption(ax, *words, timed=timed)


@look.figure("seconds", "first_token_seconds")
def plot_first_token(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Calls as timelines: how long nothing is to be seen, and how long text flows.

    `frame`: `seconds` and `first_token_seconds` (NaN where nothing was streamed); `label` names the rows.
    """
    height = 1.3 + 0.3 * len(frame)
    ax = look.style_axes(ax, "Waiting for the first words", "seconds since the request", "", "x", height)
    whole, streamed = frame["seconds"].to_numpy(), frame["first_token_seconds"].notna().to_numpy()
    first = frame["first_token_seconds"].fillna(frame["seconds"]).to_numpy()
    left = [f"call {n}, {'streamed' if flows else 'blocking'}" for n, flows in enumerate(streamed, 1)]
    right = [f"all {late:.2f} s" for late in whole]
    for n in np.flatnonzero(streamed):
        right[n] = f"first words {first[n]:.2f} s, {right[n]}"
    parts = {"nothing to read yet": (look.IDLE, first), "text flows": (look.INPUT, whole - first)}
    look.rows(ax, parts, [*map(short, frame.get("label", left))], right)
    marks = {"marker": "D", "color": look.ink(), "clip_on": False, "zorder": 5, "label": "first words"}
    ax.scatter(first, np.arange(len(first)), 36, **marks)
    look.legend(ax)
    words = [f"{count(len(frame), 'call')}, {streamed.sum():,} of them streamed."]
    timed = f"The first words came after {np.median(first):.2f} s (median)."
    if streamed.any() and not streamed.all():
        early, late = np.median(first[streamed]), np.median(first[~streamed])
        than = "sooner" if early < late else "no sooner"
        words.append(f"Streamed, the first words came {than} than unstreamed.")
        timed = f"After {early:.2f} s instead of {late:.2f} s (medians)."
    return look.with_caption(ax, *words, timed=timed)


@look.figure("jitter", "second")
def plot_crowd(frame: pd.DataFrame, ax: Axes | None = None, *, limit: float | None = None) -> Axes:
    """How many requests reach the server in each second, for each kind of jitter.

    `frame`: a row a request: `jitter` (such as "no jitter") and `second`, on the simulated clock.
    `limit`: requests a second that the server takes, drawn as a line.
    """
    edges, words = np.arange(int(frame["second"].max()) + 2), []
    groups = list(frame.groupby("jitter", sort=False)["second"])
    axes = look.panels(ax, 1.0 + 1.2 * len(groups), nrows=len(groups), sharex=True, sharey=True)
    # A given Axes takes the first alone.
    for number, (panel, (name, seconds)) in enumerate(zip(axes, groups, strict=False)):
        title = "" if number else "A crowd comes back"
        unit = "seconds on the simulated clock" if panel is axes[-1] else ""
        look.style_axes(panel, title, unit, "requests\na second")
        arriving, _ = np.histogram(seconds, edges)
        panel.stairs(arriving, edges, color=f"C{number}", fill=True, linewidth=0)
        panel.set_title(short(name), loc="right", fontsize=10, fontweight="normal")
        peak, end = arriving.argmax(), np.flatnonzero(arriving)[-1] + 1
        said = f"{name}: {count(arriving.sum(), 'request')} within {count(end, 'second')}, at most "
        said += f"{arriving[peak]:,.0f} a second (second {peak + 1})"
        if limit is not None:
            dashes = {"color": look.ink(), "linewidth": 1.2, "linestyle": "--"}
            panel.axhline(limit, label=f"the server takes {limit:g} a second", **dashes)
            turned_away = np.maximum(arriving - limit, 0).sum()
            said += f", {turned_away:,.0f} of them beyond what the server takes" if turned_away else ""
        words.append(f"{said}.")
    axes[0].set(xlim=(0, edges[-1]), ylim=(0, None))
    look.legend(axes[0])
    return look.with_caption(axes[0], *words)
