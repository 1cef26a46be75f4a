"""The course as a web page that needs no server: `make site` writes site/, a JupyterLite with its own Python.

What lesson 1 loads lies in that folder: Pyodide's core (from the npm package of that name), wheels (from the
package index) and the course. The wheels stand in Pyodide's lock file, which has them loaded when the kernel
starts: no lesson needs a cell that installs anything. numpy, pandas and matplotlib come from Pyodide's own
address when a lesson imports them.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from jupyterlite_pyodide_kernel.constants import PYODIDE_CDN_URL, PYODIDE_VERSION

from tools.lessons import ROOT, lesson_paths

SITE = ROOT / "site"
INDEX_TAGS = ("--platform=pyemscripten_2026_0_wasm32", "--python-version=3.14", "--only-binary=:all:")
"""How pip is told for whom it downloads."""
WANTED = ("anthropic>=2.14,<3", "httpx2-jsfetch", "genai-prices==0.2.3", "starlette", "uvicorn", "jedi")
WANTED += (
    "ipywidgets",
    "anywidget",
    "ipython>=9,<10",
    "markdown-it-py",
    "platformdirs",
    "micropip",
    "tzdata",
)
"""What the course needs in a browser tab."""
LEFT_OUT = ("widgetsnbextension", "pexpect", "ptyprocess", "jupyterlab_widgets")
"""Comes with the others, and serves JupyterLab or a terminal alone."""
SHIMS = "share/jupyter/labextensions/@jupyterlite/pyodide-kernel-extension/static/pypi"
"""Wheels that the kernel brings: itself, and stand-ins for what a tab cannot have."""


def run(*command: object, cwd: Path = ROOT) -> None:
    """Run a command that must succeed."""
    subprocess.run([str(part) for part in command], cwd=cwd, check=True)


def collect_wheels(folder: Path) -> list[Path]:
    """The wheels of the page, downloaded or built into `folder`."""
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "download", *INDEX_TAGS, "--dest", folder, *WANTED)
    run(*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT)
    for shim in Path(sys.prefix, SHIMS).glob("*.whl"):
        shutil.copy(shim, folder)
    wheels = sorted(folder.glob("*.whl"))
    return [wheel for wheel in wheels if wheel.name.split("-")[0] not in LEFT_OUT]


def lock_entry(wheel: Path) -> dict:
    """What Pyodide's lock file says of a wheel that lies beside it."""
    name, version = wheel.name.split("-")[:2]
    with zipfile.ZipFile(wheel) as archive:
        tops = {Path(entry).parts[0] for entry in archive.namelist()}
    return {
        "name": re.sub(r"[-_.]+", "-", name).lower(),
        "version": version,
        "file_name": wheel.name,
        "install_dir": "site",
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "package_type": "package",
        "imports": sorted(top.removesuffix(".py") for top in tops if not top.endswith(("-info", ".data"))),
        "depends": [],
        "unvendored_tests": False,
        "tool": {},
    }


def place_pyodide(folder: Path, wheels: list[Path]) -> list[str]:
    """Put Pyodide's core and `wheels` into `folder`, with a lock file that has these; returns their names."""
    with tempfile.TemporaryDirectory() as scratch:
        run("npm", "pack", "--silent", f"pyodide@{PYODIDE_VERSION}", cwd=Path(scratch))
        with tarfile.open(next(Path(scratch).glob("*.tgz"))) as archive:
            archive.extractall(scratch, filter="data")
        shutil.copytree(Path(scratch, "package"), folder, ignore=shutil.ignore_patterns("*.map", "*.html"))
    for wheel in wheels:
        shutil.copy(wheel, folder)
    lock = json.loads((folder / "pyodide-lock.json").read_text(encoding="utf-8"))
    for entry in lock["packages"].values():
        entry["file_name"] = f"{PYODIDE_CDN_URL}/{entry['file_name']}"
    entries = {entry["name"]: entry for entry in map(lock_entry, wheels)}
    lock["packages"] |= entries
    (folder / "pyodide-lock.json").write_text(json.dumps(lock), encoding="utf-8")
    return list(entries)


def main() -> int:
    """Build the page anew; returns 0."""
    shutil.rmtree(SITE, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        (work / "wheels").mkdir()
        names = place_pyodide(work / "static/pyodide", collect_wheels(work / "wheels"))
        shutil.rmtree(work / "wheels")
        (work / "files/notebooks").mkdir(parents=True)
        for path in lesson_paths():
            shutil.copy(path, work / "files/notebooks")
        kernel = {"disablePyPIFallback": True, "loadPyodideOptions": {"packages": names}}
        plugins = {"@jupyterlite/pyodide-kernel-extension:kernel": kernel}
        settings = {"litePluginSettings": plugins, "exposeAppInBrowser": True}
        config = {"jupyter-lite-schema-version": 0, "jupyter-config-data": settings}
        (work / "jupyter-lite.json").write_text(json.dumps(config), encoding="utf-8")
        run(
            sys.executable,
            "-m",
            "jupyterlite_core",
            "build",
            "--output-dir",
            SITE,
            "--no-sourcemaps",
            cwd=work,
        )
    size = sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file())
    print(f"{SITE} ({size / 1e6:.0f} MB). Look at it: python -m http.server --directory site")
    return 0


if __name__ == "__main__":
    sys.exit(main())
