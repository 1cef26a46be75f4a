"""Runs the lessons: `run` writes their outputs, `test` compares them with the outputs as committed.

python -m tools.notebooks run [LESSON]     re-executes in place (`make notebooks`)
python -m tools.notebooks test [LESSON]    nbval: strict; the last lesson also lax under another model
                    … --other-models       nbval: strict, and all of them lax under two other models
python -m tools.notebooks lint             ruff over the lessons as committed
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from course_helpers.models import ALIASES, DEFAULT_MODEL, available
from tools import cheatsheet, glossary
from tools.lessons import (
    GENERATED,
    ROOT,
    changed_lessons,
    committed_lessons,
    cover,
    fill,
    find_lesson,
    lesson_paths,
)

OTHER_MODELS = (
    next(model.id for model in available() if model.prefill and model.lifecycle == "active"),
    next(id for id in ALIASES.values() if id != DEFAULT_MODEL),
)
"""A model with the rules of the generation before, and another of today's."""
CELL_SECONDS = 120
LESSON_SECONDS = 240
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    # What nbconvert needs to write a script: without the extension it makes a .txt.
    "language_info": {
        "name": "python",
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
        "codemirror_mode": {"name": "ipython", "version": 3},
    },
}
PASSING_CELL_METADATA = {"ExecuteTime", "collapsed", "execution", "trusted"}
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def lesson_environment(home: Path, model: str | None = None) -> dict[str, str]:
    """The environment that a lesson runs in: no key, no setting of this machine, progress in `home`."""
    prefixes = ("ANTHROPIC_", "COURSE_", "IPYTHON")
    names = {"COLUMNS", "FORCE_COLOR", "MPLBACKEND", "NO_COLOR", "PYTHONWARNINGS"}
    env = {k: v for k, v in os.environ.items() if k not in names and not k.startswith(prefixes)}
    env |= {"COURSE_DATA_DIR": str(home / "progress"), "IPYTHONDIR": str(home / "ipython")}
    # `python` in a lesson's shell cell is the one that runs the lesson, as it is in `make lab`.
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
    if model:
        env["COURSE_MODEL"] = model
    return env


# make notebooks


def normalise(notebook: nbformat.NotebookNode, name: str) -> None:
    """Leaves in `notebook` only what is the same whoever runs it, whenever and wherever."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat_minor = 5
    count = 0
    for position, cell in enumerate(notebook.cells):
        if not cell.get("id"):
            cell.id = hashlib.sha256(f"{name} {position}".encode()).hexdigest()[:8]
        for key in PASSING_CELL_METADATA & cell.metadata.keys():
            del cell.metadata[key]
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
            # The id in a widget's view is random and points at state that is not saved.
            output.get("data", {}).pop(WIDGET_VIEW, None)


TERMS = "<details><summary>Terms of this lesson</summary>\n\n{}\n\n</details>"


def put_terms(notebook: nbformat.NotebookNode, lesson: int) -> None:
    """Brings the folded list of terms in the last cell of lesson number `lesson` up to date."""
    last = notebook.cells[-1]
    listed = TERMS.format(glossary.terms(lesson))
    last.source = re.sub(re.escape(TERMS).replace(r"\{\}", "(?:.|\n)*?"), lambda _: listed, last.source)


def traces(notebook: nbformat.NotebookNode) -> list[str]:
    """What in the outputs belongs to this machine or is secret: paths, loopback ports, keys."""
    places = [str(ROOT), sys.prefix, str(Path.home()) + os.sep, tempfile.gettempdir() + os.sep]
    pattern = "|".join([*map(re.escape, places), r"(?:127\.0\.0\.1|localhost):\d+", r"sk-ant-\w+"])
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            texts = [output.get("text", ""), *output.get("traceback", []), *output.get("data", {}).values()]
            found += [
                f"cell {cell.execution_count} shows {hit}"
                for text in texts
                if isinstance(text, str) and not text.startswith("iVBOR")
                for hit in re.findall(pattern, text)
            ]
    return found


def run(path: Path) -> str | None:
    """Re-executes the lesson at `path` in place; if that fails, returns why and leaves the file as it was."""
    notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
    with tempfile.TemporaryDirectory(prefix="course-run-") as home:
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            store_widget_state=False,
            resources={"metadata": {"path": str(path.parent)}},
        )
        try:
            client.execute(env=lesson_environment(Path(home)))
        except (CellExecutionError, TimeoutError) as error:
            return COLOURS.sub("", str(error))
    put_terms(notebook, int(path.stem[:2]))
    normalise(notebook, path.stem)
    if found := traces(notebook):
        return "\n".join(found)
    path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    return None


def run_all(paths: list[Path]) -> int:
    """`make notebooks`: re-executes `paths` and brings the tables that are made from them up to date."""
    failures = 0
    with ThreadPoolExecutor(1 + os.cpu_count()) as pool:  # a kernel that starts leaves a core idle
        for path, problem in zip(paths, pool.map(run, paths), strict=True):
            print(f"{'FAILED' if problem else 'ok':6}  {path.stem}", flush=True)
            if problem:
                failures += 1
                print(problem)
    try:
        covers = [cover(path) for path in lesson_paths()]
    except ValueError as error:
        print(f"README.md and docs/teaching.md stay as they were. {error}")
        return 1
    (ROOT / cheatsheet.PAGE).write_text(cheatsheet.page(lesson_paths()), encoding="utf-8")
    glossary.PAGE.write_text(glossary.page(), encoding="utf-8")
    for name, make in GENERATED.items():
        page = ROOT / name
        page.write_text(fill(page.read_text(encoding="utf-8"), make(covers)), encoding="utf-8")
    return 1 if failures else 0


# make test


def nbval(path: Path, model: str | None) -> tuple[bool, str, str]:
    """Whether the lesson at `path` passes nbval, pytest's last line, and all it printed."""
    with tempfile.TemporaryDirectory(prefix="course-test-") as home:
        command = [
            # After a few failures the rest only repeats them.
            *(sys.executable, "-m", "pytest", "-rN", "-p", "no:cacheprovider", "--maxfail=3"),
            "--nbval-lax" if model else "--nbval",
            *("--nbval-current-env", f"--nbval-cell-timeout={CELL_SECONDS}", str(path)),
            f"--nbval-sanitize-with={Path(__file__).with_name('nbval.cfg')}",
        ]
        try:
            done = subprocess.run(
                command,
                cwd=path.parent,
                env=lesson_environment(Path(home), model),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=LESSON_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            printed = (error.stdout or b"").decode(errors="replace")
            return False, f"still running after {LESSON_SECONDS} s", printed
    printed = COLOURS.sub("", done.stdout).strip()
    # pytest says 0 only when at least one cell ran and none failed; no cells at all is 5.
    return done.returncode == 0, printed.splitlines()[-1], printed


def test_all(folder: Path, lesson: str | None, other_models: bool) -> int:
    """`make lessons`: the lessons in `folder`, strictly, and then all or the last under other models."""
    paths = lesson_paths(folder)
    if lesson:
        paths = [find_lesson(lesson, paths)]
    if not paths:
        print("There are no lessons to test.")
        return 1
    jobs = [(path, None) for path in paths]
    jobs += [(path, model) for model in OTHER_MODELS for path in paths if other_models]
    jobs += [] if other_models else [(paths[-1], OTHER_MODELS[0])]
    start = time.monotonic()
    failed = 0
    with ThreadPoolExecutor(1 + os.cpu_count()) as pool:  # a kernel that starts leaves a core idle
        results = pool.map(lambda job: nbval(*job), jobs)
        for (path, model), (passed, summary, printed) in zip(jobs, results, strict=True):
            print(f"{'ok' if passed else 'FAILED':6}  {path.stem:14}  {model or 'outputs':17}  {summary}")
            if not passed:
                failed += 1
                print(printed)
            sys.stdout.flush()
    print(f"{len(jobs) - failed} of {len(jobs)} lesson runs passed in {time.monotonic() - start:.0f} s.")
    return 1 if failed else 0


def lint(folder: Path) -> int:
    """Ruff's exit code for the lessons in `folder`, beside which the course's pyproject.toml stands."""
    codes = [
        subprocess.run([sys.executable, "-m", "ruff", *how, "--no-cache", "notebooks"], cwd=folder.parent)
        for how in (("check",), ("format", "--check"))
    ]
    return max(done.returncode for done in codes)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.notebooks")
    parser.add_argument("command", choices=["run", "test", "lint"])
    parser.add_argument("lesson", nargs="?", help="3, 03 or 03_multi_turn; else all of them")
    parser.add_argument("--other-models", action="store_true", help="test: all lessons under two more models")
    arguments = parser.parse_args()
    try:
        return obey(arguments.command, arguments.lesson, arguments.other_models)
    except LookupError as error:
        print(error.args[0], file=sys.stderr)
        return 2


def obey(command: str, lesson: str | None, other_models: bool) -> int:
    """The exit code of one of the three commands."""
    if command == "run":
        paths = lesson_paths()
        return run_all([find_lesson(lesson, paths)] if lesson else paths)
    if os.environ.get("COURSE_LESSONS") != "working" and (changed := changed_lessons()):
        print(f"Not looked at: your changes to {', '.join(changed)}, only what was last committed.")
        print("(COURSE_LESSONS=working before or after the command takes the files as they are.)")
    with committed_lessons() as folder:
        return lint(folder) if command == "lint" else test_all(folder, lesson, other_models)


if __name__ == "__main__":
    sys.exit(main())
