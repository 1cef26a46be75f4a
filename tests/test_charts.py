"""Figures: right for no call, one and ten thousand; labelled, readable on any ground, nothing cut off."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from course_helpers import charts
from course_helpers.charts import theme as chart_style
from course_helpers.formatting import dollars, share, short
from course_helpers.frames import compare_models, cost_curve, to_frame
from tests.test_frames import call

FIGURES = [name for name in charts.__all__ if name.startswith("plot_")]
LENGTHS = [0, 1, 2, 40, 200, 10_000]


def session(length: int) -> pd.DataFrame:
    """A conversation of `length` calls whose history grows, with one summary and one lost call."""
    kinds = {3: {"kind": "summary", "turn": None}, 5: {"kind": "lost", "turn": None, "output": 0}}
    calls = [
        call(
            **{"input": 50 + 90 * n, "output": 80, "thinking": 20, "read": 7 * n, "turn": n + 1}
            | kinds.get(n, {})
        )
        for n in range(length)
    ]
    for n, entry in enumerate(calls):
        entry.seconds, entry.first_token_seconds = 2.0, 0.3 if n % 2 else None
    return to_frame(calls)


def attempts(length: int) -> pd.DataFrame:
    """`length` requests of one call, the last with its reply, of the columns of `retries.Attempt`."""
    outcomes = ["429", "529", "connection error"]
    rows = [
        {
            "attempt": n + 1,
            "started": 2.0 * n,
            "seconds": 0.01,
            "outcome": "reply" if n == length - 1 else outcomes[n % 3],
            "wait": 0.0 if n == length - 1 else 1.99,
            "asked": n % 3 == 0,
        }
        for n in range(length)
    ]
    return pd.DataFrame(rows, columns=["attempt", "started", "seconds", "outcome", "wait", "asked"])


def strategies(length: int) -> pd.DataFrame:
    """Nine sessions under one another, one with a long name."""
    names = [f"last_turns({n})" for n in range(8)] + [
        "summarise_older(turns=4) with a name that goes on and on"
    ]
    return pd.concat([session(length // 9 + (length > 0)).assign(strategy=name) for name in names])


def models(length: int) -> pd.DataFrame:
    """From $0.0000012 to $12,000, on models with long names that look like formulas."""
    costs = 1.2e-6 * 10 ** np.linspace(0, 10, length)
    return pd.DataFrame(
        {"model": [f"provider/{'long-name-' * 6}${n}_$" for n in range(length)], "cost_usd": costs}
    )


def crowd(length: int) -> pd.DataFrame:
    """`length` arrivals, a third of them for each kind of jitter."""
    seconds = np.random.default_rng(1).exponential(9, length)
    return pd.DataFrame({"jitter": np.resize(["none", "equal", "full"], length), "second": seconds})


FRAMES = {
    "plot_session": session,
    "plot_turn_tokens": session,
    "plot_strategies": strategies,
    "plot_models": models,
    "plot_attempts": attempts,
    "plot_first_token": session,
    "plot_crowd": crowd,
    "plot_tiers": lambda length: cost_curve(models=["haiku", "sonnet"]).head(length),
}


@pytest.fixture(autouse=True)
def _closed():
    """No figure of one test is left for the next, and no warning passes unseen."""
    plt.close("all")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    plt.close("all")


def caption(ax, **choices) -> str:
    """The caption of `ax` on one line."""
    lines = charts.caption(ax, **choices).splitlines()
    assert max(map(len, lines)) <= 88
    return " ".join(lines)


def draw(name: str, length: int, ax=None):
    return getattr(charts, name)(FRAMES[name](length), ax)


def png(figure) -> bytes:
    """The picture as the notebook's backend makes it."""
    file = io.BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight", metadata={"Software": None})
    return file.getvalue()


def texts(figure) -> list:
    """Every text of `figure` that can be seen; ticks beyond the ends of an axis are not."""
    beyond = set()
    for axis in [axis for panel in figure.findobj(plt.Axes) for axis in (panel.xaxis, panel.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        ticks = [
            t for t in axis.get_major_ticks() if not low - 1e-9 * high <= t.get_loc() <= high * (1 + 1e-9)
        ]
        beyond |= {label for tick in ticks for label in (tick.label1, tick.label2)}
    return [
        t for t in figure.findobj(plt.Text) if t.get_visible() and t.get_text().strip() and t not in beyond
    ]


# ------------------------------------------------------------------------------------------ every figure


def test_every_public_figure_is_tested():
    """A new figure needs a frame here."""
    assert set(FIGURES) == set(FRAMES)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", FIGURES)
def test_it_draws_any_number_of_rows(name, length):
    """Drawn without a warning, at the notebook's width, with title, labelled axes and a caption."""
    ax = draw(name, length)
    figure = ax.figure
    png(figure)
    assert plt.get_fignums() == [figure.number]
    assert figure.get_figwidth() == chart_style.WIDTH
    assert figure.get_figheight() < 12
    assert ax.get_title("left")
    # A figure of rows names them in words in place of a label.
    assert all(panel.get_ylabel() or name in ("plot_models", "plot_first_token") for panel in figure.axes[:2])
    assert any(panel.get_xlabel() for panel in figure.axes)
    assert caption(ax).endswith(".")


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_cut_off_or_runs_over_the_edge(name, length):
    """Each text stands inside the figure."""
    figure = draw(name, length).figure
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    for text in texts(figure):
        box = text.get_window_extent()
        assert min(box.x0, box.y0) >= -2, text
        assert box.x1 <= width + 2, text
        assert box.y1 <= height + 2, text


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", FIGURES)
def test_labels_do_not_overlap(name, length):
    """No tick label, title or legend entry covers another."""
    figure = draw(name, length).figure
    figure.draw_without_rendering()
    boxes = [(t.get_text(), t.get_window_extent().shrunk(0.9, 0.8)) for t in texts(figure)]
    hits = [(a, b) for n, (a, box) in enumerate(boxes) for b, other in boxes[:n] if box.overlaps(other)]
    assert not hits


@pytest.mark.parametrize("length", [0, 1, 40])
@pytest.mark.parametrize("name", FIGURES)
def test_a_given_axes_is_drawn_on(name, length):
    """No other figure is made."""
    figure, ax = plt.subplots(layout="constrained")
    figure.draw_without_rendering()
    assert draw(name, length, ax) is ax
    assert plt.get_fignums() == [figure.number]
    assert ax.get_title("left")
    assert ax.get_xlabel()
    assert caption(ax)
    png(figure)


@pytest.mark.parametrize("name", FIGURES)
def test_same_frame_same_picture(name):
    """Nothing in a figure comes from the clock, chance or an earlier figure; the frame stays as it was."""
    frame = FRAMES[name](40)
    before = frame.copy(deep=True)
    first = getattr(charts, name)(frame)
    second = getattr(charts, name)(frame)
    assert png(first.figure) == png(second.figure)
    assert caption(first) == caption(second)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("name", FIGURES)
def test_global_settings_stay_as_they_are(name):
    """No figure changes matplotlib for what is drawn next, and none shows itself, which would warn here."""
    before = dict(matplotlib.rcParams)
    draw(name, 40)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", FIGURES)
def test_a_frame_of_the_wrong_kind_is_refused_in_words(name):
    """The error names the figure and the columns it needs."""
    with pytest.raises(ValueError, match=f"{name} needs a frame with the columns .*missing"):
        getattr(charts, name)(pd.DataFrame({"something": [1]}))


# ------------------------------------------------------------------------------------------ to be read by all


def contrast(one, other) -> float:
    """The contrast ratio of WCAG 2."""

    def luminance(color):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted([luminance(one), luminance(other)], reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("ground", ["white", "black", "#111111", "#303030"])
@pytest.mark.parametrize("name", FIGURES)
def test_text_is_readable_on_any_ground(name, ground):
    """At least 4.5 : 1, on light and dark figures."""
    with plt.rc_context({"figure.facecolor": ground}):
        figure = draw(name, 40).figure
        figure.draw_without_rendering()
    assert min(contrast(text.get_color(), ground) for text in texts(figure)) >= 4.5


@pytest.mark.parametrize("page", ["white", "#111111"])
def test_text_on_a_transparent_figure_is_readable_on_both_themes(page):
    """A grey in the middle: no colour has more than 4.3 : 1 on both."""
    _, ax = plt.subplots(facecolor="none")
    assert contrast(chart_style.ink(ax), page) >= 4.2


def test_nothing_depends_on_colour_alone():
    """Parts of a bar differ in their hatch, lines in dashes and marker, far beyond seven of them."""
    stacked = [paint for _, paint in charts.costs._COSTS.values()] + [chart_style.THINKING]
    assert len({paint.hatch for paint in stacked}) == len(stacked)
    bars = (chart_style.GOOD, chart_style.BAD, chart_style.IDLE, chart_style.ASKED)
    assert len({paint.hatch for paint in bars}) == len(bars)
    _, ax = plt.subplots()
    lines = [chart_style.line(ax, [1], [1], number, str(number)) for number in range(49)]
    assert len({(str(li.get_color()), li.get_linestyle(), li.get_marker()) for li in lines}) == 49
    assert len({li.get_marker() for li in lines[:7]}) == 7


# ------------------------------------------------------------------------------------------ money


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (0, "$0"),
        (1.2e-6, "$0.0000012"),
        (5e-9, "$0.000000005"),
        (0.000123456, "$0.000123"),
        (0.0123, "$0.0123"),
        (0.1, "$0.10"),
        (0.125, "$0.125"),
        (0.99999, "$1.00"),
        (1.5, "$1.50"),
        (14.4, "$14.40"),
        (999.999, "$1,000.00"),
        (12_000, "$12,000"),
        (12_345_678, "$12,345,678"),
        (-0.02, "-$0.02"),
        (float("nan"), "unknown"),
    ],
)
def test_dollars_as_people_write_them(usd, text):
    """No powers of ten, no cents below what they are worth."""
    assert dollars(usd) == text


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("name", FIGURES)
def test_dollars_are_text_and_no_formula(name, given):
    """Between two dollar signs matplotlib would typeset mathematics, without a word of warning."""
    ax = plt.subplots(layout="constrained")[1] if given else None
    if given:
        ax.figure.draw_without_rendering()  # its ticks exist already, made under other settings
    figure = draw(name, 12, ax).figure
    figure.draw_without_rendering()
    assert not [text for text in texts(figure) if text.get_text().count("$") > 1 and text.get_parse_math()]


@pytest.mark.parametrize("top", [1.2e-6, 3.3e-5, 0.004, 0.07, 0.9, 3, 47, 800, 12_000, 5e6])
def test_ticks_of_money_can_be_told_apart(top):
    """Each has its own words, with as many decimals as its neighbours."""
    _, ax = plt.subplots()
    ax.set_ylim(0, top)
    chart_style.money_axis(ax.yaxis)
    ax.figure.draw_without_rendering()
    labels = [label.get_text() for label in ax.get_yticklabels()]
    values = [float(text.replace("$", "").replace(",", "")) for text in labels]
    assert values == pytest.approx(list(ax.get_yticks()), rel=1e-9)
    assert len({len(text.partition(".")[2]) for text in labels if text != "$0"}) == 1
    assert "e" not in "".join(labels)


def test_small_words():
    """Shares that are not quite all or nothing, and names too long for a figure."""
    assert [share(*pair) for pair in ((1, 3), (1, 1000), (999, 1000), (1, 1), (0, 5), (0, 0))] == [
        "33 %",
        "under 1 %",
        "over 99 %",
        "100 %",
        "0 %",
        "0 %",
    ]
    assert short("claude-haiku-5-5") == "claude-haiku-5-5"
    assert short("a" * 40 + "\n" + "b" * 40) == "a" * 16 + "…" + "b" * 16


# ------------------------------------------------------------------------------------------ what they say


def test_the_session_adds_up():
    """Bars are the costs of the table, the line ends at the total, the caption says both."""
    frame = session(20)
    ax = charts.plot_session(frame)
    tops = np.zeros(20)
    for bar in ax.patches:
        tops[round(bar.get_x() + bar.get_width() / 2) - 1] += bar.get_height()
    assert tops.tolist() == pytest.approx(frame["cost_usd"].tolist(), abs=1e-12)
    (line,) = next(panel for panel in ax.figure.axes if panel.get_ylabel() == "USD so far").lines
    assert line.get_ydata()[-1] == pytest.approx(frame["cost_usd"].sum(), abs=1e-12)
    assert caption(ax).startswith(f"20 calls cost {dollars(frame['cost_usd'].sum())}: input $")
    assert "1 call summarised older turns. 1 call brought no reply." in caption(ax)


def test_ten_thousand_calls_become_means():
    """The label says of how many; the mean of the means is the mean."""
    frame = session(10_000)
    ax = charts.plot_session(frame)
    assert "mean of each 67" in ax.get_ylabel()
    assert len(ax.patches) <= 4


def test_a_free_session_says_so():
    """A local model costs nothing: no empty dollar axis, but its tokens."""
    free = to_frame([call("smollm2", usd=0.0) for _ in range(3)])
    ax = charts.plot_session(free)
    assert "these calls cost nothing" in [text.get_text() for text in ax.texts]
    assert caption(ax) == "3 calls cost $0."


def test_an_unknown_price_is_called_unknown():
    """A model without a known price is no free model: what is known is summed, the rest is named."""
    priced, unpriced = call(), call("someone-elses-model", usd=float("nan"))
    some = charts.plot_session(to_frame([priced, unpriced, priced]))
    assert caption(some).startswith(f"3 calls cost {dollars(2 * priced.cost_usd)}: input $")
    assert caption(some).endswith("Not in this sum: 1 call at prices that are not known.")
    none = charts.plot_session(to_frame([unpriced]))
    assert "what these calls cost is not known" in [text.get_text() for text in none.texts]
    assert caption(none) == "1 call at prices that are not known."
    table = pd.DataFrame({"model": ["a", "b"], "cost_usd": [float("nan"), 0.5]})
    ax = charts.plot_models(table)
    assert caption(ax) == "The cheapest is b at $0.50."
    for figure in (some, none, ax):
        png(figure.figure)
    assert "unknown" in [text.get_text() for text in texts(ax.figure)]


def test_tokens_of_a_turn_are_new_or_sent_before():
    """What goes again is the last prompt and the words of its reply, without the thinking."""
    calls = [call(input=100, output=80, thinking=20, turn=1), call(input=190, output=80, turn=2)]
    ax = charts.plot_turn_tokens(to_frame(calls))
    assert [bar.get_height() for bar in ax.patches] == [0, 160, 100, 30]
    assert caption(ax).startswith("2 turns sent 290 tokens, 55 % of them not for the first time")


def test_a_summary_counts_to_the_turn_it_was_made_for():
    """The extra call of `summarise_older` is part of the price of the next turn."""
    calls = [call(turn=1, input=10), call(kind="summary", turn=None, input=500), call(turn=2, input=20)]
    ax = charts.plot_strategies(to_frame(calls).assign(strategy="summarise"))
    assert ax.lines[0].get_ydata().tolist() == [10, 520]


def test_models_from_the_cheapest_to_the_dearest():
    """Sorted, named at both ends, the session as held beside them."""
    ax = charts.plot_models(compare_models(session(10)))
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[:2] == ["as held", "claude-haiku-5-5"]
    assert names[-1] == "claude-opus-5-5"
    assert "40 × as much" in caption(ax)
    unfit = charts.plot_models(compare_models(to_frame([call(input=300_000)]), ["haiku", "claude-haiku-4-5"]))
    assert caption(unfit).endswith("It would not fit claude-haiku-4-5.")


def test_measured_seconds_can_be_left_out_of_captions():
    """Lessons print captions that nbval compares: without seconds they are the same on every machine."""
    for name in ("plot_attempts", "plot_first_token"):
        frame = FRAMES[name](4)
        slower = frame.assign(seconds=frame["seconds"] + 3)
        one, other = (getattr(charts, name)(table) for table in (frame, slower))
        assert caption(one) != caption(other)
        assert caption(one, seconds=False) == caption(other, seconds=False)


def test_the_cliff_is_named():
    """Where one more token makes a request several times dearer, the caption says so."""
    ax = charts.plot_tiers(cost_curve(models=["claude-haiku-5-5"]))
    assert "At 100,000 tokens" in caption(ax)
    assert "5 × as much" in caption(ax)
    assert caption(charts.plot_tiers(cost_curve(models=["opus"]))).startswith("No cliff")


def test_caption_of_a_strange_axes():
    """Only our own figures have one."""
    _, ax = plt.subplots()
    with pytest.raises(ValueError):
        caption(ax)


def test_matplotlib_and_pandas_are_imported_only_when_needed():
    """`import course_helpers` brings neither."""
    code = "import sys, course_helpers; sys.exit(any(n in sys.modules for n in ('matplotlib', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
