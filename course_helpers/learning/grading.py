"""The bench: where a learner's function is run, on a practice API of its own.

The learner's journal, faults and money stay out of it: while a function runs, its requests lead to the bench.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import anthropic
import httpx2

from .. import client as course_client
from ..practice_api import PRACTICE_KEY, Practice
from .graders import NotYet, require
from .redirect import redirected
from .sandbox import Ran, in_words, plain, run, shown

MESSAGES = "/v1/messages"
OF_THE_LESSONS = ("What is the capital of France?", "Explain recursion with a short code example.")
"""Questions that stand in the lessons: a function that always asks them passes no grader."""
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
        self.notebook = getattr(function, "__globals__", namespace) or {}
        self.last = Ran()
        self.printed: list[str] = []
        """What all runs printed."""
        self.exchanges: list = []
        """What all runs sent."""
        self._place = (_practice.url, PRACTICE_KEY)

    @cached_property
    def client(self) -> anthropic.Anthropic:
        """A client for the bench."""
        plain = httpx2.Client(trust_env=False, verify=False)  # whatever the environment says of proxies
        return anthropic.Anthropic(base_url=_practice.url, api_key=PRACTICE_KEY, http_client=plain)

    @property
    def model(self) -> str:
        """The model of the learner's notebook."""
        from ..models import MODEL

        named = self.notebook.get("MODEL")
        return named if type(named) is str else MODEL

    def run(self, *args: Any, typed: Sequence[str] = (), **named: Any) -> Ran:
        """What calling the function came to, an error too. What it sent is in `sent` until the next run."""
        _practice.journal.clear()
        before = dict(vars(course_client))  # the function may call connect
        try:
            with redirected(*self._place):
                self.last = run(lambda: self.function(*args, **named), typed)
        finally:
            vars(course_client).update(before)
        self.exchanges += self.sent
        if self.last.printed:
            self.printed.append(self.last.printed)
        if isinstance(self.last.error, NotImplementedError):
            raise self.last.error
        return self.last

    def call(self, *args: Any, when: str = "", **named: Any) -> Any:
        """What the function returned, as plain data; an error of its own is the mistake."""
        return self.value(self.run(*args, **named), when)

    def value(self, ran: Ran, when: str = "") -> Any:
        """What a run returned; raises NotYet where it raised. `when` says what was special about the run."""
        if ran.error is not None:
            raise NotYet(f"{when}{': ' if when else ''}{self.words(ran.error)}")
        return ran.value

    def words(self, error: BaseException) -> str:
        """`error` in one sentence, with the learner's line."""
        return in_words(error, getattr(self.function, "__code__", None))

    @property
    def sent(self) -> list:
        """The exchanges that the last run made, oldest first."""
        return list(_practice.journal)

    def only_request(self, how: str = "client.messages.create") -> dict[str, Any]:
        """The body of the one request to the Messages API that the last run made."""
        made = [each for each in self.sent if each.path.split("?")[0] == MESSAGES]
        if not made and self.last.error is not None:
            raise NotYet(self.words(self.last.error))
        require(bool(made), f"no request reached the API: make the call with {how}.")
        require(len(made) == 1, f"it sent {len(made)} requests where one is enough.")
        require(isinstance(made[0].body, dict), "the request's body was no JSON object.")
        return made[0].body

    def is_asked(self, question: str, how: str = "client.messages.create") -> dict[str, Any]:
        """The body of the one request of the last run; raises NotYet unless it asks `question` alone."""
        body = self.only_request(how)
        asked = [text_of(message.get("content")) for message in body["messages"]]
        require(
            asked not in ([text] for text in OF_THE_LESSONS),
            "it sent the lesson's question, not the one it was given.",
        )
        require(
            asked == [question],
            f"it was to send {shown(question)} as the one message; it sent {shown(asked)}.",
        )
        return body

    def reply(self) -> str:
        """The text that the API answered last."""
        answered = [each.reply for each in self.sent if each.reply and each.status == 200]
        return text_of(answered[-1]["content"]) if answered else ""

    def is_reply(self, value: Any, when: str = "") -> None:
        """Raises NotYet, naming the likely mistake, unless `value` is the text that the API answered last."""
        text, before = self.reply(), f"{when}: " if when else ""
        none = "is there a return at its end?" if text else "return an empty string then."
        require(value is not None, f"{before}it returned None: {none}")
        require(
            not isinstance(value, anthropic.types.Message),
            f"{before}it returned the whole Message: return the text in it.",
        )
        require(type(value) is str, f"{before}it returned {shown(value)}, not text.")
        require(value == text, f"{before}the reply was {shown(text)}, and it returned {shown(value)}.")

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """For the time of the block, environment and clients lead elsewhere, the former with another key."""
        self._place = (_elsewhere.url, "a-key-for-elsewhere")
        try:
            yield
        finally:
            self._place = (_practice.url, PRACTICE_KEY)

    def refused(self, messages: Any, **arguments: Any) -> str:
        """Why the API refuses these messages, in its own words; "" if it takes them."""
        arguments = {"model": self.model, "max_tokens": 50} | arguments
        try:
            self.client.messages.create(messages=messages, **arguments)
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
    """The text of a message's content, which is a string or a list of blocks; "" for anything else."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return "".join(b["text"] for b in blocks if isinstance(b, dict) and isinstance(b.get("text"), str))


def turns(messages: Any) -> list[tuple[str, str]]:
    """`messages` as pairs of role and text; raises NotYet where it is no list of messages."""
    messages = plain(messages)
    require(messages is not None, "it returned None: is there a return at its end?")
    require(isinstance(messages, list), f"expected a list of messages, not {shown(messages)}.")
    for message in messages:
        fits = isinstance(message, dict) and {"role", "content"} <= message.keys()
        require(fits, f"a message is a dict with role and content, not {shown(message)}.")
        content = message["content"]
        texts = isinstance(content, (list, tuple)) and all(isinstance(part, str) for part in content)
        advice = "give each text a message of its own" if texts else "store the reply's text"
        require(
            isinstance(content, str) or bool(text_of(content)),
            f"the content of a message is text here, not {shown(content)}: {advice}.",
        )
    return [(str(message["role"]), text_of(message["content"])) for message in messages]
