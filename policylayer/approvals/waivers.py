"""Waivers: "similar calls for one hour", a bounded standing permission that an approver gave.

A waiver satisfies one hold rule for the calls in its scope: same actor, user acted for, server, method and target, and,
where the approver wanted it, the same values of named arguments. It has an expiry and a number of uses, and ends by
itself when the rule's demands change. Where an inner call is held, the arguments that say which tool that is are always
among those that must be equal. It never touches a deny, nor a limit: a rule with a limit that asks for approval cannot
be waived, since a satisfied rule may exceed its limit. Must not know how a vote is checked (`voting.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import Connection, func, insert, select, update

from policylayer.approvals import demand, rows
from policylayer.approvals.binding import Kept
from policylayer.approvals.rows import Desk, Row, when
from policylayer.core.call import Call, Caller, Json
from policylayer.core.canonical import canonical
from policylayer.core.decision import HoldRule
from policylayer.core.errors import ApprovalError
from policylayer.core.immutable import immutable
from policylayer.keys import Keys, text
from policylayer.store.rows import storable
from policylayer.store.tables import waivers

LONGEST: Final = 24 * 3600
MOST_USES: Final = 1000
MOST_LIVE: Final = 100
"""Waivers of one rule that may stand at once."""


@immutable
class Similar:
    """What an approver allows besides the call at hand: for how long, how often, and which arguments must be equal."""

    seconds: int = 3600
    uses: int = 20
    same: tuple[str, ...] = ()


def refusal(similar: Similar, row: Row, kept: Kept, rules: Iterable[HoldRule]) -> ApprovalError | None:
    """Why such a waiver cannot be given, or None."""
    if not 0 < similar.seconds <= LONGEST or not 0 < similar.uses <= MOST_USES:
        return ApprovalError("waiver", "a waiver lasts at most 24 hours and 1000 uses", "ask for less")
    if not set(similar.same) <= set(kept.arguments):
        return ApprovalError("waiver", "the call has no such argument", "name arguments of the held call")
    if not any(_may_waive(rule) for rule in _unlimited(row, rules)):
        return ApprovalError("waiver", "none of these rules can be waived by one person")
    return None


def create(
    conn: Connection,
    desk: Desk,
    similar: Similar,
    row: Row,
    kept: Kept,
    rules: Iterable[HoldRule],
    by: str,
    now_us: int,
) -> None:
    """Give a waiver for each of the rules that one approver may waive."""
    for rule in _unlimited(row, rules):
        if not _may_waive(rule) or _live(conn, rule.ref.name, now_us) >= MOST_LIVE:
            continue
        same = sorted({*similar.same, *rule.bound} & set(kept.arguments))
        values = text(desk.keys.digest(_values(kept.arguments, same)))
        scope = {**{name: row[name] for name in _BOUND}, "demand": demand.asks(rule), "same": same}
        fresh = {
            "id": desk.new_id(),
            "approval_id": row["id"],
            "rule": rule.ref.name,
            "scope": orjson.dumps({**scope, "values": values}).decode(),
            "uses_left": similar.uses,
            "created_us": now_us,
            "created_by": by,
            "expires_us": now_us + similar.seconds * 1_000_000,
        }
        conn.execute(insert(waivers).values(fresh))
        told = {"waiver_id": fresh["id"], "approval_id": row["id"], "rule": rule.ref.name, "same": same}
        desk.on_event("waiver.created", by, {**told, "seconds": similar.seconds, "uses": similar.uses})


def covering(
    conn: Connection, *, keys: Keys, caller: Caller, call: Call, holds: Sequence[HoldRule], now_us: int
) -> dict[str, list[str]]:
    """The waivers that cover this call, by the name of the rule that each satisfies."""
    demands = {rule.ref.name: rule for rule in holds if _may_waive(rule)}
    if not demands:
        return {}
    query = (
        select(waivers)
        .where(waivers.c.rule.in_(demands), waivers.c.expires_us > now_us)
        .where(waivers.c.uses_left > 0, waivers.c.revoked_us.is_(None))
        .order_by(waivers.c.expires_us)
    )
    found: dict[str, list[str]] = {}
    for waiver in rows.fetch(conn, query):
        if _covers(keys, orjson.loads(waiver["scope"]), caller, call, demands[waiver["rule"]]):
            found.setdefault(waiver["rule"], []).append(waiver["id"])
    return found


def spend(conn: Connection, *, covered: dict[str, list[str]], now_us: int) -> dict[str, str]:
    """Use one waiver for each rule, where one still has a use; the waiver used, by the rule's name."""
    return {
        rule: waiver
        for rule, candidates in covered.items()
        for waiver in [next((each for each in candidates if _use(conn, each, now_us)), None)]
        if waiver is not None
    }


def revoke(conn: Connection, desk: Desk, *, waiver_id: str, by: str, now_us: int) -> bool:
    """End a waiver; False where there is none that stands."""
    change = (
        update(waivers)
        .where(waivers.c.id == waiver_id, waivers.c.revoked_us.is_(None), waivers.c.expires_us > now_us)
        .values(revoked_us=now_us, revoked_by=by)
    )
    done = conn.execute(change).rowcount == 1
    if done:
        desk.on_event("waiver.revoked", by, {"waiver_id": waiver_id})
    return done


def standing(conn: Connection, now_us: int, most: int = 1000) -> list[Row]:
    """The waivers that still cover something, the one that ends first at the front."""
    query = (
        select(waivers)
        .where(waivers.c.expires_us > now_us, waivers.c.uses_left > 0, waivers.c.revoked_us.is_(None))
        .order_by(waivers.c.expires_us)
        .limit(most)
    )
    return rows.fetch(conn, query)


def view(row: Row) -> dict[str, Any]:
    """The JSON of one waiver: never the values that must be equal, only their names."""
    scope = orjson.loads(row["scope"])
    return {
        "id": row["id"],
        "approval_id": row["approval_id"],
        "rule": row["rule"],
        **{name: scope[name] for name in _BOUND},
        "same": scope["same"],
        "uses_left": row["uses_left"],
        "created_at": when(row["created_us"]),
        "created_by": row["created_by"],
        "expires_at": when(row["expires_us"]),
    }


_BOUND: Final = ("principal", "on_behalf_of", "server", "method", "target")


def _may_waive(rule: HoldRule) -> bool:
    """One person may, where one person's vote is enough, and where not every round is to be looked at."""
    return rule.quorum == 1 and not rule.each_round


def _unlimited(row: Row, rules: Iterable[HoldRule]) -> list[HoldRule]:
    limited = demand.limited(row["rules"])
    return [rule for rule in rules if rule.ref.name not in limited]


def _covers(keys: Keys, scope: dict[str, Any], caller: Caller, call: Call, rule: HoldRule) -> bool:
    user = caller.on_behalf_of.id if caller.on_behalf_of else None
    target = None if call.target is None else storable(call.target)
    bound = (caller.subject.id, user, call.server, call.method, target)
    if tuple(scope[name] for name in _BOUND) != bound or scope["demand"] != demand.asks(rule):
        return False
    if not set(rule.bound) <= set(scope["same"]) <= set(call.arguments):
        return False
    return scope["values"] in {text(each) for each in keys.digests(_values(call.arguments, scope["same"]))}


def _values(arguments: Mapping[str, Json], same: Iterable[str]) -> bytes:
    return canonical({name: arguments[name] for name in same})


def _live(conn: Connection, rule: str, now_us: int) -> int:
    count = select(func.count()).where(
        waivers.c.rule == rule, waivers.c.expires_us > now_us, waivers.c.revoked_us.is_(None)
    )
    return int(conn.execute(count).scalar_one())


def _use(conn: Connection, waiver_id: str, now_us: int) -> bool:
    change = (
        update(waivers)
        .where(waivers.c.id == waiver_id, waivers.c.uses_left > 0)
        .where(waivers.c.expires_us > now_us, waivers.c.revoked_us.is_(None))
        .values(uses_left=waivers.c.uses_left - 1)
    )
    return conn.execute(change).rowcount == 1
