"""The report card: for each finding a bot with just this fault, clean bots, and bots that misbehave."""

from __future__ import annotations

import os
import sys
import time
import types
from contextlib import suppress

import anthropic
import pytest
from echo_server import EchoServer

from course_helpers import MODEL, Conversation, call_with_retry, connect, estimate_cost, reply_text
from course_helpers.chatbot import main as course_chat
from course_helpers.learning import report_card, storm
from course_helpers.learning.report_card import ReportCard
from course_helpers.learning.report_card import storm as storm_on
from course_helpers.practice_api import PRACTICE_KEY, Practice

CASES = {case[0]: case for case in storm.CASES}
NO_STALL = [case for case in storm.CASES if case[0] != "stream stalled"]


@pytest.fixture(autouse=True)
def _practice_connection():
    connect()


def card(bot, *names: str) -> ReportCard:
    """The card of `bot` in these cases; where none is named, in all but the stall, which takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storm, "CASES", tuple(CASES[name] for name in names) or tuple(NO_STALL))
        return report_card(bot)


def seen(made: ReportCard) -> set[str]:
    """The names of what was found."""
    return {name for name, cases in made.findings.items() if cases}


class Clean:
    """A bot that does nothing wrong; each fault below changes one of its methods."""

    def __init__(self) -> None:
        self.client = anthropic.Anthropic()
        self.history: list[dict] = []

    def call(self, messages: list[dict], **bounds) -> str:
        asked = {"model": MODEL, "max_tokens": 300, "messages": messages}
        return reply_text(call_with_retry(self.client, on_wait=None, **bounds, **asked))

    def send(self, text: str) -> str:
        turn = {"role": "user", "content": text}
        answer = self.call([*self.history, turn])
        if answer:
            self.history += [turn, {"role": "assistant", "content": answer}]
        return answer


class IgnoresRetryAfter(Clean):
    def call(self, messages):
        with suppress(anthropic.RateLimitError):
            return super().call(messages, max_retries=0)
        return super().call(messages, max_retries=0)


class RetriesEverything(Clean):
    def call(self, messages):
        with suppress(anthropic.NotFoundError):
            return super().call(messages)
        return super().call(messages)


class TwoLoops(Clean):
    def call(self, messages):
        for _ in range(2):
            with suppress(anthropic.InternalServerError):
                return super().call(messages)
        return super().call(messages)


class TakesHalf(Clean):
    def call(self, messages):
        client = self.client.with_options(max_retries=0)
        events = client.messages.create(model=MODEL, max_tokens=300, messages=messages, stream=True)
        return "".join(getattr(getattr(e, "delta", None), "text", None) or "" for e in events)


class ForgetfulHalf(TakesHalf):
    def send(self, text):
        return self.call([{"role": "user", "content": text}])


class StoresEmpty(Clean):
    def send(self, text):
        turn = {"role": "user", "content": text}
        self.history += [turn, {"role": "assistant", "content": self.call([*self.history, turn])}]
        return self.history[-1]["content"]


class KeepsFailed(Clean):
    def send(self, text):
        self.history.append({"role": "user", "content": text})
        answer = self.call(self.history)
        self.history.append({"role": "assistant", "content": answer})
        if not answer:
            del self.history[-2:]
        return answer


class WaitsForEver(Clean):
    def __init__(self):
        super().__init__()
        self.client = anthropic.Anthropic(timeout=None)


class ShowsKey(Clean):
    def call(self, messages):
        try:
            return super().call(messages)
        except anthropic.AuthenticationError:
            raise RuntimeError(f"bad key {os.environ['ANTHROPIC_API_KEY']}") from None


def counting_main(all_calls: bool, in_usd: bool = False):
    """A `main` that prints the session's tokens or USD: of all calls, or of those that had a text."""

    def main() -> None:
        client, history, tokens, usd = anthropic.Anthropic(), [], 0, 0.0
        while (text := input("You: ")) != "quit":
            turn = {"role": "user", "content": text}
            try:
                message = call_with_retry(client, model=MODEL, max_tokens=300, messages=[*history, turn])
            except anthropic.APIError as error:
                print(f"[{error}]")
                continue
            answer = reply_text(message)
            if answer or all_calls:
                tokens += message.usage.input_tokens
                usd += estimate_cost(message.usage.input_tokens, message.usage.output_tokens)
            if answer:
                history += [turn, {"role": "assistant", "content": answer}]
            print(answer, f"[session: ${usd:.5f}]" if in_usd else f"[session: {tokens:,} tokens in]")

    return main


def fragile_main() -> None:
    """A `main` without a try."""
    bot = Clean()
    input("System prompt: ")
    while True:
        print(bot.send(input("You: ")))


FAULTS = [
    ("retry-after ignored", IgnoresRetryAfter, ["429 with retry-after", "calm again"]),
    ("non-retryable retried", RetriesEverything, ["spend cap", "model retired", "wrong key"]),
    ("retry storm", TwoLoops, ["429 with retry-after", "529 that lasts", "calm again"]),
    ("truncated stream accepted", TakesHalf, ["stream truncated", "calm", "stream dropped", "calm again"]),
    ("truncated stream accepted", ForgetfulHalf, ["stream truncated", "stream garbled", "calm again"]),
    ("empty turn stored", StoresEmpty, ["empty reply", "calm again"]),
    ("failed turn left in history", KeepsFailed, ["calm", "spend cap", "empty reply", "calm again"]),
    ("unbounded wait", WaitsForEver, ["calm", "stream stalled"]),
    ("key shown", ShowsKey, ["calm", "wrong key", "calm again"]),
    ("cost not counted", lambda: counting_main(False), ["calm", "thinking only", "calm again"]),
    ("cost not counted", lambda: counting_main(False, True), ["calm", "thinking only", "calm again"]),
    ("session ended by an error", lambda: fragile_main, ["calm", "wrong key", "calm again"]),
]


@pytest.mark.parametrize(("name", "make", "cases"), FAULTS)
def test_a_bot_with_one_fault_gets_just_that(name, make, cases, capsys):
    """And the same cases find nothing in a clean bot; each case is told in a line."""
    made = card(make(), *cases)
    assert seen(made) == {name}, made.cases.to_string()
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == cases
    assert f"✗ {name}: " in repr(made)
    assert f"(lesson {storm.LESSONS[name]})" in repr(made)
    assert not made.clean
    assert card(Clean(), *cases).clean


def test_clean_bots():
    """Conversation, a clean main that counts all calls, and functions, plain and async, get a clean card."""
    made = card(Conversation())
    assert made.clean, made
    assert list(made.cases["requests"]) == [1, 2, 2, 1, 2, 6, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    assert set(made.cases["history"][:-1]) == {"valid"}
    for in_usd in (False, True):
        assert card(counting_main(True, in_usd), "calm", "thinking only", "calm again").clean

    async def ask(text: str) -> str:
        return Clean().send(text)

    for bot in (Clean().send, ask, Clean):
        made = card(bot, "429 with retry-after", "wrong key", "calm again")
        assert made.clean
        assert list(made.cases["requests"]) == [2, 1, 1]


def test_the_table_and_the_timeline():
    """A row a case, with what the user saw, requests and dollars wasted; a row a request for the figure."""
    made = card(KeepsFailed(), "calm", "spend cap", "429 with retry-after", "calm again")
    row = made.cases.loc["spend cap"]
    assert row["the user saw"].startswith("EnforcedSpendLimitReachedError: ")
    assert (row["history"], row["requests"], row["wasted"], row["lessons"]) == ("broken", 1, 0, "3")
    assert list(made.attempts["outcome"]) == ["reply", "429", "429", "reply", "reply"]
    assert (made.attempts["wait"] > 0.39).sum() == 1
    wasteful = card(StoresEmpty(), "refusal", "empty reply", "calm again").cases
    assert wasteful["USD wasted"].iloc[0] > 0
    assert "<td>" in made._repr_html_()


@pytest.mark.slow
def test_course_chat_and_the_course_text(tmp_path, monkeypatch):
    """The finished chatbot is clean; the text's own, as it was written, ends in eight cases."""
    monkeypatch.chdir(tmp_path)
    assert report_card(lambda: course_chat([])).clean

    def chatbot() -> None:
        client, history = anthropic.Anthropic(), []
        while (text := input("You: ")) != "quit":
            history.append({"role": "user", "content": text})
            message = client.messages.create(model=MODEL, max_tokens=1024, messages=history)
            history.append({"role": "assistant", "content": message.content[0].text})
            print(history[-1]["content"])

    made = report_card(chatbot)
    assert seen(made) == {"non-retryable retried", "session ended by an error"}
    assert len(made.findings["session ended by an error"]) == 8


# Bots that misbehave


def hang(text: str) -> str:
    while True:
        pass


def leave(text: str) -> str:
    raise SystemExit(3)


def shout(text: str) -> str:
    while True:
        print("spam" * 1_000)


@pytest.mark.parametrize("bot", [hang, leave, shout, lambda: None, lambda: input() and 1 / 0])
def test_bots_that_do_not_come_back(bot, monkeypatch):
    """They hang, exit, print without end or never read: the card says so, and everything is as it was."""
    monkeypatch.setattr(sys.modules[ReportCard.__module__], "PATIENCE", 0.1)
    monkeypatch.setattr(sys.modules[ReportCard.__module__], "SESSION_LIMIT", 0.5)
    before = input, time.sleep, os.environ.copy()
    made = card(bot, "calm", "500")
    assert seen(made) <= {"unbounded wait", "session ended by an error"}
    assert not made.clean
    assert (input, time.sleep, os.environ.copy()) == before
    assert len(repr(made)) < 2_000


def test_own_waits_are_measured_and_not_sat_through():
    """A wait of a minute before a retry is long enough for retry-after, and takes no minute."""

    def patient(text: str) -> str:
        client = anthropic.Anthropic(max_retries=0)
        for _ in range(2):
            try:
                message = client.messages.create(
                    model=MODEL, max_tokens=50, messages=[{"role": "user", "content": text}]
                )
                return reply_text(message)
            except anthropic.RateLimitError:
                time.sleep(60)
        return ""

    made = card(patient, "429 with retry-after", "calm again")
    assert made.clean
    assert made.attempts["wait"].max() > 59


def test_no_request_reaches_another_server():
    """Whatever server a bot's client was made for: it hears nothing, and no key of it gets out."""
    elsewhere = EchoServer()
    try:
        bot = Clean()
        bot.client = anthropic.Anthropic(base_url=elsewhere.url, api_key="sk-ant-my-own-key-of-some-length")
        assert card(bot, "calm", "500", "calm again").clean
        assert elsewhere.requests == []
        bot.send = types.MethodType(lambda self, text: self.client.api_key, bot)
        assert seen(card(bot, "calm")) == {"key shown"}
    finally:
        elsewhere.close()


@pytest.mark.parametrize("bot", [None, 3, "ask", object()])
def test_what_is_no_bot(bot):
    """It is said what a bot is."""
    with pytest.raises(TypeError, match="takes a main"):
        report_card(bot)


def test_a_storm_for_any_other_program():
    """Each new question meets the next fault; the report can be asked for at any time."""
    practice = Practice()
    report = storm_on(practice)
    client = anthropic.Anthropic(base_url=practice.url, api_key=PRACTICE_KEY)
    outcomes = []
    for number in range(5):
        try:
            client.messages.create(
                model=MODEL, max_tokens=20, messages=[{"role": "user", "content": f"Question {number}?"}]
            )
            outcomes.append("reply")
        except anthropic.APIStatusError as error:
            outcomes.append(error.error_code or error.status_code)
    practice.stop()
    assert outcomes == ["reply", "reply", "reply", "enforced_spend_limit_reached", "reply"]
    assert "✗ non-retryable retried: spend cap (lesson 6)" in report()
