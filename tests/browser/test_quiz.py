"""Quizzes and guesses as a learner sees them in JupyterLab, by mouse and by keyboard."""

from __future__ import annotations

from itertools import pairwise

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from course_helpers.learning.progress import find_lesson

SETUP = "from course_helpers.learning import guess, progress, quiz"
expect.set_options(timeout=30_000)


def test_quiz_by_mouse(lab):
    """Nothing is cut off or overlaps; wrong choices get their feedback, right ones complete the quiz."""
    questions = find_lesson("retries").questions
    right = [question.right for question in questions]
    lab.open([SETUP, "quiz('retries')", "progress()"])
    assert lab.run_all()
    box = lab.cell(1).locator(".course-quiz")
    labels = box.locator(".course-quiz-group label")
    expect(labels).to_have_count(sum(len(question.choices) for question in questions))
    for width in (1280, 700):
        lab.page.set_viewport_size({"width": width, "height": 1200})
        lab.page.wait_for_timeout(300)
        boxes = [labels.nth(i).bounding_box() for i in range(labels.count())]
        assert all(b["y"] >= a["y"] + a["height"] - 1 for a, b in pairwise(boxes))
        cut = "all => all.filter(l => l.scrollWidth > l.clientWidth + 1).map(l => l.textContent)"
        assert labels.evaluate_all(cut) == []
        lab.screenshot(f"quiz-{width}")
    wrong = next(choice for choice in questions[0].choices if choice != right[0])
    box.get_by_text(wrong, exact=True).click()
    box.get_by_text(right[1], exact=True).click()
    box.get_by_role("button", name="Check my answers").click()
    expect(box).to_contain_text(questions[0].feedback(wrong)[:40].replace("`", ""))
    expect(box).to_contain_text("1 of 4 answered correctly. 2 still open.")
    for text in right:
        box.get_by_text(text, exact=True).click()
    box.get_by_role("button", name="Check my answers").click()
    expect(box).to_contain_text("4 of 4 answered correctly.")
    lab.run_cell(2)
    assert "6  Rate limits and retries       0 of 3      4 of 4   exercise 6.1" in lab.text(2)
    assert lab.faults == []
    assert lab.strangers == []


def test_quiz_by_keyboard_and_reopened(lab):
    """Each question is a named group: Tab goes from one to the next, arrows move in it, no shortcut fires.

    axe-core finds nothing. Saved and opened again, quiz and guess show their sentence, and no dead widget.
    """
    lab.open([SETUP, "quiz('roles')", "guess('seconds', unit='seconds')"])
    assert lab.run_all()
    box = lab.cell(1).locator(".course-quiz")
    question, second = find_lesson("roles").questions[:2]
    group = box.get_by_role("radiogroup", name=f"1. {question.text}")
    group.get_by_role("radio").first.focus()
    lab.page.keyboard.press("Space")
    at = question.choices.index(question.right)
    for _ in range(at):
        lab.page.keyboard.press("ArrowDown")
    expect(group.get_by_role("radio", name=question.right, exact=True)).to_be_checked()
    lab.page.keyboard.press("Tab")
    focused = box.get_by_role("radiogroup", name=f"2. {second.text}").get_by_role("radio").first
    expect(focused).to_be_focused()
    for _ in range(3):
        lab.page.keyboard.press("Tab")
    lab.page.keyboard.press("Enter")
    expect(box).to_contain_text("1 of 4 answered correctly. 3 still open.")
    field = lab.cell(2).get_by_role("textbox", name="Your guess (seconds):")
    field.fill("12")
    field.press("Enter")
    expect(lab.cell(2)).to_contain_text("Your guess: 12 seconds.")
    for dark in (False, True):
        lab.theme(dark=dark)
        found = Axe().run(lab.page, context=".jp-OutputArea-output")
        assert found.violations_count == 0, found.generate_report()
    lab.command("docmanager:save")
    lab.server.end_kernels()
    lab.reload()
    for cell, sentence in ((1, "run this cell to answer them."), (2, "run this cell to type it.")):
        expect(lab.cell(cell).get_by_text(sentence)).to_be_visible()
        expect(lab.cell(cell).get_by_text("Error displaying widget")).to_be_hidden()
