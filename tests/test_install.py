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


def python(course: Path, name: str, script: str) -> Path:
    """Puts a Python called `name` on the path that the installer sees."""
    file = course.parent / "bin" / name
    file.write_text(script)
    file.chmod(0o755)
    return file


def install(course: Path, *what: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the installer with nothing else on its path."""
    env = {"PATH": str(course.parent / "bin"), **environment}
    command = ["sh", str(course / "tools/install.sh"), *what]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30)


def log(course: Path) -> list[str]:
    """What the Python that writes down was asked to do."""
    return (course / "log").read_text().splitlines()


def test_says_what_to_install_where_python_is_too_old(course):
    """Names what it looked for, and how to get a newer one."""
    python(course, "python3", TOO_OLD)
    done = install(course)
    assert done.returncode == 1
    assert "Python 3.11 or newer" in done.stderr
    assert "python3.11 python3 python\n" in done.stderr
    assert "brew install python" in done.stderr


def test_says_what_to_install_where_venv_is_missing(course):
    """Names Debian's package for the Python that is there."""
    python(course, "python3", WITHOUT_VENV)
    done = install(course)
    assert done.returncode == 1
    assert f"sudo apt install python3.{sys.version_info.minor}-venv" in done.stderr


def test_passes_over_a_python_without_venv(course):
    """A newer Python that lacks venv does not stand in the way of one that has it."""
    python(course, "python3.14", WITHOUT_VENV)
    python(course, "python3.11", TOO_OLD)
    python(course, "python3", WRITES_DOWN)
    assert install(course).returncode == 0


def test_takes_the_python_that_was_named(course):
    """PYTHON=… wins over what is on the path, spaces and all."""
    python(course, "python3", TOO_OLD)
    named = python(course, "my python", WRITES_DOWN)
    assert install(course, PYTHON=str(named)).returncode == 0


def test_installs_once_and_again_when_something_changed(course):
    """The second run does nothing; what tests need comes on top; a moved folder gets a new .venv."""
    python(course, "python3", WRITES_DOWN)
    assert "once" in install(course).stdout
    again = install(course)
    assert (again.returncode, again.stdout, log(course)) == (0, "", ["venv", "pip ."])

    for what, more in ((["dev"], ["pip .[dev]"]), (["dev"], []), ([], [])):
        before = log(course)
        assert install(course, *what).returncode == 0
        assert log(course) == before + more

    (course / "pyproject.toml").write_text("[project] # changed\n")
    install(course)
    assert log(course) == ["venv", "pip .", "pip .[dev]", "pip ."]

    moved = course.rename(course.parent / "elsewhere")
    install(moved)
    assert log(moved)[-2:] == ["venv", "pip ."]


def test_uv_installs_where_it_is_there(course):
    """With the Python that would be taken without it."""
    python(course, "python3", WRITES_DOWN)
    python(course, "uv", UV)
    assert install(course).returncode == 0
    assert log(course) == ["uv-venv", "uv-pip ."]


def test_a_folder_of_somebody_else_is_named(course):
    """Root installed it and a user cannot write there: a sentence, not pip's traceback."""
    (course / ".venv").mkdir()
    source = (course / "tools/install.sh").read_text()
    assert '! [ -w "$venv" ]' in source
    (course / "tools/install.sh").write_text(
        source.replace('! [ -w "$venv" ]', "true")
    )  # root may write anywhere
    done = install(course)
    assert done.returncode == 1
    assert "belongs to" in done.stderr
    assert "sudo rm -rf .venv" in done.stderr


def test_a_failed_installation_is_not_taken_for_one(course):
    """Where pip fails it says so in plain words, and the next run tries again."""
    python(course, "python3", WRITES_DOWN.replace('echo "pip $7" >> log', "exit 1"))
    done = install(course)
    assert done.returncode == 1
    assert "HTTPS_PROXY" in done.stderr
    assert not (course / ".venv/.installed").exists()
