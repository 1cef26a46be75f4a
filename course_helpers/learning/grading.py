"""The bench: where a learner's function is run, on a practice API of its own, and the judges of all lessons.

The learner's journal, faults and money stay out of it: while a function runs, its requests lead to the bench.
A judge raises NotYet, with what was seen and the mistake's name, where something is not as it was to be.
"""

from __future__ import annotations

import builtins
import copy
import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import anthropic
import httpx2
from anthropic.types import Message

from ..models import MODEL
from ..practice_api import PRACTICE_KEY, Practice
from . import sandbox
from .sandbox import Ran, Redirect, in_words, redirected, shown

MESSAGES = "/v1/messages"
ASK = {"max_tokens": 50, "messages": [{"role": "user", "content": "Name a river."}]}
"""What a grader asks, of a function that is given its arguments, or by itself."""
SYSTEM = "You are a helpful, concise assistant."
SHAPES = {
    "thinking_first": ("when a thinking block comes first, and content[0] is not the text", "position 0"),
    "thinking_only": ("when the reply holds no text block at all", "no text block"),
    "empty": ("when the reply holds no block at all", "no text block"),
}
"""The shapes of a reply: in words, and what a plain failure is called there."""
ELSEWHERE = {"url": "http://127.0.0.1:9", "key": "a-key-for-elsewhere"}
"""Where the environment leads when a function is to go by its arguments."""
TOTAL_LIMIT = 40.0  # seconds that all runs of one grading may take together


class NotYet(Exception):
    """The learner's function does not do it yet: the message says what was seen, `mistake` names it."""

    def __init__(self, seen: str, mistake: str) -> None:
        super().__init__(seen)
        self.mistake = mistake


def require(truth: object, seen: str, mistake: str = "") -> None:
    """Raises NotYet, saying what was `seen`, unless `truth`; up to its colon it is the mistake's name."""
    if not truth:
        raise NotYet(seen, mistake or seen.partition(":")[0])


class Bench:
    """Runs `function`, the learner's, and shows a grader what it returned, printed and really sent.

    `mistake` is what a plain failure in the case at hand is called.
    """

    practice = Practice()
    """The practice API of the bench, with its faults."""

    def __init__(self, function: Callable) -> None:
        self.function, self.mistake, self.last, self.meant_for = function, "", Ran(), []
        self.seconds, self.printed, self.exchanges = 0.0, "", []  # of all runs
        here = {"base_url": self.practice.url, "http_client": Redirect(self.practice).client()}
        self.client = anthropic.Anthropic(**here, api_key=PRACTICE_KEY, max_retries=0)

    @property
    def sent(self) -> list:
        """The exchanges that the last run made, or the one that is under way, oldest first."""
        return list(self.practice.journal)

    def run(self, *args, typed: Iterable[str] = (), seconds: float = 99, elsewhere=False, **named) -> Ran:
        """What calling the function came to; `elsewhere` its environment leads there, with another key."""
        self.practice.journal.clear()
        seconds = max(0.1, min(TOTAL_LIMIT - self.seconds, seconds, sandbox.TIME_LIMIT))
        with redirected(self.practice, **(ELSEWHERE if elsewhere else {"key": PRACTICE_KEY})) as run:
            self.last = sandbox.run(lambda: self.function(*args, **named), typed, seconds=seconds)
        self.meant_for = run.meant_for
        self.seconds += self.last.seconds
        self.printed += self.last.printed
        self.exchanges += self.sent
        if isinstance(self.last.error, NotImplementedError | NotYet):  # NotYet: from a callback of the grader
            raise self.last.error
        return self.last

    def value(self, wanted: bool = True) -> Any:
        """What the last run returned. Its error is a mistake, and so is None where a value is `wanted`."""
        error, value = self.last.error, self.last.value
        if error is not None:
            kind = type(error).__name__
            known = any(hasattr(module, kind) for module in (builtins, anthropic, httpx2))
            kind = "it did not end" if kind == "TimeUp" else f"raises {kind if known else 'an error'}"
            raise NotYet(in_words(error), self.mistake or kind)
        require(value is not None or not wanted, "returns None: is there a return for each case?")
        return value

    def call(self, *args: Any, wanted: bool = True, **named: Any) -> Any:
        """What the function returned; where no value is `wanted`, it is called for what it does."""
        self.run(*args, **named)
        return self.value(wanted)

    @contextmanager
    def case(self, when: str, mistake: str = "", fault: Any = None) -> Iterator[None]:
        """Within the block `fault` is set, findings begin with `when`, and plain failures are `mistake`."""
        self.mistake = mistake
        try:
            with fault or nullcontext():
                yield
        except NotYet as error:
            raise NotYet(f"{when}: {error}" if when else str(error), error.mistake) from None
        finally:
            self.mistake = ""

    def shape(self, kind: str) -> AbstractContextManager:
        """The case of a reply of that shape, one of `SHAPES`."""
        return self.case(*SHAPES[kind], self.practice.shape(kind))

    def session(self, **changes: Any) -> dict[str, Any]:
        """A session as lesson 8's `new_session` makes it, with `changes`."""
        fresh = {"turns": 0, "input": 0, "output": 0, "cost": 0.0, "keep": 20}
        return {"system": SYSTEM, "model": MODEL, "history": []} | fresh | changes

    def close(self) -> None:
        """End whatever a grader left set, and forget what was sent."""
        self.practice.reset()
        self.client.close()

    # Judges of the last run

    @property
    def by_sdk(self) -> set[str]:
        """How often the SDK itself had tried before, for each request of the last run that it made."""
        return {each.headers.get("x-stainless-retry-count") for each in self.sent} - {None}

    def request(self, question: str = "", most=math.inf, how="client.messages.create") -> dict[str, Any]:
        """The body of the one request, for `most` tokens; where there is a `question`, it asks that alone."""
        made = [each for each in self.sent if each.path.split("?")[0] == MESSAGES]
        if self.last.error and not (made and (made[-1].status == 200 or not question)):
            self.value()
        require(made, f"no request reached the API: make the call with {how}.", "no request")
        require(len(made) == 1, f"several requests: it sent {len(made)}, and one is enough.")
        body = made[0].body
        asked, limit = texts(body.get("messages") or []), body.get("max_tokens", 0)
        is_equal("question", asked, [question] if question else asked)
        require(limit <= most, f"max_tokens too large: it was to be at most {most}, and it was {limit}.")
        require(body.get("stream") or not how.endswith("stream"), f"no stream: make the call with {how}.")
        return body

    def reply(self) -> str:
        """The text that the API answered last."""
        answered = [each.reply for each in self.sent if each.reply and each.status == 200]
        return text_of(answered[-1].get("content")) if answered else ""

    def is_reply(self) -> None:
        """Judges whether it returned the text that the API answered last."""
        value, reply = self.value(), self.reply()
        require(not isinstance(value, Message), "returns the Message: return the text in it.")
        require(isinstance(value, str), f"returns no text: it returned {shown(value)}.")
        seen = f"the reply was {shown(reply)}, and it returned {shown(value)}."
        require(str.__eq__(value, reply), seen, self.mistake or "wrong text")

    def pair(self, names: str) -> tuple | list:
        """The pair that the last run returned, of values called `names`."""
        pair = isinstance(value := self.value(), tuple | list) and len(value) == 2
        require(pair, f"no pair: it was to return ({names}), and it returned {shown(value)}.")
        return value

    def prints(self, what: str, number: object = "") -> None:
        """Judges whether something was printed, and this number, with separators of thousands or without."""
        require(self.last.printed.strip(), f"nothing printed: it printed nothing, and was to print {what}.")
        plain = re.sub(r"(?<=\d)[,_'’\u00a0\u202f](?=\d{3})", "", self.last.printed)
        found = ["", *re.findall(r"\d+(?:\.\d+)?", plain)]
        require(str(number) in found, f"{what} not printed: {number} was not printed.")

    def settles(self, session: dict[str, Any], *args: Any, prints: dict[str, Any], **becomes: Any) -> None:
        """Judges whether the function makes of `session` what it `becomes`, no more, and what it `prints`."""
        before = copy.deepcopy(session)
        self.call(session, *args, wanted=False)
        for key in before if becomes else before | session:
            was, now = before.get(key), session.get(key)
            right, seen = becomes.get(key, was), f'session["{key}"] was {shown(was)}'
            same = now == right or (number(right) and math.isclose(number(now) or 0, right, rel_tol=1e-12))
            require(same or key in becomes, f"{key} changed: {seen} and was to stay; it is {shown(now)}.")
            require(same or now != was, f"{key} not changed: {seen}, and still is.")
            require(same, f"other {key}: {seen} and was to become {shown(right)}; it is {shown(now)}.")
        for what, value in prints.items():
            self.prints(what, value)


# Judges of values


def text_of(content: Any) -> str:
    """The text of a message's content: a string or a list of blocks, the SDK's too; "" for anything else."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, (list, tuple)) else []
    blocks = [each if isinstance(each, dict) else getattr(each, "__dict__", {}) for each in blocks]
    return "".join(each["text"] for each in blocks if each.get("type") == "text" and "text" in each)


def texts(messages: list[dict[str, Any]]) -> list[str]:
    """The text of each of `messages`."""
    return [text_of(message.get("content")) for message in messages]


def number(value: Any) -> float | None:
    """`value` as a float, be it an int, a Decimal, a fraction or NumPy's; None if it is no number."""
    try:
        return None if isinstance(value, (str, bytes, bool)) else float(value)
    except (TypeError, ValueError):
        return None


def conversation(length: int) -> list[dict[str, str]]:
    """A history of `length` turns, the newest still unanswered."""
    both = ("user", "question"), ("assistant", "answer")
    return [{"role": role, "content": f"{what} {n}"} for n in range(length) for role, what in both][:-1]


def turns(messages: Any) -> list[tuple[str, str]]:
    """`messages` as pairs of role and text; anything but a list of messages is a mistake."""
    is_a(messages, list)
    for message in messages:
        fits = isinstance(message, dict) and message.keys() == {"role", "content"}
        require(fits, f"no message: that is a dict of role and content, not {shown(message)}.")
        content = message["content"]
        said = f"content that is no text: a message has one text, or blocks with one, not {shown(content)}."
        require(isinstance(content, str) or text_of(content), said)
    return [(str(message["role"]), text_of(message["content"])) for message in messages]


def is_equal(what: str, seen: Any, wanted: Any, mistake: str = "") -> None:
    """Judges whether `what` is what it was to be."""
    said = f"{what} was to be {shown(wanted, 200)}, and it was {shown(seen, 200)}."
    require(seen == wanted, said, mistake or f"other {what}")


def is_a(value: Any, kind: type) -> None:
    """Judges whether `value` is of that kind."""
    require(isinstance(value, kind), f"no {kind.__name__}: it was to be one, and it is {shown(value)}.")
