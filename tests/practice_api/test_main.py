"""`python -m course_helpers.practice_api`: the practice API for any other program."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager

import anthropic
import httpx2
import pytest

from course_helpers.models import DEFAULT_MODEL
from course_helpers.practice_api import replies
from course_helpers.practice_api.__main__ import main

COMMAND = [sys.executable, "-m", "course_helpers.practice_api"]
HELLO = {
    "model": DEFAULT_MODEL,
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}


@pytest.fixture
def restore_signals():
    """`main` sets handlers: put the old ones back."""
    before = {how: signal.getsignal(how) for how in (signal.SIGINT, signal.SIGTERM)}
    yield
    for how, handler in before.items():
        signal.signal(how, handler)


@contextmanager
def serving(*options: str):
    """The process and its URL, on a free port."""
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process, process.stdout.readline().split()[3].rstrip(",")
    finally:
        process.kill()
        process.communicate()


def once(url: str) -> anthropic.Anthropic:
    """A client that makes each call exactly once."""
    return anthropic.Anthropic(base_url=url, api_key="practice", max_retries=0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent differently there")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_ctrl_c_and_says_so(how):
    """One answer, then a clean end: status 0, nothing on stderr, the port free again."""
    with serving() as (process, url):
        assert once(url).messages.create(**HELLO).content[-1].text == "The capital of France is Paris."
        process.send_signal(how)
        out, err = process.communicate(timeout=10)
        assert process.returncode == 0
        assert err == ""
        assert out.endswith("The practice API has stopped.\n")
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(url)


@pytest.mark.slow
def test_the_commands_that_it_prints_work():
    """The curl line is run as printed; the variables for the SDK are the right ones."""
    with serving() as (process, url):
        lines = [process.stdout.readline() for _ in range(9)]
        curl = "".join(lines[lines.index("curl:\n") + 1 :])
        answer = subprocess.run(curl, shell=True, capture_output=True, text=True, check=True).stdout
        assert '"text":"Hello! What would you like to know?"' in answer
        assert f"ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=practice python my_program.py" in "".join(lines)


def test_a_storm_meets_each_question_with_a_fault_and_reports_at_the_end():
    """The faults of the report card, for a program in any language; the report when it ends."""
    with serving("--storm") as (process, url):
        answers = []
        for question in ("Hello!", "What is a token?", "Who are you?", "And now?"):
            try:
                once(url).messages.create(**HELLO | {"messages": [{"role": "user", "content": question}]})
                answers.append("ok")
            except anthropic.APIError as error:
                answers.append(type(error).__name__)
        assert {*answers} - {"ok"}
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (0, "")
        assert "Report card" in out
        assert out.endswith("The practice API has stopped.\n")


def test_a_port_in_use_is_one_clear_sentence(capsys, restore_signals):
    """No traceback: what is wrong and what to do."""
    with serving() as (_, url):
        port = url.rpartition(":")[2]
        said = main(["--port", port])
    assert said == f"Port {port} cannot be used (Address already in use): choose another with --port."
    assert capsys.readouterr().out == ""
    assert main(["--port", "70000"]) == (
        "Port 70000 cannot be used (there is no such port): choose another with --port."
    )


def test_a_mistake_in_the_replies_is_one_sentence(tmp_path, monkeypatch, capsys, restore_signals):
    """No traceback here either."""
    monkeypatch.setattr(replies, "FILE", tmp_path / "replies.toml")
    replies.FILE.write_text("[[reply]]\nask = '('\nsay = 'y'")
    replies.entries.cache_clear()
    try:
        said = main(["--port", "0"])
    finally:
        replies.entries.cache_clear()
    assert said == "replies.toml, reply 1, ask: missing ), unterminated subpattern at position 0"
    assert capsys.readouterr() == ("", "")
