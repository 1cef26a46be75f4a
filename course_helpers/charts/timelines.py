"""Figures whose axis is time: one call's attempts, waiting for the first words, a crowd coming back."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..formatting import count, short
from ..frames import as_frame
from . import theme as look


@look.styled
def plot_attempts(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """One call as a timeline: each request, how it ended, and the wait before the next.

    `frame`: `pandas.DataFrame` of a list of `retries.Attempt`: `attempt`, `started`, `seconds`, `outcome`,
    `wait` and `asked` (the server named the wait).
    """
    columns = ("attempt", "started", "seconds", "outcome", "wait", "asked")
    frame = as_frame(frame, "plot_attempts", *columns)
    table = frame.tail(look.ROWS)
    title, x = f"The attempts of one call{_last(frame)}", "seconds since the call began"
    ax = look.style_axes(look.new_axes(ax, 1.3 + 0.3 * len(table))[0], title, x, "request", grid="x")
    if not len(table):
        return look.empty(ax, "no requests yet")
    start, took, wait = (table[name].to_numpy() for name in ("started", "seconds", "wait"))
    asked, good = table["asked"].to_numpy(), (table["outcome"] == "reply").to_numpy(bool)
    ends, rows = start + took, np.arange(len(table))
    low, high = start.min(), (ends + wait).max()
    # A request on loopback is over in a millisecond: it stays visible beside waits of seconds.
    least = np.maximum(took, (high - low) * 0.006)
    bars = (
        ("wait that the server asked for", (wait > 0) & asked, ends, wait, look.ASKED),
        ("wait of our own backoff", (wait > 0) & ~asked, ends, wait, look.IDLE),
        ("request that failed", ~good, start, least, look.BAD),
        ("request that got its reply", good, start, least, look.GOOD),
    )
    drawn = [
        look.hbars(ax, rows[at], begin[at], length[at], paint, name)
        for name, at, begin, length, paint in bars
        if at.any()
    ]
    look.legend(ax, drawn[::-1])
    left = [f"{n}: {short(end, 24)}" for n, end in zip(table["attempt"], table["outcome"], strict=True)]
    look.row_labels(ax, left, [f"waits {seconds:,.2g} s" if seconds else "" for seconds in wait])
    ax.set_xlim(low, high + (high - low) * 0.02 or 1)
    plain, timed = _attempts_words(frame)
    return look.with_caption(ax, timed, plain)


def _last(frame: pd.DataFrame) -> str:
    return f": the last {look.ROWS} of {len(frame):,}" if len(frame) > look.ROWS else ""


def _attempts_words(frame: pd.DataFrame) -> tuple[str, str]:
    """What the attempts in `frame` came to, without and with the time it took."""
    failed = frame["outcome"][frame["outcome"] != "reply"].value_counts(sort=False)
    listed = ", ".join(outcome if n == 1 else f"{outcome} ({n:,} times)" for outcome, n in failed.items())
    waits = frame[frame["wait"] > 0]
    words = f"{count(len(frame), 'request')}; "
    words += "the last got the reply." if frame["outcome"].iloc[-1] == "reply" else "none got a reply."
    words += f" Failed: {listed}." if listed else ""
    if not len(waits):
        return words, words
    words += f" {count(len(waits), 'wait')}, {int(waits['asked'].sum())} of them as long as the server asked."
    whole = (frame["started"] + frame["seconds"] + frame["wait"]).max()
    return words, f"{words} The call took {whole:,.2f} s, {waits['wait'].sum():,.2f} s of it waiting."


@look.styled
def plot_first_token(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Calls as timelines: how long nothing is to be seen, and how long text flows.

    `frame`: `seconds` and `first_token_seconds` (NaN for a call that was not streamed), as `chat.to_frame()`
    has them; `label` names the rows.
    """
    frame = as_frame(frame, "plot_first_token", "seconds", "first_token_seconds")
    table = frame.tail(look.ROWS)
    title, x = f"Waiting for the first words{_last(frame)}", "seconds since the request"
    ax = look.style_axes(look.new_axes(ax, 1.3 + 0.3 * len(table))[0], title, x, grid="x")
    if not len(table):
        return look.empty(ax, "no calls yet")
    whole, streamed = table["seconds"].to_numpy(), table["first_token_seconds"].notna().to_numpy()
    first = table["first_token_seconds"].fillna(table["seconds"]).to_numpy()
    rows = np.arange(len(table))
    drawn = [look.hbars(ax, rows, 0, first, look.IDLE, "nothing to read yet")]
    if streamed.any():
        spread = (rows[streamed], first[streamed], (whole - first)[streamed])
        drawn.append(look.hbars(ax, *spread, look.INPUT, "text flows"))
    marker = {"marker": "D", "color": look.ink(), "clip_on": False}
    drawn.append(ax.scatter(first, rows, 36, zorder=5, label="first words", **marker))
    look.legend(ax, drawn)
    number = len(frame) - len(table) + 1
    left, right = [], []
    for row, (early, late, flows) in enumerate(zip(first, whole, streamed, strict=True)):
        left.append(f"call {number + row}, {'streamed' if flows else 'blocking'}")
        right.append((f"first words {early:.2f} s, " if flows else "") + f"all {late:.2f} s")
    look.row_labels(ax, [short(label) for label in table.get("label", left)], right)
    ax.set_xlim(0, whole.max() * 1.02 or 1)
    plain, timed = _first_words(frame)
    return look.with_caption(ax, timed, plain)


def _first_words(frame: pd.DataFrame) -> tuple[str, str]:
    """When the first words came, without and with seconds."""
    streamed = frame["first_token_seconds"].notna()
    words = f"{count(len(frame), 'call')}, {streamed.sum():,} of them streamed."
    if not streamed.any():
        late = frame["seconds"].median()
        return words, f"{words} The first words came with the last, after {late:.2f} s (median)."
    early = frame["first_token_seconds"].median()
    if streamed.all():
        return words, f"{words} The first words came after {early:.2f} s (median)."
    late = frame["seconds"][~streamed].median()
    words += f" Streamed, the first words came {'sooner' if early < late else 'no sooner'} than unstreamed."
    return words, f"{words} After {early:.2f} s instead of {late:.2f} s (medians)."


@look.styled
def plot_crowd(frame: pd.DataFrame, ax: Axes | None = None, *, limit: float | None = None) -> Axes:
    """How many requests reach the server in each second, for each kind of jitter.

    `frame`: one row a request: `jitter` (its name, such as "no jitter") and `second` (when it came, on the
    simulated clock).
    `limit`: requests a second that the server takes, drawn as a line.
    """
    frame = as_frame(frame, "plot_crowd", "jitter", "second")
    groups = {name: part["second"].to_numpy() for name, part in frame.groupby("jitter", sort=False)}
    panels = max(1, len(groups))
    axes = look.new_axes(ax, 1.0 + 1.2 * panels, nrows=panels, sharex=True, sharey=True)
    for panel in axes:
        look.style_axes(panel, "A crowd comes back" if panel is axes[0] else "", y="requests\na second")
    axes[-1].set_xlabel("seconds on the simulated clock")
    if not groups:
        return look.empty(axes[0], "no requests")
    last = int(frame["second"].max()) + 1
    width = max(1, -(-last // 300))  # seconds a step: thinner steps than 300 could not be seen
    edges = np.arange(0, last + width, width)
    arriving = {name: np.histogram(seconds, edges)[0] for name, seconds in groups.items()}
    for number, (panel, (name, requests)) in enumerate(zip(axes, arriving.items(), strict=False)):
        paint = look.LINES[number % len(look.LINES)]
        panel.stairs(requests / width, edges, color=paint.color, fill=True, linewidth=0)
        panel.set_title(short(name), loc="right", fontsize=10, fontweight="normal", color=look.ink())
        if limit is not None:
            dashes = {"color": look.ink(), "linewidth": 1.2, "linestyle": "--"}
            panel.axhline(limit, label=f"the server takes {limit:g} a second", **dashes)
    look.counts_on(axes[0].xaxis)
    look.counts_on(axes[0].yaxis)
    axes[0].set(xlim=(0, edges[-1]), ylim=(0, axes[0].get_ylim()[1]))
    look.legend(axes[0])
    words = (_crowd_words(name, requests, width, limit) for name, requests in arriving.items())
    return look.with_caption(axes[0], " ".join(words))


def _crowd_words(name: str, arriving: np.ndarray, width: int, limit: float | None) -> str:
    peak, end = int(arriving.argmax()), int(np.flatnonzero(arriving)[-1] + 1) * width
    words = f"{name}: {count(arriving.sum(), 'request')} within {count(end, 'second')}, at most "
    words += f"{arriving[peak] / width:,.0f} a second (second {peak * width + 1})"
    turned_away = 0 if limit is None else np.maximum(arriving - limit * width, 0).sum()
    return words + (f", {turned_away:,.0f} of them beyond what the server takes." if turned_away else ".")
