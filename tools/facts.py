"""`make facts`: are the models and prices that the course shows still those of today?

Compares `models.toml` and `prices.toml` with the installed SDK, with the newest price data and with the
calendar, for every model that a lesson names, whoever makes it.
Prints each difference and exits with 1 if there is one. Nothing else in the course looks at today's date.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import httpx2
import pandas as pd
from anthropic.resources.messages.messages import DEPRECATED_MODELS
from anthropic.types.model import Model as SdkModel
from genai_prices import UpdatePrices, Usage
from genai_prices.data_snapshot import DataSnapshot, get_snapshot

from course_helpers.models import AS_OF, DEFAULT_MODEL, MODELS, Model, UnknownModelError
from course_helpers.pricing import OWN_ROWS, OwnRow, price_table, rates, successor
from tools.lessons import lesson_paths
from tools.notebooks import OTHER_MODELS

Models = Mapping[str, Model]

NOTICE = timedelta(days=30)

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
    """Those of `models` that still answer in the lessons."""
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
            f"{id}: newer than every {line} in models.toml"
            for id in sorted(listed)
            if generation(id, line) > ours
        ]
    return problems


def check_dates(models: Models, deprecated: Mapping[str, date], today: date) -> list[str]:
    """Retirement days that differ from the SDK's, and lifecycles that the calendar has overtaken."""
    problems = []
    for model in models.values():
        days = {deprecated[id] for id in ids_of(model) if id in deprecated}
        if days and days != {model.retires}:
            told = ", ".join(map(str, sorted(days)))
            problems.append(f"{model.id}: retires {model.retires} in models.toml, {told} in the SDK")
        if model.retires and today < model.retires and not days:
            problems.append(f"{model.id}: retires {model.retires} in models.toml, never in the SDK")
        if today > AS_OF and (now := model.lifecycle_on(today)) != model.lifecycle:
            problems.append(f"{model.id}: {now} by now; as of {AS_OF} the lessons call it {model.lifecycle}")
    return problems


def named(lessons: Iterable[Path], prose: bool) -> dict[str, str]:
    """The words of the code of `lessons`, and of their `prose`, each with one place that has it."""
    found = {}
    for path in lessons:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if prose or cell["cell_type"] == "code":
                words = re.findall(r"[a-z][\w.-]*\d[\w.-]*\w|[a-z]\d", "".join(cell["source"]).lower())
                found |= dict.fromkeys(words, f"named in {path.name}")
    return found


def uses(models: Models, lessons: Iterable[Path]) -> dict[str, str]:
    """The models that the course relies on, each with one place that does, other makers' among them."""
    used = {m.id: "offered to learners" for m in served(models) if m.course and m.lifecycle == "active"}
    known = {id: model.id for model in served(models) for id in ids_of(model)}
    used |= {known[word]: where for word, where in named(lessons, prose=False).items() if word in known}
    used |= {id: where for id, where in named(lessons, prose=True).items() if id in others()}
    return (
        used
        | dict.fromkeys(OTHER_MODELS, "tested by make test")
        | {DEFAULT_MODEL: "the model of the lessons"}
    )


def others() -> set[str]:
    """The ids of other makers whose price is known here."""
    ids = {info.id for maker in get_snapshot().providers for info in maker.models} | OWN_ROWS.keys()
    return {id for id in ids if not id.startswith("claude-")}


def check_use(
    facts: Mapping[str, Model | OwnRow], used: Mapping[str, str], today: date, as_of: date = AS_OF
) -> list[str]:
    """Models that the course uses or shows (id → where) and that retire within 30 days of `today`.

    Also those that it shows because they are deprecated; not those that it shows as gone already.
    """
    return [
        f"{id}: {where}, and it retires on {retires}, in {(retires - today).days} days"
        for id, where in used.items()
        if (retires := getattr(facts.get(id), "retires", None))
        and max(today, as_of) < retires <= today + NOTICE
    ]


def check_successors(used: Iterable[str], today: date) -> list[str]:
    """Models whose successor is not known, or gone itself."""
    problems = []
    for id in used:
        if (next_one := successor(id)) is None:
            continue
        try:
            rates(next_one)
        except UnknownModelError:
            problems.append(f"{id}: its successor {next_one} has no price")
        ends = getattr(MODELS.get(next_one) or OWN_ROWS.get(next_one), "retires", None)
        if ends and ends <= today:
            problems.append(f"{id}: its successor {next_one} itself retired on {ends}")
    return problems


def check_prices(used: Iterable[str], shown: DataSnapshot, newest: DataSnapshot, today: date) -> list[str]:
    """Models whose price or context window in the lessons differs from `newest`, or will within 30 days."""
    problems, day = [], max(today, AS_OF)
    for id in used:
        try:
            maker, row = rates(id).provider, price_table([id], as_of=day).iloc[0]
        except UnknownModelError:
            continue  # named as an example of something else, or sold by several hosts
        ours = id in OWN_ROWS and bool(OWN_ROWS[id].prices)
        change = None if pd.isna(row.changes) else row.changes.date()
        if change and day < change <= today + NOTICE:
            problems.append(f"{id}: its price changes on {change}, in {(change - today).days} days")
        if rates(id) != rates(id, as_of=day):
            problems.append(
                f"{id}: its price changed since {AS_OF}, as prices.toml and the price data foresaw"
            )
        try:
            _, info = newest.find_provider_model(id, None, maker, None)
            now = _prices(newest, id, maker, day)
        except LookupError:
            if not ours:
                problems.append(f"{id}: not in the price data")
            continue
        if ours:
            problems.append(f"{id}: the price data has it now, so its prices in prices.toml can go")
        elif (then := _prices(shown, id, maker, AS_OF)) != now:
            problems.append(f"{id}: its price changed since {AS_OF}: {then} is now {now}")
        if info.context_window not in (None, row.context_window):
            problems.append(
                f"{id}: {row.context_window:,} tokens of context in models.toml or prices.toml, "
                f"{info.context_window:,} in the price data"
            )
    return problems


def _prices(snapshot: DataSnapshot, id: str, maker: str, day: date) -> list[str]:
    """What each probe costs, in USD."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return [str(snapshot.calc(probe, id, maker, None, noon).total_price) for probe in PROBES]


def newest_prices() -> tuple[DataSnapshot, str, bool]:
    """The price data as published now, or the installed ones; a sentence saying which; were they fetched?"""
    try:
        fetched = UpdatePrices(request_timeout=httpx2.Timeout(10)).fetch()
    except (httpx2.HTTPError, ValueError, OSError) as error:
        told = f"could not be fetched ({type(error).__name__}), so the installed ones stand in"
        return get_snapshot(), told, False
    return (fetched, "fetched", True) if fetched else (get_snapshot(), "nothing newer", True)


def main() -> int:
    today = datetime.now(UTC).date()
    newest, told, fetched = newest_prices()
    print(f"The lessons show {AS_OF}; today is {today}.")
    print(f"anthropic {version('anthropic')}, genai-prices {version('genai-prices')}; newest prices: {told}.")
    used = uses(MODELS, lesson_paths())
    problems = [
        *check_ids(MODELS, sdk_models()),
        *check_dates(MODELS, sdk_deprecations(), today),
        *check_use({**OWN_ROWS, **MODELS}, used, today),
        *check_successors(used, today),
        *check_prices(used, get_snapshot(), newest, today),
    ]
    if not fetched and os.environ.get("CI"):
        problems.append("the newest prices could not be fetched")
    for problem in problems:
        print(f"  ✗ {problem}")
    hold = (
        "All facts still hold."
        if fetched
        else "No fact is known to have changed; the newest prices were not seen."
    )
    print(f"{len(problems)} of the facts changed." if problems else hold)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
