"""What tests of limits share: charges, decisions, and a desk over a real database. Must not contain tests."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from policylayer.audit.hooks import Charged, Charging
from policylayer.clock import Clock
from policylayer.core.decision import Charge, Decision, Effect, HoldRule, ReasonCode, RuleRef
from policylayer.keys import Keys
from policylayer.limits.limits import Limits
from policylayer.limits.steady import Steady
from policylayer.store.rows import Row
from policylayer.store.store import Limits as StoreLimits
from policylayer.store.store import Program, Store, open_store
from tests.support.hand_clock import HandClock

KEYS = Keys([bytes(range(32))])
RULE = RuleRef("payments", "small", "payments.yaml", 1)
PATIENT = Program("serve", limits=StoreLimits(waiting=200_000, patience=300))


def charge(amount: str = "1", most: str = "10", window: int = 60, **more: Any) -> Charge:
    """One charge of the counter `payments/spend`."""
    counter, key = more.pop("counter", "payments/spend"), more.pop("key", '["agent:a"]')
    return Charge(counter, key, Decimal(amount), Decimal(most), window, more.pop("rule", RULE), **more)


def asking(amount: str = "1", most: str = "10", window: int = 60, **more: Any) -> Charge:
    """The same, with `over: require_approval`."""
    return charge(amount, most, window, hold=HoldRule(more.get("rule", RULE)), **more)


def allowed(*charges: Charge) -> Decision:
    """A decision that allows, and charges these."""
    return Decision(Effect.ALLOW, ReasonCode.RULE, Effect.ALLOW, "sha256:0", rules=(RULE,), charges=charges)


@dataclass
class Desk:
    """Limits over a store of its own, and the clock that it goes by."""

    limits: Limits
    store: Store
    clock: Clock
    url: str
    last: str = ""

    @property
    def hand(self) -> HandClock:
        """The clock as one that tests hold."""
        assert isinstance(self.clock, HandClock)
        return self.clock

    async def charge(self, *charges: Charge, approved: frozenset[str] = frozenset()) -> Charged:
        """Charge, as the transaction of a row does, and write the row."""
        row = Row(id=self.clock.new_id(), kind="decision", time_us=self.clock.time_us(), enforced="allow")

        def work(conn: Any, add: Any) -> Charged:
            charged = self.limits.charge(conn, Charging(allowed(*charges), row.id, approved))
            if charged.over is None:
                add(row._replace(charges=charged.charges))
                self.last = row.id
            return charged

        return await self.store.record(work)

    async def fits(self, *charges: Charge) -> bool:
        """Charge; whether it could be."""
        return (await self.charge(*charges)).over is None

    async def give_back(self, row_id: str) -> None:
        """Undo the charges of a row, as the transaction of its outcome does."""

        def work(conn: Any, add: Any) -> None:
            self.limits.give_back(conn, row_id)
            add(
                Row(
                    id=self.clock.new_id(),
                    kind="outcome",
                    time_us=self.clock.time_us(),
                    parent=row_id,
                    state="never_sent",
                )
            )

        await self.store.record(work)

    async def sql(self, statement: str) -> list[Any]:
        """What a statement answers."""
        return await self.store.read(lambda conn: list(conn.exec_driver_sql(statement).all()))

    async def again(self, clock: Clock | None = None) -> Desk:
        """Another process over the same database, once this one has ended."""
        await self.close()
        return await opened(self.url, clock or self.clock)

    async def close(self) -> None:
        """End it."""
        await self.limits.close()
        await self.store.close()


async def opened(url: str, clock: Clock, program: Program = PATIENT) -> Desk:
    """A desk over this database."""
    store = open_store(url, KEYS, Clock(), program)
    await store.start()
    limits = Limits(store, Steady(clock), KEYS)
    await limits.start()
    return Desk(limits, store, clock, url)


async def all_of(count: int, desk: Desk, *charges: Charge, at_once: int = 2000) -> int:
    """Charge so often, many at a time; how many could be."""
    left = iter(range(count))
    done = 0

    async def caller() -> None:
        nonlocal done
        for _ in left:
            fits = await desk.fits(*charges)
            done += fits

    await asyncio.gather(*(caller() for _ in range(at_once)))
    return done
