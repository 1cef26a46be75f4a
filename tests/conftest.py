"""Shared by all tests: no key, no setting and no progress of this machine takes part in them."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripted_server import EchoServer
from tools.lessons import committed_lessons

# Before anything imports course_helpers, which reads COURSE_MODEL as it is imported.
for _name in list(os.environ):
    if _name.startswith("ANTHROPIC_") or _name == "COURSE_MODEL":
        del os.environ[_name]
# Where it was started in the background, Ctrl-C is ignored, and so it would be in every process of a test.
signal.signal(signal.SIGINT, signal.default_int_handler)
_home = tempfile.TemporaryDirectory(prefix="course-tests-")
os.environ["COURSE_DATA_DIR"] = _home.name


@pytest.fixture(autouse=True)
def environment_of_its_own(tmp_path: Path) -> Iterator[None]:
    """Each test has its own progress, and leaves the environment as it found it: `connect` sets variables."""
    before = dict(os.environ)
    os.environ["COURSE_DATA_DIR"] = str(tmp_path / "data")
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def lessons() -> Iterator[Path]:
    """A folder with the lessons as committed: a learner's own answers take no part in any test."""
    with committed_lessons() as folder:
        yield folder


@pytest.fixture(scope="session")
def echo() -> Iterator[EchoServer]:
    """A Messages API that says what it is told, outside of any kernel."""
    with EchoServer() as server:
        yield server
