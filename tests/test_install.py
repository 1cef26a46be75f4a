"""tools/install.sh, with Pythons that are too old, lack venv, or only write down what they are asked."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
# Makes the same venv as the Python that it is told to take, and says which it was.
UV = """#!/bin/sh
case "$1" in
venv) mkdir -p .venv/bin && cp "$(command -v "$6")" .venv/bin/python && echo uv-venv >> log ;;
pip) echo "uv-pip $7" >> log ;;
esac
"""


@pytest.fixture
def course(tmp_path):
    """A folder with what the installer reads, its name with a space in it."""
    folder = tmp_path / "my course"
    (folder / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools/install.sh", folder / "tools")
    (folder / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "bin").mkdir()
    for tool in ("awk", "cat", "cksum", "cp", "dirname", "ls", "mkdir", "sh"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return folder


def install(course: Path, *what: str, PYTHON: str = "", **programs: str) -> tuple[int, str, list[str]]:
    """Exit code, words and log of the installer, with nothing but `programs` on its path."""
    for name, script in programs.items():
        (course.parent / "bin" / name).write_text(script)
        (course.parent / "bin" / name).chmod(0o755)
    env = {"PATH": str(course.parent / "bin")} | ({"PYTHON": PYTHON} if PYTHON else {})
    command = ["sh", str(course / "tools/install.sh"), *what]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30)
    log = course / "log"
    return done.returncode, done.stdout + done.stderr, log.read_text().splitlines() if log.exists() else []


@pytest.mark.parametrize(
    ("python3", "words"),
    [
        (TOO_OLD, ("Python 3.11 or newer", "python3.11 python3 python\n", "brew install python")),
        (WITHOUT_VENV, (f"sudo apt install python3.{sys.version_info.minor}-venv",)),
        (WRITES_DOWN.replace('echo "pip $7" >> log', "exit 1"), ("HTTPS_PROXY",)),
    ],
)
def test_says_what_to_do(course, python3, words):
    """No Python, or one that cannot make a venv, or pip fails: then the next run tries again."""
    code, said, _ = install(course, python3=python3)
    assert code == 1
    assert [each for each in words if each not in said] == []
    assert not (course / ".venv/.installed").exists()


def test_takes_the_python_that_can(course):
    """One that lacks venv does not stand in the way; PYTHON=… wins over the path, spaces and all."""
    others = {"python3.14": WITHOUT_VENV, "python3.11": TOO_OLD, "python3": TOO_OLD}
    named = str(course.parent / "bin/my python")
    assert install(course, PYTHON=named, **others, **{"my python": WRITES_DOWN})[0] == 0
    assert install(course, python3=WRITES_DOWN)[0] == 0


def test_installs_once_and_again_when_something_changed(course):
    """The second run does nothing; what tests need comes on top; a moved folder gets a new .venv."""
    assert "once" in install(course, python3=WRITES_DOWN)[1]
    assert install(course) == (0, "", ["venv", "pip ."])
    for what in (["dev"], ["dev"], []):
        code, _, log = install(course, *what)
        assert (code, log) == (0, ["venv", "pip .", "pip .[dev]"])
    (course / "pyproject.toml").write_text("[project] # changed\n")
    assert install(course)[2] == ["venv", "pip .", "pip .[dev]", "pip ."]
    assert install(course.rename(course.parent / "elsewhere"))[2][-2:] == ["venv", "pip ."]


def test_uv_installs_where_it_is_there(course):
    """With the Python that would be taken without it."""
    assert install(course, python3=WRITES_DOWN, uv=UV)[::2] == (0, ["uv-venv", "uv-pip ."])


def test_a_folder_of_somebody_else_is_named(course):
    """Root installed it and a user cannot write there: a sentence, not pip's traceback."""
    (course / ".venv").mkdir()
    script = course / "tools/install.sh"
    assert '! [ -w "$venv" ]' in script.read_text()
    script.write_text(script.read_text().replace('! [ -w "$venv" ]', "true"))  # root may write anywhere
    code, said, _ = install(course)
    assert (code, "belongs to" in said, "sudo rm -rf .venv" in said) == (1, True, True)
