"""`make facts`: what turns it red. Tables and dates are given; nothing is fetched.

What the installed SDK says is left to `make facts` itself: its next release may deprecate a model, and that
must not turn a teacher's `make test` red.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import ClauseEquals

from course_helpers.models import AS_OF, DEFAULT_MODEL, MODELS, available
from course_helpers.pricing import own_rows, price_table
from tools import facts
from tools.notebooks import OTHER_MODELS

LISTED = {id for model in facts.served(MODELS) for id in facts.ids_of(model)}
DEPRECATED = {
    id: model.retires
    for model in MODELS.values()
    if model.retires and model.retires > AS_OF
    for id in facts.ids_of(model)
}
ACTIVE = [model for model in available() if model.lifecycle == "active"]
DAY = timedelta(days=1)


def test_nothing_has_drifted_on_the_day_that_the_lessons_show(lessons):
    """The tables agree with each other, with the pinned prices and with what was known that day."""
    prices, used = get_snapshot(), facts.uses(MODELS, facts.lesson_paths(lessons))
    assert facts.check_ids(MODELS, LISTED) == []
    assert facts.check_dates(MODELS, DEPRECATED, AS_OF) == []
    assert facts.check_successors(used, AS_OF) == []
    told = facts.check_prices(used, prices, prices, AS_OF)
    assert [line for line in told if "its price changes on" not in line] == []


@pytest.mark.parametrize(("days", "red"), [(31, False), (30, True), (1, True), (0, False)])
@pytest.mark.parametrize("id", [DEFAULT_MODEL, "gpt-4o"])
def test_a_shown_model_that_retires_within_30_days_is_red(id, days, red):
    """Whoever makes it, and also where it is shown because it is on its way out."""
    known, end = {**own_rows(), **MODELS}[id], date(2028, 10, 7)
    table = {id: replace(known, retires=end)}
    problems = facts.check_use(table, {id: "named in 07"}, end - days * DAY)
    assert problems == ([f"{id}: named in 07, and it retires on {end}, in {days} days"] if red else [])


def test_what_the_lessons_show_as_gone_is_no_news():
    """As of a day after its end."""
    model = next(model for model in MODELS.values() if model.lifecycle == "retired")
    assert facts.check_use(MODELS, {model.id: "named in 07"}, model.retires - DAY) == []


def test_models_named_in_lessons_count_as_used(tmp_path):
    """Claude's in a code cell, another maker's in prose too; what is unknown is no use."""
    old = next(model for model in available() if model.prefill)
    lesson = tmp_path / "01_a.ipynb"
    lesson.write_text(
        f"""{{"cells": [
        {{"cell_type": "code", "source": ["m = '{old.id}'", "n = 'claude-nonsense-1'"]}},
        {{"cell_type": "markdown", "source": "GPT-4o, o3 and `gemini-4-carbon`; claude-nonsense-2"}}]}}"""
    )
    used = facts.uses(MODELS, [lesson])
    assert used[old.id] in ("named in 01_a.ipynb", "tested by make test")
    assert {"gpt-4o", "o3", "gemini-4-carbon", *OTHER_MODELS, DEFAULT_MODEL} <= used.keys()
    assert not [id for id in used if "nonsense" in id]


def test_what_the_sdk_knows_otherwise_is_red():
    """An id it dropped, a newer model, a deprecation or another date."""
    model, end = ACTIVE[0], date(2030, 1, 30)
    assert facts.check_ids(MODELS, LISTED - {model.id}) == [f"{model.id}: the installed SDK does not list it"]
    assert facts.check_ids(MODELS, LISTED | {f"claude-{model.line}-99"}) == [
        f"claude-{model.line}-99: newer than every {model.line} in models.toml"
    ]
    assert facts.check_dates(MODELS, {**DEPRECATED, model.id: end}, AS_OF) == [
        f"{model.id}: retires None in models.toml, {end} in the SDK"
    ]
    going = {model.id: replace(model, retires=end)}
    assert facts.check_dates(going, {}, AS_OF) == [
        f"{model.id}: retires {end} in models.toml, never in the SDK"
    ]
    assert facts.check_dates(going, {model.id: end}, end) == [
        f"{model.id}: retired by now; as of {AS_OF} the lessons call it deprecated"
    ]


def test_what_the_installed_sdk_says_can_be_read():
    """Its lists are there, in the form that is expected, and know the model of the lessons."""
    assert DEFAULT_MODEL in facts.sdk_models()
    assert all(isinstance(day, date) for day in facts.sdk_deprecations().values())
    written = {"a": "November 30th, 2026", "b": "July 21st, 2025", "c": "May 2nd, 2027"}
    assert [*facts.sdk_deprecations(written).values()] == [
        date(2026, 11, 30),
        date(2025, 7, 21),
        date(2027, 5, 2),
    ]


def test_changed_prices_are_red():
    """Another price or window is named, and a change within 30 days; so is what the price data has by now."""
    shown, id = get_snapshot(), ACTIVE[-1].id
    anthropic = next(provider for provider in shown.providers if provider.id == "anthropic")

    def newest(**changes) -> DataSnapshot:
        models = [replace(model, **changes) if model.id == id else model for model in anthropic.models]
        return DataSnapshot([replace(anthropic, models=models)], from_auto_update=True)

    other = next(model for model in anthropic.models if model.id == ACTIVE[0].id)
    assert facts.check_prices([id], shown, newest(), AS_OF) == []
    (problem,) = facts.check_prices([id], shown, newest(prices=other.prices), AS_OF)
    assert problem.startswith(f"{id}: its price changed since {AS_OF}: ")
    (problem,) = facts.check_prices([id], shown, newest(context_window=2), AS_OF)
    assert problem.endswith("2 in the price data")
    empty = DataSnapshot([replace(anthropic, models=[])], from_auto_update=True)
    assert facts.check_prices([id], shown, empty, AS_OF) == [f"{id}: not in the price data"]
    ours = next(row for row in own_rows().values() if row.prices and row.maker == "anthropic")
    models = [*anthropic.models, replace(other, id=ours.id, match=ClauseEquals(equals=ours.id))]
    there = DataSnapshot([replace(anthropic, models=models)], from_auto_update=True)
    assert "so its prices in prices.toml can go" in facts.check_prices([ours.id], shown, there, AS_OF)[0]
    change = price_table(["gemini-3.8-flash"]).changes.iloc[0].date()
    assert facts.check_prices(["gemini-3.8-flash"], shown, shown, change - 31 * DAY) == []
    (problem,) = facts.check_prices(["gemini-3.8-flash"], shown, shown, change - 30 * DAY)
    assert problem == f"gemini-3.8-flash: its price changes on {change}, in 30 days"


@pytest.mark.parametrize("ci", ["", "true"])
def test_prices_that_could_not_be_fetched(monkeypatch, capsys, ci):
    """Red in CI; elsewhere nobody claims that all facts hold."""
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(facts, "newest_prices", lambda: (get_snapshot(), "could not be fetched", False))
    for check in ("check_ids", "check_dates", "check_use", "check_successors", "check_prices"):
        monkeypatch.setattr(facts, check, lambda *_: [])
    assert facts.main() == bool(ci)
    said = capsys.readouterr().out
    assert "All facts still hold" not in said
    assert ("✗ the newest prices could not be fetched" in said) is bool(ci)
