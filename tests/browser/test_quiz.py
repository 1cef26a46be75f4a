"""Quizzes and exercises as a learner sees them in JupyterLab, by mouse and by keyboard."""

from __future__ import annotations

from itertools import pairwise

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from course_helpers.learning.progress import find_lesson

SETUP = "from course_helpers.learning import check, exercise, guess, progress, quiz"


expect.set_options(timeout=30_000)


def right(number: int) -> str:
    return next(choice.text for choice in questions()[number - 1].choices if choice.right)


def questions():
    return find_lesson("retries").questions


def test_quiz_by_mouse(lab):
    """Nothing is cut off or overlaps; wrong choices get their feedback, right ones complete the quiz."""
    lab.open([SETUP, "quiz('retries')", "progress()"])
    assert lab.run_all()
    box = lab.cell(1).locator(".course-quiz")
    labels = box.locator(".course-quiz-group label")
    expect(labels).to_have_count(sum(len(question.choices) for question in questions()))
    for width in (1280, 700):
        lab.page.set_viewport_size({"width": width, "height": 1200})
        lab.page.wait_for_timeout(300)
        boxes = [labels.nth(i).bounding_box() for i in range(labels.count())]
        assert all(b["y"] >= a["y"] + a["height"] - 1 for a, b in pairwise(boxes))
        cut = labels.evaluate_all(
            "all => all.filter(l => l.scrollWidth > l.clientWidth + 1).map(l => l.textContent)"
        )
        assert cut == []
        inside = (
            lab.cell(1)
            .locator(".jp-OutputArea-output")
            .first.evaluate("o => o.scrollWidth <= o.clientWidth + 1")
        )
        assert inside, f"the quiz is wider than its cell at {width}"
        lab.screenshot(f"quiz-{width}")
    lab.page.set_viewport_size({"width": 1280, "height": 900})

    wrong = next(choice for choice in questions()[0].choices if not choice.right)
    box.get_by_text(wrong.text, exact=True).click()
    box.get_by_text(right(2), exact=True).click()
    box.get_by_role("button", name="Check my answers").click()
    expect(box).to_contain_text("✗ Not quite.")
    expect(box).to_contain_text(wrong.feedback[:30].replace("`", ""))
    expect(box).to_contain_text("1 of 4 answered correctly. 2 still open.")
    lab.screenshot("quiz-feedback", full=True)
    for number in range(1, 5):
        box.get_by_text(right(number), exact=True).click()
    expect(box).not_to_contain_text("✗ Not quite.")
    box.get_by_role("button", name="Check my answers").click()
    expect(box).to_contain_text("4 of 4 answered correctly.")
    lab.theme(dark=True)
    lab.screenshot("quiz-dark", full=True)
    lab.run_cell(2)
    assert "6  Rate limits and retries       0 of 3      4 of 4   exercise 6.1" in lab.text(2)
    assert lab.faults == []
    assert lab.strangers == []


def test_quiz_by_keyboard(lab):
    """Each question is a named group: Tab goes from one to the next, arrows move in it, no shortcut fires."""
    lab.open([SETUP, "quiz('roles')"])
    assert lab.run_all()
    box = lab.cell(1).locator(".course-quiz")
    question, second = find_lesson("roles").questions[:2]
    group = box.get_by_role("radiogroup", name=f"1. {question.text}")
    radios = group.get_by_role("radio")
    expect(radios).to_have_count(len(question.choices))
    radios.first.focus()
    lab.page.keyboard.press("Space")
    expect(radios.first).to_be_checked()
    for _ in range(next(i for i, c in enumerate(question.choices) if c.right)):
        lab.page.keyboard.press("ArrowDown")
    answer = next(choice.text for choice in question.choices if choice.right)
    expect(group.get_by_role("radio", name=answer, exact=True)).to_be_checked()
    lab.page.keyboard.press("Tab")
    focused = box.get_by_role("radiogroup", name=f"2. {second.text}").get_by_role("radio").first
    expect(focused).to_be_focused()
    for _ in range(3):
        lab.page.keyboard.press("Tab")
    expect(box.get_by_role("button", name="Check my answers")).to_be_focused()
    lab.page.keyboard.press("Enter")
    expect(box).to_contain_text("1 of 4 answered correctly. 3 still open.")
    assert len(lab.notebook()["cells"]) == 2


def test_reopened(lab):
    """Saved and opened again, quiz and guess show their sentence, and no widget that is not there."""
    lab.open([SETUP, "quiz('roles')", "guess('seconds', unit='seconds')"])
    assert lab.run_all()
    expect(lab.cell(1).locator(".course-quiz")).to_be_visible()
    expect(lab.cell(1).locator(".course-quiz-closed")).to_be_hidden()
    field = lab.cell(2).get_by_role("textbox", name="Your guess (seconds):")
    field.fill("12")
    field.press("Enter")
    expect(lab.cell(2)).to_contain_text("Your guess: 12 seconds.")
    lab.screenshot("guess")
    lab.command("docmanager:save")
    lab.server.end_kernels()
    lab.reload()
    for cell, sentence in ((1, "run this cell to answer them."), (2, "run this cell to type it.")):
        expect(lab.cell(cell).get_by_text(sentence)).to_be_visible()
        expect(lab.cell(cell).get_by_text("Error displaying widget")).to_be_hidden()
        expect(lab.cell(cell).get_by_text("Loading widget")).to_be_hidden()
    lab.screenshot("quiz-reopened")


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_that_a_screen_reader_stumbles_over(lab, dark):
    """axe-core finds no violation in quiz, guess and exercise, light and dark, feedback included."""
    lab.open([SETUP, "quiz('roles')", "guess('seconds', unit='seconds')", "exercise('ask')", "progress()"])
    assert lab.run_all()
    lab.theme(dark=dark)
    box = lab.cell(1).locator(".course-quiz")
    for question in find_lesson("roles").questions:
        box.get_by_text(question.choices[0].text, exact=True).click()
    box.get_by_role("button", name="Check my answers").click()
    expect(box).to_contain_text("of 4 answered correctly.")
    found = Axe().run(lab.page, context=".jp-OutputArea-output")
    assert found.violations_count == 0, found.generate_report()


def test_an_exercise_in_the_notebook(lab):
    """Not started, then a mistake with its hint, then passed; a failed check is one line."""
    lab.open(
        [
            f"from course_helpers import MODEL, connect\n{SETUP}\nclient = connect()",
            "def window(history, turns):\n    ...",
            "exercise('window')",
            "def window(history, turns):\n    return history[-2 * turns:]",
            "exercise('window')",
            "progress()",
        ]
    )
    assert lab.run_all()
    assert "not started" in lab.text(2)
    assert "begins with the assistant" in " ".join(lab.text(4).split())
    assert "· not yet" in lab.text(4)
    lab.run("check('a claim that fails', [])")
    assert len(lab.page.locator(".jp-OutputArea-output").last.inner_text().splitlines()) == 2
    lab.screenshot("exercise", full=True)
