"""What turns and calls were and what they cost: the values that a `Conversation` is made of.

Nothing here talks to a server. `storage.py` writes these values to a file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from ..formatting import count, dollars

Count = Annotated[int, Field(ge=0)]
Number = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Usd = Annotated[float, BeforeValidator(lambda usd: math.nan if usd is None else usd)]
"""US dollars; nan (null in a file) where the price is not known."""

PROMPT_TOKENS = ("input_tokens", "cache_write_tokens", "cache_write_1h_tokens", "cache_read_tokens")
TOKENS = (*PROMPT_TOKENS, "output_tokens", "thinking_tokens")
"""The counts of a call: the whole prompt in four parts, the output, and the part of it that is thinking."""

SHOWN_TURNS = 20


def sendable(text: str, what: str = "message") -> str:
    """`text` as it is; raises ValueError where the API would refuse it."""
    if not isinstance(text, str):
        raise TypeError(f"A {what} is text, not {type(text).__name__}.")
    if not text.strip():
        raise ValueError(f"The {what} is empty: the API takes no blank text, so nothing was sent.")
    try:
        text.encode()
    except UnicodeEncodeError:
        half = "half a character (a lone surrogate), which JSON cannot carry"
        raise ValueError(f"The {what} holds {half}.") from None
    return text


Text = Annotated[str, AfterValidator(sendable)]


class Call(BaseModel):
    """One billed request. Token counts are the API's: `input_tokens` is the uncached part of the prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Literal["reply", "summary", "lost"]
    turn: Number | None = None
    """The turn that came of it, counted from 1 and never twice, also not after an undo."""
    model: str
    input_tokens: Count = 0
    cache_write_tokens: Count = 0
    cache_write_1h_tokens: Count = 0
    cache_read_tokens: Count = 0
    output_tokens: Count = 0
    thinking_tokens: Count = 0
    cost_usd: Usd
    stop_reason: str | None = None
    seconds: Seconds
    first_token_seconds: Seconds | None = None
    attempts: Number = 1

    @property
    def prompt_tokens(self) -> int:
        """The whole prompt: uncached, written to the cache and read from it."""
        return sum(getattr(self, name) for name in PROMPT_TOKENS)

    def __str__(self) -> str:
        return meter(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.kind}, {self.model}, {meter(self)})"


class Turn(Call):
    """A question and its answer, as the conversation keeps them, with the figures of their call."""

    user: Text
    assistant: Text

    @property
    def call(self) -> Call:
        """Its entry in the ledger: the same figures without the texts."""
        return Call.model_construct(**{name: getattr(self, name) for name in Call.model_fields})

    def __repr__(self) -> str:
        return f"Turn({_short(self.user)} → {_short(self.assistant)}, {meter(self)})"

    def to_html(self, *, style: bool = True) -> str:
        """The answer, its figures beneath; `style=False` where the page already holds `render.STYLE`."""
        return _card(self.assistant, meter(self), style=style)

    _repr_html_ = to_html


@dataclass(frozen=True)
class Total:
    """Tokens and dollars of several calls together."""

    calls: int = 0
    input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0
    cost_usd: float = 0.0

    prompt_tokens = Call.prompt_tokens

    def __repr__(self) -> str:
        return f"Total({count(self.calls, 'call')}, {meter(self)})"

    def plus(self, calls: Iterable[Call]) -> Total:
        """This total and `calls`."""
        sums = dict(self.__dict__)
        for call in calls:
            sums["calls"] += 1
            for name in (*TOKENS, "cost_usd"):
                sums[name] += getattr(call, name)
        return Total(**sums)


@dataclass(frozen=True)
class Reply:
    """What came of one `send`. `str(reply)` is the text.

    `turn` is None where nothing was kept: `note` then says what happened and what to do.
    `call` is the entry in the ledger, `request` what was sent: arguments of `messages.create`.
    """

    text: str
    turn: Turn | None = None
    stop_reason: str | None = None
    note: str | None = None
    call: Call | None = None
    request: dict[str, Any] | None = None

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Reply({' · '.join([_short(self.text), *self._small])})"

    def _repr_html_(self) -> str:
        return _card(self.text, " · ".join(self._small))

    @property
    def _small(self) -> list[str]:
        return [words for words in (self.call and meter(self.call), self.note) if words]


@dataclass(frozen=True)
class Preview:
    """What a turn would send, and what that would cost in USD; nothing was sent."""

    request: dict[str, Any]
    input_tokens: int
    estimated: bool  # False where they are the server's own count
    least_usd: float  # the input, and one token of output
    most_usd: float  # the input at its dearest (written to the cache), and max_tokens of output
    window: int | None  # the model's context window in tokens, if it is known


def shown(turns: Sequence[Turn], small: str) -> str:
    """The last of `turns` as HTML, and `small` beneath them."""
    from .. import render

    head = '<div style="font-weight: 600; margin-top: .7em">{}</div>'.format
    words = '<div style="white-space: pre-wrap; overflow-wrap: anywhere">{}</div>'.format
    said = ""
    for turn in turns[-SHOWN_TURNS:]:
        said += head("You") + words(render.escape(turn.user)) + head(render.escape(turn.model))
        said += turn.to_html(style=False)
    return render.STYLE + said + _card("", small)


def meter(figures: Call | Total) -> str:
    """Tokens and dollars on one line; no seconds, so that a lesson shows the same everywhere."""
    cached, thought = figures.cache_read_tokens, figures.thinking_tokens
    sent = f"{figures.prompt_tokens:,} tokens in" + (f" ({cached:,} from the cache)" if cached else "")
    came = f"{figures.output_tokens:,} out" + (f" ({thought:,} of thinking)" if thought else "")
    return f"{sent} · {came} · {dollars(figures.cost_usd)}"


def counts(usage: object, before: dict[str, int] | None = None) -> dict[str, int]:
    """The `TOKENS` of an SDK `usage`; what it leaves out is as `before`, or 0.

    Raises ValueError where a count is none: there is no guessing at money.
    """
    old = before or dict.fromkeys(TOKENS, 0)
    by_age, details = getattr(usage, "cache_creation", None), getattr(usage, "output_tokens_details", None)
    hour = _whole(by_age, "ephemeral_1h_input_tokens", old["cache_write_1h_tokens"])
    both = old["cache_write_tokens"] + old["cache_write_1h_tokens"]
    written = _whole(usage, "cache_creation_input_tokens", both)
    return {
        "input_tokens": _whole(usage, "input_tokens", old["input_tokens"]),
        "cache_write_tokens": max(0, written - hour),
        "cache_write_1h_tokens": min(hour, written),
        "cache_read_tokens": _whole(usage, "cache_read_input_tokens", old["cache_read_tokens"]),
        "output_tokens": _whole(usage, "output_tokens", old["output_tokens"]),
        "thinking_tokens": _whole(details, "thinking_tokens", old["thinking_tokens"]),
    }


def _whole(figures: object, name: str, default: int) -> int:
    value = getattr(figures, name, None)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"usage.{name} is {value!r}, which is no count of tokens")
    return value


def _short(text: str, longest: int = 60) -> str:
    words = " ".join(text[: 4 * longest].split())
    return repr(words if len(words) <= longest and len(text) <= 4 * longest else f"{words[:longest]}…")


def _card(text: str, small: str, *, style: bool = True) -> str:
    """The answer first, the figures small beneath it."""
    from .. import render

    looks = "font-size: 85%; opacity: .75; margin-top: .3em"
    answer = render.to_html(text, style=style) if text else ""
    return f'{answer}<div style="{looks}">{render.escape(small)}</div>'
