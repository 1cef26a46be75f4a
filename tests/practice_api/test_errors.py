"""Errors in the API's shape, with the classes that the SDK makes of them."""

from __future__ import annotations

import json

import anthropic
import pytest

from tests.practice_api.conftest import BOTH_WAYS
from tests.practice_api.wire import KEY, NEW, OLD, body, error_message

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
def test_each_status_has_its_type_and_its_class(practice, client, status):
    """One request id everywhere, and the SDK's own class."""
    kind, error_class, _ = STATUSES[status]
    practice.fail_next(status)
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(**body())
    error = caught.value
    assert type(error) is error_class
    assert kind is None or error.type == kind
    assert error.request_id == error.body["request_id"] == practice.journal[-1].request_id
    assert error.body["error"]["message"]
    client.messages.create(**body())


@pytest.mark.parametrize("status", STATUSES)
def test_what_the_sdk_retries(practice, client, status):
    """Its default: two retries of what may pass, none of what may not."""
    practice.fail_next(status, times=9, retry_after=0.001)
    with pytest.raises(anthropic.APIStatusError):
        client.with_options(max_retries=2).messages.create(**body())
    assert len(practice.journal) == (3 if STATUSES[status][2] else 1)


def test_x_should_retry_wins(practice, client):
    """A 400 with true is retried, a 429 with false is not."""
    twice = client.with_options(max_retries=2)
    with practice.fail_next(400, should_retry=True, retry_after=0.001):
        assert twice.messages.create(**body()).content
    assert len(practice.journal) == 2
    with practice.fail_next(429, should_retry=False), pytest.raises(anthropic.RateLimitError) as caught:
        twice.messages.create(**body())
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert len(practice.journal) == 3


def test_the_spend_cap_is_a_429_without_retry_after(practice, client):
    """Its own class by its error code; waiting cures nothing."""
    with practice.fail_next(429, spend_cap=True), pytest.raises(anthropic.RateLimitError) as caught:
        client.messages.create(**body())
    error = caught.value
    assert type(error).__name__ == "EnforcedSpendLimitReachedError"
    assert error.body["error"]["details"] == {"error_code": "enforced_spend_limit_reached"}
    assert "retry-after" not in error.response.headers


def test_a_gateways_page_is_no_json(practice, client):
    """A 502 that the API never saw: no request id, no JSON, and the SDK copes."""
    with practice.fail_next(502, html=True), pytest.raises(anthropic.InternalServerError) as caught:
        client.messages.create(**body())
    error = caught.value
    assert error.response.headers["content-type"].startswith("text/html")
    assert "502 Bad Gateway" in error.response.text
    assert (error.type, error.request_id) == (None, None)
    assert isinstance(error.body, str)


@pytest.mark.parametrize("wait", [2, 0.5, 3600])
def test_retry_after_is_sent_as_given(practice, wire, wait):
    """In seconds."""
    practice.fail_next(429, retry_after=wait)
    answer = wire.post()
    error_message(answer, 429)
    assert float(answer.headers["retry-after"]) == wait


def test_a_429_names_a_wait_by_default_others_do_not(practice, wire):
    """Whole seconds."""
    practice.fail_next(429)
    assert wire.post().headers["retry-after"] == "1"
    practice.fail_next(529)
    assert "retry-after" not in wire.post().headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/v1/v1/messages", 404),
        ("POST", "/v1/messages/", 404),
        ("POST", "/v1/complete", 404),
        ("GET", "/v1/messages", 405),
        ("DELETE", "/v1/models", 405),
        ("PUT", "/v1/messages/count_tokens", 405),
        ("OPTIONS", "/v1/messages", 405),
        ("GET", "/v1/models/a/b", 404),
        ("GET", "/v1/models/claude%2F", 404),
    ],
)
def test_wrong_paths_and_methods_in_the_same_shape(practice, wire, method, path, status):
    """404 and 405, with a request id, in the journal."""
    answer = wire.http.request(method, path, headers=KEY | {"anthropic-version": OLD})
    error_message(answer, status)
    assert practice.journal[-1].status == status
    assert practice.journal[-1].request_id == answer.headers["request-id"]


def test_head_has_the_same_headers_and_no_body(wire):
    """Where a GET would be answered."""
    answer = wire.http.head("/v1/models", headers=KEY | {"anthropic-version": OLD})
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "fields", [{}, {"max_tokens": -1}, {"model": "x"}, {"version": None}, {"headers": {}}]
)
def test_every_answer_has_the_account_and_its_limits(wire, fields):
    """Good or bad: request id, organization, workspace, rate limits."""
    answer = wire.post(**fields)
    assert {"request-id", "anthropic-organization-id", "anthropic-workspace-id"} <= answer.headers.keys()
    assert "anthropic-ratelimit-requests-remaining" in answer.headers


def test_request_ids_are_unique_and_begin_like_the_real_ones(practice, wire):
    """And are the same again after a reset: lessons may show them."""
    ids = [wire.post().headers["request-id"] for _ in range(20)]
    assert len(set(ids)) == 20
    assert all(name.startswith("req_") for name in ids)
    practice.reset()
    assert wire.post().headers["request-id"] == ids[0]


def test_the_sdk_reads_the_request_id_of_a_good_answer(practice, client):
    """`message._request_id` is the header's."""
    assert client.messages.create(**body())._request_id == practice.journal[-1].request_id


def test_which_error_comes_first(wire):
    """Path, key, version, body, shape, model, rules."""
    wrong = {"max_tokens": "x", "messages": [], "model": "nothing"}
    assert error_message(wire.http.post("/v1/nothing", json=wrong), 404)
    assert wire.refused(401, headers={}, version=None, **wrong)
    assert "anthropic-version" in wire.refused(version=None, **wrong)
    headers = KEY | {"anthropic-version": NEW}
    assert "JSON" in error_message(wire.http.post("/v1/messages", content=b"{", headers=headers))
    assert wire.refused(**wrong).startswith("max_tokens: ")
    assert wire.refused(404, messages=[], model="nothing") == "model: nothing"
    assert "at least one message" in wire.refused(messages=[])


def test_a_misspelt_field_is_quoted_no_longer_than_need_be(wire):
    """A huge field name does not come back whole."""
    answer = wire.send("/v1/messages", body() | {"x" * 100_000: 1})
    assert len(json.dumps(error_message(answer))) < 1_000
