"""Notebooks that were closed and are opened again. The last of the browser tests, since kernels end here."""

from __future__ import annotations

from playwright.sync_api import expect

from browser.chat_page import ChatPage
from course_helpers.__main__ import NOTEBOOKS, settle
from course_helpers.chat_cell.texts import STAND_IN


def test_chat_quiz_and_guess(lab, echoing):
    """While the kernel lives, the chat is there and its Stop works; afterwards each shows its sentence."""
    quiz, guess = lab.show("quiz('roles')"), lab.show("guess('seconds', unit='seconds')")
    echoing.ask("hello")
    echoing.ask("say 2000 at 20", wait=False)  # the page is loaded anew while it comes
    echoing.until(lambda: len(echoing.replies()[-1]) > 5)
    assert lab.text(echoing.index) == STAND_IN
    lab.command("docmanager:save")
    lab.reload()
    chat = ChatPage(lab, echoing.index)
    chat.until(lambda: chat.questions() == ["hello", "say 2000 at 20"])
    grown = len(chat.replies()[-1])
    chat.until(lambda: len(chat.replies()[-1]) > grown + 20 > 25)
    chat.click("Stop")
    chat.wait()
    assert "Stopped" in chat.feet()[1]
    lab.server.end_kernels()
    lab.reload()
    expect(lab.cell(chat.index).locator(".jp-OutputArea")).to_have_text(STAND_IN, use_inner_text=True)
    for cell, sentence in ((quiz, "run this cell to answer them."), (guess, "run this cell to type it.")):
        expect(lab.cell(cell).get_by_text(sentence)).to_be_visible()
        expect(lab.cell(cell).get_by_text("Error displaying widget")).to_be_hidden()


def test_opening_a_lesson_changes_nothing(shared_lab):
    """JupyterLab notes in the file what the kernel says of itself: it must be what stands there."""
    settle()  # the installation as `make lab` leaves it: a kernel reads its settings when it starts
    shared_lab.open(NOTEBOOKS / "01_raw_call.ipynb")
    noted, dirty = shared_lab.on_panel(
        """const answer = await panel.sessionContext.session.kernel.info;
        await new Promise(requestAnimationFrame);
        return [answer.language_info, panel.context.model.dirty];"""
    )
    assert (noted["file_extension"], dirty) == (".py", False)
