"""`%%curl`: the same request through the real curl and without it, and what a mistake is answered with."""

from __future__ import annotations

import json
import shutil

import httpx2
import pytest

from course_helpers import connect, curl

ASK = """\
curl -s "$ANTHROPIC_BASE_URL/v1/messages" -w "\\nHTTP status %{http_code}\\n" \\
  -H "x-api-key: $ANTHROPIC_API_KEY" \\
  -H "anthropic-version: 2023-06-01" \\
  -H "content-type: application/json" \\
  -d @- <<END
{"model": "$COURSE_MODEL", "max_tokens": 50, "messages": [{"role": "user", "content": "Größe? 5 < 6 $x"}]}
END
"""
LIST = """\
curl -s "$ANTHROPIC_BASE_URL/v1/models" -H "x-api-key: $ANTHROPIC_API_KEY" -H "anthropic-version: 2023-06-01"
"""


@pytest.fixture(params=["curl", "no curl"])
def sender(request, monkeypatch):
    """The machine's curl, and a machine without one."""
    connect()
    if request.param == "no curl":
        monkeypatch.setattr(shutil, "which", lambda name: None)
    with httpx2.Client() as client:
        yield lambda command: curl.run(command, lambda: client)


def test_both_ways_send_the_same(sender):
    """Variables filled in, umlauts and dollars kept, the status written where it was asked for."""
    answer, _, status = sender(ASK).rpartition("\nHTTP status ")
    assert status == "200\n"
    assert json.loads(answer)["type"] == "message"
    assert json.loads(sender(LIST))["data"]


@pytest.mark.parametrize("command", ["ls", "", "wget http://127.0.0.1"])
def test_only_curl_is_run(sender, command):
    """The cell is no shell."""
    with pytest.raises(ValueError, match="first word is curl"):
        sender(command)


def test_what_fails_says_why(sender):
    """An address at which nothing listens."""
    with pytest.raises((RuntimeError, httpx2.ConnectError), match=r"exit code 7|refused|failed"):
        sender('curl -sS "http://127.0.0.1:9/v1/models"')
