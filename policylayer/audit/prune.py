"""Removes old rows so that the rest can still be verified: an event in the log says where each chain now begins.

The event is a row like any other, so it is linked, and a forged one is found. Must not be done in passing: it is the
only place that lifts the append-only triggers, in its own transaction.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, and_, delete, func, select, text

from policylayer.audit.queries import first_id
from policylayer.clock import Clock
from policylayer.store.opening import heads
from policylayer.store.rows import event_row
from policylayer.store.schema import APPEND_ONLY
from policylayer.store.store import Add
from policylayer.store.tables import records

PRUNED: Final = "log.pruned"
"""The event's type."""

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


def prune(
    connection: Connection, add: Add, *, before_us: int, actor: str, clock: Clock, most: int | None = None
) -> int:
    """Remove each chain's rows up to the last before which all are older than `before_us`; how many.

    For `Store.record`; with `most`, about so many at a time, to be called until nothing is left. Openings that still
    tell of other chains go too: what they told is in the event's cuts.
    """
    cuts = _cuts(connection, before_us, most)
    if not cuts:
        return 0
    dialect = connection.dialect.name
    detail: dict[str, Any] = {"before_us": before_us, "cuts": cuts}
    add(event_row(clock.new_id(), clock.time_us(), PRUNED, actor, detail))
    for statement in LIFT[dialect]:
        connection.execute(text(statement))
    removed = 0
    for chain, (seq, _) in cuts.items():
        removed += connection.execute(delete(records).where(records.c.chain == chain, records.c.seq <= seq)).rowcount
    for statement in RESTORE[dialect]:
        connection.exec_driver_sql(statement)
    return removed


def _cuts(connection: Connection, before_us: int, most: int | None) -> dict[str, tuple[int, str]]:
    """Where to cut: the last row of each chain before its first young one, or before there are too many.

    Chains that were opened later are not looked at, nor more rows than may be removed: a log may be long.
    """
    cuts: dict[str, tuple[int, str]] = {}
    left = most
    for chain in sorted(each for each in heads(connection) if each < first_id(before_us)):
        own = records.c.chain == chain
        first = connection.scalar(select(func.min(records.c.seq)).where(own)) or 0
        if left is not None:
            own = and_(own, records.c.seq < first + left)
        young = connection.scalar(select(func.min(records.c.seq)).where(own, records.c.time_us >= before_us))
        old = own if young is None else and_(own, records.c.seq < young)
        query = select(records.c.seq, records.c.link).where(old).order_by(records.c.seq.desc()).limit(1)
        last = connection.execute(query).first()
        if last is None:
            continue
        cuts[chain] = (last.seq, bytes(last.link).hex())
        if left is not None:
            left -= last.seq - first + 1
            if left <= 0:
                break
    return cuts
