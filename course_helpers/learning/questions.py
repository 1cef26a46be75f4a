"""What a lesson asks: recall questions, and guesses before a measurement."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from ..formatting import share
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

    class QuizWidget(anywidget.AnyWidget):
        _esm = FILE.with_name("quiz.js").read_text(encoding="utf-8")
        _css = FILE.with_name("quiz.css").read_text(encoding="utf-8")
        title = traitlets.Unicode(heading).tag(sync=True)
        questions = traitlets.List([(_html(q.text), q.choices) for q in lesson.questions]).tag(sync=True)
        summary = traitlets.Unicode(_answered(lesson)).tag(sync=True)

    def on_message(widget: QuizWidget, message: dict, _buffers: object) -> None:
        picked = list(zip(lesson.questions, message["check"], strict=True))  # "" where nothing was chosen
        said = [record_try(q.id, choice == q.right, kind="question") for q, choice in picked if choice]
        widget.summary = " ".join(filter(None, [_answered(lesson), *said]))
        feedback = [_html(question.feedback(choice)) if choice else "" for question, choice in picked]
        # As a message, since the same feedback twice would be no change of a trait.
        widget.send({"feedback": feedback, "summary": widget.summary})

    widget = QuizWidget()
    widget.on_msg(on_message)
    return widget


def _answered(lesson: Lesson) -> str:
    passed = passed_parts(store.events())
    return f"{sum(q.id in passed for q in lesson.questions)} of {len(lesson.questions)} answered correctly."


def _html(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def guess(name: str, value: float | None = None, *, unit: str) -> None:
    """Shows a field for the guess called `name`, a number of `unit`; or prints it where `value` is given."""
    _units[name] = unit
    if value is None:
        _show(guess_widget(name, unit), "course-guess", f"Your guess ({unit}): run this cell to type it.")
    else:
        print(_guessed(name, unit, str(value)))


def reveal(name: str, truth: float) -> None:
    """Prints the `truth` about `name`, and how far off the last guess was, if there was one."""
    unit, truth = _units.get(name, ""), int(truth) if truth == int(truth) else float(truth)
    made = [e["value"] for e in store.events() if e.get("kind") == "guess" and e["name"] == name]
    store.add("truth", name, truth=truth, unit=unit)
    revealed = f"It is {truth:,} {unit}".strip() + "."
    if made:
        revealed += f" You guessed {made[-1]:,}: {share(abs(made[-1] - truth), abs(truth) or 1)} off."
    print(revealed)


guess.reveal = reveal


def guess_widget(name: str, unit: str) -> Any:
    """A field to type a number into, and beside it what is said to that number."""
    import ipywidgets as widgets

    field = widgets.Text(description=f"Your guess ({unit}):", placeholder="a number, then Enter")
    field.style.description_width, field.layout.width = "initial", "auto"
    field.continuous_update = False
    said = widgets.HTML()

    def on_typed(change: dict) -> None:
        said.value = escape(_guessed(name, unit, change["new"])) if change["new"] else ""

    field.observe(on_typed, "value")
    return widgets.HBox([field, said])


def _guessed(name: str, unit: str, typed: str) -> str:
    """What is said to the guess that was `typed`: the first number in it is kept."""
    if not (found := re.search(r"-?[\d,]*\.?\d+(?:e[+-]?\d+)?", typed)):
        return "That is no number: type one such as 250 or 0.5."
    digits = found[0].replace(",", "")
    value = int(digits) if digits.lstrip("-").isdecimal() else float(digits)
    trouble = store.add("guess", name, value=value, unit=unit)
    return f"Your guess: {value:,} {unit}. {trouble}".strip()


def _show(widget: Any, name: str, text: str) -> None:
    """Display `widget`, with the CSS class `name`, and `text` where it is dead."""
    from IPython.display import display

    widget.add_class(name)
    display({"text/plain": text, "text/html": _NOTE.format(name=name, text=escape(text))}, raw=True)
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    display({"text/plain": "", "application/vnd.jupyter.widget-view+json": view}, raw=True)
