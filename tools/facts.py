"""`make facts`: are the models and prices that the course shows still those of today?

Compares `course_helpers/models.py` with the installed SDK, with the price data and with the calendar.
Prints each difference and exits with 1 if there is one. Nothing else in the course looks at today's date.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import httpx2
from anthropic.resources.messages.messages import DEPRECATED_MODELS
from anthropic.types.model import Model as SdkModel
from genai_prices import UpdatePrices, Usage
from genai_prices.data_snapshot import DataSnapshot, get_snapshot

from course_helpers.models import AS_OF, DEFAULT_MODEL, MODELS, Model
from tools.lessons import lesson_paths
from tools.notebooks import OTHER_MODELS

Models = Mapping[str, Model]

NOTICE = timedelta(days=30)
SHOWN_BECAUSE_DEPRECATED = frozenset({"claude-sonnet-4-5"})
"""Models that the lessons name as examples of a model on its way out."""

PROBES = (
    Usage(input_tokens=1_000_000, output_tokens=0),
    Usage(input_tokens=1_000, output_tokens=0),
    Usage(input_tokens=0, output_tokens=1_000),
    Usage(input_tokens=1_000, output_tokens=0, cache_read_tokens=1_000),
    Usage(input_tokens=1_000, output_tokens=0, cache_write_tokens=1_000),
)


def sdk_models() -> set[str]:
    """The ids that the installed SDK lists."""
    return {id for part in get_args(SdkModel) for id in get_args(part)}


def sdk_deprecations(table: Mapping[str, str] = DEPRECATED_MODELS) -> dict[str, date]:
    """The SDK's deprecated ids and the day each retires ("November 30th, 2026")."""
    plain = {id: re.sub(r"(\d)(st|nd|rd|th)\b", r"\1", day) for id, day in table.items()}
    return {id: datetime.strptime(day, "%B %d, %Y").date() for id, day in plain.items()}


def served(models: Models) -> list[Model]:
    """Those of `models` that still answer."""
    return [model for model in models.values() if model.lifecycle != "retired"]


def ids_of(model: Model) -> set[str]:
    """The names under which `model` can be called."""
    return {model.id, model.snapshot or model.id}


def check_ids(models: Models, listed: set[str]) -> list[str]:
    """Models that the SDK does not list, and newer ones of the same lines that it does."""
    problems = [
        f"{id}: the installed SDK does not list it"
        for model in served(models)
        for id in sorted(ids_of(model) - listed)
    ]

    def generation(id: str, line: str) -> tuple[int, int]:
        found = re.fullmatch(rf"claude-{line}-(\d+)(?:-(\d{{1,2}}))?", id)
        return (int(found[1]), int(found[2] or 0)) if found else (0, 0)

    for line in sorted({model.line for model in models.values()}):
        ours = max(generation(id, line) for id in models)
        problems += [
            f"{id}: newer than every {line} in models.py"
            for id in sorted(listed)
            if generation(id, line) > ours
        ]
    return problems


def check_dates(models: Models, deprecated: Mapping[str, date], today: date) -> list[str]:
    """Lifecycles and retirement days that differ from the SDK's or that the calendar has overtaken."""
    problems = []
    for model in models.values():
        days = {deprecated[id] for id in ids_of(model) if id in deprecated}
        if days and model.lifecycle == "active":
            problems.append(f"{model.id}: active in models.py, deprecated in the SDK")
        if days and days != {model.retires}:
            told = ", ".join(map(str, sorted(days)))
            problems.append(f"{model.id}: retires {model.retires} in models.py, {told} in the SDK")
        if model.lifecycle == "deprecated" and not days:
            problems.append(f"{model.id}: deprecated in models.py, not in the SDK")
        if model.lifecycle != "retired" and model.retires and model.retires <= today:
            problems.append(f"{model.id}: retired on {model.retires}; models.py calls it {model.lifecycle}")
    return problems


def check_use(models: Models, used: Mapping[str, str], today: date) -> list[str]:
    """Models that the course uses (id → where) and that retire within 30 days of `today`."""
    return [
        f"{id}: {where}, and it retires on {retires}, in {(retires - today).days} days"
        for id, where in used.items()
        if (retires := models[id].retires) and today < retires <= today + NOTICE
    ]


def uses(models: Models, lessons: list[Path]) -> dict[str, str]:
    """The models that the course relies on, each with one place that does."""
    used = {model.id: "offered to learners" for model in served(models) if model.lifecycle == "active"}
    known = {id: model.id for model in served(models) for id in ids_of(model)}
    for path in lessons:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        named = re.findall(r"claude-[\w.-]*\w", code)
        used |= {known[id]: f"named in {path.name}" for id in named if id in known}
    used |= dict.fromkeys(OTHER_MODELS, "tested by make test")
    used |= {DEFAULT_MODEL: "the model of the lessons"}
    return {id: where for id, where in used.items() if id not in SHOWN_BECAUSE_DEPRECATED}


def check_prices(models: Models, shown: DataSnapshot, newest: DataSnapshot, today: date) -> list[str]:
    """Models whose price or context window in the lessons differs from `newest` as of `today`."""
    problems = []
    for model in served(models):
        try:
            _, info = newest.find_provider_model(model.id, None, "anthropic", None)
            then, now = _prices(shown, model.id, AS_OF), _prices(newest, model.id, today)
        except LookupError:
            problems.append(f"{model.id}: not in the price data")
            continue
        if then != now:
            problems.append(f"{model.id}: its price changed since {AS_OF}: {then} is now {now}")
        if info.context_window not in (None, model.context_window):
            problems.append(
                f"{model.id}: {model.context_window:,} tokens of context in models.py, "
                f"{info.context_window:,} in the price data"
            )
    return problems


def _prices(snapshot: DataSnapshot, id: str, day: date) -> list[str]:
    """What each probe costs, in USD."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return [str(snapshot.calc(probe, id, "anthropic", None, noon).total_price) for probe in PROBES]


def newest_prices() -> tuple[DataSnapshot, str]:
    """The price data as published now, or the installed ones; and a sentence saying which."""
    try:
        fetched = UpdatePrices(request_timeout=httpx2.Timeout(10)).fetch()
    except (httpx2.HTTPError, ValueError) as error:
        told = f"could not be fetched ({type(error).__name__}), so the installed ones stand in"
        return get_snapshot(), told
    return (fetched, "fetched") if fetched else (get_snapshot(), "nothing newer")


def main() -> int:
    today = datetime.now(UTC).date()
    newest, told = newest_prices()
    print(f"models.py as of {AS_OF}; today is {today}.")
    print(f"anthropic {version('anthropic')}, genai-prices {version('genai-prices')}; newest prices: {told}.")
    problems = [
        *check_ids(MODELS, sdk_models()),
        *check_dates(MODELS, sdk_deprecations(), today),
        *check_use(MODELS, uses(MODELS, lesson_paths()), today),
        *check_prices(MODELS, get_snapshot(), newest, today),
    ]
    for problem in problems:
        print(f"  ✗ {problem}")
    print(f"{len(problems)} of the facts changed." if problems else "All facts still hold.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
