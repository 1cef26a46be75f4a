"""Recall questions: radio buttons in a notebook, plain text everywhere else."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from .lessons import Choice, Lesson, Question, find_lesson
from .progress import remember, store

if TYPE_CHECKING:
    import ipywidgets

WIDTH = 88
# ipywidgets gives a radio button's label one line of fixed height, its text before its button in the
# document; a long answer needs as many lines as it needs, beside its button.
_STYLE = """<style>
.course-quiz .widget-radio, .course-quiz .widget-radio-box { width: auto; height: auto; max-width: 100%; }
.course-quiz .widget-radio-box label { height: auto; line-height: 1.5; white-space: normal;
  position: relative; padding-left: 22px; margin-bottom: 3px; cursor: pointer; }
.course-quiz .widget-radio-box input { position: absolute; left: 0; top: 0; }
.course-quiz .widget-html-content { line-height: 1.5; }
.course-quiz p { margin: 0; }
.course-quiz p.course-question { margin-top: 10px; }
</style>"""


def quiz(name: str | int) -> Quiz:
    """The quiz of the lesson called `name`, such as "raw_call", or with that number."""
    return Quiz(find_lesson(name))


class Said(str):
    """Text that shows as itself, without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


class Quiz:
    """The questions of one lesson. In a notebook it shows as a widget; `answer(1, "b")` works anywhere."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson

    def answer(self, number: int, letter: str) -> Said:
        """What is to be said about answering question `number`, counted from 1, with choice `letter`."""
        if not (isinstance(number, int) and 1 <= number <= len(self.lesson.questions)):
            raise ValueError(f"There are questions 1 to {len(self.lesson.questions)}, not {number!r}.")
        question = self.lesson.questions[number - 1]
        letters = _letters(question)
        if str(letter).strip().lower() not in letters:
            raise ValueError(f"Question {number} has the choices {', '.join(letters)}, not {letter!r}.")
        choice = letters[str(letter).strip().lower()]
        text, completed = self.judge(question, choice)
        return Said("\n".join(_wrap(line) for line in (text, completed) if line))

    def judge(self, question: Question, choice: Choice) -> tuple[str, str]:
        """The feedback for `choice`, remembered if right, and a line if that completed the lesson."""
        if not choice.right:
            return f"✗ Not quite. {choice.feedback}", ""
        return f"✓ Right. {choice.feedback}", remember(self.lesson, question.id)

    @property
    def title(self) -> str:
        """One line that is always the same."""
        return f"Quiz {self.lesson.number} · {self.lesson.title} · {len(self.lesson.questions)} questions"

    def __repr__(self) -> str:
        lines = [self.title]
        for number, question in enumerate(self.lesson.questions, 1):
            lines += ["", _wrap(f"{number}. {question.text}")]
            lines += [
                _wrap(f"   {letter}) {choice.text}", 6) for letter, choice in _letters(question).items()
            ]
        return "\n".join([*lines, "", f'Answer with quiz("{self.lesson.name}").answer(1, "a").'])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        try:
            view = self.widget()._repr_mimebundle_()
        except ImportError:
            return {"text/plain": repr(self)}
        return {**view, "text/plain": f"{self.title}: run this cell to answer them."}

    def widget(self) -> ipywidgets.VBox:
        """The questions as stock widgets: radio buttons, one button to check them, feedback under each."""
        import ipywidgets as widgets

        asked: list[tuple[Question, widgets.RadioButtons, widgets.HTML]] = []
        rows: list[widgets.Widget] = [widgets.HTML(f"{_STYLE}<strong>{escape(self.title)}</strong>")]
        for number, question in enumerate(self.lesson.questions, 1):
            radios = widgets.RadioButtons(
                options=[(choice.text, choice) for choice in question.choices],
                value=None,
                layout={"width": "auto", "height": "auto"},
            )
            feedback = widgets.HTML()
            rows += [
                widgets.HTML(
                    f"<p class='course-question'><strong>{number}.</strong> {_html(question.text)}</p>"
                ),
                radios,
                feedback,
            ]
            asked.append((question, radios, feedback))
            radios.observe(lambda _, said=feedback: setattr(said, "value", ""), "value")
        check = widgets.Button(
            description="Check my answers",
            button_style="primary",
            layout={"width": "auto", "flex": "0 0 auto", "margin": "8px 8px 0 0"},
        )
        summary = widgets.HTML(self._summary(), layout={"margin": "8px 0 0"})

        def on_check(_: object) -> None:
            completed = ""
            for question, radios, feedback in asked:
                if radios.value is None:
                    feedback.value = ""
                    continue
                text, line = self.judge(question, radios.value)
                feedback.value = f"<p>{_html(text)}</p>"
                completed = line or completed
            unanswered = [question for question, radios, _ in asked if radios.value is None]
            summary.value = self._summary(unanswered, completed)

        check.on_click(on_check)
        box = widgets.VBox([*rows, widgets.HBox([check, summary])])
        box.add_class("course-quiz")
        return box

    def _summary(self, unanswered: Sequence[Question] = (), completed: str = "") -> str:
        names = store.passed()
        done = sum(question.id in names for question in self.lesson.questions)
        left = sum(question.id not in names for question in unanswered)
        words = [f"{done} of {len(self.lesson.questions)} answered correctly."]
        if left:
            words.append(f"{left} still open.")
        return f"<span role='status'>{escape(' '.join([*words, completed]).strip())}</span>"


def _letters(question: Question) -> dict[str, Choice]:
    return dict(zip("abcdefgh", question.choices, strict=False))


def _html(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _wrap(text: str, indent: int = 3) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * indent)
