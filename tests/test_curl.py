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
LIST = 'curl -s "$ANTHROPIC_BASE_URL/v1/models" -H "x-api-key: $ANTHROPIC_API_KEY"'


@pytest.mark.parametrize("there", [True, False])
def test_both_ways_send_the_same(monkeypatch, there):
    """Variables filled in, umlauts and dollars kept, the status written where it was asked for."""
    connect()
    if not there:
        monkeypatch.setattr(shutil, "which", lambda name: None)
    answer, _, status = curl.run(ASK).rpartition("\nHTTP status ")
    assert (json.loads(answer)["type"], status) == ("message", "200\n")
    assert json.loads(curl.run(f'{LIST} -H "anthropic-version: 2023-06-01"'))["data"]
    for command in ("ls", "", "wget http://127.0.0.1"):
        with pytest.raises(ValueError, match="first word is curl"):
            curl.run(command)
    with pytest.raises((RuntimeError, httpx2.ConnectError), match=r"exit code 7|refused|failed"):
        curl.run('curl -sS "http://127.0.0.1:9/v1/models"')
