"""`make bench` (or `make bench BENCH=import`): runs the benchmarks and prints one table."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.benchmarks import measure


def main(wanted: list[str]) -> int:
    names = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    names = [name for name in names if not wanted or name.removeprefix("bench_") in wanted]
    rows = []
    # A fresh process for each, so that none measures what another left behind.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        for name in names:
            print(f"{name} ...", file=sys.stderr, flush=True)
            rows += pool.submit(measure, name).result()
    print(f"{'':44}  {'measured':>9}  {'goal':10}")
    print(*rows, sep="\n")
    return 0 if rows and all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
