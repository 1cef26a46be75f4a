"""The comparison with the real API, tried between two practice APIs, one of which differs on purpose."""

from __future__ import annotations

import pytest

from course_helpers.practice_api import PRACTICE_KEY, Practice
from tools import live_check

SECRET = "sk-ant-api03-not-to-be-seen"


@pytest.fixture
def two():
    """Two practice APIs; the first takes another key."""
    there, here = Practice(in_process=True), Practice(in_process=True)
    there.api.keys = {SECRET}
    yield there, here
    there.stop()
    here.stop()


def compared(there: Practice, here: Practice) -> dict[str, list[str]]:
    """What differs, by probe."""
    clients = [live_check.client(there.url, SECRET), live_check.client(here.url, PRACTICE_KEY)]
    for client, practice in zip(clients, (there, here), strict=True):
        client._transport = practice.transport()
    found = dict(live_check.differences(*clients))
    for client in clients:
        client.close()
    return found


def test_two_that_are_alike_do_not_differ(two):
    """Some twenty-five requests, each to both."""
    found = compared(*two)
    assert {name: told for name, told in found.items() if told} == {}
    assert 20 <= len(found) <= 30
    assert len(two[0].journal) == len(two[1].journal) == len(found)


def test_what_differs_is_named_and_the_key_is_not(two):
    """Status, error type, fields, events, counts: one line each."""
    there, _ = two
    there.shape("empty")
    there.fail_next(402, times=1)
    found = compared(*two)
    assert found["a message"][0] == "status: 402 there, 200 here"
    assert "error: billing_error there, None here" in found["a message"]
    assert found["a stream"] == [
        "events: message_start message_delta message_stop there, message_start content_block_start "
        "content_block_delta content_block_stop message_delta message_stop here"
    ]
    assert any(
        told.startswith("content[].text: nothing there, str here") for told in found["a reply to a schema"]
    )
    assert found["an unknown field"] == []
    assert SECRET not in str(found)


def test_most_probes_are_refused_as_they_should_be(two):
    """A probe that is misspelt would be answered, and would compare nothing."""
    there, _ = two
    compared(*two)
    statuses = [exchange.status for exchange in there.journal]
    paid = sum(probe.answered for probe in live_check.probes())
    assert statuses.count(200) == paid + 4
    assert {*statuses} == {200, 400, 401, 404, 405}


def test_it_asks_first_and_names_its_price(monkeypatch, capsys):
    """Anything but yes sends nothing."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    monkeypatch.setattr("builtins.input", lambda prompt: "no")
    monkeypatch.setattr(live_check, "client", None)  # would fail if it were called
    assert live_check.main() == 2
    said = capsys.readouterr().out
    assert "dollars at the most" in said
    assert SECRET not in said
    assert 0 < live_check.price() < 0.02
