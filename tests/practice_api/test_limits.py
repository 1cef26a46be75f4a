"""Rate limits: token buckets, and headers that tell the truth about them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anthropic
import pytest

from course_helpers.practice_api.caching import InputTokens
from course_helpers.practice_api.errors import ApiError
from course_helpers.practice_api.rate_limits import Limits
from tests.practice_api.wire import HAIKU_4, body, error_message, text

KINDS = ("requests", "input-tokens", "output-tokens", "tokens")


def figures(answer, kind: str) -> tuple[int, int]:
    """Limit and what remains."""
    prefix = f"anthropic-ratelimit-{kind}"
    return int(answer.headers[f"{prefix}-limit"]), int(answer.headers[f"{prefix}-remaining"])


def reset(answer, kind: str) -> datetime:
    """When it is full again."""
    return datetime.fromisoformat(answer.headers[f"anthropic-ratelimit-{kind}-reset"])


def test_the_headers_are_on_normal_answers_too(wire):
    """Whole numbers, and times of full refill in RFC 3339."""
    before = datetime.now(UTC).replace(microsecond=0)
    answer = wire.post()
    for kind in KINDS:
        limit, remaining = figures(answer, kind)
        assert 0 < remaining <= limit
        assert before <= reset(answer, kind) <= datetime.now(UTC)  # full, so now
    assert figures(answer, "requests") == (1000, 1000)
    assert not any("priority" in name or "fast" in name for name in answer.headers)


def test_a_stream_has_them_too(practice, client):
    """Before its first event."""
    with client.messages.stream(**body()) as stream:
        assert stream.response.headers["anthropic-ratelimit-requests-limit"] == "1000"
        assert stream.response.headers["request-id"] == practice.journal[-1].request_id


def test_requests_run_out(practice, wire):
    """As many as the limit says, then a 429 that names the limit and a true wait."""
    with practice.limit(requests_per_minute=3):
        for left in (2, 1, 0):
            assert figures(wire.post(), "requests") == (3, left)
        answer = wire.post()
        assert "3 requests per minute" in error_message(answer, 429)
        assert answer.json()["error"]["type"] == "rate_limit_error"
        assert 1 <= int(answer.headers["retry-after"]) <= 20  # a third of a minute at most
        assert datetime.now(UTC) < reset(answer, "requests") < datetime.now(UTC) + timedelta(minutes=1)
    assert wire.post().status_code == 200


def test_input_tokens_run_out(practice, wire):
    """A prompt larger than what is left is refused, a small one still fits."""
    with practice.limit(input_tokens_per_minute=200):
        assert wire.post().status_code == 200
        long = wire.post(system="Be brief. " * 60)
        assert "200 input tokens per minute" in error_message(long, 429)
        assert wire.post().status_code == 200


def test_output_counts_what_is_produced_not_max_tokens(practice, wire):
    """A generous `max_tokens` uses up nothing."""
    with practice.limit(output_tokens_per_minute=20):
        first = wire.post(max_tokens=100_000)
        used = first.json()["usage"]["output_tokens"]
        assert figures(first, "output-tokens") == (20, 20 - used)
        assert wire.post().status_code == 200  # something was left, so it is let in
        answer = wire.post()
        assert "20 output tokens per minute" in error_message(answer, 429)
        assert int(answer.headers["retry-after"]) >= 1


def test_streams_count_too(practice, client):
    """The output of a stream is charged like any other."""
    with practice.limit(output_tokens_per_minute=10):
        with client.messages.stream(**body()) as stream:
            stream.until_done()
        with pytest.raises(anthropic.RateLimitError):
            client.messages.create(**body())


def test_cache_reads_do_not_count(practice, wire):
    """Writes and uncached input do; what is read from the cache is free of it."""
    system = [text("Be brief. " * 300, cache_control={"type": "ephemeral"})]
    written = wire.ok(system=system)["usage"]["cache_creation_input_tokens"]
    assert written > 512
    with practice.limit(input_tokens_per_minute=100):
        for _ in range(3):
            assert wire.ok(system=system)["usage"]["cache_read_input_tokens"] == written
        other = [text("Be terse. " * 300, cache_control={"type": "ephemeral"})]
        assert error_message(wire.post(system=other), 429)


def test_a_refused_request_writes_no_cache_and_takes_nothing(practice, wire):
    """It never reached the model."""
    system = [text("Be brief. " * 300, cache_control={"type": "ephemeral"})]
    with practice.limit(input_tokens_per_minute=50):
        error_message(wire.post(system=system), 429)
        limit, remaining = figures(wire.post(max_tokens=-1), "input-tokens")
        assert remaining == limit
    assert wire.ok(system=system)["usage"]["cache_read_input_tokens"] == 0


def test_tokens_shows_the_tightest(practice, wire):
    """Whichever of input and output has the least left."""
    with practice.limit(output_tokens_per_minute=30):
        answer = wire.post()
        assert figures(answer, "tokens") == figures(answer, "output-tokens")
    with practice.limit(input_tokens_per_minute=30):
        answer = wire.post()
        assert figures(answer, "tokens") == figures(answer, "input-tokens")


def test_token_counts_are_rounded_to_thousands_requests_are_not(practice, wire):
    """As on the real API; a limit as small as a lesson's would show nothing, so it stays exact."""
    with practice.limit(input_tokens_per_minute=50_000, requests_per_minute=20_000):
        answer = wire.post(system="Be brief. " * 300)
        assert figures(answer, "input-tokens") == (50_000, 49_000)
        assert figures(answer, "requests") == (20_000, 19_999)


def test_counting_and_models_have_limits_of_their_own(practice, wire):
    """They use up nothing of the limits for messages."""
    with practice.limit(requests_per_minute=1):
        for _ in range(3):
            assert wire.count().status_code == 200
            assert wire.get("/v1/models").status_code == 200
        assert wire.post().status_code == 200


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("name", ["requests", "input-tokens"])
def test_a_bucket_refills_evenly(name):
    """After the wait that the 429 named there is room again, and not a second before."""
    clock = Clock()
    limits = Limits({name: 60}, clock)
    need = InputTokens(uncached=30)
    used = 0
    while True:
        try:
            limits.admit(need)
        except ApiError as refused:
            wait = int(refused.headers["retry-after"])
            break
        used += 1
    assert used == (60 if name == "requests" else 2)
    clock.now += wait - 1
    with pytest.raises(ApiError):
        limits.admit(need)
    clock.now += 1
    limits.admit(need)
    clock.now += 1_000_000
    assert limits.headers()[f"anthropic-ratelimit-{name}-remaining"] == "60"


def test_a_request_larger_than_the_whole_limit_is_always_refused():
    """With a wait that is finite."""
    limits = Limits({"input-tokens": 60}, Clock())
    with pytest.raises(ApiError) as caught:
        limits.admit(InputTokens(uncached=61))
    assert int(caught.value.headers["retry-after"]) >= 1


def test_a_small_model_has_them_too(practice, wire):
    """4.5 models as well."""
    with practice.limit(requests_per_minute=1):
        assert wire.post(model=HAIKU_4).status_code == 200
        assert wire.post(model=HAIKU_4).status_code == 429
