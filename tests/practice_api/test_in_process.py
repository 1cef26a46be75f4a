"""The practice API without a server: what the wire tests, which run both ways, do not see."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import anthropic
import pytest

from course_helpers.practice_api import Practice
from tests.practice_api.conftest import sdk_arguments
from tests.practice_api.wire import body


@pytest.fixture
def practice():
    """One that is called in this process."""
    made = Practice(in_process=True)
    yield made
    made.stop()


def test_no_thread_and_no_port(practice):
    """It has a URL all the same, which is its own."""
    before = threading.active_count()
    with anthropic.Anthropic(**sdk_arguments(practice)) as client:
        assert client.messages.create(**body()).content[0].text == "The capital of France is Paris."
    assert threading.active_count() == before
    assert practice.serves(practice.url)
    assert practice.url != Practice(in_process=True).url


def test_within_a_running_event_loop(practice):
    """As in a cell: a blocking call, and awaited ones beside each other, in the same task."""

    async def cell() -> list[str]:
        with anthropic.Anthropic(**sdk_arguments(practice)) as client:
            said = [client.messages.create(**body()).content[0].text]
            with client.messages.stream(**body()) as stream:
                said.append("".join(stream.text_stream))
        async with anthropic.AsyncAnthropic(**sdk_arguments(practice, asynchronous=True)) as client:
            many = await asyncio.gather(*(client.messages.create(**body()) for _ in range(5)))
        return said + [message.content[0].text for message in many]

    assert {*asyncio.run(cell())} == {"The capital of France is Paris."}


def test_from_many_threads(practice):
    """Each call runs on an event loop of its own."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with anthropic.Anthropic(**sdk_arguments(practice)) as client:
                for _ in range(10):
                    client.messages.create(**body())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(practice.journal) == 80


def test_a_reader_that_leaves_is_noticed(practice):
    """The rest of the answer is not made."""
    practice.pace(tokens_per_second=10)
    with anthropic.Anthropic(**sdk_arguments(practice)) as client, client.messages.stream(**body()) as stream:
        next(iter(stream.text_stream))
    assert (practice.journal[-1].status, practice.journal[-1].reply) == (200, None)


def test_one_that_was_stopped_cannot_be_reached(practice):
    """A connection error, as from a server that is gone."""
    with anthropic.Anthropic(**sdk_arguments(practice), max_retries=0) as client:
        practice.stop()
        with pytest.raises(anthropic.APIConnectionError):
            client.messages.create(**body())


@pytest.mark.slow
def test_clients_that_a_cell_makes_itself_get_there_too():
    """In a browser tab; tried in a process of its own, as it changes httpx2."""
    code = (
        "import anthropic, asyncio\nfrom course_helpers.practice_api import in_process, practice\n"
        "practice.in_process = True\nin_process.lead_all_clients_here()\n"
        "one = anthropic.Anthropic(base_url=practice.url, api_key='practice')\n"
        f"print(one.messages.create(**{body()!r}).content[0].text)\n"
        "two = anthropic.AsyncAnthropic(base_url=practice.url, api_key='practice')\n"
        f"print(asyncio.run(two.messages.create(**{body()!r})).content[0].text)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("The capital of France is Paris.\n" * 2, "")
