"""One chat cell on a JupyterLab page, as a reader sees and touches it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from playwright.sync_api import expect

from browser.lab import Lab


class ChatPage:
    """The chat that the cell `index` shows: its controls, and what is to be read in it."""

    def __init__(self, lab: Lab, index: int):
        self.lab, self.index = lab, index
        self.root = lab.cell(index).locator(".course-chat")
        self.box, self.main = self.part("row textarea"), self.part("row button")
        self.status, self.session, self.talk = (self.part(name) for name in ("status", "session", "scroll"))
        expect(self.box).to_be_visible()
        self.root.scroll_into_view_if_needed()

    @classmethod
    def make(cls, lab: Lab, source: str = "cell = ChatCell()\ncell") -> ChatPage:
        """Run `source` in a new cell and take the chat that it shows."""
        return cls(lab, lab.show(source))

    def part(self, name: str):
        return self.root.locator(f".course-chat-{name}")

    def ask(self, text: str, *, wait: bool = True) -> None:
        """Put `text` into the box and press Enter; wait for the end of the reply."""
        self.box.fill(text)
        self.box.press("Enter")
        if wait:
            self.wait()

    def wait(self, timeout: float = 20) -> None:
        expect(self.main).to_have_text("Send", timeout=timeout * 1000)

    def until(self, truth: Callable[[], bool], timeout: float = 10) -> None:
        deadline = time.monotonic() + timeout
        while not truth():
            assert time.monotonic() < deadline, "did not happen in time"
            self.lab.page.wait_for_timeout(30)

    def click(self, name: str) -> None:
        self.root.get_by_role("button", name=name, exact=True).last.click()

    def replies(self) -> list[str]:
        parts = '[...it.querySelectorAll(".course-chat-reply")].map(part => part.innerText)'
        return self.part("exchange").evaluate_all(f"all => all.map(it => {parts}.join('\\n').trim())")

    def questions(self) -> list[str]:
        return self.part("words").all_inner_texts()

    def feet(self) -> list[str]:
        """What stands beneath each reply: notes and bills."""
        return self.part("foot").all_inner_texts()

    def dollars(self) -> float:
        return float(re.search(r"\$([\d.,]+)", self.session.inner_text())[1].replace(",", ""))
