"""Waiting: which faults are retried, how long, how often, and what comes out in the end, on a real wire."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import threading
import time
from email.utils import formatdate

import anthropic
import httpx2
import pytest
from anthropic import APIConnectionError, APIResponseValidationError, APITimeoutError
from hypothesis import given
from hypothesis import strategies as st

from course_helpers import retries
from course_helpers.retries import Attempt, Retries, Wait, acall_with_retry, call_with_retry, retry_after
from tests.scripted_server import (
    MESSAGE,
    ScriptedServer,
    answer,
    cut,
    drop,
    failure,
    hang,
    reply,
    reset,
    scripted_server,
)

REQUEST = {
    "model": "claude-haiku-5-5",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}
BUSY = failure(529, "overloaded_error")
HALF = 0.375, 0.75, 1.5, 3.0, 6.0, 12.0
"""The waits of our own backoff when every roll of the dice is one half."""


@pytest.fixture
def server():
    """A server that answers by script."""
    with scripted_server() as running:
        yield running


class Clock:
    """Time that passes only by sleeping, and a record of how long."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.time += seconds


class Caller:
    """`call_with_retry` or its async twin against `server`, with a pretended clock and even dice."""

    def __init__(self, server: ScriptedServer, asynchronous: bool) -> None:
        self.server, self.asynchronous, self.clock = server, asynchronous, Clock()
        self.announced: list[Wait] = []

    def __call__(self, *, timeout: float = 5.0, url: str | None = None, **options):
        where = {"base_url": url or self.server.url, "api_key": "practice", "timeout": timeout}
        policy = {
            "sleep": self.clock.sleep,
            "clock": self.clock,
            "random": lambda: 0.5,
            "on_wait": self.announced.append,
        }
        if not self.asynchronous:
            with anthropic.Anthropic(**where) as client:
                return call_with_retry(client, **policy | REQUEST | options)

        async def main():
            async with anthropic.AsyncAnthropic(**where) as client:
                return await acall_with_retry(client, **policy | REQUEST | options)

        return asyncio.run(main())

    @property
    def waits(self) -> tuple[float, ...]:
        return tuple(self.clock.waits)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def call(server: ScriptedServer, request) -> Caller:
    """Both ways to call."""
    return Caller(server, request.param)


def notes(caught) -> str:
    return "\n".join(getattr(caught.value, "__notes__", []))


# What is retried, and what is not


def test_good_reply_is_the_sdks_own(server, call):
    """A call that succeeds sends one request, waits for nothing and returns what the SDK returns."""
    message = call()
    assert (len(server.requests), call.waits) == (1, ())
    with anthropic.Anthropic(base_url=server.url, api_key="practice") as client:
        bare = client.messages.create(**REQUEST)
    assert message == bare
    assert message._request_id == bare._request_id == "req_1"
    ours, theirs = (json.loads(body) for _, body in server.requests)
    assert ours == theirs


@pytest.mark.parametrize("status", [408, 409, 429, 500, 501, 502, 503, 504, 520, 529, 599])
def test_transient_status_is_retried(server, call, status):
    """Two failures, then the reply: three requests, two growing waits."""
    server.play(failure(status), failure(status), reply())
    assert call().content[0].text == "Paris."
    assert len(server.requests) == 3
    assert call.waits == HALF[:2]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (402, anthropic.PaymentRequiredError),
        (403, anthropic.PermissionDeniedError),
        (404, anthropic.NotFoundError),
        (405, anthropic.APIStatusError),
        (413, anthropic.ContentTooLargeError),
        (422, anthropic.UnprocessableEntityError),
        (499, anthropic.ClientClosedRequestError),
    ],
)
def test_lasting_status_is_not_retried(server, call, status, kind):
    """What the request itself causes comes back at once, as the SDK raises it."""
    server.play(failure(status, retry_after="1"), reply())
    with pytest.raises(kind) as caught:
        call()
    assert (caught.value.status_code, len(server.requests), call.waits) == (status, 1, ())
    assert f"a {status} stays a {status}" in notes(caught)


@pytest.mark.parametrize("headers", [{}, {"x_should_retry": "true"}, {"retry_after": "1"}])
def test_spend_cap_is_never_retried(server, call, headers):
    """The 429 of a spend cap lasts until the month ends, whatever its headers say."""
    server.play(failure(429, "rate_limit_error", retries.SPEND_CAP, **headers), reply())
    with pytest.raises(anthropic.RateLimitError) as caught:
        call()
    assert (len(server.requests), call.waits) == (1, ())
    assert "spend cap" in notes(caught)


@pytest.mark.parametrize("fault", [drop, reset, cut])
def test_lost_connection_is_retried(server, call, fault):
    """Closed, reset or cut in the middle of the body: tried again."""
    server.play(fault, fault, reply())
    assert call().content[0].text == "Paris."
    assert (len(server.requests), call.waits) == (3, HALF[:2])
    server.play(fault)
    with pytest.raises(APIConnectionError) as caught:
        call(max_retries=1)
    assert not isinstance(caught.value, APITimeoutError)
    assert "connection error, connection error" in notes(caught)


def test_timeout_is_retried(server, call):
    """Silence longer than the client's timeout: tried again, and an APITimeoutError in the end."""
    server.play(hang, reply())
    assert call(timeout=0.2).content[0].text == "Paris."
    server.play(hang)
    with pytest.raises(APITimeoutError) as caught:
        call(timeout=0.2, max_retries=1)
    assert len(server.requests) == 2
    assert "timeout, timeout" in notes(caught)


def test_refused_connection_is_retried(call):
    """Nobody listens: tried again, then the SDK's APIConnectionError."""
    with scripted_server() as gone:
        url = gone.url
    with pytest.raises(APIConnectionError):
        call(url=url, max_retries=2)
    assert call.waits == HALF[:2]


def test_x_should_retry_decides(server, call):
    """The server's word beats the status, both ways, as in the SDK; only true and false are words."""
    server.play(failure(400, x_should_retry="true"), reply())
    assert call().content[0].text == "Paris."
    server.play(failure(429, x_should_retry="false"), reply())
    with pytest.raises(anthropic.RateLimitError) as caught:
        call()
    assert len(server.requests) == 1
    assert "x-should-retry: false" in notes(caught)
    server.play(failure(500, x_should_retry="perhaps"), reply())
    assert call().content[0].text == "Paris."


@pytest.mark.parametrize(
    "broken",
    [
        answer(200, "<html>Log in to the hotel's network</html>", content_type="text/html"),
        answer(200, json.dumps(MESSAGE)[:-30]),
        answer(200, b"\xff\xfe{}"),
        answer(200, b""),
        answer(200, None),
        answer(200, []),
        answer(200, "[" * 100_000),
        answer(200, {}),
        answer(200, {"type": "error", "error": {"type": "api_error", "message": "x"}}),
        answer(200, MESSAGE | {"content": "Paris."}),
        answer(200, MESSAGE | {"usage": None}),
        answer(204, b""),
    ],
)
def test_200_that_is_no_message(server, call, broken):
    """Every failed call is an `anthropic.APIError`, also where the SDK returns a str or a ValueError."""
    server.play(broken, reply())
    with pytest.raises(APIResponseValidationError, match="no message") as caught:
        call()
    assert len(server.requests) == 1
    assert caught.value.response.headers["request-id"] == "req_1"
    assert "Not retried" in notes(caught)


def test_error_event_in_a_stream_is_not_retried(server):
    """An error that comes when the answer has begun has status 200, and nobody retries on that."""
    event = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"x"}}\n\n'
    server.play(answer(200, event, content_type="text/event-stream"), reply())
    client = anthropic.Anthropic(base_url=server.url, api_key="practice", max_retries=0)
    with client, pytest.raises(anthropic.APIStatusError) as caught:
        Retries(sleep=pytest.fail).run(lambda: list(client.messages.create(stream=True, **REQUEST)))
    assert (caught.value.status_code, len(server.requests)) == (200, 1)
    assert "had begun" in notes(caught)


# How long


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "2"}, 2.0),
        ({"retry_after": "0.25"}, 0.25),
        ({"retry_after": " 7 "}, 7.0),
        ({"retry_after_ms": "250"}, 0.25),
        ({"retry_after_ms": "250", "retry_after": "9"}, 0.25),
        ({"retry_after_ms": "soon", "retry_after": "9"}, 9.0),
        ({"retry_after": "60"}, 60.0),
    ],
)
def test_servers_wait_is_obeyed(server, call, headers, seconds):
    """`retry-after-ms` beats `retry-after`; up to `max_wait` both are obeyed exactly, without jitter."""
    server.play(failure(429, **headers), reply())
    call()
    assert call.waits == (seconds,)
    assert call.announced[0].asked


@pytest.mark.parametrize(
    "headers",
    [
        {"retry_after": "0"},
        {"retry_after": "-3"},
        {"retry_after": "nan"},
        {"retry_after": "inf"},
        {"retry_after": "1e999"},
        {"retry_after": "soon"},
        {"retry_after": ""},
        {"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"},
        {"retry_after": "Wed, 99 Foo 99999999999999 07:28:00 GMT"},
        {"retry_after_ms": "0", "retry_after": "9"},
        {"retry_after_ms": "-1"},
    ],
)
def test_senseless_wait_falls_back_to_backoff(server, call, headers):
    """Zero, negative, past or garbled: our own backoff."""
    server.play(failure(503, **headers), reply())
    call()
    assert call.waits == HALF[:1]
    assert not call.announced[0].asked


def test_http_date(server, call):
    """`retry-after` may be a date, counted from the wall clock."""
    server.play(failure(429, retry_after=formatdate(time.time() + 30, usegmt=True)), reply())
    call()
    assert call.waits == (pytest.approx(30, abs=3),)


def error_with(**headers: str) -> anthropic.APIStatusError:
    request = httpx2.Request("POST", "http://127.0.0.1/v1/messages")
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    response = httpx2.Response(429, headers=named, request=request)
    return anthropic.RateLimitError("x", response=response, body=None)


def test_http_date_with_a_given_clock():
    """With a pretended wall clock the wait is exact."""
    error = error_with(retry_after="Mon, 23 Nov 2026 12:00:30 GMT")
    assert retry_after(error, now=lambda: 1795435200.0) == 30.0
    assert retry_after(error, now=lambda: 1795435231.0) is None
    assert retry_after(APIConnectionError(request=error.request)) is None


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0")), st.booleans())
def test_any_header_gives_a_wait_or_none(text, milliseconds):
    """No header, however odd, makes the policy itself fail."""
    seconds = retry_after(error_with(**{"retry_after_ms" if milliseconds else "retry_after": text}))
    assert seconds is None or 0 < seconds < float("inf")


@given(st.integers(1, 5000), st.floats(0, 1, exclude_max=True), st.floats(0.01, 1000))
def test_equal_jitter(tried, dice, cap):
    """Half of the step is fixed and half is random, so waits grow, spread, and stay under the cap."""
    wait = Retries(max_wait=cap, random=lambda: dice)._backoff(tried)
    step = min(cap, 0.5 * 2.0 ** min(tried - 1, 100))
    assert step / 2 <= wait <= step


def test_crowd_spreads(server):
    """Without a `random` of one's own no two callers wait the same time."""
    waits = {Retries()._backoff(1) for _ in range(200)}
    assert len(waits) == 200
    assert 0.25 <= min(waits) < 0.275
    assert 0.475 < max(waits) <= 0.5


# How often, and when it ends


def test_five_retries_are_six_requests(server, call):
    """The default: six requests, five growing waits, then the original error with a note."""
    server.play(BUSY)
    with pytest.raises(anthropic.OverloadedError) as caught:
        call()
    assert (len(server.requests), call.waits) == (6, HALF[:5])
    assert notes(caught) == (
        "Gave up: max_retries=5 is reached. Requests: 6 (529, 529, 529, 529, 529, 529); waited 11.6 s."
    )


@pytest.mark.parametrize("retries_allowed", [0, 1, 3])
def test_max_retries(server, call, retries_allowed):
    """`max_retries` counts as the SDK does: requests beyond the first."""
    server.play(BUSY)
    with pytest.raises(anthropic.OverloadedError):
        call(max_retries=retries_allowed)
    assert len(server.requests) == retries_allowed + 1


def test_negative_max_retries(server, call):
    """Less than one request is no call."""
    with pytest.raises(ValueError, match="one request"):
        call(max_retries=-1)
    assert server.requests == []


def test_sdks_own_retries_are_off(server):
    """Tries never multiply, and the learner's client stays as it was."""
    server.play(BUSY)
    with anthropic.Anthropic(base_url=server.url, api_key="practice") as client:
        with pytest.raises(anthropic.OverloadedError):
            call_with_retry(client, on_wait=None, sleep=lambda seconds: None, **REQUEST)
        assert client.max_retries == anthropic.DEFAULT_MAX_RETRIES
    assert len(server.requests) == 6
    assert {headers["x-stainless-retry-count"] for headers, _ in server.requests} == {"0"}


def test_long_wait_ends_the_call_at_once(server, call):
    """A `retry-after` beyond `max_wait` is not waited for, and the note says when to come back."""
    server.play(failure(429, retry_after="3600"), reply())
    with pytest.raises(anthropic.RateLimitError) as caught:
        call()
    assert (len(server.requests), call.waits) == (1, ())
    assert "longer wait than max_wait=60 s" in notes(caught)
    assert notes(caught).endswith("Come back in 3600 s.")


def test_max_wait_caps_the_backoff(server, call):
    """Our own waits stop growing at `max_wait`."""
    server.play(BUSY)
    with pytest.raises(anthropic.OverloadedError):
        call(max_wait=2.0)
    assert call.waits == (0.375, 0.75, 1.5, 1.5, 1.5)


def test_total_wait_is_bounded(server, call):
    """No wait is begun that would take the sum beyond `max_total_wait`."""
    server.play(failure(429, retry_after="50"))
    with pytest.raises(anthropic.RateLimitError) as caught:
        call()
    assert call.waits == (50.0, 50.0)
    assert "max_total_wait=120 s" in notes(caught)
    assert notes(caught).endswith("waited 100.0 s. Come back in 50 s.")


def test_pretended_sleep_counts(server):
    """A `sleep` that only pretends uses up `max_total_wait` as a real one would."""
    server.play(failure(429, retry_after="50"))
    waits = []
    client = anthropic.Anthropic(base_url=server.url, api_key="practice")
    with client, pytest.raises(anthropic.RateLimitError):
        call_with_retry(client, on_wait=None, sleep=waits.append, **REQUEST)
    assert waits == [50.0, 50.0]


def test_sleep_that_overruns_counts(server):
    """The sum holds what was really waited: a laptop that slept for an hour has used up its patience."""
    server.play(BUSY)
    clock = Clock()
    run = Retries(on_wait=None, clock=clock, sleep=lambda seconds: clock.sleep(3600))
    client = anthropic.Anthropic(base_url=server.url, api_key="practice")
    with client, pytest.raises(anthropic.OverloadedError):
        run.run(lambda: retries.one_request(client, **REQUEST))
    assert (len(server.requests), run.waited) == (2, 3600.0)


# What one sees of it


def test_on_wait_gets_a_small_value(server, call):
    """Before each wait: which request failed, how long, why, and the error itself."""
    server.play(failure(429, retry_after="2"), BUSY, drop, reply())
    call()
    assert [(w.attempt, w.seconds, w.reason, w.asked, w.max_retries) for w in call.announced] == [
        (1, 2.0, "Rate limited", True, 5),
        (2, 0.75, "API error 529", False, 5),
        (3, 1.5, "Connection error", False, 5),
    ]
    assert isinstance(call.announced[1].error, anthropic.OverloadedError)


def test_default_prints_one_line_a_wait(server, call, capsys):
    """The lines of the course text."""
    server.play(failure(429), failure(500), failure(503, retry_after="4"), reply())
    call(on_wait=retries.print_wait)
    assert capsys.readouterr().out.splitlines() == [
        "Rate limited. Waiting 0.4s before retry 1/5",
        "API error 500. Waiting 0.8s before retry 2/5",
        "API error 503. Waiting 4.0s, as the server asks, before retry 3/5",
    ]


def test_on_wait_none_is_silent(server, call, capsys):
    """None prints nothing."""
    server.play(BUSY, reply())
    call(on_wait=None)
    assert capsys.readouterr().out == ""


def test_attempts_are_a_timeline(server):
    """`Retries` keeps what was tried: one row a request, in seconds since the call began."""
    server.play(failure(429, retry_after="2"), BUSY, reply())
    clock = Clock()

    def request():
        clock.time += 0.5
        return retries.one_request(client, **REQUEST)

    run = Retries(on_wait=None, clock=clock, sleep=clock.sleep, random=lambda: 0.5)
    with anthropic.Anthropic(base_url=server.url, api_key="practice") as client:
        run.run(request)
    assert run.attempts == [
        Attempt(attempt=1, started=0.0, seconds=0.5, outcome="429", wait=2.0, asked=True),
        Attempt(attempt=2, started=2.5, seconds=0.5, outcome="529", wait=0.75),
        Attempt(attempt=3, started=3.75, seconds=0.5, outcome="reply"),
    ]
    assert run.waited == 2.75


# What goes through untouched


class Stop(BaseException):
    """What a stop button, Ctrl-C or a cancelled task looks like from inside."""


def stop(_):
    raise Stop


@pytest.mark.parametrize("where", ["sleep", "on_wait"])
def test_stop_during_a_wait(server, call, where):
    """An interruption ends the call there and then."""
    server.play(BUSY)
    with pytest.raises(Stop):
        call(**{where: stop})
    assert len(server.requests) == 1


def test_keyboard_interrupt_ends_a_real_wait(server):
    """Ctrl-C during a wait of a minute comes through at once, and nothing more is sent."""
    server.play(failure(429, retry_after="60"))
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    began = time.monotonic()
    with anthropic.Anthropic(base_url=server.url, api_key="practice") as client:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            call_with_retry(client, on_wait=None, **REQUEST)
    assert time.monotonic() - began < 5
    assert len(server.requests) == 1


def test_cancelled_task_stops_waiting(server):
    """An async wait gives way to cancellation, and lets other tasks run, also with `Retries` as it comes."""
    server.play(failure(429, retry_after="60"))

    async def main():
        async with anthropic.AsyncAnthropic(base_url=server.url, api_key="practice") as client:
            request = Retries(on_wait=None).arun(
                lambda: client.with_options(max_retries=0).messages.create(**REQUEST)
            )
            await asyncio.wait_for(request, 0.5)

    began = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert time.monotonic() - began < 5
    assert len(server.requests) == 1


def test_stream_is_refused_with_advice(server, call):
    """A stream may break after pieces were shown, so it is not for a blind retry."""
    with pytest.raises(TypeError, match=r"Conversation\.stream"):
        call(stream=True)
    assert server.requests == []


def test_client_of_the_other_kind(server):
    """Before anything is sent, and billed."""
    where = {"base_url": server.url, "api_key": "practice"}
    with pytest.raises(TypeError, match="acall_with_retry"):
        asyncio.run(acall_with_retry(anthropic.Anthropic(**where), **REQUEST))
    with pytest.raises(TypeError, match="acall_with_retry"):
        call_with_retry(anthropic.AsyncAnthropic(**where), **REQUEST)
    assert server.requests == []


def test_mistakes_in_the_call_are_the_sdks(server, call):
    """What the SDK refuses before sending stays its TypeError or ValueError, at once."""
    with pytest.raises(TypeError, match="temprature"):
        call(temprature=0.5)
    with pytest.raises(ValueError, match="treaming"):
        call(max_tokens=100_000, timeout=anthropic.DEFAULT_TIMEOUT)
    assert (server.requests, call.waits) == ([], ())


def test_public_signature():
    """The signature of the course's design, in both twins."""
    for function in (call_with_retry, acall_with_retry):
        parameters = inspect.signature(function).parameters
        policy = ["on_wait", "max_wait", "max_total_wait", "sleep", "clock", "random"]
        assert list(parameters) == ["client", "max_retries", *policy, "create_arguments"]
        defaults = [parameters[name].default for name in ("max_retries", "max_wait", "max_total_wait")]
        assert defaults == [5, 60.0, 120.0]
