"""An approval as it stands in the database, and the one way it changes state: a single conditional update.

Which states a move may start from is `core.approval.TRANSITIONS`; how many rows the update touched says whether it
happened. Must not know who may vote (`voters.py`) nor when a move is due. All functions are synchronous, over the
connection of the transaction that they are part of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeAlias

import orjson
from sqlalchemy import ColumnElement, Connection, Select, exists, select, update

from policylayer.approvals import demand
from policylayer.core.approval import Move, State, after, sources
from policylayer.core.decision import HoldRule, permission
from policylayer.core.immutable import immutable
from policylayer.core.satisfied import by_these
from policylayer.keys import Keys
from policylayer.store.rows import storable
from policylayer.store.tables import approvals, votes

Row: TypeAlias = Mapping[str, Any]
OnEvent: TypeAlias = Callable[[str, str, dict[str, Any]], None]
"""Writes an event row in the transaction at hand: type, who did it, what there is to say."""

SYSTEM: Final = "policylayer"
"""Who did what nobody asked for: expiry, and the answer to a row that was tampered with."""

ALTERED: Final = "the stored approval was altered"
"""The note of one whose row does not fit what was sealed with it."""

CURSOR: Final = re.compile(r"([0-9]{1,18})\.([0-9a-zA-Z_-]{1,64})")
"""Where a page of approvals or waivers ended: the time by which they are listed, and the id, of its last."""

LIVE: Final = (State.PENDING, State.APPROVED)


@immutable
class Desk:
    """What every operation needs besides its connection, for one transaction."""

    keys: Keys
    on_event: OnEvent
    new_id: Callable[[], str]


def fetch(conn: Connection, query: Select[Any]) -> list[Row]:
    """The rows of a query, as mappings that outlive the connection."""
    return [row._asdict() for row in conn.execute(query)]


def find(conn: Connection, approval_id: str, *, lock: bool = False) -> Row | None:
    """The approval of that id. `lock`: nobody else may vote until this transaction ends."""
    query = select(approvals).where(approvals.c.id == approval_id)
    # Two voters that each see only their own vote would never make up a quorum. (SQLite has one writer anyway.)
    return next(iter(fetch(conn, query.with_for_update() if lock else query)), None)


def rules_of(row: Row) -> tuple[HoldRule, ...]:
    """The hold rules that are to be voted on; none where someone broke the row, which is then refused elsewhere."""
    try:
        return demand.loads(row["rules"])
    except (ValueError, KeyError, TypeError):
        return ()


def carried_of(row: Row) -> frozenset[str]:
    """The rules that earlier approvals of this call satisfied (`core.satisfied`)."""
    try:
        return frozenset(orjson.loads(row["satisfied"]))
    except (ValueError, TypeError):
        return frozenset()


def exceeded_of(row: Row) -> frozenset[str]:
    """The limits that the call would exceed, which its approvers are told of."""
    try:
        return demand.exceeds(row["rules"])
    except (ValueError, KeyError, TypeError):
        return frozenset()


def satisfied_by(row: Row) -> frozenset[str]:
    """The rules that this approval, once approved, satisfies as they were, and the limits that it may exceed."""
    return carried_of(row) | by_these(rules_of(row)) | {permission(name) for name in exceeded_of(row)}


def state_at(row: Row, now_us: int) -> State:
    """The state as it is now: a live approval whose time is over is expired, swept or not."""
    state = State(row["state"])
    return State.EXPIRED if state in LIVE and row["expires_us"] <= now_us else state


def move(conn: Connection, approval_id: str, step: Move, now_us: int, **values: object) -> bool:
    """Do `step`, in one conditional update; False where the approval's state or time does not allow it.

    Whatever is over loses its arguments in the same statement.
    """
    target = {after(source, step) for source in sources(step)}
    (state,) = target
    final = {"arguments_sealed": None} if state not in LIVE else {}
    change = (
        update(approvals)
        .where(approvals.c.id == approval_id, approvals.c.state.in_(sources(step)), _in_time(step, now_us))
        .values(state=state, **final, **values)
    )
    return conn.execute(change).rowcount == 1


def _in_time(step: Move, now_us: int) -> ColumnElement[bool]:
    if step is Move.EXPIRE:
        return approvals.c.expires_us <= now_us
    return approvals.c.expires_us > now_us


def expire(conn: Connection, desk: Desk, row: Row, now_us: int) -> bool:
    """Expire a row whose time is over; False where someone else did."""
    done = move(conn, row["id"], Move.EXPIRE, now_us)
    if done:
        desk.on_event("approval.expired", SYSTEM, {"approval_id": row["id"], "from": row["state"]})
    return done


def due(conn: Connection, now_us: int, most: int = 500) -> Sequence[Row]:
    """Live approvals whose time is over, the oldest first."""
    query = (
        select(approvals)
        .where(approvals.c.state.in_(LIVE), approvals.c.expires_us <= now_us)
        .order_by(approvals.c.expires_us)
        .limit(most)
    )
    return fetch(conn, query)


def standing(conn: Connection, *, now_us: int) -> tuple[bool, bool]:
    """Whether there is a live approval, and one whose time is over."""
    live = exists().where(approvals.c.state.in_(LIVE))
    any_live, any_over = conn.execute(select(live, live.where(approvals.c.expires_us <= now_us))).one()
    return bool(any_live), bool(any_over)


def cancel(
    conn: Connection, desk: Desk, row: Row, now_us: int, actor: str, *, type: str = "approval.cancelled", why: str = ""
) -> bool:
    """Cancel a live approval; False where it is not live any more."""
    done = move(conn, row["id"], Move.CANCEL, now_us, decided_us=now_us, decided_by=actor, note=why or None)
    if done:
        desk.on_event(type, actor, {"approval_id": row["id"], "from": row["state"], "why": why})
    return done


def tampered(conn: Connection, desk: Desk, row: Row, now_us: int) -> None:
    """End an approval whose row does not fit what was sealed with it: someone changed the database."""
    cancel(conn, desk, row, now_us, SYSTEM, type="approval.tampered", why=ALTERED)


def votes_of(conn: Connection, ids: Collection[str]) -> dict[str, list[Row]]:
    """The votes of each of these approvals, in the order they were cast."""
    found: dict[str, list[Row]] = {each: [] for each in ids}
    query = select(votes).where(votes.c.approval_id.in_(ids)).order_by(votes.c.time_us, votes.c.id)
    for vote in fetch(conn, query):
        found[vote["approval_id"]].append(vote)
    return found


def storable_note(note: str | None) -> str | None:
    """A note as the database can hold it, or None for one that says nothing."""
    return storable(note.strip()) if note and note.strip() else None


def place(cursor: str | None) -> tuple[int, str] | None:
    """Time and id behind which a page begins; None for the first. The API refuses a cursor that is none."""
    found = CURSOR.fullmatch(cursor or "")
    return None if found is None else (int(found[1]), found[2])
