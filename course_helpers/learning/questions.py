"""What a lesson asks: recall questions, and guesses before a measurement; plain text where no widget is."""

from __future__ import annotations

import math
import numbers
import re
import textwrap
from collections.abc import Sequence
from html import escape
from typing import Any

from .progress import FILE, Choice, Lesson, Question, find_lesson, passed, record_answer, store

WIDTH = 88
# The sentence is an output of its own, above the widget's. Where JupyterLab shows both, the style hides the
# sentence while the widget lives, and else the widget's output, which would only say "model not found".
_NOTE = """<div class="{name}-closed">{text}</div><style>
.jp-OutputArea-child:has(.{name}-closed):has(+ .jp-OutputArea-child .{name}) {{ display: none; }}
.jp-OutputArea-child:has(.{name}-closed) + .jp-OutputArea-child:not(:has(.{name})) {{ display: none; }}
</style>"""
_units: dict[str, str] = {}


def quiz(name: str | int) -> Quiz:
    """The quiz of the lesson called `name`, such as "raw_call", or with that number."""
    return Quiz(find_lesson(name))


class Said(str):
    """Text that shows as itself, without quotes."""

    __repr__ = str.__str__


class Quiz:
    """The questions of one lesson. In a notebook it shows as a widget; `answer(1, "b")` works anywhere."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson, self.questions = lesson, lesson.questions
        self.title = f"Quiz {lesson.number} · {lesson.title} · {len(lesson.questions)} questions"

    def answer(self, number: int, letter: str) -> Said:
        """What is to be said about answering question `number`, counted from 1, with choice `letter`."""
        if number not in range(1, len(self.questions) + 1):
            raise ValueError(f"There are questions 1 to {len(self.questions)}, not {number!r}.")
        question = self.questions[number - 1]
        choices = dict(zip("abcdefgh", question.choices, strict=False))
        picked = str(letter).strip().lower()
        if picked not in choices:
            raise ValueError(f"Question {number} has the choices {', '.join(choices)}, not {letter!r}.")
        return Said("\n".join(_wrap(line) for line in _judged(question, choices[picked]) if line))

    def __repr__(self) -> str:
        lines = [self.title]
        for number, question in enumerate(self.questions, 1):
            lines += ["", _wrap(f"{number}. {question.text}")]
            choices = zip("abcdefgh", question.choices, strict=False)
            lines += [_wrap(f"   {letter}) {choice.text}", 6) for letter, choice in choices]
        return "\n".join([*lines, "", f'Answer with quiz("{self.lesson.name}").answer(1, "a").'])

    def _ipython_display_(self) -> None:
        show(self, "course-quiz", f"{self.title}: run this cell to answer them.")

    def widget(self) -> Any:
        """The questions as named groups of radio buttons, and a button to check them."""
        import anywidget
        import traitlets

        asked = [(_html(q.text), [choice.text for choice in q.choices]) for q in self.questions]

        class QuizWidget(anywidget.AnyWidget):
            _esm = FILE.with_name("quiz.js").read_text(encoding="utf-8")
            _css = FILE.with_name("quiz.css").read_text(encoding="utf-8")
            title = traitlets.Unicode(self.title).tag(sync=True)
            questions = traitlets.List(asked).tag(sync=True)
            summary = traitlets.Unicode(self._summary()).tag(sync=True)

        def on_message(widget: QuizWidget, message: dict, _buffers: object) -> None:
            feedback, widget.summary = self._checked(message["check"])
            # As a message, since the same feedback twice would be no change of a trait.
            widget.send({"feedback": feedback, "summary": widget.summary})

        widget = QuizWidget()
        widget.on_msg(on_message)
        return widget

    def _checked(self, chosen: Sequence[int | None]) -> tuple[list[str], str]:
        """The feedback to each question as HTML, "" where `chosen` has None for it, and how things stand."""
        picked = list(zip(self.questions, chosen, strict=True))
        judged = [("", "") if n is None else _judged(question, question.choices[n]) for question, n in picked]
        names = passed(store.events())
        left = sum(n is None and question.id not in names for question, n in picked)
        ends = [f"{left} still open." if left else "", *(end for _, end in judged)]
        return [_html(said) for said, _ in judged], " ".join(filter(None, [self._summary(), *ends]))

    def _summary(self) -> str:
        names = passed(store.events())
        return f"{sum(q.id in names for q in self.questions)} of {len(self.questions)} answered correctly."


def guess(name: str, value: float | None = None, *, unit: str) -> Guess | None:
    """A field for the guess called `name`, a number of `unit`; with `value` it is that, and printed."""
    _units[name] = unit
    if value is None:
        return Guess(name)
    print(_keep(name, _number(value)))
    return None


def reveal(name: str, truth: float) -> None:
    """Prints the `truth` about `name`, and how far off the last guess was, if there was one."""
    unit, truth = _units.get(name, ""), _number(truth)
    made = [e["value"] for e in store.events() if e.get("kind") == "guess" and e["name"] == name]
    store.add("truth", name, truth=truth, unit=unit)
    compared = f" You guessed {_shown(made[-1])}: {how_far(made[-1], truth)}." if made else ""
    print(f"It is {_shown(truth)} {unit}".strip() + f".{compared}")


guess.reveal = reveal


def _keep(name: str, value: float) -> str:
    """Remember the guess; the sentence to show."""
    trouble = store.add("guess", name, value=value, unit=_units[name])
    return f"Your guess: {_shown(value)} {_units[name]}. {trouble}".strip()


class Guess:
    """A guess to be made. In a notebook it shows as a field to type a number into."""

    def __init__(self, name: str) -> None:
        self.name, self.label = name, f"Your guess ({_units[name]}):"

    def __repr__(self) -> str:
        return f"{self.label} write it as guess({self.name!r}, 100, unit={_units[self.name]!r})."

    def _ipython_display_(self) -> None:
        show(self, "course-guess", f"{self.label} run this cell to type it.")

    def widget(self) -> Any:
        """The field, and beside it what is said to the number in it."""
        import ipywidgets as widgets

        field = widgets.Text(description=self.label, placeholder="a number, then Enter")
        field.style.description_width, field.layout.width = "initial", "auto"
        field.continuous_update = False
        said = widgets.HTML()

        def on_typed(change: dict) -> None:
            try:
                number = _number(float(change["new"].replace(",", "").strip("$ ")))
                said.value = escape(_keep(self.name, number))
            except ValueError:
                said.value = "That is no number: type one such as 250 or 0.5." if change["new"] else ""

        field.observe(on_typed, "value")
        return widgets.HBox([field, said])


def how_far(value: float, truth: float) -> str:
    """How far `value` is off the `truth`, in per cent, or as a factor where that is 2 or more."""
    side = "high" if value > truth else "low"
    if math.isclose(value, truth, rel_tol=0.005, abs_tol=1e-12):
        return "right"
    if value * truth <= 0:
        return f"{_shown(abs(value - truth))} too {side}"
    factor = max(value / truth, truth / value)
    return (
        f"too {side}, {_shown(factor, 2)} times"
        if factor >= 2
        else f"{100 * abs(value / truth - 1):.0f} % too {side}"
    )


def _number(value: object) -> float:
    """`value` as an int or a float. Raises ValueError for what is no finite number."""
    if isinstance(value, bool) or not (hasattr(value, "__float__") and math.isfinite(value)):
        raise ValueError(f"A guess and its truth are finite numbers, not {value!r}.")
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def _shown(value: float, digits: int = 4) -> str:
    """`value` with thousands separators; a fraction with `digits` figures."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 10**digits else f"{value:,.{digits}g}"


def show(what: Any, name: str, text: str) -> None:
    """Display `what.widget()`, with the CSS class `name`, and `text` where it is dead; else print `what`."""
    from IPython.display import display

    try:
        widget = what.widget()
    except ImportError:
        print(what)
        return
    widget.add_class(name)
    display({"text/plain": text, "text/html": _NOTE.format(name=name, text=escape(text))}, raw=True)
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    display({"text/plain": "", "application/vnd.jupyter.widget-view+json": view}, raw=True)


def _judged(question: Question, choice: Choice) -> tuple[str, str]:
    """The feedback for `choice`, which is remembered, and what `record_answer` says to it."""
    mark = "✓ Right." if choice.right else "✗ Not quite."
    return f"{mark} {choice.feedback}", record_answer(question.id, choice.right)


def _html(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _wrap(text: str, indent: int = 3) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * indent)
