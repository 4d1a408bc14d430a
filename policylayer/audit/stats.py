"""Counts over the decision log: by effect, rule, principal and the like, and over time; for `Store.read`.

The filters are those of `queries.py`. Must not know how counts are drawn.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, Literal, get_args

from sqlalchemy import Connection, Select, func, select

from policylayer.audit.queries import EVERYTHING, Filters, far, where
from policylayer.audit.shown import loaded, moment
from policylayer.core.immutable import immutable
from policylayer.store.tables import records

By = Literal["effect", "enforced", "reason_code", "rule", "principal", "server", "method", "target"]
BY: Final[tuple[By, ...]] = get_args(By)

POINTS: Final = 2000
"""Steps of a series at most; a shorter step is made longer."""

COUNTED: Final = 1_000_000
"""Rows that are counted at most, the newest ones: about a second."""


@immutable
class Counted:
    """The counts; `since` says from when on where there was more to count than is."""

    items: list[dict[str, Any]]
    since: str | None = None


def counts(connection: Connection, by: By, filters: Filters = EVERYTHING, limit: int = 100) -> Counted:
    """How many decisions each value has, the most frequent first. A decision counts for each of its rules."""
    query, since = _bounded(connection, filters)
    found = query.subquery()
    column = found.c.rules if by == "rule" else found.c[by]
    number = func.count().label("number")
    grouped = select(column, number).group_by(column).order_by(number.desc(), column)
    if by != "rule":
        return Counted([{"key": key, "count": n} for key, n in connection.execute(grouped.limit(limit))], since)
    rules: Counter[str] = Counter()
    for text, count in connection.execute(grouped):
        for rule in loaded(text) or ():
            rules[f"{rule['policy']}/{rule['rule']}"] += count
    return Counted([{"key": key, "count": count} for key, count in rules.most_common(limit)], since)


def series(connection: Connection, step_us: int, filters: Filters = EVERYTHING) -> Counted:
    """How many decisions of each effect there were in each step; steps without any are left out."""
    query, since = _bounded(connection, filters)
    found = query.subquery()
    first, last = connection.execute(select(func.min(found.c.time_us), func.max(found.c.time_us))).one()
    if first is None:
        return Counted([])
    step = max(step_us, (last - first) // POINTS + 1)
    begins = (found.c.time_us - found.c.time_us % step).label("begins")
    grouped = select(begins, found.c.effect, func.count()).group_by(begins, found.c.effect).order_by(begins)
    steps: dict[int, dict[str, int]] = {}
    for begin, effect, count in connection.execute(grouped):
        steps.setdefault(int(begin), {})[effect] = count
    return Counted([{"time": moment(begin), "counts": counted} for begin, counted in steps.items()], since)


def _bounded(connection: Connection, filters: Filters) -> tuple[Select[Any], str | None]:
    """What is counted, and since when, if that is not all that the filters let through."""
    query, end = where(filters), far(connection, filters, COUNTED)
    if end is None:
        return query, None
    at = connection.scalar(select(records.c.time_us).where(records.c.id == end))
    return query.where(records.c.id >= end), moment(at or 0)
