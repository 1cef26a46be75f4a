"""A practice API for the tests of a module, as new for each test, and two ways to talk to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from course_helpers.practice_api import PRACTICE_KEY, Practice
from tests.practice_api.wire import Wire

BOTH_WAYS = pytest.mark.parametrize(
    "module_practice", [False, True], ids=["server", "in process"], indirect=True
)
"""For modules whose tests run against a server, and again without one."""


@pytest.fixture(scope="module")
def module_practice(request) -> Iterator[Practice]:
    """One practice API for the tests of a module."""
    practice = Practice(in_process=getattr(request, "param", False))
    yield practice
    practice.stop()


@pytest.fixture
def practice(module_practice: Practice) -> Practice:
    """The practice API, as new."""
    module_practice.reset()
    return module_practice


@pytest.fixture
def wire(practice: Practice) -> Iterator[Wire]:
    """Raw HTTP to the practice API."""
    made = Wire(practice.url, practice.transport())
    yield made
    made.http.close()


@pytest.fixture
def client(practice: Practice) -> Iterator[anthropic.Anthropic]:
    """The SDK's client, without retries."""
    with sdk(practice) as made:
        yield made


def sdk(practice: Practice, kind: type = anthropic.Anthropic) -> Any:
    """A client of the SDK, led to `practice` by its server or without one."""
    http = anthropic.DefaultHttpxClient if kind is anthropic.Anthropic else anthropic.DefaultAsyncHttpxClient
    inside = {"http_client": http(transport=practice.transport())} if practice.in_process else {}
    return kind(base_url=practice.url, api_key=PRACTICE_KEY, max_retries=0, **inside)
