"""`%%curl`: a cell that holds a curl command, as one types it in a terminal; it is the same on every system.

    %%curl --out answer
    curl -s "$ANTHROPIC_BASE_URL/v1/messages" -H "x-api-key: $ANTHROPIC_API_KEY" -d @- <<END
    {"model": "$COURSE_MODEL", ...}
    END

No shell takes part: on Windows `bash` may be that of WSL, where neither the variables nor 127.0.0.1 are the
same, and a browser tab has no processes at all. The real curl runs where there is one; else httpx2 sends the
same request.
"""

from __future__ import annotations

import getopt
import os
import re
import shlex
import shutil
import string
import subprocess
import sys

import httpx2

SECONDS = 120.0  # how long one request may take


def offer() -> None:
    """Makes `%%curl` known to the notebook, if this is one."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None

    def magic(line: str, cell: str) -> None:
        output = run(cell)
        match line.split():
            case ["--out", name]:
                shell.user_ns[name] = output
            case []:
                print(output, end="" if output.endswith("\n") else "\n")
            case _:
                raise ValueError(f"%%curl takes --out NAME, or nothing, not {line!r}.")

    if shell is not None:
        shell.register_magic_function(magic, "cell", magic_name="curl")


def run(command: str) -> str:
    """What the curl `command` prints. Raises ValueError for another command, RuntimeError if curl fails."""
    text = string.Template(command).safe_substitute(os.environ)
    heredoc = re.search(r"<<(\w+)[^\S\n]*\n(.*?)^\1\s*\Z", text, re.DOTALL | re.MULTILINE)
    line, body = (text[: heredoc.start()], heredoc[2]) if heredoc else (text, "")
    first, *arguments = shlex.split(line.replace("\\\n", " ")) or [""]
    if first != "curl":
        raise ValueError("This cell takes one curl command: its first word is curl.")
    if not shutil.which("curl"):
        return _without_curl(arguments, body)
    done = subprocess.run(["curl", *arguments], input=body.encode(), capture_output=True, timeout=SECONDS)
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip() or "add -S, and it says why"
        raise RuntimeError(f"curl ended with exit code {done.returncode}: {why}")
    return done.stdout.decode()


def _without_curl(arguments: list[str], body: str) -> str:
    """The same request by httpx2; `getopt.GetoptError` for options that no lesson uses."""
    options, (url,) = getopt.gnu_getopt(arguments, "sSNX:H:d:w:", ["data="])
    given, headers = dict(options), dict(value.split(": ", 1) for name, value in options if name == "-H")
    data = given.get("-d", given.get("--data"))
    method, content = given.get("-X", "GET" if data is None else "POST"), body if data == "@-" else data
    reply = httpx2.request(method, url, headers=headers, content=content, timeout=SECONDS)
    written = given.get("-w", "").replace("\\n", "\n")
    return reply.text + written.replace("%{http_code}", str(reply.status_code))
