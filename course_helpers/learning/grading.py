"""The bench: where a learner's function is run, on a practice API of its own, and the judges of all lessons.

The learner's journal, faults and money stay out of it: while a function runs, its requests lead to the bench.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import anthropic
import httpx2

from .. import client as course_client
from ..models import MODEL
from ..practice_api import PRACTICE_KEY, Practice
from .graders import NotYet, require
from .redirect import redirected
from .sandbox import Ran, TimeUp, in_words, run, shown

MESSAGES = "/v1/messages"
OF_THE_LESSONS = ("What is the capital of France?", "Explain recursion with a short code example.")
"""Questions that stand in the lessons: a function that always asks them passes no grader."""
TOTAL_LIMIT = 40.0
"""Seconds that all runs of one grading may take together."""
_practice = Practice()
_elsewhere = Practice()


class Bench:
    """Runs `function`, the learner's, and shows a grader what it returned, printed and really sent.

    `namespace` is the notebook's.
    """

    practice = _practice
    """The practice API of the bench, with its faults."""

    def __init__(self, function: Callable, namespace: dict[str, Any] | None = None) -> None:
        self.function = function
        self.namespaces = [getattr(function, "__globals__", {}), namespace or {}]
        self.last = Ran()
        self.printed: list[str] = []
        """What all runs printed."""
        self.is_async = False
        """Was it an `async def`?"""
        self.exchanges: list = []
        """What all runs sent."""
        self.meant_for: list[httpx2.Request] = []
        """The requests of the last run that had to be led here, as the function meant them."""
        self._place: tuple[str, ...] = (_practice.url, PRACTICE_KEY)
        self._seconds = TOTAL_LIMIT

    @cached_property
    def client(self) -> anthropic.Anthropic:
        """A client for the bench, whatever the environment says of proxies."""
        there = httpx2.Client(trust_env=False, verify=False)
        return anthropic.Anthropic(base_url=_practice.url, api_key=PRACTICE_KEY, http_client=there)

    @property
    def model(self) -> str:
        """The model of the learner's notebook."""
        named = self.namespaces[0].get("MODEL")
        return named if type(named) is str else MODEL

    def run(self, *args: Any, typed: Iterable[str] = (), seconds: float | None = None, **named: Any) -> Ran:
        """What calling the function came to, an error too. What it sent is in `sent` until the next run."""
        _practice.journal.clear()
        before = dict(vars(course_client))  # the function may call connect
        try:
            with redirected(*self._place) as redirection:
                self.last = run(
                    lambda: self.function(*args, **named), typed, min(self._seconds, seconds or 99)
                )
        finally:
            vars(course_client).update(before)
        self._seconds = max(0.1, self._seconds - self.last.seconds)
        self.is_async |= self.last.is_async
        self.meant_for = redirection.meant_for
        self.exchanges += self.sent
        self.printed += [self.last.printed] if self.last.printed else []
        if isinstance(self.last.error, NotImplementedError):
            raise self.last.error
        return self.last

    def call(self, *args: Any, when: str = "", mistake: str = "", **named: Any) -> Any:
        """What the function returned; an error of its own is the mistake."""
        return self.value(self.run(*args, **named), when, mistake)

    def value(self, ran: Ran, when: str = "", mistake: str = "") -> Any:
        """What a run returned; raises NotYet where it raised. `when` says what was special about the run."""
        if ran.error is not None:
            kind = type(ran.error).__name__
            known = hasattr(builtins, kind) or hasattr(anthropic, kind) or hasattr(httpx2, kind)
            named = (
                "it did not end"
                if isinstance(ran.error, TimeUp)
                else f"raises {kind if known else 'an error'}"
            )
            raise NotYet(f"{when}{': ' if when else ''}{self.words(ran.error)}", mistake or named)
        return ran.value

    def words(self, error: BaseException) -> str:
        """`error` in one sentence, with the learner's line."""
        return in_words(error, self.namespaces)

    @property
    def sent(self) -> list:
        """The exchanges that the last run made, oldest first."""
        return list(_practice.journal)

    def only_request(self, how: str = "client.messages.create") -> dict[str, Any]:
        """The body of the one request to the Messages API that the last run made."""
        made = [each for each in self.sent if each.path.split("?")[0] == MESSAGES]
        if not made and self.last.error is not None:
            self.value(self.last)
        require(made, f"no request reached the API: make the call with {how}.", "no request")
        require(len(made) == 1, f"it sent {len(made)} requests where one is enough.", "several requests")
        require(isinstance(made[0].body, dict), "the request's body was no JSON object.", "no JSON")
        return made[0].body

    def is_asked(self, question: str, how: str = "client.messages.create") -> dict[str, Any]:
        """The body of the one request of the last run; raises NotYet unless it asks `question` alone."""
        body = self.only_request(how)
        asked = [text_of(message.get("content")) for message in body["messages"]]
        of_lesson = asked in ([text] for text in OF_THE_LESSONS)
        require(
            not of_lesson, "it sent the lesson's question, not the one it was given.", "lesson's question"
        )
        wanted = f"it was to send {shown(question)} as the one message; it sent {shown(asked)}."
        require(asked == [question], wanted, "other question")
        return body

    def reply(self) -> str:
        """The text that the API answered last."""
        answered = [each.reply for each in self.sent if each.reply and each.status == 200]
        return text_of(answered[-1].get("content")) if answered else ""

    def is_reply(self, value: Any, when: str = "", mistake: str = "wrong text") -> None:
        """Raises NotYet, naming the likely mistake, unless `value` is the text that the API answered last."""
        text, before = self.reply(), f"{when}: " if when else ""
        none = "is there a return at its end?" if text else "return an empty string then."
        require(value is not None, f"{before}it returned None: {none}", "returns None")
        whole = f"{before}it returned the whole Message: return the text in it."
        require(not isinstance(value, anthropic.types.Message), whole, "returns the Message")
        require(isinstance(value, str), f"{before}it returned {shown(value)}, not text.", "returns no text")
        seen = f"{before}the reply was {shown(text)}, and it returned {shown(value)}."
        require(str.__eq__(value, text), seen, mistake)

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """For the time of the block, environment and clients lead elsewhere, the former with another key."""
        self._place = (_elsewhere.url, "a-key-for-elsewhere", _practice.url)
        try:
            yield
        finally:
            self._place = (_practice.url, PRACTICE_KEY)

    def refused(self, messages: Any) -> str:
        """Why the API refuses these messages, in its own words; "" if it takes them."""
        try:
            self.client.messages.create(messages=messages, model=self.model, max_tokens=50)
        except anthropic.APIStatusError as error:
            return error.api_message or str(error)
        except (TypeError, ValueError) as error:
            return str(error)
        return ""

    def close(self) -> None:
        """End whatever a grader left set, and forget what was sent."""
        _practice.reset()
        if "client" in self.__dict__:
            self.client.close()


def text_of(content: Any) -> str:
    """The text of a message's content: a string or a list of blocks, the SDK's too; "" for anything else."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, (list, tuple)) else []
    texts = (each.get("text") if isinstance(each, dict) else getattr(each, "text", None) for each in blocks)
    return "".join(text for text in texts if isinstance(text, str))


def turns(messages: Any) -> list[tuple[str, str]]:
    """`messages` as pairs of role and text; raises NotYet where it is no list of messages."""
    is_returned(messages)
    require(isinstance(messages, list), f"expected a list of messages, not {shown(messages)}.", "no list")
    for message in messages:
        fits = isinstance(message, dict) and {"role", "content"} <= message.keys()
        require(fits, f"a message is a dict with role and content, not {shown(message)}.", "no message")
        content = message["content"]
        texts = isinstance(content, (list, tuple)) and all(isinstance(part, str) for part in content)
        advice = "give each text a message of its own" if texts and content else "store the reply's text"
        seen = f"the content of a message is text here, not {shown(content)}: {advice}."
        require(isinstance(content, str) or text_of(content), seen, "content that is no text")
    return [(str(message["role"]), text_of(message["content"])) for message in messages]


def is_returned(value: Any, when: str = "") -> None:
    """Raises NotYet where `value` is None."""
    seen = f"{when}{': ' if when else ''}it returned None: is there a return at its end?"
    require(value is not None, seen, "returns None")


def is_pair(value: Any, names: str, when: str) -> tuple[Any, Any]:
    """The two values of a pair; raises NotYet, saying that `names` were wanted, where it is none."""
    is_returned(value, when)
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    require(pair, f"{when}: it was to return a pair, ({names}), and it returned {shown(value)}.", "no pair")
    return value[0], value[1]


def is_at_most(body: dict[str, Any], limit: int) -> None:
    """Raises NotYet where a request allows more tokens than `limit`."""
    seen = f"max_tokens was to be at most {limit}, and it was {body['max_tokens']}."
    require(body["max_tokens"] <= limit, seen, "max_tokens too large")
