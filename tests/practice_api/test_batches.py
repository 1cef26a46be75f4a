"""Message Batches, through the SDK and on the wire."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import pytest
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse

from tests.practice_api.conftest import BOTH_WAYS, sdk
from tests.practice_api.wire import body, error_message, user

pytestmark = BOTH_WAYS

PATH = "/v1/messages/batches"


def one(custom_id: str, **fields: Any) -> dict[str, Any]:
    """A request of a batch."""
    return {"custom_id": custom_id, "params": body(**fields)}


def test_each_request_has_its_result(practice, client, wire):
    """One bad request fails alone; all is in the shape of the SDK's types."""
    requests = [one("a"), one("b", messages=[user("Hello!")]), one("c", max_tokens=-1)]
    requests += [one("d", max_tokens=0), one("e", model="claude-nope"), one("f", stream=True)]
    with practice.pace(batch_seconds=0):
        batch = client.messages.batches.create(requests=requests)
    counts = batch.request_counts
    seen = (batch.processing_status, counts.succeeded, counts.errored, counts.processing)
    assert seen == ("ended", 2, 4, 0)
    found = {line.custom_id: line.result for line in client.messages.batches.results(batch.id)}
    assert found["a"].message.content == client.messages.create(**body()).content
    assert found["a"].message.usage.service_tier == "batch"
    kinds = {name: result.error.error.type for name, result in found.items() if result.type == "errored"}
    assert kinds == dict.fromkeys("cdf", "invalid_request_error") | {"e": "not_found_error"}
    MessageBatch.model_validate(wire.get(f"{PATH}/{batch.id}").json())
    for line in wire.get(f"{PATH}/{batch.id}/results").text.splitlines():
        MessageBatchIndividualResponse.model_validate_json(line)


def test_canceling_and_deleting(practice, client, wire):
    """What is processed is given up; only what has ended can be deleted."""
    batches = client.messages.batches
    with practice.pace(batch_seconds=3600):
        batch = batches.create(requests=[one("a"), one("b")])
    assert (batch.processing_status, batch.request_counts.processing) == ("in_progress", 2)
    assert (batch.ended_at, batch.results_url, batch.expires_at > batch.created_at) == (None, None, True)
    with pytest.raises(anthropic.BadRequestError, match="cancel it first"):
        batches.delete(batch.id)
    assert "when it has ended" in error_message(wire.get(f"{PATH}/{batch.id}/results"))
    canceled = batches.cancel(batch.id)
    assert (canceled.processing_status, canceled.cancel_initiated_at is None) == ("canceling", False)
    assert batches.cancel(batch.id).cancel_initiated_at == canceled.cancel_initiated_at
    practice.api.batches[batch.id].ends = canceled.created_at  # its time has come
    ended = batches.retrieve(batch.id)
    assert (ended.processing_status, ended.request_counts.canceled) == ("ended", 2)
    assert {line.result.type for line in batches.results(batch.id)} == {"canceled"}
    with pytest.raises(anthropic.BadRequestError, match="nothing left to cancel"):
        batches.cancel(batch.id)
    assert batches.delete(batch.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        batches.retrieve(batch.id)


def test_the_list_has_the_newest_first(practice, client):
    """It is paged as the list of models is. By default a batch takes half a second."""
    batches = client.messages.batches
    ids = [batches.create(requests=[one("a")]).id for _ in range(5)]
    made = practice.api.batches[ids[0]]
    assert (made.ends - made.created).total_seconds() == 0.5
    assert [batch.id for batch in batches.list(limit=2)] == ids[::-1]
    practice.reset()
    assert batches.list().data == []


def test_a_batch_that_is_refused_whole(wire):
    """A 400 with the place."""
    refused = {
        "requests: List should have at least 1 item": [],
        "requests.0.custom_id: String should match pattern": [one("a b")],
        "requests: each custom_id must be unique": [one("a"), one("a")],
    }
    for words, requests in refused.items():
        assert words in error_message(wire.send(PATH, {"requests": requests}))


def test_batches_share_the_cache_and_use_up_no_limit(practice):
    """Half price stacks with what is read from the cache; the async client gets the same."""
    system = [{"type": "text", "text": "Be brief. " * 300, "cache_control": {"type": "ephemeral"}}]

    async def reads() -> list[bool]:
        async with sdk(practice, anthropic.AsyncAnthropic) as client:
            batches = client.messages.batches
            batch = await batches.create(requests=[one(name, system=system) for name in "abc"])
            usages = [line.result.message.usage async for line in await batches.results(batch.id)]
            return sorted(usage.cache_read_input_tokens > 512 for usage in usages)

    with practice.pace(batch_seconds=0), practice.limit(requests_per_minute=1):
        assert asyncio.run(reads()) == [False, True, True]
