"""What importing costs: ratios of seconds, and of bytes in use afterwards, to those of `import anthropic`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from tests.benchmarks import Row, medians

CODE = """
import time
began = time.perf_counter()
{}
seconds = time.perf_counter() - began
import psutil
print(seconds, psutil.Process().memory_info().rss)
"""
STATEMENTS = {
    "import course_helpers": "import course_helpers",
    "what a lesson imports": "from course_helpers import MODEL, connect, practice, reply_text",
}


def cost(statement: str) -> list[float]:
    """Seconds and bytes of `statement` in a fresh process."""
    command = [sys.executable, "-c", CODE.format(statement)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [float(figure) for figure in said.split()]


def bench() -> Iterator[Row]:
    base, *costs = medians(15, *(partial(cost, code) for code in ("import anthropic", *STATEMENTS.values())))
    for name, (seconds, memory) in zip(STATEMENTS, costs / base, strict=True):
        yield Row(f"{name}, wall", seconds, 1.05, "× import anthropic")
        yield Row(f"{name}, memory", memory, 1.10, "× import anthropic")
