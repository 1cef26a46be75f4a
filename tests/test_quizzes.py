"""The quizzes: as text, as a widget, and as the questions that stand in quizzes.toml."""

from __future__ import annotations

import sys

import pytest

from course_helpers.learning import quiz
from course_helpers.learning.progress import find_lesson, lessons


@pytest.fixture(autouse=True)
def _own_progress(tmp_path, monkeypatch) -> None:
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
    with pytest.raises(ValueError, match="questions 1 to 5, not 6"):
        questions.answer(6, "a")
    with pytest.raises(ValueError, match="has the choices a, b, c, d, not 'x'"):
        questions.answer(1, "x")
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


def test_what_stands_in_for_the_widget(monkeypatch, capsys):
    """A constant sentence, true in any notebook program, beside the widget; without ipywidgets the text."""
    shown: list[dict] = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    quiz("roles")._ipython_display_()
    note, live = shown
    assert (
        note["text/plain"]
        == "Quiz 2 · Roles and the system prompt · 4 questions: run this cell to answer them."
    )
    assert note["text/plain"] in note["text/html"]
    assert live["text/plain"] == ""
    assert "application/vnd.jupyter.widget-view+json" in live
    monkeypatch.setitem(sys.modules, "anywidget", None)
    quiz("roles")._ipython_display_()
    assert capsys.readouterr().out == f"{quiz('roles')!r}\n"


def test_the_questions():
    """Three to five a lesson, one right choice each, which can neither be guessed by place nor by length."""
    questions = [question for lesson in lessons() for question in lesson.questions]
    for question in questions:
        assert 3 <= len(question.choices) <= 5, question.text
        assert sum(choice.right for choice in question.choices) == 1
        assert len({choice.feedback for choice in question.choices}) == len(question.choices)
        assert all(len(c.feedback) > 20 and "`" not in c.text for c in question.choices), question.text
    places = [next(i for i, c in enumerate(q.choices) if c.right) for q in questions]
    assert max(places.count(place) for place in places) < 0.5 * len(questions)
    for lesson in lessons():
        assert 3 <= len(lesson.questions) <= 5, lesson.name
        longest = [max(q.choices, key=lambda choice: len(choice.text)).right for q in lesson.questions]
        assert sum(longest) <= len(longest) / 2, lesson.name
