"""`make facts`: what turns it red. Tables and dates are given; nothing is fetched.

What the installed SDK says is left to `make facts` itself: its next release may deprecate a model, and that
must not turn a teacher's `make test` red.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from genai_prices.data_snapshot import DataSnapshot, get_snapshot

from course_helpers.models import AS_OF, MODELS
from tools import facts
from tools.notebooks import OTHER_MODELS

DEPRECATED = {
    "claude-opus-4-5": date(2027, 1, 22),
    "claude-opus-4-5-20251101": date(2027, 1, 22),
    "claude-sonnet-4-5": date(2026, 11, 30),
    "claude-sonnet-4-5-20250929": date(2026, 11, 30),
}
LISTED = {id for model in facts.served(MODELS) for id in facts.ids_of(model)}


def changed(id: str, **facts_of_it) -> dict:
    """models.MODELS with one model changed."""
    return MODELS | {id: replace(MODELS[id], **facts_of_it)}


def test_nothing_has_drifted_on_the_day_that_the_lessons_show(lessons):
    """models.py agrees with the pinned prices and with what was known that day."""
    prices = get_snapshot()
    used = facts.uses(MODELS, facts.lesson_paths(lessons))
    assert facts.check_ids(MODELS, LISTED) == []
    assert facts.check_dates(MODELS, DEPRECATED, AS_OF) == []
    assert facts.check_use(MODELS, used, AS_OF) == []
    assert facts.check_prices(MODELS, prices, prices, AS_OF) == []


@pytest.mark.parametrize(("days", "red"), [(31, False), (30, True), (1, True)])
def test_a_used_model_that_retires_within_30_days_is_red(days, red):
    """The date moves, and the model of the lessons comes within 30 days of its end."""
    id = "claude-haiku-5-5"
    end = date(2027, 10, 7)
    models = changed(id, retires=end)
    problems = facts.check_use(models, facts.uses(models, []), end - timedelta(days=days))
    assert bool(problems) is red
    if red:
        assert problems[0].startswith(f"{id}: the model of the lessons, and it retires on {end}, in {days} d")


def test_a_model_deprecated_on_purpose_is_not_red_before_its_end():
    """Lessons name Sonnet 4.5 as a model on its way out. Once it is gone, models.py must say so."""
    end = MODELS["claude-sonnet-4-5"].retires
    assert facts.check_use(MODELS, facts.uses(MODELS, []), end - timedelta(days=3)) == []
    assert facts.check_dates(MODELS, DEPRECATED, end - timedelta(days=1)) == []
    (problem,) = facts.check_dates(MODELS, DEPRECATED, end)
    assert problem == f"claude-sonnet-4-5: retired on {end}; models.py calls it deprecated"


def test_models_named_in_lessons_count_as_used(tmp_path):
    """A literal id in a code cell is a use; one in prose or unknown to models.py is not."""
    lesson = tmp_path / "01_a.ipynb"
    lesson.write_text(
        """{"cells": [
        {"cell_type": "code", "source": ["m = 'claude-opus-4-5'", "n = 'claude-nonsense-1'"]},
        {"cell_type": "markdown", "source": "claude-sonnet-4-5"}]}"""
    )
    models = changed("claude-opus-4-5", lifecycle="deprecated")
    used = facts.uses(models, [lesson])
    assert used["claude-opus-4-5"] == "named in 01_a.ipynb"
    assert "claude-opus-4-5" not in facts.uses(models, [])
    assert {*OTHER_MODELS, "claude-haiku-5-5"} <= used.keys()
    assert not used.keys() & {"claude-nonsense-1", "claude-sonnet-4-5"}


def test_what_the_sdk_knows_otherwise_is_red():
    """An id it dropped, a newer model, a deprecation or another date."""
    assert facts.check_ids(MODELS, LISTED - {"claude-haiku-4-5"}) == [
        "claude-haiku-4-5: the installed SDK does not list it"
    ]
    assert facts.check_ids(MODELS, LISTED | {"claude-opus-6"}) == [
        "claude-opus-6: newer than every opus in models.py"
    ]
    notice = {**DEPRECATED, "claude-haiku-4-5-20251001": date(2027, 1, 30)}
    assert facts.check_dates(MODELS, notice, AS_OF) == [
        "claude-haiku-4-5: active in models.py, deprecated in the SDK",
        "claude-haiku-4-5: retires None in models.py, 2027-01-30 in the SDK",
    ]
    assert facts.check_dates(MODELS, {}, AS_OF) == [
        "claude-opus-4-5: deprecated in models.py, not in the SDK",
        "claude-sonnet-4-5: deprecated in models.py, not in the SDK",
    ]


def test_what_the_installed_sdk_says_can_be_read():
    """Its lists are there, in the form that is expected, and know the model of the lessons."""
    assert "claude-haiku-5-5" in facts.sdk_models()
    assert all(isinstance(day, date) for day in facts.sdk_deprecations().values())


def test_dates_are_read_as_the_sdk_writes_them():
    """English months, ordinals and all."""
    written = {"a": "November 30th, 2026", "b": "July 21st, 2025", "c": "May 2nd, 2027"}
    assert facts.sdk_deprecations(written) == {
        "a": date(2026, 11, 30),
        "b": date(2025, 7, 21),
        "c": date(2027, 5, 2),
    }


def test_changed_prices_are_red():
    """Another price or another context window is named; so is a model without one."""
    shown = get_snapshot()
    anthropic = next(provider for provider in shown.providers if provider.id == "anthropic")

    def newest(**changes_of_opus) -> DataSnapshot:
        models = [
            replace(model, **changes_of_opus) if model.id == "claude-opus-5-5" else model
            for model in anthropic.models
        ]
        return DataSnapshot([replace(anthropic, models=models)], from_auto_update=True)

    haiku = next(model for model in anthropic.models if model.id == "claude-haiku-5-5")
    assert facts.check_prices(MODELS, shown, newest(), AS_OF) == []
    (problem,) = facts.check_prices(MODELS, shown, newest(prices=haiku.prices), AS_OF)
    assert problem.startswith(f"claude-opus-5-5: its price changed since {AS_OF}: ")
    (problem,) = facts.check_prices(MODELS, shown, newest(context_window=2), AS_OF)
    assert problem == "claude-opus-5-5: 1,000,000 tokens of context in models.py, 2 in the price data"
    empty = DataSnapshot([replace(anthropic, models=[])], from_auto_update=True)
    assert "claude-opus-5-5: not in the price data" in facts.check_prices(MODELS, shown, empty, AS_OF)
