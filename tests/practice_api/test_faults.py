"""The fault lab: what is set happens, where it was set, as often as it was set, and nowhere else."""

from __future__ import annotations

import gc
import threading
from collections import Counter

import anthropic
import pytest

from course_helpers.practice_api.errors import ApiError
from tests.practice_api.conftest import BOTH_WAYS
from tests.practice_api.wire import HAIKU, OPUS, body, user

pytestmark = BOTH_WAYS
LONG = body(messages=[user("Tell me something about yourself.")])


def outcomes(client, count: int) -> list[str]:
    """What `count` calls come to: "ok", or the kind of error and its status."""
    found = []
    for _ in range(count):
        try:
            client.messages.create(**body())
            found.append("ok")
        except anthropic.APIStatusError as error:
            found.append(str(error.status_code))
        except anthropic.APIConnectionError:
            found.append("dropped")
    return found


def test_faults_come_in_the_order_set_and_count_down(practice, client, wire):
    """Several at once queue up, for every endpoint; a request that is wrong anyway takes none."""
    practice.fail_next(500, times=2)
    practice.fail_next(429)
    practice.fail_next(529)
    assert str(practice.api.faults).startswith("fail_next(500, times=2), 2 left; fail_next(429), 1 left; ")
    assert (wire.post(headers={}).status_code, wire.get("/v1/nothing").status_code) == (401, 404)
    assert outcomes(client, 3) == ["500", "500", "429"]
    assert (wire.get("/v1/models").status_code, wire.count().status_code) == (529, 200)
    assert (outcomes(client, 2), str(practice.api.faults)) == (["ok", "ok"], "none")


@pytest.mark.parametrize(
    ("control", "arguments"),
    [
        ("fail_next", {"status": 500, "times": 9}),
        ("break_stream", {"kind": "disconnect", "times": 9}),
        ("limit", {"requests_per_minute": 1}),
        ("shape", {"kind": "refusal"}),
        ("pace", {"tokens_per_second": 0.5}),
        ("chaos", {"rate": 1}),
        ("retire", {"model": HAIKU}),
    ],
)
def test_a_with_block_ends_what_it_began(practice, client, control, arguments):
    """Whatever is left of it is gone, also after an exception; what was set before stays."""

    def use_it():
        with getattr(practice, control)(**arguments):
            assert control in repr(practice)
            raise RuntimeError("a mistake in the cell")

    with practice.shape("thinking_first"):
        with pytest.raises(RuntimeError):
            use_it()
        assert str(practice.api.faults) == "shape('thinking_first')"
        assert client.messages.create(**body()).content[0].type == "thinking"
        with practice.shape("empty"):  # the latest of a kind is in force
            assert client.messages.create(**body()).content == []
    assert client.messages.create(**body()).content[0].type == "text"


def test_without_a_with_block_it_lasts_until_reset_or_clear(practice, client):
    """Both end it; clearing twice is no harm."""
    control = practice.fail_next(500, times=99)
    assert outcomes(client, 2) == ["500", "500"]
    control.clear()
    control.clear()
    practice.limit(requests_per_minute=1)
    assert outcomes(client, 2) == ["ok", "429"]
    practice.reset()
    assert outcomes(client, 2) == ["ok", "ok"]


def test_repr_shows_what_is_set(practice, client):
    """One line, for the end of a cell."""
    assert repr(practice) == "Practice API · faults: none · 0 exchanges in the journal"
    assert (
        repr(practice.fail_next(429, times=3, retry_after=2))
        == "fail_next(429, times=3, retry_after=2), 3 left"
    )
    practice.break_stream("stall")
    practice.limit(requests_per_minute=5, output_tokens_per_minute=100)
    practice.pace(40)
    practice.chaos(0.2, seed=7)
    outcomes(client, 1)
    assert repr(practice) == (
        "Practice API · faults: fail_next(429, times=3, retry_after=2), 2 left; "
        "break_stream('stall'), 1 left; limit(requests_per_minute=5, output_tokens_per_minute=100); "
        "pace(40); chaos(0.2, seed=7) · 1 exchanges in the journal"
    )


MISSPELT = [
    ("fail_next", (999,), "status: it should be 400, 401"),
    ("fail_next", ("429",), "not '429'. Did you mean 429?"),
    ("fail_next", (528,), "not 528. Did you mean 529?"),
    ("fail_next", (True,), "status: it should be"),
    ("fail_next", (500, 0), "times: it should be greater than or equal to 1, not 0"),
    ("fail_next", (500, 1.5), "times: it should be a valid integer"),
    ("fail_next", (500, "2"), "times: it should be a valid integer"),
    ("fail_next", (429, 1, -1), "retry_after: it should be greater than or equal to 0"),
    ("fail_next", (429, 1, float("nan")), "retry_after"),
    ("fail_next", (429, 1, float("inf")), "retry_after"),
    ("break_stream", ("disconect",), "Did you mean 'disconnect'?"),
    ("break_stream", (None,), "kind: it should be 'disconnect'"),
    ("break_stream", ("stall", -1), "after"),
    ("shape", ("thinking",), "Did you mean 'thinking_"),
    ("shape", (["refusal"],), "kind: it should be"),
    ("pace", (0,), "tokens_per_second"),
    ("pace", ("fast",), "tokens_per_second"),
    ("pace", (10, -1), "first_token_seconds"),
    ("pace", (10, 0, -1), "batch_seconds"),
    ("chaos", (1.1,), "rate: it should be less than or equal to 1, not 1.1"),
    ("chaos", (True,), "rate"),
    ("limit", (), "at least one of requests_per_minute"),
    ("limit", (0,), "requests_per_minute: it should be greater than or equal to 1"),
    ("limit", (2.5,), "requests_per_minute: it should be a valid integer"),
    ("retire", (5,), "model: it should be a valid string"),
]


def test_what_is_misspelt_is_refused_and_sets_nothing(practice):
    """An error that says what there is."""
    for control, arguments, words in MISSPELT:
        with pytest.raises(ValueError, match=r"\w") as caught:
            getattr(practice, control)(*arguments)
        assert words in str(caught.value), (control, arguments)
    for fault in ({"status": 500}, {"status": 429, "retry_after": 1}):
        with pytest.raises(ValueError, match="spend_cap goes with status 429"):
            practice.fail_next(**fault, spend_cap=True)
    with pytest.raises(TypeError, match="tims"):
        practice.fail_next(500, tims=2)
    with pytest.raises(AttributeError, match=r"practice has no 'fail_nxt'.*fail_next, break_stream"):
        practice.fail_nxt(500)
    assert not hasattr(practice, "explode")
    assert str(practice.api.faults) == "none"


def test_a_fault_keeps_no_request_alive(practice, wire):
    """However often it strikes: each request fails with an error of its own."""
    with practice.fail_next(529, times=9):
        for _ in range(3):
            wire.post()
        practice.journal.clear()
        gc.collect()
        errors = [each for each in gc.get_objects() if type(each) is ApiError]
        assert [error for error in errors if error.__traceback__ is not None] == []


def test_what_an_error_says_can_be_scripted(practice, wire):
    """As the real API words a prompt that is too long."""
    practice.fail_next(400, message="prompt is too long: 200001 tokens > 200000 maximum")
    assert wire.refused() == "prompt is too long: 200001 tokens > 200000 maximum"


def test_a_model_can_retire_in_mid_session(practice, wire):
    """It alone, for messages and counting, until the block ends."""
    with practice.retire(HAIKU):
        assert wire.refused(404) == f"model: {HAIKU}"
        assert wire.count().status_code == 404
        wire.ok(model=OPUS)
    wire.ok()


def test_chaos_is_repeatable(practice, client):
    """The same seed, the same faults; about as many as the rate says; fail_next comes first."""

    def run(rate: float, seed: int) -> list[str]:
        with practice.chaos(rate, seed):
            return outcomes(client, 60)

    first = run(0.5, 1)
    assert run(0.5, 1) == first != run(0.5, 2)
    kinds = Counter(first)
    assert 15 <= kinds["ok"] <= 45
    assert kinds.keys() == {"ok", "429", "500", "502", "503", "529", "dropped"}
    assert run(0, 1) == ["ok"] * 60
    assert "ok" not in run(1, 1)
    with practice.chaos(0.9, seed=3), practice.fail_next(403, times=5):
        assert outcomes(client, 5) == ["403"] * 5


def test_pace_slows_plain_answers_too(practice, client):
    """A client with less patience than the answer takes gives up."""
    for pace in ({"tokens_per_second": 0.5}, {"first_token_seconds": 30}):
        with practice.pace(**pace), pytest.raises(anthropic.APITimeoutError):
            client.with_options(timeout=0.3).messages.create(**body())
    assert outcomes(client, 1) == ["ok"]


@pytest.mark.parametrize(
    ("shape", "content", "reason", "tokens"),
    [
        ("thinking_first", ["thinking", "text"], "end_turn", None),
        ("thinking_only", ["thinking"], "max_tokens", 500),
        ("refusal", [], "refusal", 0),
        ("empty", [], "end_turn", 3),
    ],
)
def test_shapes(practice, client, shape, content, reason, tokens):
    """With the usage that goes with each; in a stream as in a plain answer."""
    with practice.shape(shape):
        reply = client.messages.create(**body())
        with client.messages.stream(**body()) as stream:
            assert stream.get_final_message().to_dict() == reply.to_dict()
    assert ([block.type for block in reply.content], reply.stop_reason) == (content, reason)
    assert tokens in (None, reply.usage.output_tokens)
    assert (reply.stop_details is not None) == (shape == "refusal")


def test_controls_from_many_threads(practice, client):
    """Set, cleared and used at once: each fault happens exactly once, none is left over."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(30):
                practice.fail_next(500)
                with practice.shape("empty"), practice.limit(requests_per_minute=10**6):
                    repr(practice)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    seen = Counter(outcomes(client, 100))
    for thread in threads:
        thread.join(60)
    seen += Counter(outcomes(client, 240))
    assert failures == []
    assert seen == {"500": 8 * 30, "ok": 340 - 8 * 30}
    assert str(practice.api.faults) == "none"


def test_a_control_can_be_set_while_a_stream_runs(practice, client):
    """It concerns the next request, not the one under way."""
    with client.messages.stream(**LONG) as stream:
        next(iter(stream.text_stream))
        practice.fail_next(500)
        practice.break_stream("error")
        assert stream.get_final_message().stop_reason == "end_turn"
    assert outcomes(client, 1) == ["500"]
