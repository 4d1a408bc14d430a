"""`/stats`: counts over the decision log. Must not know how they are counted (`audit/stats.py`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, get_args

from sqlalchemy import Connection

from policylayer.api.decisions import filters_of
from policylayer.api.route import Asked
from policylayer.audit import stats

TIME: Final = "time"
BY: Final[tuple[str, ...]] = (*get_args(stats.By), TIME)
MOST: Final = 100
STEP: Final = 3600


async def count(asked: Asked) -> Any:
    """`GET /stats`: the most frequent values of `by`, or, by time, the effects in each step of `step` seconds."""
    query = asked.query
    work: Callable[[Connection], stats.Counted]
    by, filters = query.get("by", "effect"), filters_of(query)
    if by == TIME:
        work = partial(stats.series, step_us=query.get("step", STEP) * 1_000_000, filters=filters)
    else:
        work = partial(stats.counts, by=by, filters=filters, limit=query.get("limit", MOST))
    counted = await asked.services.browse(work)
    return {"items": counted.items, "next": None, "since": counted.since}
