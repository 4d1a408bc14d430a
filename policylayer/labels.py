"""Labels: what a grant has touched (`untrusted`), or earned (`tests-passed`), on all servers, for a while.

They stand in the database, written in the transaction of the row that sets them, so they survive restarts and reach
every replica; each process holds them in memory, because every call asks. A label never ends but by time, which is
`limits/steady.py`'s: setting a clock sheds none. Must not know which rule sets a label (`policy/`) nor what reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, delete, select, update

from policylayer.core.call import Caller
from policylayer.core.decision import Decision
from policylayer.core.immutable import immutable
from policylayer.limits.steady import Steady
from policylayer.store.followed import Followed
from policylayer.store.once import insert_new
from policylayer.store.rows import storable
from policylayer.store.store import Store, Topic
from policylayer.store.tables import labels, records

FRESH: Final = 256
"""A label that was set within the last of so many parts of its window is not written again."""

MOST: Final = 50_000
"""Holders in memory before those whose labels are over are dropped."""

SECOND_US: Final = 1_000_000
NONE: Final[frozenset[str]] = frozenset()

Held = dict[str, int]
"""Labels, and when each is over."""


@immutable
class Marks:
    """Labels that a holder is to carry, each until a time."""

    holder: str
    until_us: Mapping[str, int]


class Labels:
    """The labels of all grants. `start` before the first call; `followed` says whether they are up to date."""

    def __init__(self, store: Store, steady: Steady, window: int) -> None:
        self._store = store
        self._steady = steady
        self._window_us = window * SECOND_US
        self._held: dict[str, Held] = {}
        self.followed = Followed(store, "labels", _all, self._take)

    async def start(self) -> None:
        """Read them, and follow changes."""
        for _, _, set_us, _ in await self._store.read(_all):
            self._steady.at_least(set_us)
        await self._store.write(self._prune)
        await self.followed.start()

    async def close(self) -> None:
        """Stop following."""
        await self.followed.close()

    # --- the data path ------------------------------------------------------------------------------------------------

    def of(self, caller: Caller) -> frozenset[str]:
        """The labels that a caller's grant carries now."""
        held = self._held.get(_holder_of(caller)) if self._held else None
        if not held:
            return NONE
        now = self._steady.now_us()
        return frozenset(label for label, until_us in held.items() if until_us > now)

    def tainting(self, caller: Caller, decision: Decision) -> Marks | None:
        """What a row that forwards has to set; None where nothing is new."""
        wanted = decision.obligations.label
        if not wanted:
            return None
        holder, now = _holder_of(caller), self._steady.now_us()
        held, soon = self._held.get(holder, {}), now + self._window_us - self._window_us // FRESH
        new = {label: now + self._window_us for label in sorted(wanted) if held.get(label, 0) < soon}
        return Marks(holder, new) if new else None

    def keep(self, marks: Marks) -> None:
        """They are durable: from the next decision on they are seen."""
        held = self._held.setdefault(marks.holder, {})
        for label, until_us in marks.until_us.items():
            held[label] = max(until_us, held.get(label, 0))
        if len(self._held) > MOST:
            self._drop()

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Whom to tell: a file has no replicas."""
        return ("labels",) if self._store.dialect == "postgresql" else ()

    # --- inside the transaction of a row ------------------------------------------------------------------------------

    def write(self, conn: Connection, marks: Marks, row_id: str) -> None:
        """Set them, each at least until its time."""
        now = self._steady.now_us()
        for label, until_us in marks.until_us.items():
            values = {"record_id": row_id, "set_us": now, "until_us": until_us}
            place = {"grant_id": marks.holder, "label": label}
            if conn.execute(insert_new(conn, labels).values(**place, **values)).rowcount == 0:
                mine = (labels.c.grant_id == marks.holder) & (labels.c.label == label)
                conn.execute(update(labels).where(mine, labels.c.until_us < until_us).values(**values))

    def earn(self, conn: Connection, row_id: str, earned: Mapping[str, int], outcome_id: str) -> Marks:
        """Set what the call of this row has earned, each for so many seconds."""
        row = conn.execute(select(records.c.grant_id, records.c.principal).where(records.c.id == row_id)).one()
        now = self._steady.now_us()
        until = {label: now + seconds * SECOND_US for label, seconds in sorted(earned.items())}
        marks = Marks(_holder(row.grant_id, row.principal), until)
        self.write(conn, marks, outcome_id)
        return marks

    # --- in step with the database ------------------------------------------------------------------------------------

    def _take(self, found: list[tuple[str, str, int, int]]) -> None:
        for holder, label, _, until_us in found:
            self.keep(Marks(holder, {label: until_us}))

    def _drop(self) -> None:
        now = self._steady.now_us()
        self._held = {
            holder: held for holder, held in self._held.items() if any(until_us > now for until_us in held.values())
        }

    def _prune(self, conn: Connection) -> None:
        conn.execute(delete(labels).where(labels.c.until_us <= self._steady.now_us()))


def _holder_of(caller: Caller) -> str:
    return _holder(caller.grant.id if caller.grant else None, storable(caller.subject.id))


def _holder(grant_id: str | None, principal: str) -> str:
    """Whose label it is: the grant's; where there is none, the principal's."""
    return grant_id or f"principal {principal}"


def _all(conn: Connection) -> list[tuple[str, str, int, int]]:
    query = select(labels.c.grant_id, labels.c.label, labels.c.set_us, labels.c.until_us)
    return [(row.grant_id, row.label, row.set_us, row.until_us) for row in conn.execute(query)]
