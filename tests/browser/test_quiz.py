"""Quizzes, guesses and lessons as a learner sees them in JupyterLab, by mouse and by keyboard."""

from __future__ import annotations

from itertools import pairwise

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from course_helpers.__main__ import NOTEBOOKS, settle
from course_helpers.learning.progress import find_lesson

SETUP = "from course_helpers.learning import guess, progress, quiz"


def test_opening_a_lesson_changes_nothing(lab):
    """JupyterLab notes in the file what the kernel says of itself: it must be what stands there."""
    settle()  # the installation as `make lab` leaves it: a kernel reads its settings when it starts
    lab.open(NOTEBOOKS / "01_raw_call.ipynb")
    noted, dirty = lab.page.evaluate(
        """async () => {
            const { context, sessionContext } = jupyterapp.shell.currentWidget;
            const answer = await sessionContext.session.kernel.info;
            await new Promise(requestAnimationFrame);
            return [answer.language_info, context.model.dirty];
        }"""
    )
    assert (noted["file_extension"], dirty) == (".py", False)


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
        boxes = [label.bounding_box() for label in labels.all()]
        assert all(b["y"] >= a["y"] + a["height"] - 1 for a, b in pairwise(boxes))
        assert labels.evaluate_all("all => all.filter(l => l.scrollWidth > l.clientWidth + 1).length") == 0
        lab.screenshot(f"quiz-{width}")
    wrong = next(choice for choice in questions[0].choices if choice != right[0])

    def choose(*choices: str) -> None:
        for text in choices:
            box.get_by_text(text, exact=True).click()
        box.get_by_role("button", name="Check my answers").click()

    choose(wrong, right[1])
    expect(box).to_contain_text(questions[0].feedback(wrong)[:40].replace("`", ""))
    expect(box).to_contain_text("1 of 4 answered correctly. 2 still open.")
    choose(*right)
    expect(box).to_contain_text("4 of 4 answered correctly.")
    lab.run_cell(2)
    assert "6  Rate limits and retries       0 of 3      4 of 4   exercise 6.1" in lab.text(2)
    assert lab.faults == lab.strangers == []


def test_quiz_by_keyboard_and_reopened(lab):
    """Each question is a named group: Tab goes from one to the next, arrows move in it, no shortcut fires.

    axe-core finds nothing. Saved and opened again, quiz and guess show their sentence, and no dead widget.
    """
    lab.open([SETUP, "quiz('roles')", "guess('seconds', unit='seconds')"])
    assert lab.run_all()
    box, press = lab.cell(1).locator(".course-quiz"), lab.page.keyboard.press
    question, second = find_lesson("roles").questions[:2]
    group = box.get_by_role("radiogroup", name=f"1. {question.text}")
    group.get_by_role("radio").first.focus()
    press("Space")
    for _ in range(question.choices.index(question.right)):
        press("ArrowDown")
    expect(group.get_by_role("radio", name=question.right, exact=True)).to_be_checked()
    press("Tab")
    expect(box.get_by_role("radiogroup", name=f"2. {second.text}").get_by_role("radio").first).to_be_focused()
    for key in ("Tab", "Tab", "Tab", "Enter"):
        press(key)
    expect(box).to_contain_text("1 of 4 answered correctly. 3 still open.")
    field = lab.cell(2).get_by_role("textbox", name="Your guess (seconds):")
    field.fill("12")
    field.press("Enter")
    expect(lab.cell(2)).to_contain_text("Your guess: 12 seconds.")
    for dark in (False, True):
        lab.theme(dark)
        found = Axe().run(lab.page, context=".jp-OutputArea-output")
        assert found.violations_count == 0, found.generate_report()
    lab.command("docmanager:save")
    lab.server.end_kernels()
    lab.reload()
    for cell, sentence in ((1, "run this cell to answer them."), (2, "run this cell to type it.")):
        expect(lab.cell(cell).get_by_text(sentence)).to_be_visible()
        expect(lab.cell(cell).get_by_text("Error displaying widget")).to_be_hidden()
