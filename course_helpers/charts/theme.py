"""How the figures look: colours with a second cue, axes, legends, captions.

Sizes and lines stand in `course.mplstyle`; colours of text follow from the ground that a figure stands on.
"""

from __future__ import annotations

import functools
import math
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from ..formatting import dollars
from .output import show

STYLE = Path(__file__).with_name("course.mplstyle")
FEW = 60  # up to so many calls each has a bar of its own; beyond, an area is drawn
ROWS = 30  # a figure with a row for each call shows no more than the last of these; its caption counts all
CAPTION_WIDTH = 88  # characters: JupyterLab breaks longer lines in mid-word


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


def styled(plot: Callable[..., Axes]) -> Callable[..., Axes]:
    """`plot` in the course's style over matplotlib's defaults, in colours for the ground of its `ax`."""

    @functools.wraps(plot)
    def drawn(*args, **choices) -> Axes:
        ax = next((value for value in (*args, *choices.values()) if isinstance(value, Axes)), None)
        ground = plt.rcParams["figure.facecolor"] if ax is None else ax.figure.figure.get_facecolor()
        plt.draw_if_interactive()  # loads the backend, which makes pyplot interactive, not only in here
        kept = {"figure.facecolor": ground, "figure.dpi": plt.rcParams["figure.dpi"]}
        with plt.style.context([STYLE, kept | _colors(ground)], after_reset=True):
            return plot(*args, **choices)

    return drawn


def _colors(ground) -> dict[str, object]:
    """Settings for text, lines and what parts bars, readable on `ground`; on none, in both themes."""
    red, green, blue, alpha = to_rgba(ground)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5
    text, frame, grid = ("0.13", "0.43", "0.67") if light else ("0.93", "0.63", "0.39")
    if alpha < 0.5:
        text = frame = grid = "#7a7a7a"
    texts = ("text.color", "axes.labelcolor", "axes.titlecolor", "legend.labelcolor", "xtick.color")
    colors = dict.fromkeys((*texts, "ytick.color"), text) | {"axes.edgecolor": frame, "grid.color": grid}
    return colors | {"patch.edgecolor": ground if alpha >= 0.5 else "white"}


def ink() -> str:
    """The colour of text and of black marks."""
    return plt.rcParams["text.color"]


def new_axes(ax: Axes | None, height: float = 3.2, **panels) -> list[Axes]:
    """`ax` alone where one is given; else the axes of a new figure, `height` inches high."""
    if ax is not None:
        return [ax]
    width = plt.rcParams["figure.figsize"][0]
    return list(plt.subplots(figsize=(width, height), squeeze=False, **panels)[1].flat)


def style_axes(ax: Axes, title: str, x: str = "", y: str = "", grid: str = "y") -> Axes:
    """`ax` with its title, labels with units, and a grid along `grid`."""
    _plain_text(ax)
    ax.set_title(title, loc="left")
    ax.set_xlabel(x, color=ink())
    ax.set_ylabel(y, color=ink())
    ax.tick_params(colors=ink())
    ax.grid(True, axis=grid, color=plt.rcParams["grid.color"])
    return ax


def _plain_text(ax: Axes) -> None:
    """LaTeX and mathematics are off for all text of `ax`, whatever was set when a given `ax` was made.

    Ticks are made as the figure is drawn, when other settings hold, but each takes after the first.
    """
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(ScalarFormatter())
    for text in ax.findobj(Text):
        text.set(usetex=False, parse_math=False)


def dollars_on(axis, most: int = 6) -> None:
    """Dollars, in at most `most` steps."""
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(lambda usd, _: dollars(usd))


def counts_on(axis) -> None:
    """Whole numbers (tokens, calls, turns)."""
    axis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axis.set_major_formatter("{x:,.0f}")


def legend(ax: Axes, handles: list | None = None, width: float | None = None) -> None:
    """The legend between title and axes, where it hides nothing; above all panels where `width` is given."""
    handles = ax.get_legend_handles_labels()[0] if handles is None else handles
    if not handles:
        return
    inches = width or ax.get_window_extent().width / ax.figure.figure.dpi
    widths = [0.55 + 0.07 * len(handle.get_label()) for handle in handles]
    columns = len(handles) if sum(widths) <= inches else max(1, int(inches / max(widths)))
    if width:
        ax.figure.legend(handles=handles, loc="outside upper left", ncols=columns)
        return
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, ncols=columns)
    ax.set_title(ax.get_title("left"), loc="left", pad=6 + 15 * math.ceil(len(handles) / columns))


def row_labels(ax: Axes, left: list[str], right: list[str]) -> None:
    """Words at both ends of the rows 0, 1, 2 … of `ax`, the first on top."""
    ax.set_ylim(len(left) - 0.5, -0.5)
    other = ax.secondary_yaxis("right")
    _plain_text(other)
    for axis, words in ((ax, left), (other, right)):
        axis.set_yticks(range(len(words)), words)
        axis.tick_params(axis="y", length=0, labelcolor=ink())
    other.spines["right"].set_visible(False)


def empty(ax: Axes, words: str) -> Axes:
    """`ax` with `words` in its middle, and as its caption, in place of a figure."""
    ax.set(xticks=[], yticks=[])
    ax.text(0.5, 0.5, words, ha="center", va="center", transform=ax.transAxes)
    return with_caption(ax, f"{words.capitalize()}.")


# ------------------------------------------------------------------------------------------ marks


def stacked(ax: Axes, parts: dict[str, tuple[Paint, np.ndarray]]) -> list:
    """`parts` (name: paint and values) on top of one another; returns the legend's handles.

    Few values are bars at 1, 2, 3 …; many an area. Parts that are zero throughout are left out.
    """
    length = max(len(values) for _, values in parts.values())
    bottom, at, handles = np.zeros(length), np.arange(1, length + 1), []
    for name, (paint, values) in parts.items():
        if not np.any(values):
            continue
        look = {"facecolor": paint.color, "hatch": paint.hatch, "label": name}
        top = bottom + np.asarray(values, float)
        if length <= FEW:
            handles.append(ax.bar(at, top - bottom, 0.8, bottom, **look))
        else:
            edges = np.append(0, at) + 0.5
            handles.append(ax.stairs(top, edges, baseline=bottom, fill=True, linewidth=0, **look))
        bottom = top
    ax.set(xlim=(0.4, max(length, 1) + 0.6), ylim=(0, bottom.max(initial=0) * 1.08 or 1))
    return handles


def hbars(ax: Axes, rows, start, length, paint: Paint, label: str):
    """Bars from `start`, `length` long, in the given `rows`."""
    return ax.barh(rows, length, 0.62, start, label=label, facecolor=paint.color, hatch=paint.hatch)


def line(ax: Axes, x, y, number: int, label: str):
    """Line `number` of a figure, with its own dashes and, at no more than a dozen places, its own marker."""
    colors, cues = LINES[number % len(LINES)], LINES[(number + number // len(LINES)) % len(LINES)]
    look = {"color": colors.color, "linestyle": cues.line, "marker": cues.marker, "label": label}
    return ax.plot(x, y, markevery=max(1, len(x) // 12), **look)[0]


def running_total(ax: Axes, values, unit: str):
    """The sum so far of `values`, on an axis of its own to the right of `ax`; returns the legend's handle."""
    right, total = ax.twinx(), np.asarray(values, float).cumsum()
    _plain_text(right)
    look = {"color": ink(), "linewidth": 1.2, "marker": "o", "markersize": 4, "clip_on": False}
    look |= {"label": "running total (right)", "markevery": max(1, len(total) // 12)}
    right.set(ylim=(0, total[-1] * 1.08 or 1), ylabel=f"{unit} so far")
    right.spines[:].set_visible(False)
    (dollars_on if unit == "USD" else counts_on)(right.yaxis)
    return right.plot(np.arange(1, len(total) + 1), total, **look)[0]


# ------------------------------------------------------------------------------------------ captions

_captions: WeakKeyDictionary[Axes, tuple[str, str]] = WeakKeyDictionary()


def with_caption(ax: Axes, words: str, without_seconds: str | None = None) -> Axes:
    """`ax`, with `words` kept for `caption(ax)`.

    Without seconds they are what a notebook's page says in place of the figure (see `output.py`).
    """
    _captions[ax] = words, words if without_seconds is None else without_seconds
    figure = ax.figure.figure
    said = " ".join(_captions[panel][1] for panel in figure.axes if panel in _captions)
    figure._ipython_display_ = functools.partial(show, figure, said)
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
