"""Reads the decision log: one decision, or pages of them by filter, newest first, in the form of the REST interface.

Plain functions over a SQLAlchemy connection, for `Store.read`. What a row looks like outside is in `shown.py`. Must not
know who may read. A page goes by the id after which it begins, never by an offset.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, Connection, Select, or_, select

from policylayer.audit.shown import Family, decision_json, event_json
from policylayer.clock import uuid7
from policylayer.core.commands import Kind
from policylayer.core.immutable import immutable
from policylayer.store.tables import records

CALLS: Final = (Kind.DECISION.value, Kind.ROUND.value, Kind.RELEASE.value)
EXACT: Final = ("principal", "server", "method", "target", "effect", "reason_code", "approval_id")
"""Filters that compare a column."""

SLACK_US: Final = 3_600_000_000
"""Ids never go back where the clock does, so an id may be later than its row's time; by no more than this, say."""

DEEP: Final = 4
"""How many times a call that is held again is followed from row to row for its outcome."""

MOST: Final = 1000


@immutable
class Filters:
    """Which decisions. `rule` is `policy/rule`; times in microseconds, `until` exclusive; `q` is looked for in targets,
    reasons, rules, kept arguments and the calls inside calls, whatever the case."""

    principal: str | None = None
    server: str | None = None
    method: str | None = None
    target: str | None = None
    effect: str | None = None
    reason_code: str | None = None
    approval_id: str | None = None
    rule: str | None = None
    since: int | None = None
    until: int | None = None
    q: str | None = None


EVERYTHING: Final = Filters()


@immutable
class Page:
    """Items, and the cursor of the next page; None: this was the last."""

    items: list[dict[str, Any]]
    next: str | None


def decision(connection: Connection, row_id: str) -> dict[str, Any] | None:
    """One decision, with the rows that released it or held it anew as `children`."""
    query = select(records).where(records.c.id == row_id, records.c.kind.in_(CALLS))
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    family = relatives(connection, [row_id])
    shown = decision_json(row, family)
    return {**shown, "children": [decision_json(child, family) for child in family.calls.get(row_id, ())]}


def decisions(
    connection: Connection, filters: Filters = EVERYTHING, limit: int = 100, cursor: str | None = None
) -> Page:
    """A page of decisions, newest first."""
    query = where(filters).order_by(records.c.id.desc())
    if cursor is not None:
        query = query.where(records.c.id < cursor)
    return _page(connection, query, limit, decisions=True)


def oldest_first(connection: Connection, filters: Filters, limit: int, after: str | None) -> Page:
    """A page of decisions in the order of their ids, from after `after`: for export and following."""
    query = where(filters).order_by(records.c.id)
    if after is not None:
        query = query.where(records.c.id > after)
    return _page(connection, query, limit, decisions=True)


def events(connection: Connection, type: str | None = None, limit: int = 100, cursor: str | None = None) -> Page:
    """A page of events, newest first; `type` may end in `.` for all that begin so."""
    query = select(records).where(records.c.kind == Kind.EVENT.value).order_by(records.c.id.desc())
    if type is not None:
        wanted = records.c.reason_code
        query = query.where(wanted.startswith(type, autoescape=True) if type.endswith(".") else wanted == type)
    if cursor is not None:
        query = query.where(records.c.id < cursor)
    return _page(connection, query, limit, decisions=False)


def where(filters: Filters) -> Select[Any]:
    """All decisions that the filters let through."""
    query = select(records).where(records.c.kind.in_(CALLS))
    for name in EXACT:
        value = getattr(filters, name)
        if value is not None:
            query = query.where(records.c[name] == value)
    if filters.since is not None:
        query = query.where(records.c.id >= first_id(filters.since), records.c.time_us >= filters.since)
    if filters.until is not None:
        query = query.where(records.c.id < first_id(filters.until + SLACK_US), records.c.time_us < filters.until)
    if filters.rule is not None:
        query = query.where(_names_rule(filters.rule))
    if filters.q:
        looked = (records.c.target, records.c.reason, records.c.rules, records.c.arguments, records.c.detail)
        query = query.where(or_(*(column.icontains(filters.q, autoescape=True) for column in looked)))
    return query


def relatives(connection: Connection, ids: Collection[str]) -> Family:
    """The outcomes of these rows, and of the rows that released them or held them anew."""
    family = Family()
    level: Sequence[str] = list(ids)
    for _ in range(DEEP):
        if not level:
            break
        children = select(records).where(records.c.parent.in_(level)).order_by(records.c.id)
        level = [row["id"] for row in connection.execute(children).mappings() if family.add(row)]
    return family


def first_id(time_us: int) -> str:
    """The smallest id of this time."""
    return uuid7(max(time_us, 0) * 4)


def _names_rule(name: str) -> ColumnElement[bool]:
    """Whether the rules of a row, as JSON, name this one."""
    policy, _, rule = name.rpartition("/")
    parts = f'"policy":{orjson.dumps(policy).decode()},"rule":{orjson.dumps(rule).decode()}'
    return records.c.rules.contains(parts, autoescape=True)


def _page(connection: Connection, query: Select[Any], limit: int, *, decisions: bool) -> Page:
    limit = max(1, min(limit, MOST))
    rows = list(connection.execute(query.limit(limit + 1)).mappings())
    more, rows = len(rows) > limit, rows[:limit]
    following = rows[-1]["id"] if more else None
    if not decisions:
        return Page([event_json(row) for row in rows], following)
    family = relatives(connection, [row["id"] for row in rows])
    return Page([decision_json(row, family) for row in rows], following)
