"""What of a history is sent: strategies for `Conversation(keep=…)`.

A strategy is any function `(messages, chat) -> messages`: it gets the transcript as a list of
`{"role", "content"}`, the new question last, and gives back what to send. The transcript itself stays whole.
Of `chat` it may use `model`, `system`, `count(messages)` and `ask(messages)`.

    def without_small_talk(messages, chat):
        return [message for message in messages if "weather" not in message["content"]]

It may change the list that it gets. What it gives back is put in order, and not looked at otherwise: what
stands before the first question goes, the new question comes last.
An exchange, below, is a question and what was answered to it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from ..models import MODELS
from ..wire import Need, Steps, advance
from .records import Turn

Message = dict[str, Any]
Strategy = Callable[[list[Message], Any], list[Message]]

SUMMARISE = (
    "Summarise the conversation so far in at most 150 words. Keep names, numbers, decisions and whatever the "
    "user said about themselves. Answer with the summary alone."
)
ASKED_BEFORE = "Summarise the conversation so far."  # what a summary answers, so that roles take turns


class NotAsked(str):
    """What `chat.ask` gives in a preview: no text, at no cost."""


def as_messages(*texts: str) -> list[Message]:
    """`texts` as the user and the assistant said them in turn."""
    return [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)]


class Transcript(Sequence):
    """The messages of `turns` and the new question, each made when it is looked at: a long past is cheap."""

    def __init__(self, turns: Sequence[Turn], question: str | None = None) -> None:
        self._turns, self._question = turns, question

    def __len__(self) -> int:
        return 2 * len(self._turns) + (self._question is not None)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[at] for at in range(len(self))[index]]
        number, answers = divmod(range(len(self))[index], 2)
        if answers:
            return {"role": "assistant", "content": self._turns[number].assistant}
        asked = self._turns[number].user if number < len(self._turns) else self._question
        return {"role": "user", "content": asked}


def chosen(keep: Strategy | None, chat: Any, messages: Transcript, server: Any) -> Steps[list[Message]]:
    """Those of `messages` that `keep` chooses, in an order that the API takes. `server`: see `Asking`."""
    if keep is None:
        return list(messages)
    if not callable(keep):
        raise TypeError(f"keep is a strategy, such as last_turns(5), or None, not {keep!r}.")
    if isinstance(keep, Asking):
        kept = yield from keep.steps(messages, chat, server)
    else:  # a function of one's own may change what it gets
        kept = keep(messages if isinstance(keep, last_turns | drop_where) else list(messages), chat)
    kept, new = list(kept), messages[-1]
    first = next((at for at, message in enumerate(kept) if message["role"] == "user"), len(kept))
    return kept[first:] if kept[first:] and kept[-1] == new else [*kept[first:], new]


def _exchanges(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """The exchanges of `messages`, the newest first, and no older one looked at than is asked for."""
    end = len(messages)
    for start in reversed(range(end)):
        if messages[start]["role"] == "user":
            yield messages[start:end]
            end = start


def _joined(exchanges: Iterable[list[Message]]) -> list[Message]:
    """The messages of `exchanges`, which come newest first."""
    return [*chain(*reversed([*exchanges]))]


@dataclass(frozen=True)
class last_turns:
    """The last `turns` exchanges and the new question: a sliding window."""

    turns: int

    def __post_init__(self) -> None:
        at_least(0, turns=self.turns)

    def __call__(self, messages: Sequence[Message], chat: Any) -> list[Message]:
        return _joined(islice(_exchanges(messages), self.turns + 1))


@dataclass(frozen=True)
class drop_where:
    """Everything but the exchanges of which `predicate(message)` holds for the question or the answer."""

    predicate: Callable[[Message], object]

    def __call__(self, messages: Sequence[Message], chat: Any) -> list[Message]:
        new, *old = _exchanges(messages)
        return _joined([new, *(each for each in old if not any(map(self.predicate, each)))])


class Asking:
    """A strategy that asks, through generators: in a turn it is carried out as that is, blocking or not."""

    def __call__(self, messages: Sequence[Message], chat: Any) -> list[Message]:
        return advance(self.steps(messages, chat, Blocking(chat)))


@dataclass
class Blocking:
    """What stands for the turn where such a strategy is called as a function: it asks through its `chat`."""

    chat: Any

    def count(self, messages: list[Message]) -> Steps[int | None]:
        return (yield Need("call", lambda: self.chat.count(messages)))

    def ask(self, messages: list[Message]) -> Steps[str]:
        return (yield Need("call", lambda: self.chat.ask(messages)))


@dataclass(frozen=True)
class within_tokens(Asking):
    """As many of the last exchanges as make a prompt of at most `tokens`, the system prompt included.

    The server counts them (free of charge); where it cannot, three bytes are taken for a token.
    The new question is sent even if it is longer than that.
    """

    tokens: int
    TRIES: ClassVar[int] = 5

    def __post_init__(self) -> None:
        at_least(1, tokens=self.tokens)

    def steps(self, messages, chat, server):
        exchanges, sizes = [], [estimate_tokens([], chat.model, chat.system)]
        for exchange in _exchanges(messages):
            exchanges.append(exchange)
            sizes.append(sizes[-1] + estimate_tokens(exchange, chat.model))
            if sizes[-1] > 4 * self.tokens:  # however the server counts, that is too much
                break
        # Between what is known to fit and what is known not to, guess by the ratio of the last count.
        fits, too_many, ratio = 1, len(sizes), 1.0
        for _ in range(self.TRIES):
            guess = min(max(bisect_right(sizes, self.tokens / ratio) - 1, fits + 1), too_many - 1)
            if guess <= fits:
                break
            counted = yield from server.count(_joined(exchanges[:guess]))
            if counted is None:
                fits = guess if sizes[guess] <= self.tokens else 1
                break
            ratio = counted / sizes[guess]
            fits, too_many = (guess, too_many) if counted <= self.tokens else (fits, guess)
        return _joined(exchanges[:fits])


@dataclass(frozen=True)
class summarise_older(Asking):
    """The last exchanges as they are, at least `turns` of them, and before them a summary of all older ones.

    The model is asked for the summary, again each time that `turns` more exchanges have grown old; these
    calls stand in the ledger as `summary`. Where it comes back empty, the history stays as it is until then.
    """

    turns: int

    def __post_init__(self) -> None:
        at_least(1, turns=self.turns)
        # For each conversation: the messages that were to be summed up, those that were, and the summary.
        object.__setattr__(self, "_known", WeakKeyDictionary())

    def steps(self, messages, chat, server):
        asked, covered, summed_up = self._known.get(chat, ([], [], ""))
        if messages[: len(asked)] != asked:  # undone, reset, or another history
            asked, covered, summed_up = [], [], ""
        recent = [*islice(_exchanges(messages[len(asked) :]), 2 * self.turns + 1)]
        if len(recent) > 2 * self.turns:
            older = messages[: -len(_joined(recent[: self.turns + 1]))]
            told = [*_summary(summed_up), *older[len(covered) :]]
            new = yield from server.ask([*told, *as_messages(SUMMARISE)])
            if new:
                covered, summed_up = older, new
            if not isinstance(new, NotAsked):
                self._known[chat] = (older, covered, summed_up)
        return [*_summary(summed_up), *messages[len(covered) :]]


def _summary(summed_up: str) -> list[Message]:
    return as_messages(ASKED_BEFORE, summed_up) if summed_up else []


def at_least(least: int, **given: int) -> None:
    """Raises ValueError where what is `given` is no whole number from `least`."""
    for name, value in given.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} is a whole number from {least}, not {value!r}.")


def estimate_tokens(messages: Iterable[Message], model: str, system: str | None = None) -> int:
    """A cautious guess at the tokens of a prompt: three bytes a token, and some for each text's frame."""
    texts = [system or "", *(str(message["content"]) for message in messages)]
    factor = MODELS[model].tokenizer_factor if model in MODELS else 1.3
    return int(sum(len(text.encode()) / 3 + 5 for text in texts) * factor) + 1
