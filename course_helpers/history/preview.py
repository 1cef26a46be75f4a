"""What a turn would send and cost, before it is sent: exact on the practice API, elsewhere a near guess."""

from __future__ import annotations

from ..models import UnknownModelError, find_model
from ..practice_api import tokens
from .records import Preview, Reply
from .strategies import Message, estimate_tokens
from .turn import TurnSettings


def preview(
    messages: list[Message], settings: TurnSettings, counted: int | None, last: Reply | None
) -> Preview:
    """The request of `messages`; `counted` are its tokens, if they are known, `last` the last reply."""
    request = settings.request(messages)
    size, least, window = counted, 0.0, None
    if size is None:
        size = _near(request, last)
    if settings.rates is not None:
        least = settings.rates.cost({"input_tokens": size, "output_tokens": 1})
    try:
        window = find_model(settings.model).context_window
    except UnknownModelError:
        window = None
    return Preview(request, size, counted is None, least, settings.worst(request, size), window)


def _near(request: dict, last: Reply | None) -> int:
    """The tokens of `request`: those of the last reply are known, only the difference is a guess."""
    guess = estimate_tokens(request["messages"], request["model"], request.get("system"))
    if last is None or last.request["model"] != request["model"]:
        return guess
    said = [*last.request["messages"], {"role": "assistant", "content": last.text}]
    before = estimate_tokens(said, request["model"], last.request.get("system"))
    known = last.call.prompt_tokens + last.call.output_tokens - last.call.thinking_tokens
    return max(1, known + guess - before)


def practice_tokens(messages: list[Message], model: str, system: str | None) -> int:
    """The count that the practice API would give; nothing of it is seen in its journal."""
    factor, size = find_model(model).tokenizer_factor, float(tokens.REQUEST_OVERHEAD)
    size += tokens.text_tokens(system or "", factor)
    for message in messages:
        size += tokens.MESSAGE_OVERHEAD + tokens.text_tokens(str(message["content"]), factor)
    return tokens.whole(size)
