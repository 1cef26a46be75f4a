"""Lists of the API: a page of one, and what it says of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from anthropic import types

from ..models import Model
from .errors import require


def page_of(items: Iterable[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """The page of `items`, newest first, that limit, after_id and before_id of a query ask for."""
    items = [*items]
    limit = query.get("limit", "20")
    number = int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 5 else 0
    require(1 <= number <= 1000, "limit: Input should be a whole number from 1 to 1000")
    ids = [item["id"] for item in items]
    for cursor in ("after_id", "before_id"):
        require(query.get(cursor) in [None, *ids], f"{cursor}: nothing in this list has this id")
    start = ids.index(query["after_id"]) + 1 if "after_id" in query else 0
    end = ids.index(query["before_id"]) if "before_id" in query else len(ids)
    page = items[start:end][-number:] if "before_id" in query else items[start:end][:number]
    first, last = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return {"data": page, "has_more": end - start > len(page), "first_id": first, "last_id": last}


def model_info(model: Model) -> dict[str, Any]:
    """A model as the API shows it."""
    info = {
        "type": "model",
        "id": model.snapshot or model.id,
        "display_name": model.name,
        "created_at": _midnight(model.released),
        "line": model.line,
        "lifecycle": model.lifecycle,
        "deprecated_at": _midnight(model.deprecated),
        "retires_at": _midnight(model.retires),
        "max_input_tokens": model.context_window,
        "max_tokens": model.max_output,
        "capabilities": None,
    }
    types.ModelInfo.model_validate(info)
    return info


def _midnight(day: date | None) -> str | None:
    return day and f"{day}T00:00:00Z"
