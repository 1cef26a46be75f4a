"""Errors in the API's shape, and the fault lab: what is set happens, as often as it was set, nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anthropic
import httpx2
import pytest

from course_helpers.practice_api.faults import Limits
from course_helpers.practice_api.schemas import ApiError
from tests.practice_api.conftest import BOTH_WAYS
from tests.practice_api.wire import HAIKU, KEY, OLD, OPUS, body, error_message, text

pytestmark = BOTH_WAYS
STATUSES = {
    400: ("invalid_request_error", anthropic.BadRequestError, False),
    401: ("authentication_error", anthropic.AuthenticationError, False),
    402: ("billing_error", anthropic.PaymentRequiredError, False),
    403: ("permission_error", anthropic.PermissionDeniedError, False),
    404: ("not_found_error", anthropic.NotFoundError, False),
    408: (None, anthropic.RequestTimeoutError, True),
    409: ("conflict_error", anthropic.ConflictError, True),
    413: ("request_too_large", anthropic.ContentTooLargeError, False),
    422: (None, anthropic.UnprocessableEntityError, False),
    429: ("rate_limit_error", anthropic.RateLimitError, True),
    500: ("api_error", anthropic.InternalServerError, True),
    501: ("api_error", anthropic.HTTPNotImplementedError, True),
    502: ("api_error", anthropic.InternalServerError, True),
    503: ("api_error", anthropic.ServiceUnavailableError, True),
    504: ("timeout_error", anthropic.GatewayTimeoutError, True),
    529: ("overloaded_error", anthropic.OverloadedError, True),
}


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_has_its_type_its_class_and_its_retries(practice, client, status):
    """One request id everywhere; the SDK retries twice what may pass."""
    kind, error_class, retried = STATUSES[status]
    practice.fail_next(status, times=9, retry_after=0.001)
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.with_options(max_retries=2).messages.create(**body())
    error = caught.value
    assert type(error) is error_class
    assert kind is None or error.type == kind
    assert error.request_id == error.body["request_id"] == practice.journal[-1].request_id
    assert error.body["error"]["message"]
    assert len(practice.journal) == (3 if retried else 1)


def test_how_long_to_wait(practice, wire, client):
    """In seconds; a plain 429 names one, but not a spend cap, which waiting does not cure."""
    for status, wait, told in ((429, None, "1"), (529, None, None), (429, 0, None), (429, 0.25, "0.25")):
        practice.fail_next(status, retry_after=wait)
        assert wire.post().headers.get("retry-after") == told
    with practice.fail_next(429, spend_cap=True), pytest.raises(anthropic.RateLimitError) as caught:
        client.messages.create(**body())
    assert type(caught.value).__name__ == "EnforcedSpendLimitReachedError"
    assert "retry-after" not in caught.value.response.headers


WRONG = dict.fromkeys(("GET /", "GET /v1/filed", "POST /v1/messages/"), ": Not Found")
ELSEWHERE = ': Not Found. The real API has it, the practice API has not: use connect("live").'
WRONG |= dict.fromkeys(("GET /v1/files", "DELETE /v1/skills/a"), ELSEWHERE)
ALLOWED = {"GET /v1/messages": "POST", "PATCH /v1/messages/batches": "POST, GET", "DELETE /v1/models": "GET"}


def test_wrong_paths_and_methods_in_the_same_shape(practice, wire):
    """404 and 405, in the journal too; a 405 says which methods there are."""
    for line, said in (WRONG | dict.fromkeys(ALLOWED, ": Method Not Allowed")).items():
        answer = wire.http.request(*line.split(), headers=KEY | {"anthropic-version": OLD})
        assert error_message(answer, 405 if line in ALLOWED else 404) == line + said
        assert answer.headers.get("allow") == ALLOWED.get(line)
        exchange = practice.journal[-1]
        assert (exchange.status, exchange.request_id) == (answer.status_code, answer.headers["request-id"])


def test_every_answer_has_the_account_and_its_limits(practice, wire):
    """Good or bad: a request id of its own, organization, workspace, rate limits. HEAD gets them too."""
    answers = [wire.post(**fields) for fields in ({}, {"max_tokens": -1}, {"version": None}, {"headers": {}})]
    answers += [wire.http.head("/v1/models", headers=KEY | {"anthropic-version": OLD})]
    named = {f"anthropic-{name}" for name in ("organization-id", "workspace-id", "ratelimit-tokens-limit")}
    assert all(named <= answer.headers.keys() for answer in answers)
    assert (answers[-1].status_code, answers[-1].content) == (200, b"")
    ids = [answer.headers["request-id"] for answer in answers]
    practice.reset()  # lessons may show ids
    assert (len({*ids}), wire.post().headers["request-id"]) == (len(ids), ids[0])


# The fault lab


def outcomes(client, count: int) -> list[str]:
    """What `count` calls come to: "ok", or the status of the error."""
    found = []
    for _ in range(count):
        try:
            client.messages.create(**body())
            found.append("ok")
        except anthropic.APIError as error:
            found.append(str(getattr(error, "status_code", "dropped")))
    return found


def test_faults_come_in_the_order_set_and_count_down(practice, client, wire):
    """Several at once queue up, for every endpoint; a request that is wrong anyway takes none."""
    practice.fail_next(500, times=2)
    practice.fail_next(429, retry_after=2)
    practice.fail_next(529)
    assert repr(practice) == (
        "Practice API · faults: fail_next(500), 2 left; fail_next(429, retry_after=2), 1 left; "
        "fail_next(529), 1 left · 0 exchanges in the journal"
    )
    assert (wire.post(headers={}).status_code, wire.get("/v1/nothing").status_code) == (401, 404)
    assert outcomes(client, 3) == ["500", "500", "429"]
    assert (wire.get("/v1/models").status_code, wire.count().status_code) == (529, 200)
    control = practice.fail_next(500, times=99)
    assert outcomes(client, 2) == ["500"] * 2
    control.clear()
    control.clear()
    assert (outcomes(client, 1), str(practice.api.faults)) == (["ok"], "none")


SET = [("fail_next", 500), ("break_stream", "stall"), ("limit", 1), ("pace", 1), ("chaos", 1)]


def test_a_with_block_ends_what_it_began(practice, client):
    """Whatever is left of it is gone, also after an exception; what was set before stays."""
    with practice.shape("thinking_first"):
        for control, argument in SET:
            with pytest.raises(RuntimeError), getattr(practice, control)(argument):  # noqa: PT012
                assert control in repr(practice)
                raise RuntimeError("a mistake in the cell")
            assert str(practice.api.faults) == "shape('thinking_first')"
        with practice.shape("empty"):  # the latest of a kind is in force
            assert client.messages.create(**body()).content == []
        assert client.messages.create(**body()).content[0].type == "thinking"
    assert client.messages.create(**body()).content[0].type == "text"


MISSPELT = [
    ("fail_next", {"status": "429"}, "status\n  Input should be 400, 401"),
    ("fail_next", {"status": 500, "times": 0}, "times\n  Input should be greater than or equal to 1"),
    ("fail_next", {"status": 429, "retry_after": float("nan")}, "retry_after"),
    ("fail_next", {"status": 429, "retry_after": 1, "spend_cap": True}, "spend_cap goes with status 429"),
    ("fail_next", {"status": 500, "tims": 2}, "tims"),
    ("break_stream", {"kind": "disconect"}, "kind\n  Input should be 'disconnect', 'truncate', "),
    ("pace", {"tokens_per_second": 0}, "tokens_per_second"),
    ("limit", {}, "at least one of requests_per_minute"),
]


def test_what_is_misspelt_is_refused_and_sets_nothing(practice):
    """An error that says what there is."""
    for control, arguments, words in MISSPELT:
        with pytest.raises((ValueError, TypeError)) as caught:
            getattr(practice, control)(**arguments)
        assert words in str(caught.value), (control, arguments)
    assert str(practice.api.faults) == "none"


def test_chaos_is_repeatable(practice, client):
    """The same seed, the same faults; about as many as the rate says; fail_next comes first."""

    def run(rate: float, seed: int) -> list[str]:
        with practice.chaos(rate, seed):
            return outcomes(client, 40)

    first = run(0.5, 1)
    assert run(0.5, 1) == first != run(0.5, 2)
    assert 10 <= first.count("ok") <= 30
    assert {*first} == {"ok", "429", "500", "502", "503", "529", "dropped"}
    with practice.chaos(0.9, seed=3), practice.fail_next(403, times=5):
        assert outcomes(client, 5) == ["403"] * 5


SHAPES = {
    "thinking_first": (["thinking", "text"], "end_turn", 32),
    "thinking_only": (["thinking"], "max_tokens", 500),
    "refusal": ([], "refusal", 0),
    "empty": ([], "end_turn", 3),
}


def test_shapes_and_a_model_that_retires(practice, client, wire):
    """With the usage that goes with each; in a stream as in a plain answer."""
    for shape, expected in SHAPES.items():
        with practice.shape(shape), client.messages.stream(**body()) as stream:
            reply = wire.ok()
            assert stream.get_final_message().to_dict() == anthropic.types.Message(**reply).to_dict()
        kinds, tokens = [block["type"] for block in reply["content"]], reply["usage"]["output_tokens"]
        assert (kinds, reply["stop_reason"], tokens) == expected
        assert (reply["stop_details"] is not None) == (shape == "refusal")
    with practice.retire(HAIKU):
        assert (wire.refused(404), wire.count().status_code) == (f"model: {HAIKU}", 404)
        wire.ok(model=OPUS)


# Rate limits


def figures(headers, kind: str) -> tuple[int, int]:
    """Limit and what remains."""
    limit, remaining = (headers[f"anthropic-ratelimit-{kind}-{word}"] for word in ("limit", "remaining"))
    return int(limit), int(remaining)


def test_requests_run_out(practice, wire):
    """As many as the limit says, then a 429 that names the limit and its end; counting takes none."""
    assert figures(wire.post(stream=True).headers, "requests") == (1000, 1000)
    with practice.limit(requests_per_minute=2):
        for left in (1, 0):
            assert wire.count().status_code == 200
            assert figures(wire.post().headers, "requests") == (2, left)
        answer = wire.post()
        assert "2 requests per minute" in error_message(answer, 429)
        full = datetime.fromisoformat(answer.headers["anthropic-ratelimit-requests-reset"])
        assert datetime.now(UTC) < full < datetime.now(UTC) + timedelta(minutes=1)


def test_tokens_run_out(practice, wire):
    """Of input what is not read from the cache; of output what is produced, not `max_tokens`."""
    mark = {"type": "ephemeral"}
    cached, other = ([text(words * 300, cache_control=mark)] for words in ("Be brief. ", "Be terse. "))
    wire.ok(system=cached)
    with practice.limit(input_tokens_per_minute=100):
        assert wire.ok(system=cached)["usage"]["cache_read_input_tokens"] > 512
        assert "100 input tokens per minute" in wire.refused(429, system=other)
        headers = wire.post().headers  # it took nothing, and wrote no cache
        assert figures(headers, "tokens") == figures(headers, "input-tokens")
    assert wire.ok(system=other)["usage"]["cache_read_input_tokens"] == 0
    with practice.limit(output_tokens_per_minute=20):
        first = wire.post(max_tokens=100_000)
        left = 20 - first.json()["usage"]["output_tokens"]
        assert figures(first.headers, "output-tokens") == figures(first.headers, "tokens") == (20, left)
        wire.post(stream=True)  # something was left, so it is let in
        assert "20 output tokens per minute" in wire.refused(429)


def test_a_bucket_refills_evenly(practice):
    """After the wait that the 429 named there is room again, and not a second before."""
    now = [0]
    limits = Limits({"input_tokens": 60}, lambda: now[0])
    limits.admit(60)
    with pytest.raises(ApiError) as refused:
        limits.admit(30)
    now[0] += int(refused.value.headers["retry-after"]) - 1
    with pytest.raises(ApiError):
        limits.admit(30)
    now[0] += 1
    limits.admit(30)
    now[0] += 1_000_000
    assert figures(httpx2.Headers(limits.headers()), "input-tokens") == (60, 60)
    with pytest.raises(ApiError):
        limits.admit(61)  # more than the whole limit
