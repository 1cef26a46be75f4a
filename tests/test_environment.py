"""What stands in two places says the same: dependencies, versions, commands, tables."""

from __future__ import annotations

import re
import tomllib

import pytest
import yaml

from tools.lessons import GENERATED, ROOT, cover, fill, lesson_paths

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/teaching.md")

CONDA_NAMES = {"matplotlib": "matplotlib-base"}
FROM_PYPI = {"anthropic", "genai-prices", "httpx2"}
"""What conda users get through `pip: -e .`: environment.yml says why."""


def bounds(requirements: list[str]) -> dict[str, str]:
    """Name → version bounds of requirements such as "pandas>=2.2,<4" or "pandas >=2.2,<4"."""
    return dict(re.fullmatch(r"([\w.-]+)(?:\[\w+\])? *(.*)", each).groups() for each in requirements)


def test_conda_gets_the_same_bounds_as_pip():
    """Each dependency stands in environment.yml with pyproject's bounds, or comes with the course itself."""
    project = bounds(PROJECT["project"]["dependencies"])
    tools = bounds(PROJECT["project"]["optional-dependencies"]["dev"])
    wanted = {CONDA_NAMES.get(name, name): at for name, at in project.items() if name not in FROM_PYPI}
    wanted |= {name: tools[name] for name in ("nbval", "pytest")}
    wanted |= {"pip": ""}
    named = [
        each for each in CONDA["dependencies"] if isinstance(each, str) and not each.startswith("python=")
    ]
    assert bounds(named) == wanted
    assert CONDA["dependencies"][-1] == {"pip": ["-e ."]}
    assert CONDA["channels"][0] == "conda-forge"


REPO2DOCKER = re.compile(r"python\s*=+\s*([\d\.]*)")
"""How Binder finds the Python of an environment.yml (repo2docker's CondaBuildPack); else it takes its own."""


def test_binder_reads_which_python_to_take():
    """One that the course runs on."""
    found = [match[1] for each in CONDA["dependencies"] if (match := REPO2DOCKER.match(str(each)))]
    (python,) = found
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    assert python in workflow["jobs"]["test"]["strategy"]["matrix"]["python"]


def test_every_dependency_is_bounded():
    """No release that does not exist yet can break the course; prices are those of exactly one release."""
    extras = PROJECT["project"]["optional-dependencies"]["dev"]
    project = bounds(PROJECT["project"]["dependencies"])
    assert re.fullmatch(r"==[\d.]+", project.pop("genai-prices"))
    for name, at in (project | bounds(extras)).items():
        assert re.fullmatch(r">=[\d.]+,<[\d.]+", at), name


def test_the_installer_and_ci_know_the_oldest_python():
    """One oldest Python in pyproject, installer, CI and workflow; the workflow's are quoted strings."""
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    compared = f"sys.version_info < ({oldest.replace('.', ', ')})"
    assert compared in (ROOT / "tools/install.sh").read_text(encoding="utf-8")
    assert compared in (ROOT / ".ci/run").read_text(encoding="utf-8")
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == [oldest, "3.12", "3.13", "3.14"]


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_commands_and_files_that_exist(page):
    """Every `make …` is a target of the Makefile, every relative link leads somewhere."""
    text = (ROOT / page).read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.M))
    assert set(re.findall(r"(?:`|^|and `)make ([a-z][\w-]*)", text, re.M)) <= targets
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / page).parent.joinpath(link).exists(), link


@pytest.mark.parametrize("page", GENERATED)
def test_tables_of_lessons_are_those_of_the_lessons(page, lessons):
    """What the pages say of a lesson is what its first cell says; `make notebooks` brings it up to date."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text == fill(text, GENERATED[page]([cover(path) for path in lesson_paths(lessons)]))
