"""`python -m course_helpers.practice_api`: the practice API for any other program."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from course_helpers.practice_api.__main__ import main


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent differently there")
def test_it_serves_until_it_is_stopped_and_says_so(monkeypatch):
    """The curl line works as printed, a storm meets the second question, a port that cannot be is told."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # main sets handlers: not in this process
    command = [sys.executable, "-m", "course_helpers.practice_api", "--port", "0", "--storm"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stdout.readline() for _ in range(11)]
            url = lines[0].split()[3].rstrip(",")
            assert f"  ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=practice python my_program.py\n" in lines
            curl = "".join(lines[lines.index("curl:\n") + 1 : -2])
            assert '"text":"Hello! What would you like to know?"' in subprocess.getoutput(curl)
            assert '"type":"rate_limit_error"' in subprocess.getoutput(curl.replace("Hello!", "Who are you?"))
            for port in (url.rpartition(":")[2], "70000"):
                assert main(["--port", port]).startswith(f"Port {port} cannot be used (")
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, err, "Report card" in out) == (0, "", True)
    assert out.endswith("The practice API has stopped.\n")
