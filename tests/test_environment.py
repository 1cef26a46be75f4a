"""What stands in two places says the same: dependencies, versions, commands, tables."""

from __future__ import annotations

import re
import tomllib

import yaml

from tools.lessons import GENERATED, ROOT, cover, fill, lesson_paths

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/teaching.md")
FROM_PYPI = {"anthropic", "genai-prices", "httpx2"}  # also for conda users: environment.yml says why
# How Binder finds the Python of an environment.yml (repo2docker's CondaBuildPack); else it takes its own.
REPO2DOCKER = re.compile(r"python\s*=+\s*([\d\.]*)")


def bounds(requirements: list[str]) -> dict[str, str]:
    """Name → version bounds of requirements such as "pandas>=2.2,<4" or "pandas >=2.2,<4"."""
    return dict(re.fullmatch(r"([\w.-]+)(?:\[\w+\])? *(.*)", each).groups() for each in requirements)


def test_conda_gets_the_same_bounds_as_pip():
    """Each dependency stands in environment.yml with pyproject's bounds, or comes with the course itself."""
    tools = bounds(PROJECT["optional-dependencies"]["dev"])
    wanted = {name: at for name, at in bounds(PROJECT["dependencies"]).items() if name not in FROM_PYPI}
    wanted |= {"matplotlib-base": wanted.pop("matplotlib"), "pip": ""}
    wanted |= {name: tools[name] for name in ("nbval", "pytest")}
    *named, last = CONDA["dependencies"]
    assert bounds(each for each in named if not each.startswith("python=")) == wanted
    assert (last, CONDA["channels"][0]) == ({"pip": ["-e ."]}, "conda-forge")


def test_every_dependency_is_bounded():
    """No release that does not exist yet can break the course; prices are those of exactly one release."""
    project = bounds(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"])
    assert re.fullmatch(r"==[\d.]+", project.pop("genai-prices"))
    for name, at in project.items():
        assert re.fullmatch(r">=[\d.]+,<[\d.]+", at), name


def test_the_installer_binder_and_ci_know_the_oldest_python():
    """One oldest Python in pyproject, installer, CI and workflow; the workflow's are quoted strings."""
    oldest = PROJECT["requires-python"].removeprefix(">=")
    for file in ("tools/install.sh", ".ci/run"):
        compared = f"sys.version_info < ({oldest.replace('.', ', ')})"
        assert compared in (ROOT / file).read_text(encoding="utf-8")
    pythons = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert pythons == [oldest, "3.12", "3.13", "3.14"]
    (binders,) = (match[1] for each in CONDA["dependencies"] if (match := REPO2DOCKER.match(str(each))))
    assert binders in pythons


def test_pages_name_commands_and_files_that_exist(lessons):
    """Every `make …` is a target, every relative link leads somewhere, each table is that of the lessons."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    covers = [cover(path) for path in lesson_paths(lessons)]
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert set(re.findall(r"(?:`|^|and `)make ([a-z][\w-]*)", text, re.M)) <= set(targets), page
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (ROOT / page).parent.joinpath(link).exists(), link
        assert page not in GENERATED or text == fill(text, GENERATED[page](covers))
