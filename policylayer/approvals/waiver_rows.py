"""A waiver as it stands in the database: which ones still cover something, how one is shown, and how it ends early.

Must not know what a waiver covers, nor how one is given or used (`waivers.py`). All functions run inside one
transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, Connection, and_, exists, select, true, tuple_, update

from policylayer.approvals import rows, voters
from policylayer.approvals.rows import Desk, Row
from policylayer.approvals.voters import Directory, Parties
from policylayer.core.errors import WAIVERS, ApprovalError
from policylayer.core.immutable import immutable
from policylayer.core.instants import when
from policylayer.identity.person import Person, Role
from policylayer.store.tables import approvals, tokens, votes, waivers

BOUND: Final = ("principal", "on_behalf_of", "server", "method", "target")
"""What of a call must be as it was in the call that the approver saw."""

MOST: Final = 500
"""Waivers on one page."""


@immutable
class Wish:
    """Who wants a waiver to end, and when that is."""

    waiver_id: str
    person: Person
    directory: Directory
    now: datetime
    now_us: int


def stands(now_us: int) -> ColumnElement[bool]:
    """Those that cover something: in time, with a use left, not revoked, nor the token that they were given with."""
    gone = exists().where(
        votes.c.approval_id == waivers.c.approval_id,
        votes.c.principal == waivers.c.created_by,
        tokens.c.id == votes.c.token_id,
        tokens.c.revoked_us.is_not(None),
    )
    return and_(waivers.c.expires_us > now_us, waivers.c.uses_left > 0, waivers.c.revoked_us.is_(None), ~gone)


def standing(conn: Connection, *, now_us: int) -> list[Row]:
    """All that stand."""
    return rows.fetch(conn, select(waivers).where(stands(now_us)))


def page(conn: Connection, *, limit: int, cursor: str | None, now_us: int) -> tuple[list[Row], str | None]:
    """A page of those that stand, the one that ends first at the front; and where the next page begins."""
    limit = max(1, min(limit, MOST))
    first = (waivers.c.expires_us, waivers.c.id)
    query = select(waivers).where(stands(now_us), _behind(cursor)).order_by(*first).limit(limit + 1)
    found = rows.fetch(conn, query)
    last = found[limit - 1] if len(found) > limit else None
    return found[:limit], f"{last['expires_us']}.{last['id']}" if last else None


def given(conn: Connection, of: Collection[Row], now_us: int) -> dict[str, list[Row]]:
    """Those that stand by each of these approvals. Found by the rules' names, by which there is an index."""
    found: dict[str, list[Row]] = {row["id"]: [] for row in of}
    names = {rule.ref.name for row in of for rule in rows.rules_of(row)}
    query = select(waivers).where(waivers.c.rule.in_(names), waivers.c.approval_id.in_(found), stands(now_us))
    for waiver in rows.fetch(conn, query.order_by(waivers.c.rule)):
        found[waiver["approval_id"]].append(waiver)
    return found


def view(row: Row) -> dict[str, Any]:
    """The JSON of one waiver: never the values that must be equal, only their names."""
    scope = orjson.loads(row["scope"])
    return {
        "id": row["id"],
        "approval_id": row["approval_id"],
        "rule": row["rule"],
        "principal": scope["principal"],
        "for": scope["on_behalf_of"],
        **{name: scope[name] for name in ("server", "method", "target")},
        "same": scope["same"],
        "exact": scope["exact"],
        "uses_left": row["uses_left"],
        "created_at": when(row["created_us"]),
        "created_by": row["created_by"],
        "expires_at": when(row["expires_us"]),
        "revoked_at": when(row["revoked_us"]),
        "revoked_by": row["revoked_by"],
    }


def revoke(conn: Connection, desk: Desk, *, wish: Wish) -> Row | ApprovalError:
    """End a waiver for a person; the waiver as it is then, or why that person may not."""
    named = waivers.c.id == wish.waiver_id
    row = next(iter(rows.fetch(conn, select(waivers).where(named, stands(wish.now_us)))), None)
    if row is None:
        return ApprovalError("not_found", "no such waiver stands", WAIVERS)
    if not _may_end(conn, row, wish):
        help = "ask one of its rule's approvers, or an operator"
        return ApprovalError("not_an_approver", "this waiver's rule does not name you", help)
    end(conn, desk, named, wish.now_us, wish.person.principal)
    return rows.fetch(conn, select(waivers).where(named))[0]


def end(conn: Connection, desk: Desk, which: ColumnElement[bool], now_us: int, actor: str, why: str = "") -> int:
    """End all of these that stand; how many."""
    return sum(
        _end(conn, desk, row, now_us, actor, why)
        for row in rows.fetch(conn, select(waivers).where(which, stands(now_us)).order_by(waivers.c.id))
    )


def end_for(conn: Connection, desk: Desk, which: ColumnElement[bool], now_us: int, actor: str, why: str) -> int:
    """End those that were given for one of these approvals; how many."""
    theirs = exists().where(approvals.c.id == waivers.c.approval_id, which)
    return end(conn, desk, theirs, now_us, actor, why)


def _end(conn: Connection, desk: Desk, row: Row, now_us: int, actor: str, why: str) -> bool:
    change = update(waivers).where(waivers.c.id == row["id"], waivers.c.revoked_us.is_(None))
    done = conn.execute(change.values(revoked_us=now_us, revoked_by=actor)).rowcount == 1
    if done:
        told = {"waiver_id": row["id"], "approval_id": row["approval_id"], "rule": row["rule"]}
        desk.on_event("waiver.revoked", actor, {**told, "why": why} if why else told)
    return done


def _may_end(conn: Connection, row: Row, wish: Wish) -> bool:
    """Operators, who end approvals too; whoever gave it; and whoever may vote on its rule for such calls."""
    if wish.person.role.covers(Role.OPERATOR) or wish.person.principal == row["created_by"]:
        return True
    approval, scope = rows.find(conn, row["approval_id"]), orjson.loads(row["scope"])
    rules = [rule for rule in rows.rules_of(approval) if rule.ref.name == row["rule"]] if approval else []
    parties = Parties(scope["principal"], scope["on_behalf_of"])
    allowed = voters.open_rules(wish.directory, wish.now, parties, rules, wish.person)
    return not isinstance(allowed, ApprovalError)


def _behind(cursor: str | None) -> ColumnElement[bool]:
    place = rows.place(cursor)
    return true() if place is None else tuple_(waivers.c.expires_us, waivers.c.id) > tuple_(*place)
