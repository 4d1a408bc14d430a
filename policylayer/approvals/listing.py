"""Reading approvals: one, the live ones, a page of them.

Must not know how they are shown (`view.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, Connection, select, true, tuple_

from policylayer.approvals import rows, waiver_rows
from policylayer.approvals.rows import LIVE, Row
from policylayer.approvals.view import Shown
from policylayer.core.approval import State
from policylayer.store.tables import approvals

MOST: Final = 500
"""Approvals on one page."""


def one(conn: Connection, *, approval_id: str, now_us: int) -> Shown | None:
    """An approval, with all that is shown of it."""
    row = rows.find(conn, approval_id)
    return None if row is None else shown(conn, [row], now_us)[0]


def shown(conn: Connection, found: Sequence[Row], now_us: int) -> list[Shown]:
    """These approvals, each with its votes and the waivers that stand by it."""
    cast, given = rows.votes_of(conn, [row["id"] for row in found]), waiver_rows.given(conn, found, now_us)
    return [Shown(row, cast[row["id"]], given[row["id"]]) for row in found]


def live(conn: Connection) -> list[tuple[str, int]]:
    """The ids and times of all that are pending or approved."""
    query = select(approvals.c.id, approvals.c.expires_us).where(approvals.c.state.in_(LIVE))
    return [(approval_id, expires_us) for approval_id, expires_us in conn.execute(query)]


def page(
    conn: Connection, *, state: str | None, limit: int, cursor: str | None, now_us: int
) -> tuple[list[Shown], str | None]:
    """A page, newest first; and where the next one begins."""
    limit = max(1, min(limit, MOST))
    newest = (approvals.c.created_us.desc(), approvals.c.id.desc())
    query = select(approvals).where(_in_state(state, now_us), _after(cursor)).order_by(*newest).limit(limit + 1)
    found = rows.fetch(conn, query)
    last = found[limit - 1] if len(found) > limit else None
    return shown(conn, found[:limit], now_us), f"{last['created_us']}.{last['id']}" if last else None


def _in_state(state: str | None, now_us: int) -> ColumnElement[bool]:
    """Those that are in that state now; what is over and not yet swept is expired."""
    if state is None:
        return true()
    over = approvals.c.state.in_(LIVE) & (approvals.c.expires_us <= now_us)
    if state == State.EXPIRED:
        return over | (approvals.c.state == state)
    return ~over & (approvals.c.state == state)


def _after(cursor: str | None) -> ColumnElement[bool]:
    place = rows.place(cursor)
    return true() if place is None else tuple_(approvals.c.created_us, approvals.c.id) < tuple_(*place)
