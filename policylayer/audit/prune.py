"""Removes old rows so that the rest can still be verified: an event in the log says where each chain now begins.

The event is a row like any other, so it is linked, and a forged one is found; what it says is in `telling.py`. Must not
be done in passing: it is the only place that lifts the append-only triggers, in its own transactions. What may be
removed is seen once, before the first of them (`plan`): never what is written meanwhile, nor what is not over yet, nor
the only rows by which it is seen that others are missing. What a process that runs on last said of its policies is told
anew where it goes: nothing else says what it runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select, text

from policylayer.audit.checkpoints import stored
from policylayer.audit.left_open import first_open
from policylayer.audit.queries import first_id
from policylayer.audit.replicas import STILL_ACTIVE, retold
from policylayer.audit.telling import PRUNED, WHOLE, Heads, Telling, merged
from policylayer.clock import Clock
from policylayer.core.approval import State
from policylayer.core.immutable import immutable
from policylayer.keys import Keys
from policylayer.processes import ended
from policylayer.store.opening import OPENED, heads
from policylayer.store.rows import event_row
from policylayer.store.schema import APPEND_ONLY
from policylayer.store.store import Add, Store
from policylayer.store.tables import approvals, chains, records

LIFT: Final = {
    "sqlite": ("DROP TRIGGER records_no_delete",),
    "postgresql": ("ALTER TABLE records DISABLE TRIGGER records_no_change",),
}
RESTORE: Final = {
    "sqlite": (APPEND_ONLY["sqlite"][1],),
    "postgresql": ("ALTER TABLE records ENABLE TRIGGER records_no_change",),
}

STEP: Final = 10_000
"""Rows removed in one transaction: nobody waits long behind it."""

GOES_ON_US: Final = 3_600_000_000
"""So long a command that cannot be seen from here, on another machine or in another container, may still write."""

LIVE: Final = (State.PENDING.value, State.APPROVED.value)
"""Approvals that are not over: whoever decides wants to see the call."""


@immutable
class Plan:
    """What may go: of these chains, in their order, rows up to those numbers. `missing`: heads that are told of, and
    whose rows are not there; that is not to be forgotten."""

    before_us: int
    limits: dict[str, int]
    missing: Heads


async def prune(store: Store, keys: Keys, clock: Clock, *, before_us: int, actor: str, most: int = STEP) -> int:
    """Remove each chain's rows up to the last before which all are older than `before_us`; how many.

    About `most` in one transaction. Openings that still tell of other chains go too: what they told of chains that
    are left, the event tells.
    """
    made = partial(plan, keys=keys, own=store.own_chains(), before_us=before_us, now_us=clock.time_us())
    planned = await store.read(made)
    waiting = deque(planned.limits)
    total = 0
    while waiting:
        work = partial(_step, plan=planned, waiting=tuple(waiting), most=most, actor=actor, clock=clock)
        removed, done = await store.record(work)
        total += removed
        for _ in range(done):
            waiting.popleft()
    return total


def plan(connection: Connection, keys: Keys, own: tuple[str, ...], before_us: int, now_us: int) -> Plan:
    """What may be removed, as it stands now."""
    present = heads(connection)
    telling = Telling()
    for checkpoint in stored(connection):
        if checkpoint is not None and checkpoint.genuine(keys):
            telling.tell(checkpoint.heads)
    telling.hear(connection, OPENED, PRUNED)
    missing = telling.beyond(present)
    going_on = _going_on(connection, own, now_us)
    wanted = _wanted(connection)
    limits = {}
    for chain in sorted(each for each in present if each < first_id(before_us)):
        limit, _ = present[chain]
        if chain in going_on or chain in missing:
            limit -= 1
        if chain in going_on and (first := first_open(connection, chain)) is not None:
            limit = min(limit, first - 1)
        limits[chain] = min(limit, wanted.get(chain, limit + 1) - 1)
    return Plan(before_us, limits, missing)


def _going_on(connection: Connection, own: tuple[str, ...], now_us: int) -> set[str]:
    """Chains whose writers may write on: their last row stays, so that it is known where they go on."""
    query = select(chains.c.id, chains.c.program, chains.c.life, chains.c.host, chains.c.pid, chains.c.opened_us)
    found = set(own)
    for chain, program, life, host, pid, opened_us in connection.execute(query.where(chains.c.closed_us.is_(None))):
        # Nobody closes the chain of a command. That of a `serve` that ended is closed by whoever settles its rows.
        if program == "serve" or (opened_us > now_us - GOES_ON_US and not ended(life, host, pid)):
            found.add(chain)
    return found


def _wanted(connection: Connection) -> dict[str, int]:
    """The first row of each chain whose call still waits for people."""
    ids = select(approvals.c.record_id).where(approvals.c.state.in_(LIVE))
    query = (
        select(records.c.chain, func.min(records.c.seq).label("first"))
        .where(records.c.id.in_(ids))
        .group_by(records.c.chain)
    )
    return {row.chain: row.first for row in connection.execute(query)}


def _step(
    connection: Connection, add: Add, *, plan: Plan, waiting: Iterable[str], most: int, actor: str, clock: Clock
) -> tuple[int, int]:
    """Cut about so many rows; how many, and of how many chains nothing is to be removed any more."""
    cuts, upto, done = _cuts(connection, plan, waiting, most)
    if not cuts:
        return 0, done
    telling = Telling()
    telling.hear(connection, PRUNED)
    forgotten, active = _told_by(connection, cuts), retold(connection, cuts)
    removed = _remove(connection, cuts)
    upto = max(upto, telling.upto)
    present = heads(connection, upto)
    begins = merged([telling.begins, cuts])
    left = {chain: begins.get(chain, WHOLE) for chain in present.keys() | plan.missing.keys()}
    told = {chain: head for chain, head in forgotten.items() if chain > upto and _has_rows(connection, chain)}
    detail: dict[str, Any] = {
        "before_us": plan.before_us,
        "cuts": cuts,
        "upto": upto,
        "left": left,
        "heads": merged([told, present, plan.missing]),
    }
    add(event_row(clock.new_id(), clock.time_us(), PRUNED, actor, detail))
    for told_anew in active:
        add(event_row(clock.new_id(), clock.time_us(), STILL_ACTIVE, actor, told_anew))
    return removed, done


def _cuts(connection: Connection, plan: Plan, waiting: Iterable[str], most: int) -> tuple[Heads, str, int]:
    """Where to cut: the last row of each chain before its first young one, or before there are too many.

    Also the last chain that was looked at, and how many are done. No more rows are read than may be removed.
    """
    cuts: Heads = {}
    upto, done, spare = "", 0, most
    for chain in waiting:
        upto = chain
        own = records.c.chain == chain
        first = connection.scalar(select(func.min(records.c.seq)).where(own)) or 0
        end = min(plan.limits[chain], first + spare - 1)
        range_ = (own, records.c.seq <= end)
        young = connection.scalar(select(func.min(records.c.seq)).where(*range_, records.c.time_us >= plan.before_us))
        last = connection.execute(
            select(records.c.seq, records.c.link)
            .where(*range_, *(() if young is None else (records.c.seq < young,)))
            .order_by(records.c.seq.desc())
            .limit(1)
        ).first()
        if last is not None:
            cuts[chain] = (last.seq, bytes(last.link).hex())
            spare -= last.seq - first + 1
        if young is None and end < plan.limits[chain]:
            break
        done += 1
        if spare <= 0:
            break
    return cuts, upto, done


def _told_by(connection: Connection, cuts: Heads) -> Heads:
    """The heads that rows tell of which are about to go."""
    telling = Telling()
    for chain, (seq, _) in cuts.items():
        query = select(records.c.reason_code, records.c.detail).where(records.c.chain == chain, records.c.seq <= seq)
        telling.take_in(connection.execute(query.where(records.c.reason_code.in_([OPENED, PRUNED]))))
    return telling.latest()


def _has_rows(connection: Connection, chain: str) -> bool:
    return connection.scalar(select(records.c.seq).where(records.c.chain == chain).limit(1)) is not None


def _remove(connection: Connection, cuts: Heads) -> int:
    dialect = connection.dialect.name
    for statement in LIFT[dialect]:
        connection.execute(text(statement))
    removed = 0
    for chain, (seq, _) in cuts.items():
        removed += connection.execute(delete(records).where(records.c.chain == chain, records.c.seq <= seq)).rowcount
    for statement in RESTORE[dialect]:
        connection.exec_driver_sql(statement)
    return removed
