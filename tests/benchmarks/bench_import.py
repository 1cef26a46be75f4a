"""What a lesson imports: its seconds, and bytes in use afterwards, beside those of `import anthropic`."""

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
LESSON = "from course_helpers import MODEL, connect, practice, reply_text"


def cost(statement: str) -> list[float]:
    """Seconds and bytes of `statement` in a fresh process."""
    command = [sys.executable, "-c", CODE.format(statement)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [float(figure) for figure in said.split()]


def bench() -> Iterator[Row]:
    base, lesson = medians(15, partial(cost, "import anthropic"), partial(cost, LESSON))
    for name, ratio, goal in zip(("wall", "memory"), lesson / base, (1.05, 1.10), strict=True):
        yield Row(f"what a lesson imports, {name}", ratio, goal, "× import anthropic")
