"""Errors in the API's shape, with the classes that the SDK makes of them."""

from __future__ import annotations

import anthropic
import pytest

from tests.practice_api.conftest import BOTH_WAYS
from tests.practice_api.wire import KEY, OLD, body, error_message

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


MISSING = ': Not Found. The real API has {}, the practice API has not: use connect("live").'
WRONG = {
    **dict.fromkeys(("GET /", "GET /v1/filesystem", "POST /v1/messages/"), ": Not Found"),
    **{f"POST {path}": MISSING.format(path) for path in ("/v1/files", "/v1/complete", "/v1/organizations")},
    "DELETE /v1/skills/a": MISSING.format("/v1/skills"),
}
ALLOWED = {"GET /v1/messages": "POST", "PATCH /v1/messages/batches": "POST, GET", "DELETE /v1/models": "GET"}


def test_wrong_paths_and_methods_in_the_same_shape(practice, wire):
    """404 and 405, in the journal too; a 404 says what only the real API has, a 405 which methods it has."""
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


def test_what_is_quoted_is_short(wire):
    """Paths, versions, models and field names do not come back whole."""
    long = "x" * 50_000
    answers = [wire.http.get("/" + long), wire.get("/v1/models/" + "x" * 5_000)]
    answers += [wire.get("/v1/models", after_id="x" * 5_000), wire.send("/v1/messages", body() | {long: 1})]
    answers += [wire.post(version=long), wire.post(model=long), wire.post(model="x" * 256)]
    answers += [wire.post(headers=KEY | {"content-encoding": long})]
    assert all(len(error_message(answer, answer.status_code)) < 1_001 for answer in answers)
