"""What a lesson asks: recall questions, and guesses before a measurement."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape
from typing import Any

from .progress import FILE, Lesson, find_lesson, passed_parts, record_try, store

# The sentence is an output of its own, above the widget's. Where JupyterLab shows both, the style hides the
# sentence while the widget lives, and else the widget's output, which would only say "model not found".
_NOTE = """<div class="{name}-closed">{text}</div><style>
.jp-OutputArea-child:has(.{name}-closed):has(+ .jp-OutputArea-child .{name}) {{ display: none; }}
.jp-OutputArea-child:has(.{name}-closed) + .jp-OutputArea-child:not(:has(.{name})) {{ display: none; }}
</style>"""
_units: dict[str, str] = {}  # of the guesses that were asked for


def quiz(name: str | int) -> None:
    """Shows the quiz of the lesson called `name`, such as "raw_call", or with that number."""
    widget = quiz_widget(find_lesson(name))
    _show(widget, "course-quiz", f"{widget.title}: run this cell to answer them.")


def quiz_widget(lesson: Lesson) -> Any:
    """The questions of `lesson` as named groups of radio buttons, and a button to check them."""
    import anywidget
    import traitlets

    heading = f"Quiz {lesson.number} · {lesson.title} · {len(lesson.questions)} questions"
    asked = [(_html(q.text), q.choices) for q in lesson.questions]

    class QuizWidget(anywidget.AnyWidget):
        _esm = FILE.with_name("quiz.js").read_text(encoding="utf-8")
        _css = FILE.with_name("quiz.css").read_text(encoding="utf-8")
        title = traitlets.Unicode(heading).tag(sync=True)
        questions = traitlets.List(asked).tag(sync=True)
        summary = traitlets.Unicode(_answered(lesson)).tag(sync=True)

    def on_message(widget: QuizWidget, message: dict, _buffers: object) -> None:
        feedback, widget.summary = _check(lesson, message["check"])
        # As a message, since the same feedback twice would be no change of a trait.
        widget.send({"feedback": feedback, "summary": widget.summary})

    widget = QuizWidget()
    widget.on_msg(on_message)
    return widget


def _check(lesson: Lesson, chosen: Sequence[str]) -> tuple[list[str], str]:
    """The feedback to each question as HTML, "" where nothing was chosen, and how things stand."""
    picked = list(zip(lesson.questions, chosen, strict=True))
    feedback = [_html(question.feedback(choice)) if choice else "" for question, choice in picked]
    said = [record_try(q.id, choice == q.right, kind="question") for q, choice in picked if choice]
    passed = passed_parts(store.events())
    left = sum(not choice and question.id not in passed for question, choice in picked)
    said.insert(0, f"{left} still open." if left else "")
    return feedback, " ".join(filter(None, [_answered(lesson), *said]))


def _answered(lesson: Lesson) -> str:
    passed = passed_parts(store.events())
    return f"{sum(q.id in passed for q in lesson.questions)} of {len(lesson.questions)} answered correctly."


def _html(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def guess(name: str, value: float | None = None, *, unit: str) -> None:
    """Shows a field for the guess called `name`, a number of `unit`; or prints it where `value` is given."""
    _units[name] = unit
    if value is None:
        _show(guess_widget(name), "course-guess", f"Your guess ({unit}): run this cell to type it.")
    else:
        print(_keep(name, value))


def reveal(name: str, truth: float) -> None:
    """Prints the `truth` about `name`, and how far off the last guess was, if there was one."""
    unit, truth = _units.get(name, ""), _number(truth)
    made = [e["value"] for e in store.events() if e.get("kind") == "guess" and e["name"] == name]
    store.add("truth", name, truth=truth, unit=unit)
    compared = f" You guessed {_shown(made[-1])}: {how_far(made[-1], truth)}." if made else ""
    print(f"It is {_shown(truth)} {unit}".strip() + f".{compared}")


guess.reveal = reveal


def guess_widget(name: str) -> Any:
    """A field to type a number into, and beside it what is said to that number."""
    import ipywidgets as widgets

    field = widgets.Text(description=f"Your guess ({_units[name]}):", placeholder="a number, then Enter")
    field.style.description_width, field.layout.width = "initial", "auto"
    field.continuous_update = False
    said = widgets.HTML()

    def on_typed(change: dict) -> None:
        try:
            said.value = escape(_keep(name, change["new"].replace(",", "").strip("$ ")))
        except ValueError:
            said.value = "That is no number: type one such as 250 or 0.5." if change["new"] else ""

    field.observe(on_typed, "value")
    return widgets.HBox([field, said])


def _keep(name: str, value: Any) -> str:
    """Remember the guess; the sentence to show."""
    number, unit = _number(value), _units[name]
    trouble = store.add("guess", name, value=number, unit=unit)
    return f"Your guess: {_shown(number)} {unit}. {trouble}".strip()


def _number(value: Any) -> int | float:
    """`value`, which may be typed, as an int where it is whole. Raises ValueError for what is not finite."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"A guess and its truth are finite numbers, not {value!r}.")
    return int(number) if number.is_integer() else number


def how_far(value: float, truth: float) -> str:
    """How far `value` is off the `truth`, in per cent, or as a factor where that is 2 or more."""
    off, side = abs(value - truth), "high" if value > truth else "low"
    if math.isclose(value, truth, rel_tol=0.005, abs_tol=1e-12):
        return "right"
    if value * truth <= 0:
        return f"{_shown(off)} too {side}"
    factor = max(value / truth, truth / value)
    if factor >= 2:
        return f"too {side}, {_shown(factor, 2)} times"
    return f"{100 * off / abs(truth):.0f} % too {side}"


def _shown(value: float, digits: int = 4) -> str:
    """`value` with thousands separators; a fraction with `digits` figures."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 10**digits else f"{value:,.{digits}g}"


def _show(widget: Any, name: str, text: str) -> None:
    """Display `widget`, with the CSS class `name`, and `text` where it is dead."""
    from IPython.display import display

    widget.add_class(name)
    display({"text/plain": text, "text/html": _NOTE.format(name=name, text=escape(text))}, raw=True)
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    display({"text/plain": "", "application/vnd.jupyter.widget-view+json": view}, raw=True)
