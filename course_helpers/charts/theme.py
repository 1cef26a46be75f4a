"""How the figures look (with `course.mplstyle`) and how a notebook shows them: axes, marks, captions."""

from __future__ import annotations

import functools
import inspect
import math
import re
import textwrap
from collections.abc import Callable
from html import escape

import matplotlib.pyplot as plt
import numpy as np
from IPython.core.pylabtools import print_figure
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.rcsetup import cycler
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from ..formatting import dollars
from ..frames import as_frame

# Okabe and Ito's palette, which colour-blind readers can tell apart, and a second cue for each colour.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
# A mark each twentieth of the diagonal, from a little before the first point: one that is alone has one, too.
DASHES = cycler(linestyle=["-", "--", "-.", ":"], markevery=[(-0.001, 0.05)] * 4)
CYCLE = 4 * cycler(color=COLORS, marker=list("os^DvPX")) + 7 * DASHES
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, GREY = COLORS
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


def figure(*columns: str) -> Callable[[Callable[..., Axes]], Callable[..., Axes]]:
    """What makes a function draw in the course's style over matplotlib's defaults, on the ground of `ax`.

    Where `columns` are named it gets a frame that has them, and rows: without these there is nothing to draw.
    """

    def decorate(plot: Callable[..., Axes]) -> Callable[..., Axes]:
        @functools.wraps(plot)
        def drawn(*args, **choices) -> Axes:
            call = inspect.signature(plot).bind(*args, **choices)
            given, ax = call.arguments, call.arguments.get("ax")
            if columns:
                given["frame"] = as_frame(given["frame"], plot.__name__, *columns)
            ground = ax.figure.figure.get_facecolor() if ax else plt.rcParams["figure.facecolor"]
            plt.draw_if_interactive()  # loads the backend, which makes pyplot interactive, not only in here
            with plt.style.context([f"{__package__}.course", _settings(ground)], after_reset=True):
                if columns and not len(given["frame"]):
                    return nothing(ax, "Nothing to draw yet")
                return plot(*call.args, **call.kwargs)

        return drawn

    return decorate


def _settings(ground) -> dict[str, object]:
    """What `course.mplstyle` leaves open: marks that are readable on `ground`; on none, in both themes."""
    *color, alpha = to_rgba(ground)
    light = np.dot(color, (0.2126, 0.7152, 0.0722)) > 0.5
    text, edge = ("0.13" if light else "0.93", ground) if alpha > 0.5 else ("#7a7a7a", "white")
    texts = ("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")
    settings = dict.fromkeys((*texts, "axes.edgecolor"), text) | {"patch.edgecolor": edge}
    settings |= {"figure.facecolor": ground, "figure.dpi": plt.rcParams["figure.dpi"]}
    return settings | {"axes.prop_cycle": CYCLE}


def ink() -> str:
    """The colour of text and of black marks."""
    return plt.rcParams["text.color"]


def panels(ax: Axes | None, height: float, **layout) -> list[Axes]:
    """`ax` alone where one is given; else the axes of a new figure of 800 pixels, `height` inches high."""
    return [ax] if ax else list(plt.subplots(figsize=(8, height), squeeze=False, **layout)[1].flat)


def style_axes(ax: Axes | None, title: str, x="", y="", grid="y", height=3.2) -> Axes:
    """`ax`, or a new one, with its title, a grid along `grid`, and labels, whose unit the ticks follow."""
    (ax,) = panels(ax, height)
    ax.set_title(title, loc="left")
    ax.grid(True, axis=grid, color=ink(), alpha=0.35)
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
    for text in ax.findobj(plt.Text):  # and each tick takes after the first
        text.set(usetex=False, parse_math=False)
    return ax


def nothing(ax: Axes | None, words: str) -> Axes:
    """`words` as title and caption, in place of a figure."""
    ax = style_axes(ax, words)
    ax.set(xticks=[], yticks=[])
    return with_caption(ax, f"{words}.")


def legend(ax: Axes, *more, above: bool = False) -> None:
    """What `ax` has, and `more`, between title and axes, where it hides nothing; or `above` all panels."""
    handles, page = [*ax.get_legend_handles_labels()[0], *more], ax.figure.figure
    inches = 7 if above else ax.get_window_extent().width / page.dpi
    widths = [0.55 + 0.07 * len(handle.get_label()) for handle in handles]
    columns = len(handles) if sum(widths) <= inches else max(1, int(inches / max(widths)))
    if above:
        page.legend(handles=handles, loc="outside upper left", ncols=columns)
    elif handles:
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
        ax.legend(handles=handles, ncols=columns, **place)
        ax.set_title(ax.get_title("left"), loc="left", pad=6 + 15 * math.ceil(len(handles) / columns))


def bars(ax: Axes, parts: dict[str, tuple], unit: str = "") -> None:
    """Bars of `parts` (name: paint, and a length in each bar) on one another at 1, 2, 3 …

    With a `unit` also their sum so far, on an axis of its own to the right.
    """
    at = np.arange(1, max(len(lengths) for _, lengths in parts.values()) + 1)
    tops, total = _stacked(ax.bar, at, 0.8, parts, 0.0 * at), []
    ax.set(xlim=(0.4, len(at) + 0.6), ylim=(0, None))
    if unit:
        right = style_axes(ax.twinx(), "", y=f"{unit} so far")
        right.grid(False)
        right.spines[:].set_visible(False)
        look = {"color": ink(), "linewidth": 1.2, "markersize": 4, "clip_on": False}
        total = right.plot(at, tops.cumsum(), label="running total (right)", **look)
        right.set_ylim(bottom=0)
    legend(ax, *total)


def rows(ax: Axes, parts: dict[str, tuple], left: list[str], right: list[str], start=0.0) -> None:
    """Bars of `parts` behind one another, begun at `start`, the first on top, with words on both sides."""
    ax.set(xmargin=0.02, ylim=(len(left) - 0.5, -0.5), yticks=range(len(left)), yticklabels=left)
    ax.tick_params(axis="y", length=0)
    for at, words in enumerate(right):
        ax.text(1.01, at, words, va="center", fontsize=9, transform=ax.get_yaxis_transform())
    _stacked(ax.barh, range(len(left)), 0.62, parts, start)
    legend(ax)


def _stacked(draw: Callable, at, width: float, parts: dict[str, tuple], ends):
    """Bars of `parts` one after the other, begun at `ends`; where the last ends."""
    for name, (paint, lengths) in parts.items():
        lengths = np.nan_to_num(np.asarray(lengths, float))
        if lengths.any():
            draw(at, lengths, width, ends, label=name, **paint)
        ends = ends + lengths
    return ends


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
    # A number and its unit stay together; JupyterLab breaks lines longer than 88 characters in mid-word.
    tied = re.sub(r"(?<=\d) (?=[s×%])", "\u00a0", ax.course_caption[seconds])
    lines = textwrap.fill(tied, 88, break_on_hyphens=False, break_long_words=False)
    return lines.replace("\u00a0", " ")


def in_page(figure: plt.Figure, words: str) -> dict[str, str]:
    """`figure` by MIME type: on a page an image that says `words` in its place.

    JupyterLab 4.6 and nbconvert 7.17 give an `image/png` no alternative text, whatever its metadata says.
    """
    png = print_figure(figure, base64=True)
    *color, alpha = to_rgba(figure.get_facecolor())
    turned = "course-figure" if alpha > 0.5 and sum(color) > 1.5 else ""  # one on black is dark already
    html = f'{DARK}<img class="{turned}" style="max-width: 100%" alt="{escape(words)}"'
    html += f' src="data:image/png;base64,{png}">'
    return {"text/html": html, "image/png": png, "text/plain": repr(figure)}
