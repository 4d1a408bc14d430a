"""Waivers: "similar calls for one hour", a bounded standing permission that an approver gave.

A waiver satisfies one hold rule for the calls in its scope: same actor, user acted for, server, method and target, and,
where the approver wanted it, the same values of named arguments, or of all and no others. It has an expiry and a number
of uses, and ends by itself when the rule's demands change, or when whoever gave it could not vote any more. Where an
inner call is held, the arguments that say which tool that is are always among those that must be equal. It never
touches a deny, nor a limit: a rule with a limit that asks for approval cannot be waived, since a satisfied rule may
exceed its limit. Must not know how a vote is checked (`voting.py`) nor how a waiver is ended (`waiver_rows.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import orjson
from sqlalchemy import Connection, func, insert, select, update

from policylayer.approvals import rows
from policylayer.approvals.binding import Kept
from policylayer.approvals.demand import limited
from policylayer.approvals.rows import Desk, Row
from policylayer.approvals.voters import Parties
from policylayer.approvals.waiver_rows import BOUND, stands
from policylayer.core.call import Call, Caller, Json
from policylayer.core.canonical import canonical
from policylayer.core.commands import Waived
from policylayer.core.decision import HoldRule
from policylayer.core.errors import WAIVERS, ApprovalError
from policylayer.core.immutable import immutable
from policylayer.core.satisfied import asks, demand
from policylayer.keys import Keys, text
from policylayer.store.rows import storable
from policylayer.store.tables import waivers

LONGEST: Final = 24 * 3600
MOST_USES: Final = 1000
USES: Final = 20
"""Uses where nobody says how many."""

MOST_LIVE: Final = 100
"""Waivers of one rule that may stand at once."""


ONE_BY_ONE: Final = (
    "where a rule wants several approvers, asks in each round, or has a limit that asks, calls are approved one by "
    "one: approve without `similar`"
)

SEALED_WITH: Final = ("id", "approval_id", "rule", "created_us", "created_by", "expires_us")
"""The columns that never change in a waiver's life."""

Votes: TypeAlias = Callable[[str, Parties, HoldRule], bool]
"""Whether that person may vote on that rule for a call of these parties, as people stand now."""


@immutable
class Similar:
    """What an approver allows besides the call at hand: for how long, how often, and which arguments must be equal.

    `same` is None where all must be, and no other may be there.
    """

    seconds: int = 3600
    uses: int = USES
    same: tuple[str, ...] | None = None


def waivable(row: Row, rules: Iterable[HoldRule]) -> list[HoldRule]:
    """Those of an approval's rules that whoever may vote on them may waive."""
    rules = list(rules)
    one_by_one = limited(row["rules"]) if rules else frozenset()
    return [rule for rule in rules if _may_waive(rule) and rule.ref.name not in one_by_one]


def refusal(
    conn: Connection, similar: Similar, row: Row, kept: Kept, rules: Iterable[HoldRule], now_us: int
) -> ApprovalError | None:
    """Why such a waiver cannot be given, or None."""
    if not 0 < similar.seconds <= LONGEST or not 0 < similar.uses <= MOST_USES:
        return ApprovalError(
            "waiver", "a waiver lasts at most 24 hours and 1000 uses, and at least one", "ask for less"
        )
    if not set(similar.same or ()) <= set(kept.arguments):
        return ApprovalError("waiver", "the call has no such argument", "name arguments of the held call in `same`")
    found = waivable(row, rules)
    if not found:
        return ApprovalError("waiver", "none of these rules can be waived by one person", ONE_BY_ONE)
    if all(_live(conn, rule.ref.name, now_us) >= MOST_LIVE for rule in found):
        return ApprovalError("waiver", f"{MOST_LIVE} waivers of this rule stand already", f"revoke some: {WAIVERS}")
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
    for rule in waivable(row, rules):
        if _live(conn, rule.ref.name, now_us) >= MOST_LIVE:
            continue
        exact = similar.same is None
        same = sorted(kept.arguments if similar.same is None else {*similar.same, *rule.bound} & set(kept.arguments))
        scope = {**{name: row[name] for name in BOUND}, "demand": asks(rule), "same": same, "exact": exact}
        fresh = {
            "id": desk.new_id(),
            "approval_id": row["id"],
            "rule": rule.ref.name,
            "uses_left": similar.uses,
            "created_us": now_us,
            "created_by": by,
            "expires_us": now_us + similar.seconds * 1_000_000,
        }
        seal = text(desk.keys.digest(_sealed(fresh, scope, kept.arguments)))
        conn.execute(insert(waivers).values(**fresh, scope=orjson.dumps({**scope, "seal": seal}).decode()))
        told = {"waiver_id": fresh["id"], "approval_id": row["id"], "rule": rule.ref.name, "same": same, "exact": exact}
        desk.on_event("waiver.created", by, {**told, "seconds": similar.seconds, "uses": similar.uses})


def covering(
    conn: Connection, *, keys: Keys, caller: Caller, call: Call, holds: Sequence[HoldRule], may: Votes, now_us: int
) -> dict[str, list[Row]]:
    """The waivers that cover this call, by the rule (`core.satisfied.demand`) that each satisfies. `may` asks of who
    gave them."""
    asked = [rule for rule in holds if _may_waive(rule)]
    if not asked:
        return {}
    names = {rule.ref.name for rule in asked}
    query = select(waivers).where(waivers.c.rule.in_(names), stands(now_us)).order_by(waivers.c.expires_us)
    parties = Parties(caller.subject.id, caller.on_behalf_of.id if caller.on_behalf_of else None)
    found: dict[str, list[Row]] = {}
    for waiver in rows.fetch(conn, query):
        for rule in asked:
            if rule.ref.name != waiver["rule"] or not _covers(keys, waiver, parties, call, rule):
                continue
            if may(waiver["created_by"], parties, rule):
                found.setdefault(demand(rule), []).append(waiver)
    return found


def spend(conn: Connection, *, covered: Mapping[str, Sequence[Row]], now_us: int) -> tuple[Waived, ...]:
    """Use one waiver for each rule, where one still has a use; those that were used."""
    used = []
    for asked, candidates in covered.items():
        each = next((each for each in candidates if _use(conn, each["id"], now_us)), None)
        if each is not None:
            used.append(Waived(each["rule"], each["id"], each["approval_id"], asked))
    return tuple(used)


def _may_waive(rule: HoldRule) -> bool:
    """One person may, where one person's vote is enough, and where not every round is to be looked at."""
    return rule.quorum == 1 and not rule.each_round


def _covers(keys: Keys, waiver: Row, parties: Parties, call: Call, rule: HoldRule) -> bool:
    scope = orjson.loads(waiver["scope"])
    target = None if call.target is None else storable(call.target)
    bound = (parties.actor, parties.on_behalf_of, call.server, call.method, target)
    if tuple(scope[name] for name in BOUND) != bound or scope["demand"] != asks(rule):
        return False
    if not set(rule.bound) <= set(scope["same"]) <= set(call.arguments):
        return False
    if scope["exact"] and len(scope["same"]) != len(call.arguments):
        return False
    return scope.pop("seal") in {text(each) for each in keys.digests(_sealed(waiver, scope, call.arguments))}


def _sealed(row: Row, scope: Mapping[str, Any], arguments: Mapping[str, Json]) -> bytes:
    """What a waiver's digest is of: the values that must be equal, and all of the row that never changes, so that one
    that was altered in the database covers nothing."""
    values = {name: arguments[name] for name in scope["same"]}
    return canonical(["waiver", *(row[name] for name in SEALED_WITH), dict(scope), values])


def _live(conn: Connection, rule: str, now_us: int) -> int:
    count = select(func.count()).select_from(waivers).where(waivers.c.rule == rule, stands(now_us))
    return int(conn.execute(count).scalar_one())


def _use(conn: Connection, waiver_id: str, now_us: int) -> bool:
    change = update(waivers).where(waivers.c.id == waiver_id, stands(now_us)).values(uses_left=waivers.c.uses_left - 1)
    return conn.execute(change).rowcount == 1
