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
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, islice
from typing import Any, ClassVar

from ..models import MODELS
from ..wire import Steps, advance
from .records import Turn

Message = dict[str, Any]
Strategy = Callable[[list[Message], Any], list[Message]]

SUMMARISE = (
    "Summarise the conversation so far in at most 150 words. Keep names, numbers, decisions and whatever the "
    "user said about themselves. Answer with the summary alone."
)
ASKED_BEFORE = "Summarise the conversation so far."  # what a summary answers, so that roles take turns


class Messages(Sequence):
    """What was said in `turns`, then `texts` in turn; each made when it is looked at: a past may be long."""

    def __init__(self, turns: Sequence[Turn], *texts: str) -> None:
        self._turns, self._texts = turns, texts

    def __len__(self) -> int:
        return 2 * len(self._turns) + len(self._texts)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[at] for at in range(len(self))[index]]
        at, kept = range(len(self))[index], 2 * len(self._turns)  # so it is not negative, and within bounds
        role = ("user", "assistant")[at % 2]
        text = getattr(self._turns[at // 2], role) if at < kept else self._texts[at - kept]
        return {"role": role, "content": text}


def chosen(keep: Strategy | None, chat: Any, messages: Sequence, server: Any) -> Steps[list[Message]]:
    """Those of `messages` that `keep` chooses, in an order that the API takes. `server`: a `turn.Server`."""
    if keep is None:
        return list(messages)
    if not callable(keep):
        raise TypeError(f"keep is a strategy, such as last_turns(5), or None, not {keep!r}.")
    new = messages[-1]
    if isinstance(keep, Asking):
        kept = yield from keep.steps(messages, server)
    else:  # a function of one's own may change what it gets
        kept = keep(messages if isinstance(keep, last_turns) else list(messages), chat)
    kept = list(kept)
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
        return advance(self.steps(messages, chat.server()), chat.client)


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

    def steps(self, messages, server):
        exchanges = [*_exchanges([*messages])]
        each = (estimate_tokens(exchange, server.model) for exchange in exchanges)
        sizes = [*accumulate(each, initial=estimate_tokens([], server.model, server.system))]
        # Between what is known to fit and what is known not to, guess by the ratio of the last count.
        fits, too_many, ratio = 1, len(sizes), 1.0
        for _ in range(self.TRIES):
            guess = min(max(bisect_right(sizes, self.tokens / ratio) - 1, fits + 1), too_many - 1)
            if guess <= fits:
                break
            counted = yield from server.count(_joined(exchanges[:guess]))
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
        # The last summaries, newest first: the messages that were to be summed up, those that were, and it.
        object.__setattr__(self, "_known", deque(maxlen=30))

    def steps(self, messages, server):
        messages = [*messages]
        recent = _joined(islice(_exchanges(messages), self.turns + 1))
        older = messages[: len(messages) - len(recent)]
        known = (each for each in [*self._known] if older[: len(each[0])] == each[0])
        asked, covered, summary = next(known, ([], [], []))  # none yet, undone, reset, or another history
        if len([*_exchanges(older[len(asked) :])]) >= self.turns:
            new = yield from server.ask([*summary, *older[len(covered) :], *Messages((), SUMMARISE)])
            if new:
                covered, summary = older, [*Messages((), ASKED_BEFORE, new)]
            if new is not None:  # it was asked: an empty answer is paid for once, not each turn
                self._known.appendleft((older, covered, summary))
        return [*summary, *messages[len(covered) :]]


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
