"""Waiting: which faults are retried, how long, how often, and what comes out in the end, on a real wire."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from functools import partial

import anthropic
import httpx2
import pytest
from anthropic import APIConnectionError, APIResponseValidationError, APITimeoutError
from hypothesis import given
from hypothesis import strategies as st

from course_helpers import retries
from course_helpers.retries import Retries, acall_with_retry, call_with_retry
from tests.scripted_server import MESSAGE, ScriptedServer, answer, cut, drop, failure, hang, reply, reset

REQUEST = {"model": "any", "max_tokens": 64, "messages": [{"role": "user", "content": "What is it?"}]}
BUSY = failure(529, "overloaded_error")
HALF = 0.375, 0.75, 1.5, 3.0, 6.0  # the waits of our own backoff when every roll of the dice is one half


@pytest.fixture
def server():
    with ScriptedServer() as running:
        yield running


class Clock:
    """Time that passes only by sleeping, and a record of how long."""

    def __init__(self) -> None:
        self.time, self.waits = 1000.0, []

    def __call__(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.time += seconds


class Caller:
    """`call_with_retry` or its async twin against `server`, with a pretended clock and even dice."""

    def __init__(self, server, asynchronous: bool) -> None:
        self.server, self.asynchronous = server, asynchronous
        kind = anthropic.AsyncAnthropic if asynchronous else anthropic.Anthropic
        self.client = kind(base_url=server.url, api_key="practice", timeout=5.0)

    def __call__(self, *script, **options):
        self.server.play(*script or self.server.script)
        self.clock, self.announced = Clock(), []
        policy = {"sleep": self.clock.sleep, "clock": self.clock, "random": lambda: 0.5}
        told = {"client": self.client, "on_wait": self.announced.append} | policy | REQUEST | options
        return asyncio.run(acall_with_retry(**told)) if self.asynchronous else call_with_retry(**told)

    @property
    def came(self) -> tuple[int, tuple[float, ...]]:
        """How many requests were sent, and the waits between them."""
        return len(self.server.requests), tuple(self.clock.waits)

    def fails(self, kind: type, words: str, *script, **options) -> BaseException:
        """What it raises, of this `kind`, with these `words` in its notes."""
        with pytest.raises(kind) as caught:
            self(*script, **options)
        assert words in "\n".join(getattr(caught.value, "__notes__", []))
        return caught.value


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def call(server, request) -> Caller:
    return Caller(server, request.param)


def test_good_reply_is_the_sdks_own(server, call):
    """A call that succeeds sends one request, waits for nothing and returns what the SDK returns."""
    message = call(reply())
    assert call.came == (1, ())
    bare = anthropic.Anthropic(base_url=server.url, api_key="practice").messages.create(**REQUEST)
    assert (message, message._request_id) == (bare, "req_1")
    ours, theirs = (request.body for request in server.requests)
    assert ours == theirs


def test_what_is_retried(call):
    """Transient statuses, lost connections, silence, and what the server says is worth it."""
    transient = [failure(status) for status in (408, 409, 429, 500, 503, 529, 599)]
    says = [failure(400, x_should_retry="true"), failure(500, x_should_retry="perhaps")]
    for step in (*transient, *says, drop, reset, cut):
        assert call(step, step, reply()).content[0].text == "Paris."
        assert call.came == (3, HALF[:2])
    call.fails(APIConnectionError, "connection error, connection error", drop, max_retries=1)
    call.fails(APITimeoutError, "timeout, timeout", hang, timeout=0.2, max_retries=1)
    nobody = call.client.with_options(base_url="http://127.0.0.1:1")
    call.fails(APIConnectionError, "Gave up", client=nobody, max_retries=2)
    assert call.came == (0, HALF[:2])


NO_MESSAGE = [
    answer(200, "<html>Log in to the hotel's network</html>", content_type="text/html"),
    *(answer(200, body) for body in ('{"content": [', b"\xff\xfe{}", b"", None, "[" * 99_999, {})),
    *(answer(200, MESSAGE | wrong) for wrong in ({"content": "Paris."}, {"usage": None})),
    answer(200, {"type": "error", "error": {"type": "api_error", "message": "x"}}),
    answer(204, b""),
]
STATUSES = 400, 401, 402, 403, 404, 413, 422
MORE = {}, {"x_should_retry": "true"}, {"retry_after": "1"}
LASTING = {
    **{failure(n, retry_after="1"): (anthropic.APIStatusError, f"a {n} stays a {n}") for n in STATUSES},
    **{failure(429, "x", retries.SPEND_CAP, **m): (anthropic.RateLimitError, "spend cap") for m in MORE},
    failure(429, x_should_retry="false"): (anthropic.RateLimitError, "x-should-retry: false"),
    **dict.fromkeys(NO_MESSAGE, (APIResponseValidationError, "Not retried")),
}


def test_what_is_not_retried(call):
    """What the request itself causes, a spend cap, an answer that is no message: one request, one error."""
    for step, (kind, words) in LASTING.items():
        error = call.fails(kind, words, step, reply())
        assert (call.came, error.response.headers["request-id"]) == ((1, ()), "req_1")
    patient = call.client.with_options(timeout=anthropic.DEFAULT_TIMEOUT)
    for kind, words, wrong in (
        (TypeError, r"Conversation\.stream", {"stream": True}),
        (TypeError, "temprature", {"temprature": 0.5}),
        (ValueError, "treaming", {"max_tokens": 100_000, "client": patient}),
        (ValueError, "one request", {"max_retries": -1}),
    ):
        with pytest.raises(kind, match=words):
            call(reply(), **wrong)
    other = anthropic.Anthropic if call.asynchronous else anthropic.AsyncAnthropic
    with pytest.raises(TypeError, match="acall_with_retry is for"):
        call(reply(), client=other(api_key="x"))
    error = call.fails(APIConnectionError, "Requests: 1 ", reply(), extra_headers={"x-mine": "sk-ant\nx"})
    assert (call.came, "sk-ant" in str(error)) == ((0, ()), False)


CAUSES = [  # what is said, of what, after how many requests
    ("SSL_CERT_FILE names the file", httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), 1),
    ("The client is closed", RuntimeError("Cannot send a request, as the client has been closed."), 1),
    (r"\(RuntimeError\): .* setup cell", RuntimeError("sk-ant"), 1),
    (r"\(UnsupportedProtocol\)", httpx2.UnsupportedProtocol("no http"), 1),
    ("that HTTP does not allow", httpx2.LocalProtocolError("Illegal header value b'sk-ant-x\\n'"), 1),
    *(("Connection error", kind("x"), 3) for kind in (httpx2.ConnectError, httpx2.ReadError, OSError)),
]


def fail(cause: Exception) -> None:
    raise APIConnectionError(request=httpx2.Request("POST", "http://x/")) from cause


@pytest.mark.parametrize(("words", "cause", "requests"), CAUSES)
def test_causes_on_this_side_of_the_wire(words, cause, requests):
    """They are final: one request, one sentence, no key in it; what may pass is tried again."""
    run = Retries(on_wait=None, sleep=lambda seconds: None, max_retries=2)
    with pytest.raises(APIConnectionError, match=words) as caught:
        run.run(partial(fail, cause))
    assert len(run.attempts) == requests
    assert "sk-ant" not in f"{caught.value} {caught.value.__notes__} {caught.value.__cause__!r}"


ASKED = [({"retry_after": text}, float(text)) for text in ("0.25", " 7 ", "60")]
ASKED += [({"retry_after_ms": "250", "retry_after": "9"}, 0.25)]
DATES = "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Foo 99999999999999 07:28:00 GMT"
SENSELESS = [{"retry_after": text} for text in ("0", "-3", "nan", "inf", "1e999", "soon", "", *DATES)]
SENSELESS += [{"retry_after_ms": "0", "retry_after": "9"}]


def test_retry_after(call):
    """Obeyed exactly, up to `max_wait`; zero, negative, past or garbled: our own backoff."""
    for headers, seconds in [*ASKED, *((headers, HALF[0]) for headers in SENSELESS)]:
        call(failure(429, **headers), reply())
        assert (call.came, call.announced[0].asked) == ((2, (seconds,)), headers not in SENSELESS), headers
    call(failure(429, retry_after=formatdate(time.time() + 30, usegmt=True)), reply())
    assert call.clock.waits == [pytest.approx(30, abs=3)]


@given(st.integers(1, 5000), st.floats(0, 1, exclude_max=True), st.floats(0.01, 1000))
def test_equal_jitter(tried, dice, cap):
    """Half of the step is fixed and half is random, so waits grow, spread, and stay under the cap."""
    wait, step = Retries(max_wait=cap, random=lambda: dice)._backoff(tried), 0.5 * 2.0 ** min(tried - 1, 100)
    assert min(cap, step) / 2 <= wait <= min(cap, step)
    assert len({Retries()._backoff(1) for _ in range(20)}) == 20


def test_bounds(call):
    """The tries, each wait and their sum are bounded; the note says which bound was met."""
    busy, limited = anthropic.OverloadedError, anthropic.RateLimitError
    tried = "Gave up: max_retries=5 is reached. Requests: 6 (529, 529, 529, 529, 529, 529); waited 11.6 s."
    call.fails(busy, tried, BUSY)
    assert (call.came, call.server.requests[0].headers["x-stainless-retry-count"]) == ((6, HALF[:5]), "0")
    call.fails(busy, "max_retries=0 is reached", BUSY, max_retries=0)
    assert call.came[0] == 1
    call.fails(limited, "longer wait than max_wait=60 s", failure(429, retry_after="3600"), reply())
    assert call.came == (1, ())
    call.fails(busy, "", BUSY, max_wait=2.0)
    assert call.came[1] == (0.375, 0.75, 1.5, 1.5, 1.5)
    note = "max_total_wait=120 s. Requests: 3 (429, 429, 429); waited 100.0 s. Come back in 50 s."
    call.fails(limited, note, failure(429, retry_after="50"))
    call.fails(limited, "Requests: 3 ", sleep=lambda seconds: None)  # a pretended sleep counts too


def test_on_wait(call, capsys):
    """It gets a small value before each wait, and with None nothing is said; lesson 6 shows the default."""
    call(failure(429, retry_after="2"), BUSY, drop, reply())
    assert [(w.attempt, w.seconds, w.reason, w.asked, w.max_retries) for w in call.announced] == [
        (1, 2.0, "Rate limited", True, 5),
        (2, 0.75, "API error 529", False, 5),
        (3, 1.5, "Connection error", False, 5),
    ]
    call(BUSY, reply(), on_wait=None)
    assert capsys.readouterr().out == ""


def test_stop_during_a_wait(server, call):
    """An interruption ends the call there and then; a cancelled task does not wait either."""

    def stop(_):
        raise asyncio.CancelledError

    for where in ("sleep", "on_wait"):
        call.fails(asyncio.CancelledError, "", BUSY, **{where: stop})
        assert call.came[0] == 1
    server.play(failure(429, retry_after="60"))

    async def main():
        client = anthropic.AsyncAnthropic(base_url=server.url, api_key="practice")
        await asyncio.wait_for(acall_with_retry(client, on_wait=None, **REQUEST), 0.5)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert len(server.requests) == 1
