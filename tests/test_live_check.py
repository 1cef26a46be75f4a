"""The comparison with the real API, tried between two practice APIs, one of which differs on purpose."""

from __future__ import annotations

import pytest

from course_helpers.practice_api import PRACTICE_KEY, Practice
from tools import live_check

SECRET = "sk-ant-api03-not-to-be-seen"


@pytest.fixture
def there():
    """In place of the real API, with another key."""
    practice = Practice(in_process=True)
    practice.api.keys = {SECRET}
    return practice


def compared(there: Practice) -> dict[str, list[str]]:
    """What differs, by probe, from a practice API as it is."""
    clients = []
    for practice, key in ((there, SECRET), (Practice(in_process=True), PRACTICE_KEY)):
        clients.append(live_check.client(practice.url, key))
        clients[-1]._transport = practice.transport()
    return dict(live_check.differences(*clients))


def test_two_that_are_alike_do_not_differ(there):
    """Some twenty-five requests, each to both, most of them refused: a misspelt one would be answered."""
    found = compared(there)
    assert {name: told for name, told in found.items() if told} == {}
    statuses = [exchange.status for exchange in there.journal]
    assert 20 <= len(found) == len(statuses) <= 30
    assert statuses.count(200) == sum(probe.answered for probe in live_check.probes()) + 4
    assert {*statuses} == {200, 400, 401, 404, 405}


def test_what_differs_is_named_and_the_key_is_not(there):
    """Status, error type, fields, events, counts: one line each."""
    there.shape("empty")
    there.fail_next(402, times=1)
    found = compared(there)
    assert found["a message"][0] == "status: 402 there, 200 here"
    assert "error: billing_error there, None here" in found["a message"]
    (events,) = found["a stream"]
    assert events.startswith("events: message_start message_delta message_stop there, message_start content_")
    assert "content[].text: nothing there, str here" in found["a reply to a schema"]
    assert found["an unknown field"] == []
    assert SECRET not in str(found)


def test_it_asks_first_and_names_its_price(monkeypatch, capsys):
    """Anything but yes sends nothing."""
    monkeypatch.setattr("builtins.input", lambda prompt: "no")
    monkeypatch.setattr(live_check, "client", None)  # would fail if it were called
    assert live_check.main() == 2
    assert "dollars at the most" in capsys.readouterr().out
    assert 0 < live_check.price() < 0.02
