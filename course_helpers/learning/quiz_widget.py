"""The quiz as a widget: named groups of radio buttons, one button to check them, feedback under each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import anywidget
import traitlets

_HERE = Path(__file__).parent


class QuizWidget(anywidget.AnyWidget):
    """`questions` are pairs of a question's HTML and its choices as text.

    `judge` gets, for each question, the number of the chosen answer or None. It returns the HTML to show
    under each question and the summary's text.
    """

    _esm = (_HERE / "quiz.js").read_text(encoding="utf-8")
    _css = (_HERE / "quiz.css").read_text(encoding="utf-8")

    title = traitlets.Unicode().tag(sync=True)
    questions = traitlets.List().tag(sync=True)
    summary = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, judge: Callable[[Sequence[int | None]], tuple[list[str], str]], **traits: object
    ) -> None:
        super().__init__(**traits)
        self._judge = judge
        self.add_class("course-quiz")
        self.on_msg(self._on_message)

    def _on_message(self, _widget: object, message: object, _buffers: object) -> None:
        chosen = message.get("check") if isinstance(message, dict) else None
        if not isinstance(chosen, list) or len(chosen) != len(self.questions):
            return
        for picked, (_, choices) in zip(chosen, self.questions, strict=True):
            if picked is not None and picked not in range(len(choices)):
                return
        feedback, self.summary = self._judge(chosen)
        # As a message, since the same feedback twice would be no change of a trait.
        self.send({"feedback": feedback, "summary": self.summary})
