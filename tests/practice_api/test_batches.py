"""Message Batches, through the SDK and on the wire."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import anthropic
import pytest

from tests.practice_api.conftest import BOTH_WAYS, sdk_arguments
from tests.practice_api.wire import HAIKU, KEY, NEW, body, error_message, user

pytestmark = BOTH_WAYS

PATH = "/v1/messages/batches"
AT_ONCE, NEVER = {"batch_seconds": 0}, {"batch_seconds": 3600}


def one(custom_id: str, **fields: Any) -> dict[str, Any]:
    """A request of a batch."""
    return {"custom_id": custom_id, "params": body(**fields)}


def test_from_creation_to_results(practice, client):
    """Counts move at the end; each request has its own result, and one bad one fails alone."""
    wrong = [
        one("d", max_tokens=-1),
        one("e", max_tokens=0),
        one("f", model="claude-nope"),
        one("g", stream=True),
    ]
    with practice.pace(**NEVER):
        batch = client.messages.batches.create(
            requests=[one("a"), one("b", messages=[user("Hello!")]), *wrong]
        )
    assert (batch.processing_status, batch.request_counts.processing) == ("in_progress", 6)
    assert (batch.ended_at, batch.results_url, batch.expires_at > batch.created_at) == (None, None, True)
    with practice.pace(**AT_ONCE):
        batch = client.messages.batches.create(
            requests=[one("a"), one("b", messages=[user("Hello!")]), *wrong]
        )
    counts = batch.request_counts
    assert (batch.processing_status, counts.succeeded, counts.errored, counts.processing) == (
        "ended",
        2,
        4,
        0,
    )
    found = {line.custom_id: line.result for line in client.messages.batches.results(batch.id)}
    assert found["a"].message.to_dict()["content"] == client.messages.create(**body()).to_dict()["content"]
    assert found["a"].message.usage.service_tier == "batch"
    kinds = {name: result.error.error.type for name, result in found.items() if result.type == "errored"}
    assert kinds == dict.fromkeys("deg", "invalid_request_error") | {"f": "not_found_error"}


def test_by_default_a_batch_takes_half_a_second(client):
    """Long enough to be seen in progress, short enough to wait for."""
    batch = client.messages.batches.create(requests=[one("a")])
    assert batch.processing_status == "in_progress"
    for _ in range(200):
        if client.messages.batches.retrieve(batch.id).processing_status == "ended":
            break
        threading.Event().wait(0.05)
    ended = client.messages.batches.retrieve(batch.id)
    assert 0.4 < (ended.ended_at - ended.created_at).total_seconds() < 0.6


def test_canceling_and_deleting(practice, client, wire):
    """What is processed is given up; only what has ended can be deleted."""
    with practice.pace(**NEVER):
        batch = client.messages.batches.create(requests=[one("a"), one("b")])
    with pytest.raises(anthropic.BadRequestError, match="cancel it first"):
        client.messages.batches.delete(batch.id)
    assert "when it has ended" in error_message(wire.get(f"{PATH}/{batch.id}/results"))
    canceled = client.messages.batches.cancel(batch.id)
    assert (canceled.processing_status, canceled.cancel_initiated_at is None) == ("canceling", False)
    assert client.messages.batches.cancel(batch.id).cancel_initiated_at == canceled.cancel_initiated_at
    practice.api.batches[batch.id].ends = canceled.created_at  # its time has come
    ended = client.messages.batches.retrieve(batch.id)
    assert (ended.processing_status, ended.request_counts.canceled) == ("ended", 2)
    assert {line.result.type for line in client.messages.batches.results(batch.id)} == {"canceled"}
    with pytest.raises(anthropic.BadRequestError, match="nothing left to cancel"):
        client.messages.batches.cancel(batch.id)
    assert client.messages.batches.delete(batch.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(batch.id)


def test_the_list_is_paged_newest_first(practice, client):
    """As the list of models is."""
    ids = [client.messages.batches.create(requests=[one("a")]).id for _ in range(5)]
    assert len({*ids}) == 5
    for limit in (2, 5, 20):
        assert [batch.id for batch in client.messages.batches.list(limit=limit)] == ids[::-1]
    assert [batch.id for batch in client.messages.batches.list(before_id=ids[1], limit=2).data] == [
        ids[3],
        ids[2],
    ]
    practice.reset()
    assert client.messages.batches.list().data == []


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        ([], "requests: List should have at least 1 item"),
        ("a", "requests: Input should be a valid list"),
        ([one("x" * 65)], "requests.0.custom_id: String should have at most 64 characters"),
        ([one("")], "requests.0.custom_id: String should have at least 1 character"),
        ([one("a b")], "requests.0.custom_id: String should match pattern"),
        ([one("a"), one("a")], "requests: each custom_id must be unique"),
        ([{"custom_id": "a"}], "requests.0.params: Field required"),
        ([one("a") | {"x": 1}], "requests.0.x: Extra inputs are not permitted"),
    ],
)
def test_a_batch_that_is_refused_whole(wire, requests, words):
    """A 400 with the place."""
    assert words in error_message(wire.send(PATH, {"requests": requests}))


def test_batches_share_the_cache_and_use_up_no_limit(practice, client):
    """Half price stacks with what is read from the cache."""
    system = [{"type": "text", "text": "Be brief. " * 300, "cache_control": {"type": "ephemeral"}}]
    with practice.pace(**AT_ONCE), practice.limit(requests_per_minute=1):
        batch = client.messages.batches.create(requests=[one(name, system=system) for name in "abc"])
    usages = [line.result.message.usage for line in client.messages.batches.results(batch.id)]
    assert sorted(usage.cache_read_input_tokens > 512 for usage in usages) == [False, True, True]


@pytest.mark.slow
def test_ten_thousand_requests(practice, client, wire):
    """Others are answered meanwhile; the results are lines of JSON."""
    many = [one(f"r{n}", max_tokens=5) for n in range(10_000)]
    made: list[Any] = []
    with practice.pace(**AT_ONCE):
        maker = threading.Thread(target=lambda: made.append(client.messages.batches.create(requests=many)))
        maker.start()
        while maker.is_alive():
            wire.ok()
        maker.join(60)
    lines = wire.http.get(made[0].results_url, headers=KEY | {"anthropic-version": NEW}).text.splitlines()
    assert {json.loads(line)["custom_id"] for line in lines} == {each["custom_id"] for each in many}


def test_the_async_client(practice):
    """The same, awaited."""

    async def talk() -> list[str]:
        async with anthropic.AsyncAnthropic(**sdk_arguments(practice, asynchronous=True)) as client:
            batch = await client.messages.batches.create(requests=[one("a", model=HAIKU)])
            return [line.custom_id async for line in await client.messages.batches.results(batch.id)]

    with practice.pace(**AT_ONCE):
        assert asyncio.run(talk()) == ["a"]
