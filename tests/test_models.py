"""The table of models: dates decide, a mistake is named by its line, and no one model is needed."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta

import anthropic
import pytest

from course_helpers import Conversation, client, connect, models, pricing
from course_helpers.files import read_rows
from course_helpers.frames import compare_models
from course_helpers.learning.graders import FILE as EXERCISES
from course_helpers.learning.graders import Exercise
from course_helpers.models import AS_OF, MODELS, Model, UnknownModelError, aliases, available, find_model
from course_helpers.pricing import price_table

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
    (Model, "released = 2026-09-22", "released = 2026-19-22", "at line"),
    (Model, 'id = "claude-opus-5-5"', 'id = "claude-haiku-5-5"', "id: another row has it already"),
    (Model, 'like = "4.7"', 'like = "4.9"', "like: there is no generation of that name"),
    (pricing.OwnRow, "successor =", "successors =", "successors: "),
    (Exercise, 'number = "2.1"', 'number = "two"', "number: String should match pattern"),
    (Exercise, 'id = "review"', 'id = "revue"', "id: Value error, there is no grader called revue"),
]


@pytest.mark.parametrize(("kind", "right", "wrong", "words"), MISTAKES)
def test_a_mistake_in_a_table_is_named_by_its_line(kind, right, wrong, words):
    """A teacher edits these files, and finds the place; a field that is missing is told by its row."""
    file = {Model: models.FILE, pricing.OwnRow: pricing.FILE, Exercise: EXERCISES}[kind]
    text = file.read_text(encoding="utf-8")
    line = text[: text.index(right)].count("\n") + 1
    with pytest.raises(ValueError, match=words) as caught:
        read_rows(text.replace(right, wrong, 1), "exercise" if kind is Exercise else "model", kind, file.name)
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


LINE_OF_THE_DEFAULT = {m.id for m in MODELS.values() if m.line == find_model(models.DEFAULT_MODEL).line}


@pytest.mark.parametrize("gone", [LINE_OF_THE_DEFAULT, *({m.id} for m in available())])
def test_the_course_goes_on_without(monkeypatch, gone):
    """Retiring is data alone: connect, a chat, prices and frames work, and the retired one is a 404."""
    for id in gone:
        monkeypatch.setitem(MODELS, id, replace(MODELS[id], retires=AS_OF))
    monkeypatch.setattr(models, "ALIASES", aliases(MODELS.values()))
    monkeypatch.setattr(client, "_stands_for", {})
    monkeypatch.setattr(models, "MODEL", next(iter(models.ALIASES.values())))
    chat = Conversation(connect(), model=models.MODEL)
    chat.send("Hello!")
    assert gone.isdisjoint([*price_table().index, *compare_models(chat.to_frame()).model])
    for id in gone:
        with pytest.raises(anthropic.NotFoundError):
            Conversation(model=id).send("Hello!")


def test_the_lessons_show_the_courses_models_alone():
    """What the practice API knows besides is in no table, and in no advice."""
    shown = {model.id for model in available()}
    assert shown < {model.id for model in MODELS.values() if model.lifecycle != "retired"}
    with pytest.raises(UnknownModelError) as caught:
        find_model("claude-oops-4-8")
    assert not [id for id in MODELS if id in str(caught.value).split() and id not in shown]


def test_each_model_has_what_the_practice_api_needs():
    """Its names lead to it and to its price, and its numbers are those of a model."""
    for model in MODELS.values():
        name = model.snapshot or model.id
        assert find_model(name) is find_model(model.id) is model
        assert pricing.rates(name) == pricing.rates(model.id)
        assert model.max_output < model.context_window
