"""Recall questions: radio buttons in a notebook, plain text everywhere else."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from . import stand_in
from .events import store
from .lessons import Choice, Lesson, Question, find_lesson
from .progress import passed, record_answer

if TYPE_CHECKING:
    from .quiz_widget import QuizWidget

WIDTH = 88


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
        return Said("\n".join(_wrap(line) for line in self.judge(question, choice) if line))

    def judge(self, question: Question, choice: Choice) -> tuple[str, str]:
        """The feedback for `choice`, which is remembered, and what `record_answer` says to it."""
        mark = "✓ Right." if choice.right else "✗ Not quite."
        return f"{mark} {choice.feedback}", record_answer(question.id, choice.right)

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

    def _ipython_display_(self) -> None:
        stand_in.show(self, "course-quiz", f"{self.title}: run this cell to answer them.")

    def widget(self) -> QuizWidget:
        """The questions as groups of radio buttons, and a button to check them."""
        from .quiz_widget import QuizWidget

        questions = [
            (_html(question.text), [choice.text for choice in question.choices])
            for question in self.lesson.questions
        ]
        return QuizWidget(self.check, title=self.title, questions=questions, summary=self._summary())

    def check(self, chosen: Sequence[int | None]) -> tuple[list[str], str]:
        """The feedback to each question as HTML, "" where `chosen` has None for it, and how things stand."""
        judged = [
            ("", "") if number is None else self.judge(question, question.choices[number])
            for question, number in zip(self.lesson.questions, chosen, strict=True)
        ]
        open_ones = [q for q, number in zip(self.lesson.questions, chosen, strict=True) if number is None]
        said = " ".join(line for _, line in judged if line)
        return [_html(text) for text, _ in judged], f"{self._summary(open_ones)} {said}".strip()

    def _summary(self, unanswered: Sequence[Question] = ()) -> str:
        names = passed(store.events())
        done = sum(question.id in names for question in self.lesson.questions)
        left = sum(question.id not in names for question in unanswered)
        still = f" {left} still open." if left else ""
        return f"{done} of {len(self.lesson.questions)} answered correctly.{still}"


def _letters(question: Question) -> dict[str, Choice]:
    return dict(zip("abcdefgh", question.choices, strict=False))


def _html(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _wrap(text: str, indent: int = 3) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * indent)
