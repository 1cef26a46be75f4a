"""tools/install.sh, with Pythons that are too old, lack venv, or only write down what they are asked."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tools.lessons import ROOT

TOO_OLD = "#!/bin/sh\nexit 1\n"
WITHOUT_VENV = f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; esac\nexec "{sys.executable}" "$@"\n'
# Is new enough, has venv, and installs nothing: a venv of it is a copy of itself.
WRITES_DOWN = """#!/bin/sh
case "$2" in
venv) mkdir -p .venv/bin && cp "$0" .venv/bin/python && echo venv >> log ;;
pip) echo "pip $7" >> log ;;
esac
exit 0
"""
NO_NETWORK = WRITES_DOWN.replace('echo "pip $7" >> log', "exit 1")
# Makes the same venv as the Python that it is told to take, and says which it was.
UV = """#!/bin/sh
case "$1" in
venv) mkdir -p .venv/bin && cp "$(command -v "$6")" .venv/bin/python && echo uv-venv >> log ;;
pip) echo "uv-pip $7" >> log ;;
esac
"""


def install(folder: Path, *what: str, **programs: str) -> tuple[int, str, list[str]]:
    """Exit code, words and log of the installer in `folder`/my course, with only `programs` on its path."""
    course, path = folder / "my course", folder / "bin"
    if not course.exists():
        (course / "tools").mkdir(parents=True)
        shutil.copy(ROOT / "tools/install.sh", course / "tools")
        (course / "pyproject.toml").write_text("[project]\n")
        path.mkdir()
        for tool in ("awk", "cat", "cksum", "cp", "dirname", "ls", "mkdir", "sh"):
            (path / tool).symlink_to(shutil.which(tool))
    for name, script in programs.items():
        (path / name).write_text(script)
        (path / name).chmod(0o755)
    env = {"PATH": str(path)} | ({"PYTHON": str(path / "my python")} if "my python" in programs else {})
    command = ["sh", str(course / "tools/install.sh"), *what]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30)
    log = (course / "log").read_text().splitlines() if (course / "log").exists() else []
    return done.returncode, done.stdout + done.stderr, log


def test_says_what_to_do(tmp_path):
    """No Python, or one that cannot make a venv, or pip fails: then the next run tries again."""
    says = {
        TOO_OLD: ("Python 3.11 or newer", "python3.11 python3 python\n", "brew install python"),
        WITHOUT_VENV: (f"sudo apt install python3.{sys.version_info.minor}-venv",),
        NO_NETWORK: ("HTTPS_PROXY",),
    }
    for number, (python3, words) in enumerate(says.items()):
        code, said, _ = install(tmp_path / str(number), python3=python3)
        assert (code, [each for each in words if each not in said]) == (1, [])
        assert not (tmp_path / f"{number}/my course/.venv/.installed").exists()


def test_takes_the_python_that_can(tmp_path):
    """One that lacks venv does not stand in the way; PYTHON=… wins over the path; uv takes the same one."""
    others = {"python3.14": WITHOUT_VENV, "python3.11": TOO_OLD, "python3": TOO_OLD}
    assert install(tmp_path / "1", **others | {"my python": WRITES_DOWN})[::2] == (0, ["venv", "pip ."])
    assert install(tmp_path / "2", **others | {"python3": WRITES_DOWN})[::2] == (0, ["venv", "pip ."])
    assert install(tmp_path / "3", python3=WRITES_DOWN, uv=UV)[::2] == (0, ["uv-venv", "uv-pip ."])


def test_installs_once_and_again_when_something_changed(tmp_path):
    """The second run does nothing; what tests need comes on top; a moved folder gets a new .venv."""
    first, second = tmp_path / "first", tmp_path / "second"
    assert "once" in install(first, python3=WRITES_DOWN)[1]
    assert install(first) == (0, "", ["venv", "pip ."])
    for what in (["dev"], ["dev"], []):
        assert install(first, *what)[::2] == (0, ["venv", "pip .", "pip .[dev]"])
    (first / "my course/pyproject.toml").write_text("[project] # changed\n")
    assert install(first)[2] == ["venv", "pip .", "pip .[dev]", "pip ."]
    assert install(first.rename(second))[2][-2:] == ["venv", "pip ."]
