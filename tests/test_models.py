"""The table of models: dates decide, a mistake is named by its line, and no one model is needed."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta

import pytest

from course_helpers import models, pricing
from course_helpers.files import read_rows
from course_helpers.models import AS_OF, MODELS, Model, UnknownModelError, aliases, available, find_model

TEXT = models.FILE.read_text(encoding="utf-8")
DAY = timedelta(days=1)


def test_dates_decide_the_lifecycle():
    """Nothing is typed: deprecated once that is announced, retired from its last day on."""
    model = replace(available()[0], deprecated=date(2030, 1, 1), retires=None)
    assert [model.lifecycle_on(date(2030, 1, 1) - DAY * n) for n in (1, 0)] == ["active", "deprecated"]
    model = replace(model, retires=date(2030, 3, 1))
    assert [model.lifecycle_on(date(2030, 3, 1) - DAY * n) for n in (1, 0)] == ["deprecated", "retired"]
    moved = TEXT.replace(f"as_of = {AS_OF}", "as_of = 2031-01-01")  # which no `checked_on` follows
    assert {row.id: row for row in read_rows(moved, "model", Model, "models.toml")} == MODELS


MISTAKES = [
    (Model, 'line = "opus"', 'lime = "opus"', "line: Field required"),
    (Model, 'effort = "medium"\nthinking = "always"', 'thinking = "alwais"', "thinking: Input should be"),
    (Model, "released = 2026-09-22", 'released = "some day"', "released: Input should be a valid date"),
    (Model, "released = 2026-09-22", "released = 2026-19-22", "at line"),
    (Model, 'id = "claude-opus-5-5"', 'id = "claude-haiku-5-5"', "id: another row has it already"),
    (Model, "max_output = 8192", 'max_output = "many"', "max_output: Input should be a valid integer"),
    (Model, 'like = "4.7"', 'like = "4.9"', "like: there is no generation of that name"),
    (pricing.OwnRow, "successor =", "successors =", "successors: "),
]


@pytest.mark.parametrize(("kind", "right", "wrong", "words"), MISTAKES)
def test_a_mistake_in_a_table_is_named_by_its_line(kind, right, wrong, words):
    """A teacher edits these files, and finds the place; a field that is missing is told by its row."""
    file = models.FILE if kind is Model else pricing.FILE
    text = file.read_text(encoding="utf-8")
    line = text[: text.index(right)].count("\n") + 1
    with pytest.raises(ValueError, match=words) as caught:
        read_rows(text.replace(right, wrong, 1), "model", kind, file.name)
    number = int(re.search(rf"^{file.name}.*(?:, |at )line (\d+)", str(caught.value))[1])
    assert number == line or ("required" in words and line - 4 < number < line)


@pytest.mark.parametrize("gone", [{m.id} for m in available()] + [{m.id for m in MODELS.values()}])
def test_any_model_may_retire(gone):
    """Aliases name the newest that is active, else one that answers; nothing needs a line to have any."""
    table = [replace(m, retires=AS_OF) if m.id in gone else m for m in MODELS.values()]
    found = aliases(table)
    assert not gone & {*found.values()}
    for line, id in found.items():
        rest = [m for m in table if m.line == line and m.lifecycle == "active"]
        assert id == max(rest, key=lambda m: m.released).id if rest else MODELS[id].lifecycle == "deprecated"


RETIRED = """
import sys
from dataclasses import replace
from course_helpers import models
gone = {*sys.argv[1:]}
for id in gone:
    models.MODELS[id] = replace(models.MODELS[id], retires=models.AS_OF)
models.ALIASES.clear()
models.ALIASES.update(models.aliases(models.MODELS.values()))
models.MODEL = next(iter([*models.ALIASES.values(), *models.MODELS]))
from course_helpers import Conversation, connect
from course_helpers.frames import compare_models
from course_helpers.pricing import price_table
import anthropic
connect()
chat = Conversation(model=models.MODEL)
try:
    chat.send("Hello!")
except anthropic.NotFoundError:
    assert not models.available()
    sys.exit()
assert gone.isdisjoint(price_table().index)
assert gone.isdisjoint(compare_models(chat.to_frame()).model)
try:
    Conversation(model=[*gone][0]).send("Hello!")
except anthropic.NotFoundError:
    sys.exit()
"""


@pytest.mark.slow
@pytest.mark.parametrize("which", ["the default", "all of its line", "all"])
def test_the_course_goes_on_without(which):
    """Retiring is data alone: connect, a chat, prices and frames work, and the retired one is a 404."""
    default = find_model(models.DEFAULT_MODEL)
    lines = {"the default": [default], "all": MODELS.values()}
    gone = lines.get(which) or [model for model in MODELS.values() if model.line == default.line]
    child = [sys.executable, "-c", RETIRED, *(model.id for model in gone)]
    done = subprocess.run(child, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_the_lessons_show_the_courses_models_alone():
    """What the practice API knows besides is in no table, and in no advice."""
    shown = {model.id for model in available()}
    assert shown < {model.id for model in MODELS.values() if model.lifecycle != "retired"}
    with pytest.raises(UnknownModelError) as caught:
        find_model("claude-oops-4-8")
    assert not [id for id in MODELS if id in str(caught.value).split() and id not in shown]
    first = min(model.released for model in available())
    assert max(model.released for model in available(first)) == first


def test_each_model_has_what_the_practice_api_needs():
    """Its names lead to it, it has a price, and its numbers are those of a model."""
    for alias, id in models.ALIASES.items():
        assert pricing.rates(alias) == pricing.rates(id)
    for model in MODELS.values():
        name = model.snapshot or model.id
        assert find_model(name) is find_model(model.id) is model
        assert pricing.rates(name) == pricing.rates(model.id)
        assert model.line in model.id
        assert model.max_output < model.context_window
        assert model.id in pricing.rates(model.id).model
