"""Opening an approval, joining the live one of an identical call, finding what is known, and using it up once.

`open_or_join`, `use_up` and `redeem` run inside the transaction that writes the row they belong to. Must not know how
that row is written (`audit/`) nor how a call waits (`waiting.py`).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import Connection, or_, select

from policylayer.approvals import demand, rows
from policylayer.approvals.binding import call_keys, open_arguments, seal_arguments, stored_digest
from policylayer.approvals.rows import LIVE, Desk, Row
from policylayer.core.approval import Move, State
from policylayer.core.call import Call, Caller
from policylayer.core.commands import Found, Round
from policylayer.core.decision import Charge, Decision
from policylayer.core.errors import ApprovalError
from policylayer.core.immutable import immutable
from policylayer.core.satisfied import is_satisfied
from policylayer.keys import Keys
from policylayer.store.once import insert_new
from policylayer.store.rows import storable
from policylayer.store.tables import approvals, rounds

ID_BYTES: Final = 18
"""Of randomness in an id: 144 bits, never a number that can be guessed or counted on."""

_ATTEMPTS: Final = 4


@immutable
class Opening:
    """A held call that needs an approval.

    `carried` are the hold rules that earlier approvals of this call satisfied; `record_id` is the row that holds it;
    `arguments` their redacted view as JSON; `round` is set in a later round; `exceeds` are limits to tell approvers of.
    """

    caller: Caller
    call: Call
    decision: Decision
    record_id: str
    carried: frozenset[str] = frozenset()
    arguments: str | None = None
    session: str | None = None
    client: str | None = None
    ip: str | None = None
    round: int | None = None
    exceeds: tuple[Charge, ...] = ()


def open_or_join(conn: Connection, desk: Desk, opening: Opening, now_us: int, default_s: int) -> tuple[str, int]:
    """The approval of this call, and when it is over: that of identical calls (or of their denial), else a new one."""
    for _ in range(_ATTEMPTS):
        standing = _standing(conn, desk, opening, now_us)
        if standing is not None:
            return standing
        fresh = _fresh(desk.keys, opening, now_us, default_s)
        if conn.execute(insert_new(conn, approvals).values(fresh)).rowcount == 1:
            return fresh["id"], fresh["expires_us"]
    raise ApprovalError("state", "the approval changed too often while it was opened")


def seek(conn: Connection, *, keys: Keys, caller: Caller, call: Call, now_us: int) -> Found | None:
    """What is known of exactly this call: denied, approved and unused, or pending; nothing that is over."""
    for row in _known(conn, call_keys(keys, caller, call), now_us):
        state = rows.state_at(row, now_us)
        if state is State.DENIED:
            return Found(row["id"], "denied", note=row["note"])
        if state in LIVE and open_arguments(keys, row) is not None:
            approved = state is State.APPROVED
            return Found(row["id"], "approved" if approved else "pending", rows.satisfied_by(row), row["note"])
    return None


def use_up(conn: Connection, desk: Desk, approval_id: str, record_id: str | None, now_us: int) -> bool:
    """Consume an approved approval; False where it is not approved, over, altered, or was used before."""
    row = rows.find(conn, approval_id, lock=True)
    if row is None or rows.state_at(row, now_us) is not State.APPROVED:
        return False
    if open_arguments(desk.keys, row) is None:
        rows.tampered(conn, desk, row, now_us)
        return False
    return rows.move(conn, approval_id, Move.CONSUME, now_us, consumed_by=record_id, consumed_us=now_us)


def redeem(conn: Connection, round: Round, record_id: str, now_us: int) -> bool:
    """Use up a round's nonce; False where that was done before."""
    values = {
        "nonce": round.nonce,
        "parent": round.parent,
        "number": round.number,
        "record_id": record_id,
        "redeemed_us": now_us,
    }
    return conn.execute(insert_new(conn, rounds).values(values)).rowcount == 1


def _standing(conn: Connection, desk: Desk, opening: Opening, now_us: int) -> tuple[str, int] | None:
    """The approval to join. What stands in its way, expired or altered, is ended here."""
    found: tuple[str, int] | None = None
    for row in _known(conn, call_keys(desk.keys, opening.caller, opening.call), now_us):
        if row["state"] in LIVE and row["expires_us"] <= now_us:
            rows.expire(conn, desk, row, now_us)
        elif row["state"] in LIVE and open_arguments(desk.keys, row) is None:
            rows.tampered(conn, desk, row, now_us)
        else:
            found = found or (row["id"], row["expires_us"])
    return found


def _known(conn: Connection, keys: tuple[str, ...], now_us: int) -> Sequence[Row]:
    """Approvals of a call that may still matter, a denial first: where two stand, the denial holds."""
    matter = or_(approvals.c.state.in_(LIVE), (approvals.c.state == State.DENIED) & (approvals.c.expires_us > now_us))
    query = select(approvals).where(approvals.c.call_key.in_(keys), matter).order_by(approvals.c.created_us)
    return sorted(rows.fetch(conn, query), key=lambda row: row["state"] != State.DENIED)


def _fresh(keys: Keys, opening: Opening, now_us: int, default_s: int) -> dict[str, Any]:
    """The columns of a new approval."""
    caller, call = opening.caller, opening.call
    rules = [rule for rule in opening.decision.holds if not is_satisfied(rule.ref.name, rule, opening.carried)]
    if not rules:
        raise ValueError("a call is held by at least one rule that is not satisfied")
    row: dict[str, Any] = {
        "id": f"apr_{secrets.token_urlsafe(ID_BYTES)}",
        "call_key": call_keys(keys, caller, call)[0],
        "state": State.PENDING,
        "created_us": now_us,
        "expires_us": demand.expiry_us(rules, now_us, default_s),
        "principal": caller.subject.id,
        "on_behalf_of": caller.on_behalf_of.id if caller.on_behalf_of else None,
        "grant_id": caller.grant.id if caller.grant else None,
        "server": call.server,
        "method": call.method,
        "target": None if call.target is None else storable(call.target),
        "digest": stored_digest(keys, call),
        "rules": demand.dumps(rules, demand.limits_that_hold(opening.decision.charges), opening.exceeds),
        "satisfied": orjson.dumps(sorted(opening.carried)).decode(),
    }
    return {**row, **_told(opening), "arguments_sealed": seal_arguments(keys, call, row)}


def _told(opening: Opening) -> Mapping[str, Any]:
    """The columns that only inform."""
    return {
        "arguments": opening.arguments,
        "reason": storable(opening.decision.reason),
        "revision": opening.decision.revision,
        "record_id": opening.record_id,
        "round": opening.round,
        "session": opening.session,
        "client": None if opening.client is None else storable(opening.client),
        "ip": opening.ip,
    }
