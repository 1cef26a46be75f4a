"""The quizzes: as text, as a widget, and as the questions that stand in quizzes.toml."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from course_helpers.learning import quiz
from course_helpers.learning.progress import find_lesson, lessons


@pytest.fixture(autouse=True)
def _own_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "progress"))


def test_quiz_in_plain_text():
    """The questions as text, answered by number and letter; each wrong choice says why."""
    questions = quiz("raw_call")
    assert repr(questions).startswith("Quiz 1 · The raw call · 5 questions\n\n1. Which three things")
    assert max(map(len, repr(questions).splitlines())) <= 88
    for number, question in enumerate(questions.lesson.questions, 1):
        for letter, choice in zip("abcde", question.choices, strict=False):
            said = questions.answer(number, letter)
            assert said.startswith("✓ Right. " if choice.right else "✗ Not quite. ")
            assert "".join(choice.feedback.split()) in "".join(said.split())


def test_quiz_refuses_what_is_no_answer():
    """A question or a letter that is not there is named."""
    with pytest.raises(ValueError, match="questions 1 to 5, not 6"):
        quiz(1).answer(6, "a")
    with pytest.raises(ValueError, match="has the choices a, b, c, d, not 'x'"):
        quiz(1).answer(1, "x")
    with pytest.raises(LookupError, match="'raw_call', 'roles'"):
        quiz("rawcall")


def test_quiz_widget_answers_reach_python():
    """The page says which choices are picked; each gets its feedback, and right ones are kept."""
    widget, sent = quiz("multi_turn").widget(), []
    questions = find_lesson("multi_turn").questions
    assert [choices for _, choices in widget.questions] == [[c.text for c in q.choices] for q in questions]
    widget.send = lambda message: sent.append(message)
    wrong = next(i for i, c in enumerate(questions[0].choices) if not c.right)
    right = next(i for i, c in enumerate(questions[1].choices) if c.right)
    for _ in range(2):  # the same answers again are answered again
        widget._handle_custom_msg({"check": [wrong, right, None, None]}, [])
    first, second, *others = sent[-1]["feedback"]
    assert first.startswith("✗ Not quite. ")
    assert second.startswith("✓ Right. ")
    assert others == ["", ""]
    assert sent[0]["summary"] == "1 of 4 answered correctly. 2 still open." == widget.summary
    assert len(sent) == 2


def test_what_stands_in_for_the_widget(monkeypatch):
    """A constant sentence, true in any notebook program, and the widget in an output of its own."""
    shown: list[dict] = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    quiz("roles")._ipython_display_()
    note, live = shown
    text = "Quiz 2 · Roles and the system prompt · 4 questions: run this cell to answer them."
    assert note["text/plain"] == text
    assert text in note["text/html"]
    assert "JupyterLab" not in text
    assert live["text/plain"] == ""
    assert "application/vnd.jupyter.widget-view+json" in live


def test_quiz_without_widgets(monkeypatch, capsys):
    """Where there is no ipywidgets, the cell shows the questions as text."""
    monkeypatch.setitem(sys.modules, "anywidget", None)
    quiz("roles")._ipython_display_()
    assert "1. What is the purpose" in capsys.readouterr().out


def test_every_quiz_is_well_made():
    """Three to five questions a lesson, as many choices, one of them right, each with its own feedback."""
    assert [lesson.number for lesson in lessons()] == list(range(1, 9))
    for lesson in lessons():
        assert 3 <= len(lesson.questions) <= 5, lesson.name
        for question in lesson.questions:
            assert 3 <= len(question.choices) <= 5, question.text
            assert sum(choice.right for choice in question.choices) == 1
            assert len({choice.feedback for choice in question.choices}) == len(question.choices)
            assert all(len(choice.feedback) > 20 for choice in question.choices)
            assert all("`" not in choice.text for choice in question.choices)


def test_the_questions_of_the_course_text():
    """Its three questions are there, word for word."""
    asked = {question.text: lesson.number for lesson in lessons() for question in lesson.questions}
    assert asked["What is the purpose of the 'system' message in an LLM API call?"] == 2
    assert asked["Why must you send the full conversation history with every API call?"] == 3
    assert asked["You receive a 429 status code from the API. What should you do?"] == 6


def test_the_right_choice_cannot_be_guessed():
    """No position holds most of the right answers, and in no lesson are most of them the longest."""
    questions = [question for lesson in lessons() for question in lesson.questions]
    places = [next(i for i, c in enumerate(q.choices) if c.right) for q in questions]
    assert max(places.count(place) for place in places) < 0.5 * len(questions)
    for lesson in lessons():
        right = {q.text: next(len(c.text) for c in q.choices if c.right) for q in lesson.questions}
        longest = [q.text for q in lesson.questions if right[q.text] == max(len(c.text) for c in q.choices)]
        assert len(longest) <= len(lesson.questions) / 2, longest
