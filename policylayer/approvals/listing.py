"""Reading approvals: one, the live ones, a page of them.

Must not know how they are shown (`view.py`).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, Connection, select, true, tuple_

from policylayer.approvals import rows
from policylayer.approvals.rows import LIVE, Row
from policylayer.core.approval import State
from policylayer.store.tables import approvals

MOST: Final = 500
"""Approvals on one page."""


def one(conn: Connection, *, approval_id: str) -> tuple[Row, list[Row]] | None:
    """An approval and its votes."""
    row = rows.find(conn, approval_id)
    return None if row is None else (row, rows.votes_of(conn, [approval_id])[approval_id])


def live(conn: Connection) -> list[tuple[str, int]]:
    """The ids and times of all that are pending or approved."""
    query = select(approvals.c.id, approvals.c.expires_us).where(approvals.c.state.in_(LIVE))
    return [(approval_id, expires_us) for approval_id, expires_us in conn.execute(query)]


def page(
    conn: Connection, *, state: str | None, limit: int, cursor: str | None, now_us: int
) -> tuple[list[tuple[Row, list[Row]]], str | None]:
    """A page, newest first, with votes; and where the next one begins."""
    limit = max(1, min(limit, MOST))
    newest = (approvals.c.created_us.desc(), approvals.c.id.desc())
    query = select(approvals).where(_in_state(state, now_us), _after(cursor)).order_by(*newest).limit(limit + 1)
    found = rows.fetch(conn, query)
    shown = found[:limit]
    cast = rows.votes_of(conn, [row["id"] for row in shown])
    last = shown[-1] if len(found) > limit else None
    return [(row, cast[row["id"]]) for row in shown], f"{last['created_us']}.{last['id']}" if last else None


def _in_state(state: str | None, now_us: int) -> ColumnElement[bool]:
    """Those that are in that state now; what is over and not yet swept is expired."""
    if state is None:
        return true()
    over = approvals.c.state.in_(LIVE) & (approvals.c.expires_us <= now_us)
    if state == State.EXPIRED:
        return over | (approvals.c.state == state)
    return ~over & (approvals.c.state == state)


def _after(cursor: str | None) -> ColumnElement[bool]:
    """Those behind a cursor; one that is none begins at the beginning."""
    created, _, approval_id = (cursor or "").partition(".")
    if not created.isascii() or not created.isdigit() or len(created) > 18:
        return true()
    return tuple_(approvals.c.created_us, approvals.c.id) < tuple_(int(created), approval_id)
