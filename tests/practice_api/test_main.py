"""`python -m course_helpers.practice_api`: the practice API for any other program."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from course_helpers.practice_api import replies
from course_helpers.practice_api.__main__ import main


@pytest.fixture(autouse=True)
def handlers_stay(monkeypatch):
    """`main` sets handlers of signals: not in this process."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent differently there")
def test_it_serves_until_it_is_stopped_and_says_so():
    """The curl line works as printed, a storm meets the second question, a port in use is one sentence."""
    command = [sys.executable, "-m", "course_helpers.practice_api", "--port", "0", "--storm"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stdout.readline() for _ in range(11)]
            url = lines[0].split()[3].rstrip(",")
            assert f"  ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=practice python my_program.py\n" in lines
            curl = "".join(lines[lines.index("curl:\n") + 1 : -2])
            assert '"text":"Hello! What would you like to know?"' in subprocess.getoutput(curl)
            assert '"type":"rate_limit_error"' in subprocess.getoutput(curl.replace("Hello!", "Who are you?"))
            port = url.rpartition(":")[2]
            assert main(["--port", port]).startswith(f"Port {port} cannot be used ([Errno")
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, err, "Report card" in out) == (0, "", True)
    assert out.endswith("The practice API has stopped.\n")


def test_what_cannot_be_is_one_sentence(tmp_path, monkeypatch, capsys):
    """No traceback: a port that does not exist, a mistake in the replies."""
    assert main(["--port", "70000"]).startswith("Port 70000 cannot be used (")
    monkeypatch.setattr(replies, "FILE", tmp_path / "replies.toml")
    replies.FILE.write_text("[[reply]]\nask = '('\nsay = 'y'")
    replies.entries.cache_clear()
    try:
        said = main(["--port", "0"])
    finally:
        replies.entries.cache_clear()
    assert said == "replies.toml, reply 1, ask: missing ), unterminated subpattern at position 0"
    assert capsys.readouterr() == ("", "")
