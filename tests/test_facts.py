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
from course_helpers.pricing import OWN_ROWS, price_table
from tools import facts

LISTED = {id for model in facts.served(MODELS) for id in facts.ids_of(model)}
GOING = [model for model in MODELS.values() if model.retires and model.retires > AS_OF]
DEPRECATED = {id: model.retires for model in GOING for id in facts.ids_of(model)}
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


@pytest.mark.parametrize("id", [DEFAULT_MODEL, "gpt-4o"])
def test_a_shown_model_that_retires_within_30_days_is_red(id):
    """Whoever makes it; on the day itself it is no news any more."""
    end = date(2028, 10, 7)
    table = {id: replace({**OWN_ROWS, **MODELS}[id], retires=end)}
    for days, red in ((31, False), (30, True), (1, True), (0, False)):
        problems = facts.check_use(table, {id: "named in 07"}, end - days * DAY)
        assert problems == [f"{id}: named in 07, and it retires on {end}, in {days} days"] * red


def test_models_named_in_lessons_count_as_used(tmp_path):
    """Claude's in a code cell, another maker's in prose too; what is unknown is no use."""
    old = next(model for model in available() if model.prefill)
    lesson = tmp_path / "01_a.ipynb"
    code = f"""{{"cell_type": "code", "source": ["m = '{old.id}'", "n = 'claude-nonsense-1'"]}}"""
    prose = """{"cell_type": "markdown", "source": "GPT-4o, o3 and `gemini-4-carbon`; claude-nonsense-2"}"""
    lesson.write_text(f'{{"cells": [{code}, {prose}]}}')
    used = facts.uses(MODELS, [lesson])
    assert {old.id, "gpt-4o", "o3", "gemini-4-carbon", *facts.OTHER_MODELS, DEFAULT_MODEL} <= used.keys()
    assert not [id for id in used if "nonsense" in id]


def test_what_the_sdk_knows_otherwise_is_red():
    """An id it dropped, a newer model, a deprecation or another date. What it says can be read."""
    model, end = ACTIVE[0], date(2030, 1, 30)
    id, going, newer = model.id, {model.id: replace(model, retires=end)}, f"claude-{model.line}-99"
    ids, dates = facts.check_ids, facts.check_dates
    for found, told in (
        (ids(MODELS, LISTED - {id}), f"{id}: the installed SDK does not list it"),
        (ids(MODELS, LISTED | {newer}), f"{newer}: newer than every {model.line} in models.toml"),
        (dates({id: model}, {id: end}, AS_OF), f"{id}: retires None in models.toml, {end} in the SDK"),
        (dates(going, {}, AS_OF), f"{id}: retires {end} in models.toml, never in the SDK"),
        (dates(going, {id: end}, end), f"{id}: retired by now; as of {AS_OF} the lessons call it deprecated"),
    ):
        assert found == [told]
    assert DEFAULT_MODEL in facts.sdk_models()
    assert facts.sdk_deprecations({"a": "May 2nd, 2027"}) == {"a": date(2027, 5, 2)}


def test_changed_prices_are_red():
    """Another price is named, and a change within 30 days; so is what the price data has by now."""
    shown, id = get_snapshot(), ACTIVE[-1].id
    anthropic = next(provider for provider in shown.providers if provider.id == "anthropic")
    other = next(model for model in anthropic.models if model.id == ACTIVE[0].id)
    ours = next(row.id for row in OWN_ROWS.values() if row.prices and row.maker == "anthropic")

    def told(changed: str, models: list) -> list[str]:
        newest = DataSnapshot([replace(anthropic, models=models)], from_auto_update=True)
        return facts.check_prices([changed], shown, newest, AS_OF)

    def with_changes(**changes) -> list:
        return [replace(model, **changes) if model.id == id else model for model in anthropic.models]

    assert (told(id, with_changes()), told(id, [])) == ([], [f"{id}: not in the price data"])
    assert told(id, with_changes(prices=other.prices))[0].startswith(f"{id}: its price changed since {AS_OF}")
    there = [*anthropic.models, replace(other, id=ours, match=ClauseEquals(equals=ours))]
    assert "so its prices in prices.toml can go" in told(ours, there)[0]
    changing = next(id for id in OWN_ROWS if not price_table([id], as_of="2026-12-01").changes.isna().all())
    change = price_table([changing]).changes.iloc[0].date()
    assert facts.check_prices([changing], shown, shown, change - 31 * DAY) == []
    (problem,) = facts.check_prices([changing], shown, shown, change - 30 * DAY)
    assert problem == f"{changing}: its price changes on {change}, in 30 days"


def test_prices_that_could_not_be_fetched(monkeypatch, capsys):
    """Red in CI; elsewhere nobody claims that all facts hold."""
    monkeypatch.setattr(facts, "newest_prices", lambda: (get_snapshot(), "could not be fetched", False))
    for check in ("check_ids", "check_dates", "check_use", "check_successors", "check_prices"):
        monkeypatch.setattr(facts, check, lambda *_: [])
    for ci in ("", "true"):
        monkeypatch.setenv("CI", ci)
        assert facts.main() == bool(ci)
        said = capsys.readouterr().out
        assert "All facts still hold" not in said
        assert ("✗ the newest prices could not be fetched" in said) is bool(ci)
