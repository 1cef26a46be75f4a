"""What importing costs: fresh processes, interleaved, so that a busy moment strikes all alike."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from statistics import median

from tests.benchmarks import Row, at_most

ROUNDS = 15
CODE = """
import time
began = time.perf_counter()
{}
seconds = time.perf_counter() - began
import psutil
print(seconds, psutil.Process().memory_info().rss)
"""
BASELINE = "import anthropic"
STATEMENTS = {
    "import course_helpers": "import course_helpers",
    "what a lesson imports": "from course_helpers import MODEL, connect, practice, reply_text",
}


def bench() -> Iterator[Row]:
    """Ratios of the medians, of seconds and of bytes in use afterwards, to those of `import anthropic`."""
    costs: dict[str, list[list[float]]] = {code: [] for code in (BASELINE, *STATEMENTS.values())}
    for _ in range(ROUNDS):
        for code, found in costs.items():
            command = [sys.executable, "-c", CODE.format(code)]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found.append([float(figure) for figure in said.split()])
    medians = {code: [median(column) for column in zip(*found, strict=True)] for code, found in costs.items()}
    for name, code in STATEMENTS.items():
        seconds, memory = (a / b for a, b in zip(medians[code], medians[BASELINE], strict=True))
        yield at_most(f"{name}, wall", seconds, 1.05, "× import anthropic")
        yield at_most(f"{name}, memory", memory, 1.10, "× import anthropic")
