"""Rate limits: token buckets, and headers that tell the truth about them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anthropic
import pytest

from course_helpers.practice_api.errors import ApiError
from course_helpers.practice_api.faults import Limits
from tests.practice_api.wire import body, error_message, text

KINDS = ("requests", "input-tokens", "output-tokens", "tokens")
MARK = {"type": "ephemeral"}


def figures(headers, kind: str) -> tuple[int, int]:
    """Limit and what remains."""
    limit, remaining = (headers[f"anthropic-ratelimit-{kind}-{word}"] for word in ("limit", "remaining"))
    return int(limit), int(remaining)


def test_the_headers_are_on_normal_answers_and_streams_too(practice, wire, client):
    """Whole numbers, and times of full refill in RFC 3339."""
    before = datetime.now(UTC).replace(microsecond=0)
    headers = wire.post().headers
    for kind in KINDS:
        limit, remaining = figures(headers, kind)
        assert 0 < remaining <= limit
        full = datetime.fromisoformat(headers[f"anthropic-ratelimit-{kind}-reset"])
        assert before <= full <= datetime.now(UTC)
    assert figures(headers, "requests") == (1000, 1000)
    assert not any("priority" in name or "fast" in name for name in headers)
    with client.messages.stream(**body()) as stream:
        assert figures(stream.response.headers, "requests") == (1000, 1000)


def test_requests_run_out(practice, wire):
    """As many as the limit says, then a 429 that names the limit and a true wait; counting takes none."""
    with practice.limit(requests_per_minute=3):
        for left in (2, 1, 0):
            assert wire.count().status_code == 200
            assert figures(wire.post().headers, "requests") == (3, left)
        answer = wire.post()
        assert "3 requests per minute" in error_message(answer, 429)
        assert answer.json()["error"]["type"] == "rate_limit_error"
        assert 1 <= int(answer.headers["retry-after"]) <= 20  # a third of a minute at most
        full = datetime.fromisoformat(answer.headers["anthropic-ratelimit-requests-reset"])
        assert datetime.now(UTC) < full < datetime.now(UTC) + timedelta(minutes=1)
        assert wire.get("/v1/models").status_code == 200
    wire.ok()


def test_input_tokens_run_out(practice, wire):
    """A prompt larger than what is left is refused and takes nothing, a small one still fits."""
    with practice.limit(input_tokens_per_minute=200):
        wire.ok()
        assert "200 input tokens per minute" in error_message(wire.post(system="Be brief. " * 60), 429)
        wire.ok()


def test_output_counts_what_is_produced_not_max_tokens(practice, wire, client):
    """A generous `max_tokens` uses up nothing; a stream is charged like any other."""
    with practice.limit(output_tokens_per_minute=20):
        first = wire.post(max_tokens=100_000)
        used = first.json()["usage"]["output_tokens"]
        assert figures(first.headers, "output-tokens") == (20, 20 - used)
        with client.messages.stream(**body()) as stream:  # something was left, so it is let in
            stream.until_done()
        with pytest.raises(anthropic.RateLimitError, match="20 output tokens per minute"):
            client.messages.create(**body())


def test_cache_reads_do_not_count(practice, wire):
    """Writes and uncached input do; a refused request writes no cache."""
    system, other = ([text(words * 300, cache_control=MARK)] for words in ("Be brief. ", "Be terse. "))
    written = wire.ok(system=system)["usage"]["cache_creation_input_tokens"]
    with practice.limit(input_tokens_per_minute=100):
        for _ in range(3):
            assert wire.ok(system=system)["usage"]["cache_read_input_tokens"] == written > 512
        error_message(wire.post(system=other), 429)
    assert wire.ok(system=other)["usage"]["cache_read_input_tokens"] == 0


@pytest.mark.parametrize("kind", ["input", "output"])
def test_tokens_shows_the_tightest(practice, wire, kind):
    """Whichever of input and output has the least left."""
    with practice.limit(**{f"{kind}_tokens_per_minute": 30}):
        headers = wire.post().headers
        assert figures(headers, "tokens") == figures(headers, f"{kind}-tokens")


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_token_counts_are_rounded_to_thousands_requests_are_not():
    """As on the real API; a limit as small as a lesson's would show nothing, so it stays exact."""
    limits = Limits({"input-tokens": 50_000, "requests": 20_000, "output-tokens": 300}, Clock())
    limits.admit(900)
    limits.charge_output(7)
    assert figures(limits.headers(), "input-tokens") == (50_000, 49_000)
    assert figures(limits.headers(), "requests") == (20_000, 19_999)
    assert figures(limits.headers(), "output-tokens") == (300, 293)


@pytest.mark.parametrize("name", ["requests", "input-tokens"])
def test_a_bucket_refills_evenly(name):
    """After the wait that the 429 named there is room again, and not a second before."""
    clock = Clock()
    limits = Limits({name: 60}, clock)
    need = 30
    for _ in range(60 if name == "requests" else 2):
        limits.admit(need)
    with pytest.raises(ApiError) as refused:
        limits.admit(need)
    clock.now += int(refused.value.headers["retry-after"]) - 1
    with pytest.raises(ApiError):
        limits.admit(need)
    clock.now += 1
    limits.admit(need)
    clock.now += 1_000_000
    assert figures(limits.headers(), name) == (60, 60)


def test_a_request_larger_than_the_whole_limit_is_always_refused():
    """With a wait that is finite."""
    with pytest.raises(ApiError) as caught:
        Limits({"input-tokens": 60}, Clock()).admit(61)
    assert int(caught.value.headers["retry-after"]) >= 1
