"""How the figures of `charts.py` look: colours with a second cue, axes, legends, captions.

Nothing here touches matplotlib's global settings. Text takes its colour from what it stands on, so a figure
looks right on white, on a dark style, and where it is transparent.
"""

from __future__ import annotations

import math
import re
import textwrap
from contextlib import contextmanager
from typing import NamedTuple
from weakref import WeakKeyDictionary

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.ticker import Formatter, MaxNLocator

from ..formatting import dollars

WIDTH = 8.0
"""Inches: 800 pixels, the width of a notebook's output."""
FEW = 60
"""Up to so many calls each has a bar of its own; beyond, an area is drawn."""
GROUPS = 150
"""Beyond so many calls the area shows means of neighbours, else it would be a blot."""
CAPTION_WIDTH = 88  # characters: JupyterLab breaks longer lines in mid-word
ROWS = 30
"""A figure with a row for each call or model shows no more than these; its caption counts all."""


class Paint(NamedTuple):
    """A colour and the cue that stands beside it for those who cannot tell colours apart."""

    color: str
    hatch: str = ""
    line: object = "-"
    marker: str = "o"


# Okabe and Ito's palette, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, SKY = "#0072B2", "#E69F00", "#009E73", "#56B4E9"
VERMILION, PURPLE, GREY = "#D55E00", "#CC79A7", "#8C8C8C"

INPUT, OUTPUT, THINKING = Paint(BLUE), Paint(ORANGE, "///"), Paint(PURPLE, "\\\\\\")
CACHE_WRITE, CACHE_READ = Paint(GREEN, "..."), Paint(SKY, "xxx")
GOOD, BAD, IDLE, ASKED = Paint(GREEN), Paint(VERMILION, "///"), Paint(GREY, "\\\\\\"), Paint(SKY, "xxx")
LINES = (
    Paint(BLUE, "", "-", "o"),
    Paint(VERMILION, "", "--", "s"),
    Paint(GREEN, "", "-.", "^"),
    Paint(PURPLE, "", ":", "D"),
    Paint(ORANGE, "", (0, (6, 1, 1, 1, 1, 1)), "v"),
    Paint(SKY, "", (0, (1, 1)), "P"),
    Paint(GREY, "", (0, (8, 3)), "X"),
)

# ------------------------------------------------------------------------------------------ axes


class DollarTicks(Formatter):
    """The ticks of a money axis, all with as many decimals as the step between them needs."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return dollars(x)

    def format_ticks(self, values) -> list[str]:
        steps = np.diff(np.sort(values)) if len(values) > 1 else np.abs(values)
        step = min((s for s in steps if s > 0), default=1.0)
        fits = (d for d in (0, *range(2, 16)) if abs(round(step, d) - step) < step * 1e-6)
        decimals = next(fits, 16)
        return [
            f"{'-' if x < 0 else ''}${abs(x):,.{decimals}f}" if abs(x) > step / 2 else "$0" for x in values
        ]


class CountTicks(Formatter):
    """The ticks of an axis of whole numbers: thousands separated, or all in millions."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:,.0f}"

    def format_ticks(self, values) -> list[str]:
        millions = max(values, default=0) >= 1e6
        return [f"{x / 1e6:g}M" if millions and x else f"{x:,.0f}" for x in values]


def money_axis(axis, most: int = 6) -> None:
    """Dollars, in at most `most` steps."""
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(DollarTicks())


def count_axis(axis) -> None:
    """Whole numbers (tokens, calls, turns)."""
    axis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axis.set_major_formatter(CountTicks())


def paper(ax: Axes) -> tuple:
    """The colour between the parts of a bar: that of the figure, or white on a transparent one."""
    color = to_rgba(ax.figure.figure.get_facecolor())
    return color if color[3] >= 0.5 else (1, 1, 1, 1)


def ink(ax: Axes, faint: float = 0.0) -> str:
    """A readable text colour for `ax`; on a transparent figure a grey that both themes show."""
    red, green, blue, alpha = to_rgba(ax.figure.figure.get_facecolor())
    if alpha < 0.5:
        return "#7a7a7a"
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5
    level = round(33 + faint * 153 if light else 237 - faint * 153)
    return f"#{level:02x}{level:02x}{level:02x}"


@contextmanager
def style():
    """Settings for what is drawn inside, and only for that. Dollars are text, not mathematics."""
    with plt.rc_context({"text.parse_math": False, "hatch.linewidth": 0.7, "legend.fontsize": 9}):
        yield


def new_axes(ax: Axes | None, height: float = 3.2, **panels) -> list[Axes]:
    """`ax` alone where one is given; else the axes of a new figure of notebook width."""
    if ax is not None:
        return [ax]
    figure, made = plt.subplots(figsize=(WIDTH, height), layout="constrained", squeeze=False, **panels)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
    return list(made.flat)


def dress(ax: Axes, title: str, x: str = "", y: str = "", grid: str = "y") -> None:
    """Title, labels with units, a quiet frame and a grid along `grid`."""
    ax.set_facecolor("none")
    ax.set_title(title, loc="left", **_title(ax))
    ax.set_xlabel(x, color=ink(ax))
    ax.set_ylabel(y, color=ink(ax))
    ax.tick_params(colors=ink(ax), labelcolor=ink(ax), labelsize=9)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(ink(ax, 0.5))
    ax.grid(True, axis=grid, color=ink(ax, 0.9), linewidth=0.6)
    ax.set_axisbelow(True)


def _title(ax: Axes) -> dict:
    return {"color": ink(ax), "fontsize": 11, "fontweight": "bold"}


def legend(ax: Axes, handles: list | None = None, over: Axes | None = None, most: int = 9) -> None:
    """The legend between title and axes, where it hides nothing, in at most `most` columns.

    With `over`, the last of several panels, it stands above the whole figure.
    """
    handles = handles if handles is not None else ax.get_legend_handles_labels()[0]
    if not handles:
        return
    box = (over or ax).get_window_extent()
    inches = (box.x1 - ax.get_window_extent().x0) / ax.figure.figure.dpi
    columns = min(most, _columns([0.55 + 0.07 * len(handle.get_label()) for handle in handles], inches))
    look = {
        "frameon": False,
        "labelcolor": ink(ax),
        "handlelength": 2.2,
        "columnspacing": 1.4,
        "ncols": columns,
    }
    if over is not None:
        ax.figure.legend(handles=handles, loc="outside upper left", **look)
        return
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, **look)
    rows = math.ceil(len(handles) / columns)
    ax.set_title(ax.get_title("left"), loc="left", pad=6 + 15 * rows, **_title(ax))


def _columns(widths: list[float], inches: float) -> int:
    """How many columns a legend may have whose entries, filled in column by column, are `widths` wide."""
    for columns in range(len(widths), 1, -1):
        rows = math.ceil(len(widths) / columns)
        if sum(max(widths[at : at + rows]) for at in range(0, len(widths), rows)) <= inches:
            return columns
    return 1


def row_words(ax: Axes, left: list[str], right: list[str]) -> None:
    """Words at both ends of the rows 0, 1, 2 … of `ax`, the first on top."""
    ax.set_ylim(len(left) - 0.5, -0.5)
    other = ax.secondary_yaxis("right")
    for axis, words in ((ax, left), (other, right)):
        axis.set_yticks(range(len(words)), words)
        axis.tick_params(axis="y", length=0, labelsize=9, labelcolor=ink(ax))
        for label in axis.get_yticklabels():
            label.set_parse_math(False)
    other.spines["right"].set_visible(False)


def nothing_yet(ax: Axes, words: str) -> None:
    """Says so in the middle of an empty `ax`."""
    ax.set(xticks=[], yticks=[])
    ax.text(0.5, 0.5, words, ha="center", va="center", color=ink(ax), transform=ax.transAxes)


# ------------------------------------------------------------------------------------------ marks


def stack(ax: Axes, parts: dict[str, tuple[Paint, np.ndarray]], first: int = 1) -> list:
    """`parts` (name: paint and values) on top of one another; returns the legend's handles.

    Few values are bars at `first`, `first` + 1 …; many an area; very many the means of neighbours.
    Parts that are zero throughout are left out.
    """
    parts = {name: part for name, part in parts.items() if np.any(part[1])}
    length = max((len(values) for _, values in parts.values()), default=0)
    starts = np.arange(0, length, group_size(length))
    edges = np.append(starts, length) + first - 0.5
    bottom, handles = np.zeros(len(starts)), []
    for name, (paint, values) in parts.items():
        means = np.add.reduceat(np.asarray(values, float), starts) / np.diff(np.append(starts, length))
        look = {"facecolor": paint.color, "edgecolor": paper(ax), "hatch": paint.hatch, "label": name}
        if length <= FEW:
            drawn = ax.bar(np.arange(length) + first, means, 0.8, bottom, linewidth=0.5, **look)
        else:
            drawn = ax.stairs(bottom + means, edges, baseline=bottom, fill=True, linewidth=0, **look)
        handles.append(drawn)
        bottom = bottom + means
    ax.set_xlim(first - 0.6, max(length, 1) + first - 0.4)
    ax.set_ylim(0, bottom.max() * 1.08 if length and bottom.max() > 0 else 1)
    return handles


def group_size(length: int) -> int:
    """How many neighbours `stack` draws as one."""
    return 1 if length <= GROUPS else math.ceil(length / GROUPS)


def line(ax: Axes, x, y, number: int, label: str):
    """Line `number` of a figure, with its own dashes and, at no more than a dozen places, its own marker."""
    colors, cues = LINES[number % len(LINES)], LINES[(number + number // len(LINES)) % len(LINES)]
    look = {"color": colors.color, "linestyle": cues.line, "marker": cues.marker, "label": label}
    return ax.plot(x, y, linewidth=1.8, markersize=5, markevery=max(1, len(x) // 12), **look)[0]


def running_total(ax: Axes, values, unit: str):
    """The sum so far of `values`, on an axis of its own to the right of `ax`; returns the legend's handle."""
    right, total, color = ax.twinx(), np.asarray(values, float).cumsum(), ink(ax)
    look = {"color": color, "linewidth": 1.2, "marker": "o", "markersize": 4, "clip_on": False}
    every = max(1, len(total) // 12)
    (drawn,) = right.plot(
        np.arange(len(total)) + 1, total, markevery=every, label="running total (right)", **look
    )
    right.set_ylim(0, total[-1] * 1.08 or 1)
    right.set_ylabel(f"{unit} so far", color=color)
    right.tick_params(colors=color, labelcolor=color, labelsize=9)
    right.spines[:].set_visible(False)
    (money_axis if unit == "USD" else count_axis)(right.yaxis)
    return drawn


def spans(ax: Axes, rows, start, length, paint: Paint, label: str):
    """Bars from `start`, `length` long, in the given `rows`."""
    look = {"facecolor": paint.color, "hatch": paint.hatch, "edgecolor": paper(ax), "linewidth": 0.5}
    return ax.barh(rows, length, 0.62, start, label=label, **look)


# ------------------------------------------------------------------------------------------ captions

_captions: WeakKeyDictionary[Axes, tuple[str, str]] = WeakKeyDictionary()


def with_caption(ax: Axes, words: str, without_seconds: str | None = None) -> Axes:
    """`ax`, with `words` kept for `caption(ax)`."""
    _captions[ax] = words, words if without_seconds is None else without_seconds
    return ax


def caption(ax: Axes, *, seconds: bool = True) -> str:
    """What the figure on `ax` shows, in words and numbers computed from its data, in lines of 88 characters.

    With `seconds=False` without measured times, so that the words are the same on every machine.
    """
    if ax not in _captions:
        raise ValueError("This Axes was not drawn by one of the course's plot functions.")
    words = _captions[ax][0 if seconds else 1]
    tied = re.sub(r"(?<=\d) (?=[s×%])", "\u00a0", words)  # a number and its unit stay together
    lines = textwrap.fill(tied, CAPTION_WIDTH, break_on_hyphens=False, break_long_words=False)
    return lines.replace("\u00a0", " ")
