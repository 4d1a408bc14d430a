"""Counts over the decision log: by effect, rule, principal and the like, and over time; for `Store.read`.

The filters are those of `queries.py`. Must not know how counts are drawn.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, Literal, get_args

from sqlalchemy import Connection, func, select

from policylayer.audit.queries import EVERYTHING, Filters, where
from policylayer.audit.shown import loaded, moment

By = Literal["effect", "enforced", "reason_code", "rule", "principal", "server", "method", "target"]
BY: Final[tuple[By, ...]] = get_args(By)

POINTS: Final = 2000
"""Steps of a series at most; a shorter step is made longer."""


def counts(connection: Connection, by: By, filters: Filters = EVERYTHING, limit: int = 100) -> list[dict[str, Any]]:
    """How many decisions each value has, the most frequent first. A decision counts for each of its rules."""
    found = where(filters).subquery()
    column = found.c.rules if by == "rule" else found.c[by]
    number = func.count().label("number")
    query = select(column, number).group_by(column).order_by(number.desc(), column)
    if by != "rule":
        return [{"key": key, "count": count} for key, count in connection.execute(query.limit(limit))]
    rules: Counter[str] = Counter()
    for text, count in connection.execute(query):
        for rule in loaded(text) or ():
            rules[f"{rule['policy']}/{rule['rule']}"] += count
    return [{"key": key, "count": count} for key, count in rules.most_common(limit)]


def series(connection: Connection, step_us: int, filters: Filters = EVERYTHING) -> list[dict[str, Any]]:
    """How many decisions of each effect there were in each step; steps without any are left out."""
    found = where(filters).subquery()
    first, last = connection.execute(select(func.min(found.c.time_us), func.max(found.c.time_us))).one()
    if first is None:
        return []
    step = max(step_us, (last - first) // POINTS + 1)
    begins = (found.c.time_us - found.c.time_us % step).label("begins")
    query = select(begins, found.c.effect, func.count()).group_by(begins, found.c.effect).order_by(begins)
    steps: dict[int, dict[str, int]] = {}
    for begin, effect, count in connection.execute(query):
        steps.setdefault(int(begin), {})[effect] = count
    return [{"time": moment(begin), "counts": counted} for begin, counted in steps.items()]
