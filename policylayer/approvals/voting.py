"""One vote, as one transaction: is it allowed, does it count, does it settle the approval.

Must not know how a voter was recognised (`identity/`) nor who waits (`waiting.py`). A refusal is returned, not raised,
because what was found on the way (an approval whose time is over, a row that was tampered with) is to be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import orjson
from sqlalchemy import Connection, delete, insert, select

from policylayer.approvals import rows, voters, waiver_rows, waivers
from policylayer.approvals.binding import Kept, open_arguments
from policylayer.approvals.rows import Desk, Row
from policylayer.approvals.waivers import Similar
from policylayer.core.approval import Move, State
from policylayer.core.decision import HoldRule
from policylayer.core.errors import UNKNOWN, ApprovalError
from policylayer.core.immutable import immutable
from policylayer.core.satisfied import demand
from policylayer.identity.person import Person
from policylayer.store.tables import tokens, votes
from policylayer.store.tables import waivers as table

NOTE_LIMIT: Final = 2000
"""Characters of a note."""


@immutable
class Ballot:
    """What a person says of one approval."""

    approval_id: str
    person: Person
    decision: Literal["approve", "deny"]
    note: str | None = None
    similar: Similar | None = None


@immutable
class Moment:
    """When, in the two forms that are needed, and how people stand then."""

    now_us: int
    now: datetime
    directory: voters.Directory


def cast(conn: Connection, desk: Desk, ballot: Ballot, at: Moment) -> Row | ApprovalError:
    """Cast a vote; the approval as it is then, or why the vote does not count."""
    row = rows.find(conn, ballot.approval_id, lock=True)
    if row is None:
        return ApprovalError("not_found", "there is no such approval", UNKNOWN)
    state, kept = _look(conn, desk, row, at.now_us)
    allowed = voters.open_rules(at.directory, at.now, _parties(row), rows.rules_of(row), ballot.person)
    if isinstance(allowed, ApprovalError):
        return allowed
    if kept is None:
        return state_error(state)
    if refused := _refusal(ballot, allowed) or _unwaivable(conn, ballot, row, kept, allowed, at.now_us):
        return refused
    _write(conn, desk, ballot, allowed, at.now_us)
    _waive(conn, desk, ballot, row, kept, allowed, at.now_us)
    _settle(conn, desk, row, ballot, at)
    return rows.find(conn, ballot.approval_id) or row


def _look(conn: Connection, desk: Desk, row: Row, now_us: int) -> tuple[State, Kept | None]:
    """The state as it is now, and the arguments where a vote still matters."""
    state = rows.state_at(row, now_us)
    if state is State.EXPIRED:
        rows.expire(conn, desk, row, now_us)
    if state is not State.PENDING:
        return state, None
    kept = open_arguments(desk.keys, row)
    if kept is None:
        rows.tampered(conn, desk, row, now_us)
        return State.CANCELLED, None
    return state, kept


def _refusal(ballot: Ballot, allowed: Sequence[HoldRule]) -> ApprovalError | None:
    """What is wrong with the ballot itself."""
    note = (ballot.note or "").strip()
    if len(note) > NOTE_LIMIT:
        return ApprovalError("note_too_long", f"a note has at most {NOTE_LIMIT} characters")
    if not note and any(rule.note_required for rule in allowed):
        return ApprovalError("note_required", "this approval needs a note", "say why, in `note`")
    return None


def _unwaivable(
    conn: Connection, ballot: Ballot, row: Row, kept: Kept, allowed: Sequence[HoldRule], now_us: int
) -> ApprovalError | None:
    """Why similar calls cannot be allowed, where that is wished."""
    if ballot.similar is None:
        return None
    if ballot.decision != "approve":
        return ApprovalError("waiver", "only who approves a call can allow similar ones", "leave `similar` out")
    return waivers.refusal(conn, ballot.similar, row, kept, allowed, now_us)


def _waive(
    conn: Connection, desk: Desk, ballot: Ballot, row: Row, kept: Kept, allowed: Sequence[HoldRule], now_us: int
) -> None:
    """Allow similar calls as this ballot says, in place of what the same person allowed before by this approval."""
    by = ballot.person.principal
    earlier = (table.c.approval_id == row["id"]) & (table.c.created_by == by)
    waiver_rows.end(conn, desk, earlier, now_us, by, why="voted again")
    if ballot.similar is not None:
        waivers.create(conn, desk, ballot.similar, row, kept, allowed, by, now_us)


def state_error(state: State | str) -> ApprovalError:
    """What is said of an approval that is not pending any more."""
    return ApprovalError("state", f"this approval is {state}", state=str(state))


def _write(conn: Connection, desk: Desk, ballot: Ballot, allowed: Sequence[HoldRule], now_us: int) -> None:
    """Keep the vote, in place of what the same person said before; repeating it changes nothing."""
    person = ballot.person
    note = rows.storable_note(ballot.note)
    names = sorted(rule.ref.name for rule in allowed)
    said = {
        "decision": ballot.decision,
        "note": note,
        "rules": orjson.dumps(names).decode(),
        "token_id": person.token_id,
    }
    earlier = next(
        (
            vote
            for vote in rows.votes_of(conn, [ballot.approval_id])[ballot.approval_id]
            if vote["principal"] == person.principal
        ),
        None,
    )
    if earlier is not None:
        if all(earlier[name] == value for name, value in said.items()):
            return
        conn.execute(delete(votes).where(votes.c.id == earlier["id"]))
    who = {"approval_id": ballot.approval_id, "principal": person.principal}
    conn.execute(insert(votes).values(id=desk.new_id(), time_us=now_us, **who, **said))
    detail = {"approval_id": ballot.approval_id, "token_id": person.token_id, "decision": ballot.decision}
    desk.on_event("approval.voted", person.principal, {**detail, "note": note, "rules": names})


def _settle(conn: Connection, desk: Desk, row: Row, ballot: Ballot, at: Moment) -> None:
    """Any denial denies; an approval approves once every rule has its quorum, as people stand now."""
    if ballot.decision == "deny":
        step = Move.DENY
    elif _complete(conn, row, at):
        step = Move.APPROVE
    else:
        return
    note = rows.storable_note(ballot.note)
    by = ballot.person.principal
    if rows.move(conn, row["id"], step, at.now_us, decided_us=at.now_us, decided_by=by, note=note):
        type = "approval.denied" if step is Move.DENY else "approval.approved"
        desk.on_event(type, by, {"approval_id": row["id"], "note": note})


def _complete(conn: Connection, row: Row, at: Moment) -> bool:
    rules = rows.rules_of(row)
    cast_so_far = rows.votes_of(conn, [row["id"]])[row["id"]]
    ids = [vote["token_id"] for vote in cast_so_far]
    query = select(tokens.c.id).where(tokens.c.id.in_(ids), tokens.c.revoked_us.is_not(None))
    revoked = set(conn.scalars(query))
    # A vote by a token that was revoked since is nobody's any more.
    good = [vote for vote in cast_so_far if vote["token_id"] not in revoked]
    approving = [vote["principal"] for vote in good if vote["decision"] == "approve"]
    done = voters.satisfied(at.directory, at.now, _parties(row), rules, approving)
    return done >= {demand(rule) for rule in rules}


def _parties(row: Row) -> voters.Parties:
    return voters.Parties(row["principal"], row["on_behalf_of"])
