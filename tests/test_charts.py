"""Figures: right for any number of rows; labelled, readable on any ground, nothing cut off, said in words."""

from __future__ import annotations

import itertools
import re
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.colors import to_rgb

from course_helpers import Conversation, charts, connect
from course_helpers.charts import sliders, theme
from course_helpers.formatting import dollars, share, short
from course_helpers.frames import compare_models, cost_curve, to_frame
from course_helpers.history.strategies import last_turns
from tests.test_frames import FREE, OPUS, UNKNOWN, WAYS, call

plt.switch_backend("agg")


def session(length: int) -> pd.DataFrame:
    """A conversation of `length` calls whose history grows, with one summary and one lost call."""
    kinds = {3: {"kind": "summary", "turn": None}, 5: {"kind": "lost", "turn": None, "output": 0}}
    calls = []
    for n in range(length):
        fields = {"input": 50 + 90 * n, "output": 80, "thinking": 20, "read": 7 * n, "turn": n + 1}
        fields |= {"seconds": 2 + n / 1e3, "first_token_seconds": 0.3 if n % 2 else None}
        calls.append(call(**fields | kinds.get(n, {})))
    return to_frame(calls)


def attempts(length: int) -> pd.DataFrame:
    """`length` requests of one call, the last with its reply, of the columns of `retries.Attempt`."""
    number, outcome = np.arange(length), np.resize(["429", "529", "connection error"], length).astype(object)
    outcome[-1:] = "reply"
    columns = {"attempt": number + 1, "started": 2.0 * number, "seconds": 0.01, "outcome": outcome}
    return pd.DataFrame(columns | {"wait": 1.99 * (number < length - 1), "asked": number % 3 == 0})


STRATEGIES = [f"last_turns({n})" for n in range(8)] + ["summarise_older(turns=4) that goes on and on and on"]
MODELS = [f"provider/{'long-name-' * 6}${n}_$" for n in range(40)]  # a dollar sign makes a formula
JITTER = ["none", "equal", "full"] * 14
FRAMES = dict.fromkeys([name for name in charts.__all__ if name.startswith("plot_")], session) | {
    "plot_strategies": lambda n: pd.concat([session(-(-n // 9)).assign(strategy=s) for s in STRATEGIES]),
    "plot_models": lambda n: pd.DataFrame({"model": MODELS[:n], "cost_usd": np.geomspace(1.2e-6, 12e3, n)}),
    "plot_attempts": attempts,
    "plot_crowd": lambda n: pd.DataFrame({"jitter": JITTER[:n], "second": np.geomspace(1, 40, n) - 1}),
    "plot_tiers": lambda n: cost_curve(models=["haiku", "sonnet"]).head(n),
}
"""For each figure a frame of as many rows as are asked for."""


@pytest.fixture(autouse=True)
def _closed():
    """No figure of one test is left for the next, and no warning passes unseen."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    plt.close("all")


def caption(ax, **choices) -> str:
    """The caption of `ax` on one line."""
    lines = charts.caption(ax, **choices).splitlines()
    assert max(map(len, lines)) <= 88
    return " ".join(lines)


def draw(name: str, frame: int | pd.DataFrame, ax=None):
    return getattr(charts, name)(FRAMES[name](frame) if isinstance(frame, int) else frame, ax=ax)


def texts(figure) -> list:
    """Every text of `figure` that can be seen; ticks beyond the ends of an axis are not."""
    figure.draw_without_rendering()
    beyond = set()
    for axis in [axis for panel in figure.findobj(plt.Axes) for axis in (panel.xaxis, panel.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            if not low - 1e-9 * high <= tick.get_loc() <= high * (1 + 1e-9):
                beyond |= {tick.label1, tick.label2}
    seen = [text for text in figure.findobj(plt.Text) if text not in beyond and text.get_visible()]
    return [text for text in seen if text.get_text().strip()]


@pytest.mark.parametrize("name", FRAMES)
def test_it_draws_any_number_of_rows(name):
    """Titled, labelled, said in words, also on a given Axes; no text is cut off, covered or a formula."""
    for length in (0, 1, 8, 40):
        ax = draw(name, length)
        figure = ax.figure
        boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
        assert figure.get_figwidth() == 8
        assert ax.get_title("left")
        assert ax.get_ylabel() or name in ("plot_models", "plot_first_token") or not length
        assert any(panel.get_xlabel() for panel in figure.axes) or not length
        assert caption(ax).endswith(".")
        page = figure.bbox.padded(2)
        cut = [text for text, box in boxes if not (page.contains(*box.min) and page.contains(*box.max))]
        pairs = itertools.combinations([(text, box.shrunk(0.9, 0.8)) for text, box in boxes], 2)
        over = [(one, other) for (one, box), (other, hit) in pairs if box.overlaps(hit)]
        assert (length, cut, over) == (length, [], [])
        plt.close("all")
        figure, ax = plt.subplots(layout="constrained")
        figure.draw_without_rendering()
        assert draw(name, length, ax) is ax
        assert plt.get_fignums() == [figure.number]
        assert not [t for t in texts(figure) if t.get_text().count("$") > 1 and t.get_parse_math()]


@pytest.mark.parametrize("name", FRAMES)
def test_nothing_else_has_a_part_in_it(name):
    """The same frame makes the same picture; frame and settings stay as they were, and have no say in it."""
    frame, settings = FRAMES[name](8), dict(plt.rcParams)
    before = frame.copy(deep=True)
    ax = draw(name, frame)
    first, words = theme.in_page(ax.figure, "")["image/png"], caption(ax)
    assert dict(plt.rcParams) == settings
    pd.testing.assert_frame_equal(frame, before)
    with plt.rc_context({"text.usetex": True, "axes.titlelocation": "right", "lines.linewidth": 9}):
        assert theme.in_page(draw(name, frame).figure, "")["image/png"] == first
        draw(name, 8, plt.subplots()[1]).figure.draw_without_rendering()  # LaTeX would be missed here
    for way, there_and_back in WAYS.items():
        back = there_and_back(frame)
        if name == "plot_sessions" and isinstance(back, list):
            back = [back]  # records in a list would be sessions
        assert (way, caption(draw(name, back))) == (way, words)
        plt.close("all")
    with pytest.raises(ValueError, match=f"{name} needs a frame with the columns .*missing"):
        draw(name, pd.DataFrame({"something": [1]}))


def contrast(one, other) -> float:
    """The contrast ratio of WCAG 2."""
    colors = np.array([to_rgb(one), to_rgb(other)])
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    low, high = sorted(linear @ (0.2126, 0.7152, 0.0722))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", FRAMES)
def test_it_can_be_read_on_any_ground_and_be_heard(name):
    """4.5 : 1 on light and dark; a notebook's page says the caption, and turns white figures dark."""
    InteractiveShell.instance()
    for ground, pages, least in (("white", ["white"], 4.5), ("none", ["white", "#111111"], 4.2)):
        with plt.rc_context({"figure.facecolor": ground}):
            ax = draw(name, 8)
        colors = {to_rgb(text.get_color()) for text in texts(ax.figure)}
        assert min(contrast(color, page) for color in colors for page in pages) >= least, ground
        with capture_output() as captured:
            ax.figure._ipython_display_()
        html, picture = (captured.outputs[0].data[kind] for kind in ("text/html", "image/png"))
        assert re.search('alt="([^"]*)"', html)[1] == caption(ax, seconds=False).replace("'", "&#x27;")
        assert ('class="course-figure"' in html) == (ground == "white")
        assert f'src="data:image/png;base64,{picture}"' in html


def test_numbers_as_people_write_them():
    """No powers of ten, no cents below what they are worth; each tick of money has its own, exact words."""
    written = {0: "$0", 1.2e-6: "$0.0000012", 0.000123456: "$0.000123", 0.1: "$0.10", 0.99999: "$1.00"}
    written |= {999.999: "$1,000.00", 12_345_678: "$12,345,678", -0.02: "-$0.02", float("nan"): "unknown"}
    assert {usd: dollars(usd) for usd in written} == written
    pairs = {(1, 3): "33 %", (1, 1000): "under 1 %", (999, 1000): "over 99 %", (1, 1): "100 %", (0, 0): "0 %"}
    assert {pair: share(*pair) for pair in pairs} == pairs
    assert short("a" * 40 + "\n" + "b" * 40) == "a" * 16 + "…" + "b" * 16
    for top in (1.2e-6, 0.9, 12_000):
        ax = theme.style_axes(plt.subplots(subplot_kw={"ylim": (0, top)})[1], "", y="USD")
        ax.figure.draw_without_rendering()
        values = [float(label.get_text().replace("$", "").replace(",", "")) for label in ax.get_yticklabels()]
        assert values == pytest.approx(list(ax.get_yticks()), rel=1e-9)


CHEAP, DEAR = call(output=500), call(OPUS, output=5000)
SESSIONS = {
    r"20 calls cost \$\d.*: input \$.* The dearest, call 20, cost .*\.": (session(20), []),
    r"3 calls cost \$0\.": (to_frame([FREE] * 3), []),
    r"1 call at prices that are not known\.": (to_frame([UNKNOWN]), []),
    r".*Not in this sum: 1 call at prices that are not known\.": (to_frame([CHEAP, UNKNOWN]), []),
    r"2 calls cost .*": (to_frame([CHEAP, DEAR]), [dollars(CHEAP.cost_usd)]),  # a bar too flat to be seen
}


def test_what_is_drawn_and_said():
    """Bars are the costs of the table, the line ends at the total; a summary counts to the next turn."""
    for said, (frame, words) in SESSIONS.items():
        ax = charts.plot_session(frame)
        assert re.fullmatch(said, caption(ax))
        assert [text.get_text() for text in ax.texts] == words
    frame = session(20)
    ax = charts.plot_session(frame)
    tops = np.zeros(20)
    for bar in ax.patches:
        tops[round(bar.get_x() + bar.get_width() / 2) - 1] += bar.get_height()
    assert tops.tolist() == pytest.approx(frame["cost_usd"].tolist(), abs=1e-12)
    (line,) = next(panel for panel in ax.figure.axes if panel.get_ylabel() == "USD so far").lines
    assert line.get_ydata()[-1] == pytest.approx(frame["cost_usd"].sum(), abs=1e-12)
    turns = to_frame([call(thinking=20), call(input=190, turn=2)])
    assert [bar.get_height() for bar in charts.plot_turn_tokens(turns).patches] == [0, 130, 100, 60]
    calls = [call(turn=1, input=10), call(kind="summary", turn=None, input=500), call(turn=2, input=20)]
    ax = charts.plot_strategies(to_frame(calls).assign(strategy="summarise"))
    assert ax.lines[0].get_ydata().tolist() == [10, 520]
    compared = compare_models(frame)
    ranked = compared.sort_values("cost_usd", kind="stable")["model"].tolist()
    assert [label.get_text() for label in charts.plot_models(compared).get_yticklabels()] == ranked


def held(turns: int, chat: Conversation | None = None, **settings) -> Conversation:
    """A chat with the practice API, or `chat` itself, after `turns` more turns."""
    chat = chat or Conversation(connect("practice"), **settings)
    for number in range(turns):
        chat.send(f"Question {number}: what is a token? " + "And why? " * (number % 4))
    return chat


def test_sessions_count_each_call_once(tmp_path):
    """A chat, its frame and its saved copy are one session's money; a fork starts at what its past cost."""
    chat = held(3)
    fork = chat.fork(after_turn=2)
    fork.send("What is a token?")
    for name, each in (("monday", chat), ("fork", fork)):
        each.save(tmp_path / f"{name}.json")
    ax = charts.plot_sessions([chat, chat.to_frame(), tmp_path / "monday.json", fork, tmp_path / "fork.json"])
    both = chat.total.cost_usd + fork.total.cost_usd
    assert caption(ax).startswith(f"5 sessions cost {dollars(both)}: 4 calls, each counted once.")
    assert f"monday: {dollars(chat.total.cost_usd)} (3 calls)" in caption(ax)
    assert f"(1 call, after a past of {dollars(fork.past.cost_usd)})" in caption(ax)
    start = ax.lines[0].get_ydata()[2]
    for line in ax.lines[3:]:
        assert line.get_xdata().tolist() == [2, 3]
        assert line.get_ydata().tolist() == pytest.approx([start, start + fork.total.cost_usd])
    assert charts.plot_sessions({"Ada": chat}).lines[0].get_label() == "Ada"
    assert caption(charts.plot_sessions([])) == "No sessions yet."


@pytest.mark.parametrize(("keep", "name"), [(None, "everything"), (last_turns(5), "last_turns")])
def test_a_forecast_against_what_then_came(keep, name):
    """The range holds what the session cost in the end, give or take a tenth."""
    chat = held(8, keep=keep, max_tokens=40)  # turns of one size, whatever the practice model says
    said = caption(charts.plot_forecast(chat, turns=16))
    words = re.search(rf"{name}[^:;]*, as now: \$([\d.]+) to \$([\d.]+)", said)
    held(8, chat)
    assert float(words[1]) * 0.9 <= chat.total.cost_usd <= float(words[2]) * 1.1


@pytest.mark.parametrize("explore", [sliders.explore_session, sliders.explore_crowd])
def test_a_slider_draws_the_figure_anew(explore):
    """Each control changes the picture; the static form stays as it was, and no figure is left open."""
    explorer, static = explore(), explore()._repr_mimebundle_()
    for control in explorer.kwargs_widgets:
        before, first = explorer._figure.value, control.value
        is_choice = hasattr(control, "options")
        control.value = control.options[-1] if is_choice else getattr(control, "max", not first)
        assert explorer._figure.value != before, control.description
        control.value = first
        assert explorer._figure.value == before
    assert static["text/plain"] in static["text/html"] == explorer._repr_mimebundle_()["text/html"]
    assert not plt.get_fignums()
