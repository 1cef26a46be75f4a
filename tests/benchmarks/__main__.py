"""`make bench` (or `make bench BENCH=import`): one table, each benchmark in a fresh process of its own."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path


def main(wanted: list[str]) -> int:
    if len(wanted) == 1:
        met = True
        for row in importlib.import_module(f"tests.benchmarks.bench_{wanted[0]}").bench():
            print(row, flush=True)
            met &= row.ok
        return not met
    names = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    print(f"{'':44}  {'measured':>9}  {'goal':10}", flush=True)
    command = [sys.executable, "-m", "tests.benchmarks"]
    return max(subprocess.run([*command, name], check=False).returncode for name in wanted or names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
