"""Limits for the rest of the program: charged in the transaction of the row that forwards a call, all or none.

`charge`, `exceeded` and `give_back` run inside the decision log's transactions (`audit/hooks.py`). What was charged is
written into the row, so the counters can be made again from the log (`rebuild.py`). Must not know what a limit is
about, nor how an approval that permits more came to be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Final

import orjson
from sqlalchemy import Connection, select

from policylayer.audit.hooks import Charged, Charging
from policylayer.audit.marks import keys_of
from policylayer.core.decision import Charge
from policylayer.core.satisfied import is_satisfied
from policylayer.keys import Keys
from policylayer.limits import counters, mark, rebuild
from policylayer.limits.counters import Name
from policylayer.limits.steady import Steady
from policylayer.limits.window import SECOND_US, Entry, living, retry_after, shared, used
from policylayer.policy.decide import over_limit
from policylayer.policy.numbers import add
from policylayer.store.rows import storable
from policylayer.store.store import Store
from policylayer.store.tables import records
from policylayer.tasks import beat, keep_on, spawn

TICK: Final = 1.0
"""Seconds between notes of the time, where several processes share the counters."""

PRUNE_EVERY: Final = 60
"""Ticks between looks for entries that are over."""

PRUNED: Final = 500
"""Rows removed in one transaction."""


class Limits:
    """The counters of one database. `start` before the first call."""

    def __init__(self, store: Store, steady: Steady, keys: Keys) -> None:
        self._store = store
        self._steady = steady
        self._keys = keys
        self._charged = False
        self._ticks = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make the counters from the log where they are missing, and begin where time has been."""
        await rebuild.ensure(self._store, self._steady)
        self._steady.at_least(await self._store.read(counters.latest_us))
        self._steady.at_least(await self._store.read(mark.seen))
        self._task = spawn(keep_on(self._tick, "counters cannot be kept"), "limits")

    async def close(self) -> None:
        """Stop keeping house."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # --- inside the transaction of a row ------------------------------------------------------------------------------

    def charge(self, conn: Connection, charging: Charging) -> Charged:
        """Charge everything the decision says, or nothing, and the decision that says what is exceeded."""
        charges = charging.decision.charges
        names = self._names(charges)
        until: dict[Name, int] = {}
        for each in charges:
            for name in names[each.counter, each.key]:
                until[name] = self._steady.now_us() + 2 * each.window * SECOND_US
        counters.queue(conn, until)
        standing = self._standing(conn, charges, names)
        over = [charge for charge in charges if standing.exceeds(charge) and not _permitted(charge, charging.approved)]
        if over:
            return Charged(over=over_limit(charging.decision, over, frozenset(), standing.wait(over)))
        self._charged = True
        return Charged(charges=standing.charge(conn))

    def exceeded(self, conn: Connection, charges: Iterable[Charge]) -> tuple[Charge, ...]:
        """Those that could not be charged now."""
        wanted = tuple(charges)
        return tuple(filter(self._standing(conn, wanted, self._names(wanted)).exceeds, wanted))

    def give_back(self, conn: Connection, row_id: str) -> None:
        """Undo what a row charged: nothing of it reached the server."""
        text = conn.scalar(select(records.c.charges).where(records.c.id == row_id))
        for each in sorted(orjson.loads(text or "[]"), key=lambda each: (each["counter"], each["key"])):
            if "bucket" in each:
                counters.give_back(conn, (each["counter"], each["key"]), each["bucket"], Decimal(each["amount"]))

    def _names(self, charges: Iterable[Charge]) -> dict[Name, tuple[Name, ...]]:
        """Each counter's name, and those that it had under earlier keys: what was charged there counts too."""
        return {
            (each.counter, each.key): tuple((storable(each.counter), key) for key in keys_of(self._keys, each))
            for each in charges
        }

    def _standing(self, conn: Connection, charges: Iterable[Charge], names: Mapping[Name, Sequence[Name]]) -> _Standing:
        every = sorted({name for several in names.values() for name in several})
        found = {name: counters.entries(conn, name) for name in every}
        latest = max((entry.at_us for entries in found.values() for entry in entries), default=0)
        # Another process may be ahead of this one.
        self._steady.at_least(latest)
        return _Standing(self._steady.now_us(), charges, names, found)

    # --- housekeeping -------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        # Only replicas have to keep step with each other; one alone has nothing to do between two prunings.
        shared = self._store.dialect == "postgresql"
        seconds, prune_every = (TICK, PRUNE_EVERY) if shared else (TICK * PRUNE_EVERY, 1)
        await beat(seconds)
        self._ticks += 1
        if self._charged and shared:
            self._charged = False
            self._steady.at_least(await self._store.write(partial(mark.note, now_us=self._steady.now_us())))
        if self._ticks % prune_every == 0:
            await self.prune()

    async def prune(self) -> int:
        """Remove entries that do not count any more; how many."""
        removed, now_us = 0, self._steady.now_us()
        while await self._store.read(partial(counters.expired, now_us=now_us, most=1)):
            removed += await self._store.write(partial(counters.prune, now_us=now_us, most=PRUNED))
        return removed


class _Standing:
    """How the counters of one call stand. `names` are those of each, the one that it is charged under first."""

    def __init__(
        self,
        now_us: int,
        charges: Iterable[Charge],
        names: Mapping[Name, Sequence[Name]],
        found: Mapping[Name, Sequence[Entry]],
    ) -> None:
        self.now_us = now_us
        self._once = {names[each.counter, each.key][0]: each for each in charges}
        self._found = {name: found[name] for name in self._once}
        self._living: dict[Name, list[Entry]] = {}
        self._counted: dict[Name, list[Entry]] = {}
        for each in self._once.values():
            window_us = each.window * SECOND_US
            own, *before = [living(found[name], now_us, window_us) for name in names[each.counter, each.key]]
            self._living[names[each.counter, each.key][0]] = own
            self._counted[each.counter, each.key] = [*own, *(entry for entries in before for entry in entries)]
        self._used = {name: used(entries) for name, entries in self._counted.items()}

    def exceeds(self, charge: Charge) -> bool:
        """Whether the charge would be too much."""
        return add(self._used[charge.counter, charge.key], charge.amount) > charge.max

    def wait(self, over: Iterable[Charge]) -> int | None:
        """Seconds until all of these fit, or None where one never does."""
        counted = self._counted
        waits = [retry_after(counted[each.counter, each.key], self.now_us, each.amount, each.max) for each in over]
        known = [wait for wait in waits if wait is not None]
        return max(known) if len(known) == len(waits) else None

    def charge(self, conn: Connection) -> str:
        """Write the charges; what the row says of them."""
        made: list[tuple[Name, Entry]] = []
        said = []
        for name, charge in self._once.items():
            entry = Entry(self.now_us, charge.amount, self.now_us + charge.window * SECOND_US)
            into = shared(self._living[name], self.now_us, charge.window * SECOND_US)
            said.append(_said(name, charge, self.now_us, into.at_us if into else self.now_us))
            if not charge.amount:
                continue
            if into is None:
                made.append((name, entry))
            else:
                more = add(into.amount, charge.amount)
                counters.change(conn, name, Entry(into.at_us, more, max(into.until_us, entry.until_us)))
        counters.insert(conn, made)
        self._forget(conn)
        return orjson.dumps(said).decode()

    def _forget(self, conn: Connection) -> None:
        """Remove what is over, of the counters that are charged anyway."""
        for name, entries in self._found.items():
            count = {entry.at_us for entry in self._living[name]}
            counters.remove(conn, name, [each.at_us for each in entries if each.at_us not in count | {self.now_us}])


def _said(name: Name, charge: Charge, at_us: int, bucket_us: int) -> dict[str, object]:
    return {
        "counter": name[0],
        "key": name[1],
        "amount": str(charge.amount),
        "window": charge.window,
        "at": at_us,
        "bucket": bucket_us,
    }


def _permitted(charge: Charge, approved: frozenset[str]) -> bool:
    """Whether approvers of its rule were told that this limit is exceeded."""
    if charge.hold is None or charge.permission not in approved:
        return False
    return is_satisfied(charge.rule.name, charge.hold, approved)
