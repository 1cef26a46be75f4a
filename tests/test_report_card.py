"""The report card: for each finding a bot with just this fault, clean bots, and bots that misbehave.

Lesson 8 proves that `Conversation` and course-chat weather the whole storm.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress

import anthropic
import pytest

from course_helpers import MODEL, call_with_retry, connect, reply_text
from course_helpers.client import current_client
from course_helpers.learning import report_card, storm
from course_helpers.learning.report_card import ReportCard


@pytest.fixture(autouse=True)
def _connected():
    connect()


def card(bot, *names: str) -> ReportCard:
    """The card of `bot` in the cases that are named."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storm, "CASES", {name: storm.CASES[name] for name in names})
        return report_card(bot)


def seen(made: ReportCard) -> set[str]:
    """The names of what was found."""
    return {name for name, cases in made.findings.items() if cases}


# What a faulty bot takes for a passing failure, and how often call_with_retry tries then.
TRIED_AGAIN = {
    "retry-after ignored": (anthropic.RateLimitError, 0),
    "non-retryable retried": (anthropic.NotFoundError, 5),
    "retry storm": (anthropic.InternalServerError, 5),
}


class Bot:
    """A bot with the fault that is named, and none besides; `pause` is how long it waits before a mistake."""

    def __init__(self, fault: str = "", pause: float = 0, **client) -> None:
        self.fault, self.pause, self.history = fault, pause, []
        self.client = anthropic.Anthropic(**client)

    def call(self, messages: list[dict]) -> str:
        asked = {"model": MODEL, "max_tokens": 300, "messages": messages}
        if self.fault == "truncated stream accepted":
            events = self.client.with_options(max_retries=0).messages.create(stream=True, **asked)
            return "".join(getattr(getattr(e, "delta", None), "text", None) or "" for e in events)
        mistaken, tries = TRIED_AGAIN.get(self.fault, ((), 5))
        with suppress(mistaken):
            return reply_text(call_with_retry(self.client, tries, on_wait=None, **asked))
        time.sleep(self.pause)
        return reply_text(call_with_retry(self.client, tries, on_wait=None, **asked))

    def send(self, text: str) -> str:
        turn = {"role": "user", "content": text}
        try:
            answer = self.call([*self.history, turn])
        except Exception as error:
            if self.fault == "failed turn left in history":
                self.history.append(turn)
            if self.fault == "key shown" and isinstance(error, anthropic.AuthenticationError):
                return f"bad key {os.environ['ANTHROPIC_API_KEY']}"
            raise
        if answer or self.fault == "empty turn stored":
            self.history += [turn, {"role": "assistant", "content": answer}]
        return answer


def counting_main(all_calls: bool):
    """A `main` without a try that prints the session's tokens: of all calls, or of those with a text."""

    def main() -> None:
        client, history, tokens = connect(), [], 0
        client.models.list()  # before its first question
        input("System prompt: ")
        while (text := input("You: ")) != "quit":
            turn = {"role": "user", "content": text}
            message = call_with_retry(client, model=MODEL, max_tokens=300, messages=[*history, turn])
            answer = reply_text(message)
            if answer or all_calls:
                tokens += message.usage.input_tokens
            if answer:
                history += [turn, {"role": "assistant", "content": answer}]
            print(answer, f"[session: {tokens:,} tokens in]")

    return main


FAULTS = [
    ("retry-after ignored", Bot, ["429 with retry-after", "calm again"]),
    ("non-retryable retried", Bot, ["spend cap", "model retired", "wrong key"]),
    ("retry storm", Bot, ["429 with retry-after", "529 that lasts", "calm again"]),
    ("truncated stream accepted", Bot, ["stream truncated", "calm", "stream dropped", "calm again"]),
    ("empty turn stored", Bot, ["empty reply", "calm again"]),
    ("failed turn left in history", Bot, ["calm", "spend cap", "empty reply", "calm again"]),
    ("unbounded wait", lambda _: Bot(timeout=None), ["calm", "stream stalled"]),
    ("unbounded wait", lambda _: Bot(timeout=1200), ["calm", "stream stalled"]),
    ("key shown", Bot, ["calm", "wrong key", "calm again"]),
    ("cost not counted", lambda _: counting_main(False), ["calm", "thinking only", "calm again"]),
    ("session ended by an error", lambda _: counting_main(True), ["calm", "wrong key", "calm again"]),
]


@pytest.mark.parametrize(("name", "make", "cases"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_a_bot_with_one_fault_gets_just_that(name, make, cases, capsys):
    """Each case is told in a line; the table has a row for it, and the timeline one for each request."""
    made = card(make(name), *cases)
    assert seen(made) == {name}, made.cases.to_string()
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == cases
    assert f"✗ {name}: " in repr(made)
    assert f"(lesson {storm.FINDINGS[name][0]})" in repr(made)
    assert not made.clean
    assert made.cases["requests"].sum() == len(made.attempts)


def test_clean_bots():
    """Mains that count all calls, functions, plain and async, get a clean card."""
    mine = connect()
    made = card(counting_main(True), "calm", "thinking only", "calm again")
    assert (made.clean, list(made.cases["requests"]), current_client()) == (True, [1, 1, 1], mine)

    async def ask(text: str) -> str:
        return Bot().send(text)

    for bot in (Bot().send, ask, Bot):
        made = card(bot, "429 with retry-after", "wrong key", "calm again")
        assert made.clean
        assert list(made.cases["history"]) == ["valid", "valid", "not seen"]
        assert list(made.attempts["outcome"]) == ["429", "reply", "401", "reply"]
        assert (made.attempts["wait"] > 0.39).tolist() == [True, False, False, False]
        assert made.attempts["asked"].tolist() == [True, True, False, False]


MISBEHAVED = {
    "hangs": lambda text: [None for _ in iter(int, 1)],
    "exits": lambda text: sys.exit(3),
    "prints without end": lambda text: [print("spam" * 1_000) for _ in iter(int, 1)],
    "never reads": lambda: None,
    "raises": lambda: input() and 1 / 0,
}


@pytest.mark.parametrize("how", MISBEHAVED)
def test_bots_that_do_not_come_back(how, monkeypatch):
    """The card says so, and everything is as it was."""
    monkeypatch.setattr(storm, "PATIENCE", 0.1)
    monkeypatch.setattr(sys.modules[ReportCard.__module__], "SESSION_LIMIT", 0.5)
    before = input, time.sleep, sys.stdin, os.environ.copy()
    made = card(MISBEHAVED[how], "calm", "500")
    assert seen(made) <= {"unbounded wait", "session ended by an error"}
    assert not made.clean
    assert (input, time.sleep, sys.stdin, os.environ.copy()) == before
    assert len(repr(made)) < 2_000


def test_own_waits_are_measured_and_not_sat_through():
    """A wait of a minute before a retry is long enough for retry-after, and takes no minute."""
    made = card(Bot("retry-after ignored", pause=60), "429 with retry-after", "calm again")
    assert made.clean
    assert made.attempts["wait"].max() > 59


def test_no_request_reaches_another_server(echo):
    """Whatever server a bot's client was made for: it hears nothing, and no key of it gets out."""
    before = len(echo.requests)
    bot = Bot(base_url=echo.url, api_key="sk-ant-my-own-key-of-some-length")
    assert card(bot, "calm", "500", "calm again").clean
    assert len(echo.requests) == before
    bot.send = lambda text: bot.client.api_key
    assert seen(card(bot, "calm")) == {"key shown"}
