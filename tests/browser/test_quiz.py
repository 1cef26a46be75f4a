"""A quiz and a guess as a learner sees them in JupyterLab, by mouse and by keyboard."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from course_helpers.learning.progress import find_lesson


def test_by_mouse_and_by_keyboard(lab):
    """Each choice is there, axe-core finds nothing, what Python says of the choices is shown.

    Each question is a named group: Tab goes from one to the next, arrows move in it, no shortcut fires.
    """
    index = lab.show("quiz('roles')")
    box, press = lab.cell(index).locator(".course-quiz"), lab.page.keyboard.press
    questions = find_lesson("roles").questions
    groups = [box.get_by_role("radiogroup", name=f"{n}. {q.text}") for n, q in enumerate(questions, 1)]
    choices = sum(len(question.choices) for question in questions)
    expect(box.locator(".course-quiz-group label")).to_have_count(choices)
    question = questions[0]
    wrong = next(choice for choice in question.choices if choice != question.right)
    groups[0].get_by_text(wrong, exact=True).click()
    box.get_by_role("button", name="Check my answers").click()
    expect(box).to_contain_text(question.feedback(wrong)[:40].replace("`", ""))
    groups[0].get_by_role("radio").first.focus()
    press("Space")
    for _ in range(question.choices.index(question.right)):
        press("ArrowDown")
    expect(groups[0].get_by_role("radio", name=question.right, exact=True)).to_be_checked()
    press("Tab")
    expect(groups[1].get_by_role("radio").first).to_be_focused()
    for key in ("Tab", "Tab", "Tab", "Enter"):
        press(key)
    expect(box).to_contain_text("1 of 4 answered correctly.")

    guess = lab.cell(lab.show("guess('seconds', unit='seconds')")).locator(".jp-OutputArea")
    field = guess.get_by_role("textbox", name="Your guess (seconds):")
    field.fill("12")
    field.press("Enter")
    expect(guess).to_contain_text("Your guess: 12 seconds.")
    for each in (box, guess):
        each.evaluate("node => node.classList.add('asked')")
    for dark in (False, True):
        lab.theme(dark)
        found = Axe().run(lab.page, context=".asked")
        assert found.violations_count == 0, found.generate_report()
