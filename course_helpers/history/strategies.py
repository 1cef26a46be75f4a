"""What of a history is sent: strategies for `Conversation(keep=…)`.

A strategy is any function `(messages, chat) -> messages`: it gets the transcript as a list of
`{"role", "content"}`, the new question last, and gives back what to send. The transcript itself stays whole.

    def without_small_talk(messages, chat):
        return [message for message in messages if "weather" not in message["content"]]

What it gives back is put in order: what stands before the first question goes, the new question comes last.
An exchange, below, is a question and what was answered to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol
from weakref import WeakKeyDictionary

from ..models import UnknownModelError, find_model
from ..wire import Need, Steps
from .records import Turn, sendable

Message = dict[str, Any]


class Chat(Protocol):
    """What a strategy may use of its conversation: see there."""

    model: str
    system: str | None

    def count(self, messages: list[Message]) -> int | None: ...
    def ask(self, messages: list[Message]) -> str: ...


class NotAsked(str):
    """What `chat.ask` gives in a preview: no text, at no cost."""


Strategy = Callable[[list[Message], Chat], list[Message]]

SUMMARISE = (
    "Summarise the conversation so far in at most 150 words. Keep names, numbers, decisions and whatever the "
    "user said about themselves. Answer with the summary alone."
)
ASKED_BEFORE = "Summarise the conversation so far."
"""The question that a summary answers in what is sent, so that roles take turns."""


class Transcript(Sequence):
    """The messages of `turns` and the new question, each made when it is looked at: a long one is cheap."""

    def __init__(self, turns: Sequence[Turn], question: str | None = None) -> None:
        self._turns, self._question = turns, question

    def __len__(self) -> int:
        return 2 * len(self._turns) + (self._question is not None)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        number, answered = divmod(range(len(self))[index], 2)
        if number == len(self._turns):
            return {"role": "user", "content": self._question}
        turn = self._turns[number]
        if answered:
            return {"role": "assistant", "content": turn.assistant}
        return {"role": "user", "content": turn.user}


def chosen(keep: Strategy | None, transcript: Transcript, chat: Chat) -> Steps[list[Message]]:
    """The messages to send, as `keep` chooses them, in an order that the API takes."""
    if keep is None:
        return list(transcript)
    if not callable(keep):
        raise TypeError(f"keep is a strategy, such as last_turns(5), or None, not {keep!r}.")
    if isinstance(keep, BuiltIn):
        kept = yield from keep.steps(transcript, chat)
    else:
        kept = keep(list(transcript), chat)
    try:
        kept = [_checked(message) for message in kept]
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        name = getattr(keep, "__name__", repr(keep))
        raise ValueError(f"What the strategy {name} gave back cannot be sent: {error}") from error
    first = next((at for at, message in enumerate(kept) if message["role"] == "user"), len(kept))
    new = transcript[-1]
    return kept[first:] if kept and kept[-1] == new else [*kept[first:], new]


def met(steps: Steps[list[Message]], chat: Chat) -> list[Message]:
    """What `steps` chooses, its needs met by `chat.count` and `chat.ask`."""
    answer = None
    while True:
        try:
            need = steps.send(answer)
        except StopIteration as end:
            return end.value
        answer = getattr(chat, need.what)(need.about)


def _checked(message: Message) -> Message:
    """`message`; raises where it is none that the API takes. Content in blocks is left to the API."""
    if message["role"] not in ("user", "assistant"):
        raise ValueError(f"there is no role {message['role']!r} in messages")
    if isinstance(message["content"], str):
        sendable(message["content"])
    return message


def _starts(messages: Sequence[Message]) -> Iterator[int]:
    """Where the exchanges before the new question begin, the newest first."""
    return (at for at in range(len(messages) - 2, -1, -1) if messages[at]["role"] == "user")


class BuiltIn:
    """A strategy of this module. It is spared a copy of the transcript, and it may ask the server: `steps`
    yields `Need("count", messages)` and `Need("ask", messages)`, met as the turn itself is.
    """

    def __call__(self, messages: Sequence[Message], chat: Chat) -> list[Message]:
        return met(self.steps(messages, chat), chat)

    def steps(self, messages: Sequence[Message], chat: Chat) -> Steps[list[Message]]:
        """The chosen messages; by default nothing need be asked for them."""
        yield from ()
        return self.choose(messages)

    def choose(self, messages: Sequence[Message]) -> list[Message]:
        """The chosen messages, where nothing need be asked."""
        raise NotImplementedError


@dataclass(frozen=True)
class last_turns(BuiltIn):
    """The last `turns` exchanges and the new question: a sliding window."""

    turns: int

    def __post_init__(self) -> None:
        at_least(0, turns=self.turns)

    def choose(self, messages):
        starts = list(itertools.islice(_starts(messages), self.turns))
        return messages[starts[-1] if starts else -1 :]


@dataclass(frozen=True)
class within_tokens(BuiltIn):
    """As many of the last exchanges as make a prompt of at most `tokens`, the system prompt included.

    The server counts them (free of charge); where it cannot, three bytes are taken for a token.
    The new question is sent even if it is longer than that.
    """

    tokens: int
    TRIES: ClassVar[int] = 5

    def __post_init__(self) -> None:
        at_least(1, tokens=self.tokens)

    def steps(self, messages, chat):
        first = estimate_tokens(messages[-1:], chat.model, chat.system)
        starts, sizes = [len(messages) - 1], [first]
        for start in _starts(messages):
            if sizes[-1] > 2 * self.tokens:
                break
            sizes.append(sizes[-1] + estimate_tokens(messages[start : starts[-1]], chat.model))
            starts.append(start)
        # Between what is known to fit and what is known not to, guess by the ratio of the last count.
        fits, too_many, ratio = 0, len(starts), 1.0
        for _ in range(self.TRIES):
            guess = max((n for n, size in enumerate(sizes) if size * ratio <= self.tokens), default=0)
            guess = min(max(guess, fits + 1), too_many - 1)
            if guess <= fits:
                break
            counted = yield Need("count", messages[starts[guess] :])
            if counted is None:
                return messages[starts[guess] if sizes[guess] <= self.tokens else starts[0] :]
            ratio = counted / sizes[guess]
            if counted <= self.tokens:
                fits = guess
            else:
                too_many = guess
        return messages[starts[fits] :]


@dataclass(frozen=True)
class drop_where(BuiltIn):
    """Everything but the exchanges of which `predicate(message)` holds for the question or the answer."""

    predicate: Callable[[Message], object]

    def choose(self, messages):
        groups, end = [messages[-1:]], len(messages) - 1
        for start in _starts(messages):
            group, end = messages[start:end], start
            if not any(self.predicate(message) for message in group):
                groups.append(group)
        return [message for group in reversed(groups) for message in group]


@dataclass(frozen=True)
class summarise_older(BuiltIn):
    """The last exchanges as they are, at least `turns` of them, and before them a summary of all older ones.

    The model is asked for the summary, again each time that `turns` more exchanges have grown old; these
    calls stand in the ledger as `summary`. Where it comes back empty, the history stays as it is until then.
    """

    turns: int
    _known: WeakKeyDictionary = field(
        default_factory=WeakKeyDictionary, init=False, repr=False, compare=False
    )
    """For each conversation: the messages that were to be summed up, those that were, and the summary."""

    def __post_init__(self) -> None:
        at_least(1, turns=self.turns)

    def steps(self, messages, chat):
        asked, covered, summed_up = self._known.get(chat, ([], [], ""))
        if messages[: len(asked)] != asked:  # undone, reset, or another history
            asked, covered, summed_up = [], [], ""
        starts = [at for at in _starts(messages) if at >= len(asked)]
        if len(starts) >= 2 * self.turns:
            older = messages[: starts[self.turns - 1]]
            told = [*_as_messages(summed_up), *older[len(covered) :]]
            new = yield Need("ask", [*told, {"role": "user", "content": SUMMARISE}])
            if new:
                covered, summed_up = older, new
            if not isinstance(new, NotAsked):
                self._known[chat] = (older, covered, summed_up)
        return [*_as_messages(summed_up), *messages[len(covered) :]]


def _as_messages(summed_up: str) -> list[Message]:
    pair = [{"role": "user", "content": ASKED_BEFORE}, {"role": "assistant", "content": summed_up}]
    return pair if summed_up else []


def at_least(least: int, **given: int) -> None:
    """Raises ValueError where what is `given` is no whole number from `least`."""
    for name, value in given.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} is a whole number from {least}, not {value!r}.")


def estimate_tokens(messages: Iterable[Message], model: str, system: str | None = None) -> int:
    """A cautious guess at the tokens of a prompt: three bytes a token, and some for each text's frame."""
    texts = [system or "", *(str(message["content"]) for message in messages)]
    try:
        factor = find_model(model).tokenizer_factor
    except UnknownModelError:
        factor = 1.3
    return int(sum(len(text.encode()) / 3 + 5 for text in texts) * factor) + 1
