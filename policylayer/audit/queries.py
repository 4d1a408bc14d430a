"""Reads the decision log: one decision, or pages of them by filter, newest first, in the form of the REST interface.

Plain functions over a SQLAlchemy connection, for `Store.read`. What a row looks like outside is in `shown.py`. Must not
know who may read. A page goes by the id after which it begins, never by an offset.

Filters that an index answers find any row at once, however large the log is. A text or a rule stands anywhere in a
row, what was enforced in no index, and how a hold ended in another row: of those, one page looks at so many rows
(`LOOKED`), and says where the next one is to go on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, Connection, Row, Select, exists, or_, select

from policylayer.audit.legible import legible
from policylayer.audit.shown import CALLS, Family, decision_json, event_json
from policylayer.clock import uuid7
from policylayer.core.commands import Kind
from policylayer.core.decision import Effect, ReasonCode
from policylayer.core.immutable import immutable
from policylayer.store.tables import equals, holds, is_event, records

EXACT: Final = ("principal", "server", "method", "target", "effect", "reason_code", "approval_id")
"""Filters that compare a column."""

NARROW: Final = ("principal", "target", "approval_id")
"""Those of them that leave little of a log."""

ENDS: Final = frozenset(
    code.value for code in (ReasonCode.PENDING, ReasonCode.APPROVAL_DENIED, ReasonCode.APPROVAL_EXPIRED)
)
"""Reason codes of calls that policy wanted approved: the row of a hold that ended so has `rule`, its outcome this."""

SLACK_US: Final = 3_600_000_000
"""Ids never go back where the clock does, so an id may be later than its row's time; by no more than this, say."""

DEEP: Final = 1000
"""How many times a call that is held again is followed from row to row for its outcome: more than anybody approves."""

MOST: Final = 1000

SPARE: Final = 100
"""So many ids are looked at for one that is not damaged, where a page is to end."""

LOOKED: Final = 10_000
"""Rows that a page looks at for a text, a rule or what was enforced: at most some 40 ms, where they lie apart."""


@immutable
class Filters:
    """Which decisions. `reason_code` is why it was so decided, or how its hold ended; `rule` is `policy/rule`; times in
    microseconds, `until` exclusive; `q` is looked for in targets, reasons, rules, kept arguments and the calls inside
    calls, whatever the case."""

    principal: str | None = None
    server: str | None = None
    method: str | None = None
    target: str | None = None
    effect: str | None = None
    enforced: str | None = None
    reason_code: str | None = None
    approval_id: str | None = None
    rule: str | None = None
    since: int | None = None
    until: int | None = None
    q: str | None = None


EVERYTHING: Final = Filters()


@immutable
class Page:
    """Items, and the cursor of the next page; None: this was the last. A next one may follow few items, or none."""

    items: list[dict[str, Any]]
    next: str | None


def decision(connection: Connection, row_id: str) -> dict[str, Any] | None:
    """One decision, with the rows that released it or held it anew as `children`."""
    query = select(records).where(records.c.id == row_id, records.c.kind.in_(CALLS))
    row = connection.execute(query).first()
    if row is None:
        return None
    family = relatives(connection, [row_id])
    shown = decision_json(legible(row), family)
    return {**shown, "children": [decision_json(child, family) for child in family.calls.get(row_id, ())]}


def decisions(
    connection: Connection, filters: Filters = EVERYTHING, limit: int = 100, cursor: str | None = None
) -> Page:
    """A page of decisions, newest first."""
    begin = () if cursor is None else (records.c.id < cursor,)
    end = None if _is_indexed(filters) else far(connection, filters, LOOKED, begin=begin)
    bounds = begin if end is None else (*begin, records.c.id >= end)
    return _page(connection, where(filters).where(*bounds).order_by(records.c.id.desc()), limit, end)


def oldest_first(connection: Connection, filters: Filters, limit: int, after: str | None) -> Page:
    """A page of decisions in the order of their ids, from after `after`: for export and following."""
    begin = () if after is None else (records.c.id > after,)
    end = None if _is_indexed(filters) else far(connection, filters, LOOKED, begin=begin, newest_first=False)
    bounds = begin if end is None else (*begin, records.c.id <= end)
    return _page(connection, where(filters).where(*bounds).order_by(records.c.id), limit, end)


def events(
    connection: Connection,
    type: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
    since: int | None = None,
    until: int | None = None,
    after: str | None = None,
) -> Page:
    """A page of events, newest first; with `after`, in order from behind that id. `type` may end in `.` for all that
    begin so."""
    query = select(records).where(is_event(), *_in_time(since, until))
    if type is not None and type.endswith("."):
        query = query.where(records.c.reason_code.startswith(type, autoescape=True))
    elif type is not None:
        query = query.where(*equals("reason_code", type))
    if after is not None:
        query = query.where(records.c.id > after).order_by(records.c.id)
    else:
        query = query.order_by(records.c.id.desc())
    if cursor is not None:
        query = query.where(records.c.id < cursor)
    rows, following = _rows(connection, query, limit)
    return Page([event_json(legible(row)) for row in rows], following)


def where(filters: Filters) -> Select[Any]:
    """All decisions that the filters let through."""
    query = select(records).where(records.c.kind.in_(CALLS), *_indexed(filters))
    if filters.enforced is not None:
        query = query.where(records.c.enforced == filters.enforced)
    if filters.reason_code in ENDS:
        query = query.where(_ended_so(filters.reason_code))
    if filters.rule is not None:
        query = query.where(_names_rule(filters.rule))
    if filters.q:
        looked = (records.c.target, records.c.reason, records.c.rules, records.c.arguments, records.c.detail)
        query = query.where(or_(*(column.icontains(filters.q, autoescape=True) for column in looked)))
    return query


def _indexed(filters: Filters) -> list[ColumnElement[bool]]:
    """What an index answers."""
    found: list[ColumnElement[bool]] = []
    # SQLite keeps no statistics: where one of these is asked for, it is not to be tempted by the indexes of others.
    narrow = any(getattr(filters, name) is not None for name in NARROW)
    for name in EXACT:
        value = getattr(filters, name)
        if name == "reason_code" and value in ENDS:
            name, value = "effect", Effect.REQUIRE_APPROVAL.value
        if value is not None:
            found += [records.c[name] == value] if narrow else equals(name, value)
    return found + _in_time(filters.since, filters.until)


def _in_time(since: int | None, until: int | None) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if since is not None:
        found += [records.c.id >= first_id(since), records.c.time_us >= since]
    if until is not None:
        found += [records.c.id < first_id(until + SLACK_US), records.c.time_us < until]
    return found


def _is_indexed(filters: Filters) -> bool:
    other = filters.rule is not None or filters.enforced is not None or bool(filters.q)
    return not other and filters.reason_code not in ENDS


def far(
    connection: Connection,
    filters: Filters,
    rows: int,
    begin: Sequence[ColumnElement[bool]] = (),
    newest_first: bool = True,
) -> str | None:
    """The id that is so many rows away from the beginning, of those that indexes find; None: there are not so many."""
    order = records.c.id.desc() if newest_first else records.c.id.asc()
    candidates = select(records.c.id).where(*begin, *_indexed(filters)).order_by(order)
    found = connection.scalars(candidates.offset(rows - 1).limit(SPARE))
    return next((row_id for row_id in found if type(row_id) is str), None)


def relatives(connection: Connection, ids: Collection[str]) -> Family:
    """The outcomes of these rows, and of the rows that released them or held them anew."""
    family = Family()
    level, followed = list(ids), set(ids)
    for _ in range(DEEP):
        level = [row_id for row_id in level if type(row_id) is str]  # no row names a damaged id as its parent
        if not level:
            break
        children = select(records).where(records.c.parent.in_(level)).order_by(records.c.id)
        level = [row.id for row in connection.execute(children) if family.add(legible(row))]
        # A page holds parents and children alike, and a damaged row may be its own: each is followed once.
        level = [row_id for row_id in level if row_id not in followed]
        followed.update(level)
    return family


def first_id(time_us: int) -> str:
    """The smallest id of this time."""
    return uuid7(max(time_us, 0) * 4)


def time_of(row_id: str) -> int:
    """The time of an id, to the millisecond."""
    return (UUID(row_id).int >> 80) * 1000


def _ended_so(code: str) -> ColumnElement[bool]:
    """Whether a call was refused so, or held until it was told so."""
    outcome = records.alias("outcome")
    end = exists().where(
        outcome.c.parent == records.c.id, outcome.c.kind == Kind.OUTCOME.value, outcome.c.reason == code
    )
    return or_(records.c.reason_code == code, end)


def _names_rule(name: str) -> ColumnElement[bool]:
    """Whether the rules of a row, as JSON, name this one."""
    policy, _, rule = name.rpartition("/")
    parts = f'"policy":{orjson.dumps(policy).decode()},"rule":{orjson.dumps(rule).decode()}'
    return holds(records.c.rules, parts)


def _page(connection: Connection, query: Select[Any], limit: int, end: str | None) -> Page:
    """Decisions; where there are too few of them up to `end`, the next page goes on behind it."""
    rows, following = _rows(connection, query, limit)
    family = relatives(connection, [row.id for row in rows])
    return Page([decision_json(legible(row), family) for row in rows], following or end)


def _rows(connection: Connection, query: Select[Any], limit: int) -> tuple[Sequence[Row[Any]], str | None]:
    """So many rows, and the id of the last where there are more. A damaged id is no cursor: such a row is followed by
    others on its page, or is on the next one."""
    limit = max(1, min(limit, MOST))
    rows = connection.execute(query.limit(limit + 1)).all()
    if len(rows) <= limit:
        return rows, None
    ends = [at for at in range(limit) if type(rows[at].id) is str]
    if not ends and limit < MOST:
        return _rows(connection, query, limit * 2)
    end = ends[-1] + 1 if ends else limit
    return rows[:end], rows[end - 1].id if ends else None
