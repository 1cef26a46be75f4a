"""What goes over the wire, and who carries it: a call is sans-IO, as it is in httpx's `auth_flow`.

A generator (of `Steps`) yields what it needs, and one of two drivers, `advance` and `aadvance`, gets it.
So one and the same code is blocking and asynchronous, and it works without threads and without sockets.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import anthropic
from anthropic.types import Message

from .client import once

T = TypeVar("T")

COUNT_TIMEOUT = 3.0  # seconds for a count of tokens: without one there is an estimate
STUCK = 1.0  # seconds after which a lock that is only ever held for microseconds is held by nobody any more


class Need(NamedTuple):
    """What a generator cannot do itself: `what` it is, one of the cases of `_get`, and with what."""

    what: str
    about: Any


Steps = Generator[Any, Any, T]
"""Yields a `Need`, is sent what came of it or thrown what went wrong; returns its result."""


def _get(need: Need, client: Any, sleep: Callable) -> Any:
    """What came of `need`; on an async client something to await. All that goes over the wire goes here."""
    match need:
        case ("ask", request):
            return once(unlocked(client)).messages.with_raw_response.create(**request)
        case ("count", request):
            return once(unlocked(client)).messages.count_tokens(**request, timeout=COUNT_TIMEOUT)
        case ("open", request):
            return once(unlocked(client)).messages.create(**request, stream=True)
        case ("event", events):  # None at their end
            return anext(events, None) if isinstance(events, anthropic.AsyncStream) else next(events, None)
        case ("wait", (seconds, how)):  # the driver's own sleep in place of the default; another one stays
            return (sleep if how is time.sleep else how)(seconds)
        case ("call", function):
            return function()
    raise AssertionError(need)


def unlocked(client: Any) -> Any:
    """`client`, its connections with a new lock where an interrupt has left the old one held.

    httpcore2 takes it in Python, where Ctrl-C can come between taking it and the block that gives it back.
    Whoever then asked, or closed, in another thread, the collector too, would wait for ever.
    """
    pool = getattr(client._client._transport_for_url(client.base_url), "_pool", None)
    held = getattr(getattr(pool, "_optional_thread_lock", None), "_lock", None)  # None where async
    if held and held.acquire(timeout=STUCK):
        held.release()
    elif held:
        pool._optional_thread_lock = type(pool._optional_thread_lock)()
    return client


def advance(steps: Steps[T], client: anthropic.Anthropic | None = None) -> T:
    """Meets the needs of `steps` until it returns: its result."""
    driver = aadvance(steps, client, time.sleep)  # with a blocking client nothing is left to await: one step
    try:
        driver.send(None)
    except StopIteration as end:
        return end.value
    raise TypeError("A client that answers at once is needed here: this one is asynchronous.")


async def aadvance(
    steps: Steps[T], client: anthropic.AsyncAnthropic | None = None, sleep: Callable = asyncio.sleep
) -> T:
    """`advance` on an async client. Errors of a call come without their way through the SDK."""
    go_on, came = steps.send, None
    while True:
        try:
            need = go_on(came)
        except StopIteration as end:
            return end.value
        except anthropic.APIError as final:
            raise _short(final) from final.__cause__
        try:
            go_on, came = steps.send, _get(need, client, sleep)
            came = await came if inspect.isawaitable(came) else came
        except Exception as failure:
            go_on, came = steps.throw, failure
        except BaseException as stop:
            raise _short(stop) from None


def _short(error: BaseException) -> BaseException:
    """`error` and its causes without their tracebacks, which fill a screen and help nobody."""
    each = error
    while each is not None:
        each = each.with_traceback(None).__cause__
    return error


def reply_to(request: dict[str, Any], read: Callable = lambda message: message) -> Steps[Any]:
    """What `read` makes of the reply to exactly one request: the SDK's own retries are off.

    A 200 that holds no message (a proxy's page, JSON cut short), for which the SDK returns a str or raises a
    `json.JSONDecodeError`, raises `anthropic.APIResponseValidationError`: not retried, as it may be billed.
    """
    if request.get("stream"):
        raise TypeError("stream=True cannot be retried: pieces may be on screen. Use Conversation.stream.")
    raw = yield Need("ask", request)
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        reply = yield Need("call", raw.parse)
        if isinstance(reply, Message) and isinstance(reply.content, list) and reply.usage is not None:
            return read(reply)
    response = raw.http_response
    said = f"The server answered {response.status_code} without a message: a proxy's page, or half a reply."
    raise anthropic.APIResponseValidationError(response, response.text, message=said)
