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
{statement}
seconds = time.perf_counter() - began
import psutil
print(seconds, psutil.Process().memory_info().rss)
"""
BASELINE = "import anthropic"
STATEMENTS = {
    "import course_helpers": "import course_helpers",
    "what a lesson imports": "from course_helpers import MODEL, connect, practice, reply_text",
}


def cost(statement: str) -> tuple[float, float]:
    """Seconds that `statement` takes in a fresh process, and the bytes of memory in use after it."""
    code = CODE.format(statement=statement)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def bench() -> Iterator[Row]:
    """Ratios of the medians to those of `import anthropic`."""
    costs: dict[str, list[tuple[float, float]]] = {BASELINE: []} | {code: [] for code in STATEMENTS.values()}
    for _ in range(ROUNDS):
        for statement, found in costs.items():
            found.append(cost(statement))
    seconds, memory = (
        {code: median(each) for code, each in zip(costs, column, strict=True)}
        for column in (
            [[pair[0] for pair in found] for found in costs.values()],
            [[pair[1] for pair in found] for found in costs.values()],
        )
    )
    for name, code in STATEMENTS.items():
        yield at_most(f"{name}, wall", seconds[code] / seconds[BASELINE], 1.05, "× import anthropic")
        yield at_most(f"{name}, memory", memory[code] / memory[BASELINE], 1.10, "× import anthropic")
