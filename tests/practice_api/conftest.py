"""A practice API for the tests of a module, as new for each test, and two ways to talk to it."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import pytest

from course_helpers.practice_api import PRACTICE_KEY, Practice
from tests.practice_api.wire import Wire


@pytest.fixture(scope="module")
def module_practice() -> Iterator[Practice]:
    """One server for the tests of a module."""
    practice = Practice()
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
    made = Wire(practice.url)
    with made.http:
        yield made


@pytest.fixture
def client(practice: Practice) -> Iterator[anthropic.Anthropic]:
    """The SDK's client, without retries."""
    with anthropic.Anthropic(base_url=practice.url, api_key=PRACTICE_KEY, max_retries=0) as made:
        yield made
