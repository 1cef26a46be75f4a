"""What a turn may have to ask the server before its own request: counts, summaries, and what they may cost.

A request is yielded as a `Step`, so that the same code serves blocking and asynchronous turns: `drive` and
`adrive` carry the steps out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NamedTuple

import anthropic

from ..client import once
from ..formatting import count, dollars
from ..models import UnknownModelError, find_model
from ..pricing import Rates
from ..retries import Retries
from .records import Call
from .responses import Reading, aask, ask

if TYPE_CHECKING:
    from .conversation import Conversation

CANNOT_COUNT = {404, 405, 501}
"""What servers answer that do not count tokens."""

SUMMARY_TOKENS = 1024
"""The least `max_tokens` of a summary: a model that thinks first needs some."""


class BudgetExceeded(ValueError):
    """The next call could cost more than is left of `budget_usd`: nothing was sent."""


class Step(NamedTuple):
    """Something to ask the server while a turn is prepared."""

    kind: str
    """`count`: gives the input tokens of `request`, None where the server cannot count.
    `ask`: gives the whole reply as a `Reading`."""
    request: dict[str, Any]
    retries: Retries


Steps = Generator[Step, Any, Any]


def drive(steps: Steps, client: anthropic.Anthropic) -> Any:
    """What `steps` return, each step carried out on `client`."""
    answer, error = None, None
    while True:
        try:
            step = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            return end.value
        try:
            answer, error = step.retries.run(lambda step=step: _carry_out(step, client)), None
        except Exception as failure:
            answer, error = None, failure


async def adrive(steps: Steps, client: anthropic.AsyncAnthropic) -> Any:
    """`drive` on an async client."""
    answer, error = None, None
    while True:
        try:
            step = steps.send(answer) if error is None else steps.throw(error)
        except StopIteration as end:
            return end.value
        try:
            answer, error = await step.retries.arun(lambda step=step: _acarry_out(step, client)), None
        except Exception as failure:
            answer, error = None, failure


def _carry_out(step: Step, client: anthropic.Anthropic) -> Any:
    if step.kind == "ask":
        return ask(client, step.request, Reading())
    try:
        return _counted(once(client).messages.count_tokens(**step.request))
    except (anthropic.APIStatusError, ValueError) as error:
        return _not_counted(error)


async def _acarry_out(step: Step, client: anthropic.AsyncAnthropic) -> Any:
    if step.kind == "ask":
        return await aask(client, step.request, Reading())
    try:
        return _counted(await once(client).messages.count_tokens(**step.request))
    except (anthropic.APIStatusError, ValueError) as error:
        return _not_counted(error)


def _counted(answer: object) -> int | None:
    tokens = getattr(answer, "input_tokens", None)
    return tokens if isinstance(tokens, int) else None


def _not_counted(error: Exception) -> None:
    if isinstance(error, anthropic.APIStatusError) and error.status_code not in CANNOT_COUNT:
        raise error


def count_tokens(chat: Conversation, request: dict[str, Any]) -> Steps:
    """The input tokens of `request`, which is free to ask; None where the server cannot count."""
    counted = {name: request[name] for name in ("model", "messages", "system") if name in request}
    return (yield Step("count", counted, chat._retries()))


def summary(chat: Conversation, messages: list[dict[str, Any]]) -> Steps:
    """What the model answers to `messages`: outside of the conversation, in its ledger; "" if it will not."""
    request = {"model": chat.model, "max_tokens": max(chat.max_tokens, SUMMARY_TOKENS), "messages": messages}
    model, rates, retries = request["model"], chat._rates(request["model"]), chat._retries()
    yield from affordable(chat, request, rates)
    started = time.perf_counter()
    reading = yield Step("ask", request, retries)
    times = {"seconds": time.perf_counter() - started, "attempts": len(retries.attempts)}
    chat._calls.append(Call(**figures("summary", model, rates, reading, **times)))
    return "" if reading.stop_reason == "refusal" else reading.text.strip()


def affordable(chat: Conversation, request: dict[str, Any], rates: Rates | None) -> Steps:
    """The most that `request` can cost in USD, and whether its tokens were only estimated.

    Raises `BudgetExceeded` where that is more than is left. Without a budget nothing is counted.
    """
    if chat.budget_usd is None or rates is None:
        return 0.0, False
    tokens = yield from count_tokens(chat, request)
    estimated = tokens is None
    if estimated:
        tokens = estimate_tokens(request)
    tier = rates.at(tokens)
    dearest = max(tier.input, tier.cache_write) if "cache_control" in request else tier.input
    worst = (tokens * dearest + request["max_tokens"] * tier.output) / 1_000_000
    about = "about " if estimated else ""
    told = " (an estimate: this server does not count tokens)" if estimated else ""
    sizes = f", for {about}{count(tokens, 'token')} in{told} and {request['max_tokens']:,} out"
    check_budget(chat, worst, f"Nothing was sent: the call could cost {about}{dollars(worst)}{sizes}")
    return worst, estimated


def check_budget(chat: Conversation, worst: float, said: str) -> None:
    """Raises `BudgetExceeded`, beginning with what is `said`, where `worst` dollars are more than is left."""
    spent = chat.total.cost_usd
    if chat.budget_usd is None or spent + worst <= chat.budget_usd * (1 + 1e-9):
        return
    if math.isnan(worst + spent):
        raise BudgetExceeded("Nothing was sent: budget_usd cannot be kept where a price is not known.")
    raise BudgetExceeded(
        f"{said}, and {dollars(spent)} of the budget of {dollars(chat.budget_usd)} is spent. "
        "Raise budget_usd, lower max_tokens or shorten the history."
    )


def estimate_tokens(request: dict[str, Any]) -> int:
    """A cautious guess at the input tokens of `request`: three bytes a token, and some for the frame."""
    texts = [request.get("system", ""), *(str(message["content"]) for message in request["messages"])]
    try:
        factor = find_model(request["model"]).tokenizer_factor
    except UnknownModelError:
        factor = 1.3
    return int(sum(len(text.encode()) / 3 + 5 for text in texts) * factor) + 1


def figures(kind: str, model: str, rates: Rates | None, reading: Reading, **times: Any) -> dict[str, Any]:
    """What a `Call` says of `reading`, at the `rates` of its model; None where the server takes no money."""
    tokens = reading.counts
    unbilled = reading.stop_reason == "refusal" and not tokens["output_tokens"]
    cost = 0.0
    if rates is not None and not unbilled:
        cost = rates.cost(tokens)
    return {
        "kind": kind,
        "model": model,
        **tokens,
        "cost_usd": cost,
        "stop_reason": reading.stop_reason,
        **times,
    }
