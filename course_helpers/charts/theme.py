"""How the figures look (with `course.mplstyle`) and how a notebook shows them: axes, marks, captions."""

from __future__ import annotations

import functools
import math
import re
import textwrap
from collections.abc import Callable
from html import escape
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.core.pylabtools import print_figure
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from ..formatting import dollars

STYLE = Path(__file__).with_name("course.mplstyle")
CAPTION_WIDTH = 88  # characters: JupyterLab breaks longer lines in mid-word

# Okabe and Ito's palette, which colour-blind readers can tell apart, and a second cue for each colour.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, GREY = COLORS
DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))
MARKERS = "os^DvPX"
INPUT, OUTPUT = {"facecolor": BLUE}, {"facecolor": ORANGE, "hatch": "///"}
THINKING, CACHE_WRITE = {"facecolor": PURPLE, "hatch": "\\\\\\"}, {"facecolor": GREEN, "hatch": "..."}
CACHE_READ = ASKED = {"facecolor": SKY, "hatch": "xxx"}
GOOD, BAD = {"facecolor": GREEN}, {"facecolor": VERMILION, "hatch": "///"}
IDLE = {"facecolor": GREY, "hatch": "\\\\\\"}

# A picture cannot know its page, but the page can turn it: white becomes the dark theme's own ground, and
# colours keep their hue. In JupyterLab and its HTML export, in VS Code and in Colab.
DARK = (
    "<style>body[data-jp-theme-light=false] .course-figure, body.vscode-dark .course-figure, "
    "html[theme=dark] .course-figure {filter: invert(.93) hue-rotate(180deg)}</style>"
)


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
    *color, alpha = to_rgba(ground)
    light = np.dot(color, (0.2126, 0.7152, 0.0722)) > 0.5
    text, frame, grid = ("0.13", "0.43", "0.67") if light else ("0.93", "0.63", "0.39")
    if alpha < 0.5:
        text, frame, grid, ground = "#7a7a7a", "#7a7a7a", "#7a7a7a", "white"
    texts = ("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")
    return dict.fromkeys(texts, text) | {
        "axes.edgecolor": frame,
        "grid.color": grid,
        "patch.edgecolor": ground,
    }


def ink() -> str:
    """The colour of text and of black marks."""
    return plt.rcParams["text.color"]


def new_axes(ax: Axes | None, height: float = 3.2, **panels) -> list[Axes]:
    """`ax` alone where one is given; else the axes of a new figure of 800 pixels, `height` inches high."""
    if ax is not None:
        return [ax]
    return list(plt.subplots(figsize=(8, height), squeeze=False, **panels)[1].flat)


def style_axes(ax: Axes, title: str, x: str = "", y: str = "", grid: str = "y") -> Axes:
    """`ax` with its title, a grid along `grid`, and labels that begin with the unit, which ticks follow."""
    ax.set_title(title, loc="left")
    ax.grid(True, axis=grid, color=plt.rcParams["grid.color"])
    ax.tick_params(colors=ink())
    for axis, label, most in ((ax.xaxis, x, 4), (ax.yaxis, y, 6)):
        axis.set_label_text(label, color=ink())
        axis.set_major_formatter(ScalarFormatter())  # ticks are made later, when other settings hold
        if label.startswith("USD"):
            axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
            axis.set_major_formatter(lambda usd, _: dollars(usd))
        elif label and not label.startswith("seconds since"):  # whole numbers
            axis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
            axis.set_major_formatter("{x:,.0f}")
    for text in ax.findobj(Text):  # and each tick takes after the first
        text.set(usetex=False, parse_math=False)
    return ax


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


def empty(ax: Axes, words: str) -> Axes:
    """`ax` with `words` in its middle, and as its caption, in place of a figure."""
    ax.set(xticks=[], yticks=[])
    ax.text(0.5, 0.5, words, ha="center", va="center", transform=ax.transAxes)
    return with_caption(ax, f"{words.capitalize()}.")


def stacked(ax: Axes, parts: dict[str, tuple[dict, np.ndarray]]) -> list:
    """Bars at 1, 2, 3 … of `parts` (name: paint and values) that are not all zero; the legend's handles."""
    length = max(len(values) for _, values in parts.values())
    bottom, at, handles = np.zeros(length), np.arange(1, length + 1), []
    for name, (paint, values) in parts.items():
        if not np.any(values):
            continue
        handles.append(ax.bar(at, values, 0.8, bottom, label=name, **paint))
        bottom = bottom + np.asarray(values, float)
    ax.set(xlim=(0.4, max(length, 1) + 0.6), ylim=(0, bottom.max(initial=0) * 1.08 or 1))
    return handles


def running_total(ax: Axes, values, unit: str):
    """The sum so far of `values`, on an axis of its own to the right of `ax`; returns the legend's handle."""
    total = np.asarray(values, float).cumsum()
    right = style_axes(ax.twinx(), "", y=f"{unit} so far")
    right.grid(False)
    right.set_ylim(0, total[-1] * 1.08 or 1)
    right.spines[:].set_visible(False)
    look = {"color": ink(), "linewidth": 1.2, "marker": "o", "markersize": 4, "clip_on": False}
    look |= {"label": "running total (right)", "markevery": max(1, len(total) // 12)}
    return right.plot(np.arange(1, len(total) + 1), total, **look)[0]


def line(ax: Axes, x, y, number: int, label: str):
    """Line `number` of a figure, with its own dashes and, at no more than a dozen places, its own marker."""
    cue = (number + number // len(COLORS)) % len(COLORS)
    look = {"linestyle": DASHES[cue], "marker": MARKERS[cue], "markevery": max(1, len(x) // 12)}
    return ax.plot(x, y, color=COLORS[number % len(COLORS)], label=label, **look)[0]


def rows(ax: Axes, bars: dict[str, tuple], left: list[str], right: list[str], low=0.0, high=0.0) -> list:
    """`bars` (name: paint, start and length of each row), the first on top; returns the legend's handles."""
    handles = []
    for name, (paint, start, length) in bars.items():
        at = np.flatnonzero(length > 0)
        if len(at):
            handles.append(ax.barh(at, length[at], 0.62, start[at], label=name, **paint))
    ax.set(xlim=(low, high + (high - low) * 0.02 or 1), ylim=(len(left) - 0.5, -0.5))
    other = ax.secondary_yaxis("right")
    for axis, words in ((ax, left), (other, right)):
        axis.set_yticks(range(len(words)), words, usetex=False, parse_math=False)
        axis.tick_params(axis="y", length=0, labelcolor=ink())
    other.spines["right"].set_visible(False)
    return handles


def with_caption(ax: Axes, *sentences: str, timed: str = "") -> Axes:
    """`ax`, with its `sentences`, empty ones left out, for `caption`; what is `timed` differs by machine."""
    words = " ".join(filter(None, sentences))
    ax.course_caption = {False: words, True: f"{words} {timed}".strip()}
    figure, alt = ax.figure.figure, {"image/png": {"alt": words}}
    figure._ipython_display_ = lambda: display(in_page(figure, words), raw=True, metadata=alt)
    return ax


def caption(ax: Axes, *, seconds: bool = True) -> str:
    """What the figure on `ax` shows, in words and numbers computed from its data, in lines of 88 characters.

    With `seconds=False` without measured times, so that the words are the same on every machine.
    """
    if not hasattr(ax, "course_caption"):
        raise ValueError("This Axes was not drawn by one of the course's plot functions.")
    # A number and its unit stay together.
    tied = re.sub(r"(?<=\d) (?=[s×%])", "\u00a0", ax.course_caption[seconds])
    lines = textwrap.fill(tied, CAPTION_WIDTH, break_on_hyphens=False, break_long_words=False)
    return lines.replace("\u00a0", " ")


def in_page(figure: Figure, words: str) -> dict[str, str]:
    """`figure` by MIME type: on a page an image that says `words` in its place.

    JupyterLab 4.6 and nbconvert 7.17 give an `image/png` no alternative text, whatever its metadata says.
    """
    png = print_figure(figure, base64=True)
    *color, alpha = to_rgba(figure.get_facecolor())
    turned = "course-figure" if alpha > 0.5 and sum(color) > 1.5 else ""  # one on black is dark already
    html = f'{DARK}<img class="{turned}" style="max-width: 100%" alt="{escape(words)}"'
    html += f' src="data:image/png;base64,{png}">'
    return {"text/html": html, "image/png": png, "text/plain": repr(figure)}
