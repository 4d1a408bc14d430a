"""How approvals end without a vote: withdrawn, cancelled with a grant or a freeze (and with them the waivers that were
given for such calls), expired, or found altered.

Must not know votes (`voting.py`) nor use (`opening.py`). All functions run inside one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from sqlalchemy import ColumnElement, Connection, select, true

from policylayer.approvals import rows, waiver_rows
from policylayer.approvals.binding import open_arguments
from policylayer.approvals.rows import LIVE, Desk, Row
from policylayer.core.approval import State
from policylayer.core.call import Caller
from policylayer.core.errors import UNKNOWN, ApprovalError
from policylayer.identity.person import Person, Role
from policylayer.store.tables import approvals

FROZE: Final = "an operator froze it"
REVOKED: Final = "the grant was revoked"
BY_AGENT: Final = "withdrawn by the agent"

CAUSES: Final[dict[str, Literal["frozen", "revoked", "cancelled"]]] = {
    FROZE: "frozen",
    REVOKED: "revoked",
    BY_AGENT: "cancelled",
    rows.ALTERED: "cancelled",
}
"""What a waiting call is told of an approval that ended so, by the note; any other was withdrawn by an operator."""


def cause(row: Row) -> Literal["withdrawn", "frozen", "revoked", "cancelled"]:
    """Why an approval was cancelled."""
    return CAUSES.get(row["note"] or "", "withdrawn")


def withdraw(
    conn: Connection, desk: Desk, *, approval_id: str, person: Person, note: str | None, now_us: int
) -> Row | ApprovalError:
    """Cancel for a person, who must be an operator."""
    if not person.role.covers(Role.OPERATOR):
        return ApprovalError("not_an_approver", "this token's role may not withdraw", "use an operator's token")
    row = rows.find(conn, approval_id, lock=True)
    if row is None:
        return ApprovalError("not_found", "there is no such approval", UNKNOWN)
    why = rows.storable_note(note) or ""
    if not _cancel_live(conn, desk, row, now_us, person.principal, why):
        left = rows.find(conn, approval_id) or row
        return ApprovalError("state", f"this approval is {left['state']}", state=left["state"])
    return rows.find(conn, approval_id) or row


def withdraw_own(conn: Connection, desk: Desk, *, approval_id: str, caller: Caller, now_us: int) -> bool:
    """Cancel for the agent whose call it is."""
    row = rows.find(conn, approval_id, lock=True)
    if row is None or row["principal"] != caller.subject.id:
        return False
    if row["grant_id"] != (caller.grant.id if caller.grant else None):
        return False
    return _cancel_live(conn, desk, row, now_us, caller.subject.id, BY_AGENT)


def for_grant(conn: Connection, desk: Desk, grant_id: str, actor: str, now_us: int) -> int:
    """Cancel what a revoked grant holds open; how many approvals."""
    return _cancel_all(conn, desk, approvals.c.grant_id == grant_id, now_us, actor, REVOKED)


def for_freeze(conn: Connection, desk: Desk, scope: str, name: str | None, actor: str, now_us: int) -> int:
    """Cancel what a freeze stops; how many approvals."""
    which: ColumnElement[bool]
    if scope == "principal":
        which = (approvals.c.principal == name) | (approvals.c.on_behalf_of == name)
    else:
        which = approvals.c.server == name if scope == "server" else true()
    return _cancel_all(conn, desk, which, now_us, actor, FROZE)


def sweep(conn: Connection, desk: Desk, *, now_us: int, passed: Mapping[str, int]) -> int:
    """Expire what is over by the wall clock, and those whose time passed by the monotonic one."""
    ended = sum(rows.expire(conn, desk, row, now_us) for row in rows.due(conn, now_us))
    for approval_id, expires_us in passed.items():
        row = rows.find(conn, approval_id)
        if row is not None and row["state"] in LIVE:
            ended += rows.expire(conn, desk, row, max(now_us, expires_us))
    return ended


def tampered(conn: Connection, desk: Desk, *, approval_id: str, now_us: int) -> bool:
    """Look again, and end an approval that was altered."""
    row = rows.find(conn, approval_id, lock=True)
    if row is None or row["state"] not in LIVE or open_arguments(desk.keys, row) is not None:
        return False
    rows.tampered(conn, desk, row, now_us)
    return True


def _cancel_all(conn: Connection, desk: Desk, which: ColumnElement[bool], now_us: int, actor: str, why: str) -> int:
    waiver_rows.end_for(conn, desk, which, now_us, actor, why)
    found = rows.fetch(conn, select(approvals).where(approvals.c.state.in_(LIVE), which).order_by(approvals.c.id))
    return sum(_cancel_live(conn, desk, row, now_us, actor, why) for row in found)


def _cancel_live(conn: Connection, desk: Desk, row: Row, now_us: int, actor: str, why: str) -> bool:
    """Cancel, or expire what is over anyway."""
    if rows.state_at(row, now_us) is State.EXPIRED:
        rows.expire(conn, desk, row, now_us)
        return False
    return rows.cancel(conn, desk, row, now_us, actor, why=why)
