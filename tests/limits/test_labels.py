"""Labels over both databases: set with the row, seen by the next decision, on all servers, until their time is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from policylayer.audit.hooks import Hooks
from policylayer.audit.recorder import Recorder
from policylayer.clock import Clock
from policylayer.core.call import Caller, Grant, Subject
from policylayer.core.commands import Outcome, OutcomeState, Recorded, RecordOutcome
from policylayer.core.decision import Effect, Obligations
from policylayer.labels import Labels
from policylayer.limits.steady import Steady
from policylayer.store.store import Store, open_store
from tests.audit.support import KEYS, context, decision, record
from tests.limits.desk import PATIENT
from tests.support.hand_clock import HandClock

pytestmark = pytest.mark.anyio
WINDOW = 12 * 3600
TAINTS = Obligations(label=frozenset({"untrusted"}))
EARNS = Obligations(earn={"tests-passed": 1800})
GOOD = Outcome(OutcomeState.EXECUTED, succeeded=True)
CALLER = context().caller
OTHER = Caller(Subject("agent:refund-bot"), grant=Grant("g-2", "desktop", frozenset({"shop"})))
LOCAL = Caller(Subject("agent:dev"))


@dataclass
class Process:
    """One process over the database."""

    store: Store
    labels: Labels
    recorder: Recorder
    clock: HandClock

    async def call(self, obligations: Obligations, caller: Caller = CALLER, **more: Any) -> str:
        """A row that lets a call through; its id."""
        wish = record(**{"obligations": obligations, **more})
        reply = await self.recorder.record(wish, replace(context(), caller=caller))
        assert isinstance(reply, Recorded), reply
        return reply.row_id

    async def ends(self, row_id: str, outcome: Outcome, obligations: Obligations = EARNS) -> None:
        """The outcome of it."""
        await self.recorder.outcome(RecordOutcome(row_id, outcome, decision(obligations=obligations)))

    async def close(self) -> None:
        """End it."""
        await self.labels.close()
        await self.recorder.close()
        await self.store.close()


async def started(url: str, clock: HandClock) -> Process:
    store = open_store(url, KEYS, Clock(), PATIENT)
    await store.start()
    labels = Labels(store, Steady(clock), WINDOW)
    await labels.start()
    recorder = Recorder(store, KEYS, Clock(), hooks=Hooks(labels=labels))
    await recorder.start()
    return Process(store, labels, recorder, clock)


@pytest.fixture
async def process(url: str) -> AsyncIterator[Process]:
    made = await started(url, HandClock())
    yield made
    await made.close()


async def test_a_taint_is_seen_by_the_next_decision_and_by_no_other_grants(process: Process) -> None:
    assert process.labels.of(CALLER) == frozenset()
    await process.call(TAINTS)
    assert process.labels.of(CALLER) == {"untrusted"}
    assert process.labels.of(replace(CALLER, on_behalf_of=Subject("user:alice"))) == {"untrusted"}
    assert process.labels.of(OTHER) == process.labels.of(LOCAL) == frozenset()


async def test_a_caller_without_a_grant_is_labelled_by_its_name(process: Process) -> None:
    await process.call(TAINTS, LOCAL)
    assert process.labels.of(LOCAL) == {"untrusted"}
    assert process.labels.of(Caller(Subject("agent:other"))) == frozenset()


async def test_what_is_denied_or_held_taints_nobody(process: Process) -> None:
    await process.call(TAINTS, effect=Effect.DENY)
    assert process.labels.of(CALLER) == frozenset()


async def test_a_taint_ends_a_window_after_it_was_last_set(process: Process) -> None:
    await process.call(TAINTS)
    process.clock.advance(WINDOW - 1)
    assert process.labels.of(CALLER) == {"untrusted"}
    await process.call(TAINTS)
    process.clock.advance(WINDOW - 1)
    assert process.labels.of(CALLER) == {"untrusted"}
    process.clock.advance(1)
    assert process.labels.of(CALLER) == frozenset()


@pytest.mark.parametrize("jump", [3600, -3600, 365 * 86400, -365 * 86400])
async def test_setting_the_clock_sheds_no_label(process: Process, jump: int) -> None:
    """R-10."""
    await process.call(TAINTS)
    process.clock.jump(jump)
    assert process.labels.of(CALLER) == {"untrusted"}
    process.clock.advance(WINDOW)
    assert process.labels.of(CALLER) == frozenset()


async def test_a_label_that_is_fresh_is_not_written_again(process: Process) -> None:
    first = await process.call(TAINTS)
    await process.call(TAINTS)
    process.clock.advance(WINDOW / 300)
    await process.call(TAINTS)
    assert await of_row(process) == [("untrusted", first)]
    process.clock.advance(WINDOW / 300)
    later = await process.call(TAINTS)
    assert await of_row(process) == [("untrusted", later)]


async def of_row(process: Process) -> list[tuple[str, str]]:
    query = "SELECT label, record_id FROM labels"
    return await process.store.read(lambda conn: [tuple(row) for row in conn.exec_driver_sql(query)])  # type: ignore[misc]


async def test_success_earns_for_a_time(process: Process) -> None:
    row = await process.call(EARNS)
    assert process.labels.of(CALLER) == frozenset()
    await process.ends(row, GOOD)
    assert process.labels.of(CALLER) == {"tests-passed"}
    assert process.labels.of(OTHER) == frozenset()
    process.clock.advance(1799)
    assert process.labels.of(CALLER) == {"tests-passed"}
    process.clock.advance(1)
    assert process.labels.of(CALLER) == frozenset()


@pytest.mark.parametrize("state", OutcomeState)
async def test_nothing_else_earns(process: Process, state: OutcomeState) -> None:
    await process.ends(await process.call(EARNS), Outcome(state))
    assert process.labels.of(CALLER) == frozenset()


async def test_a_shorter_earning_takes_nothing_from_a_taint(process: Process) -> None:
    await process.call(TAINTS)
    earns = Obligations(earn={"untrusted": 5})
    await process.ends(await process.call(earns), GOOD, earns)
    process.clock.advance(60)
    assert process.labels.of(CALLER) == {"untrusted"}


async def test_labels_survive_a_restart_and_old_ones_are_removed(process: Process, url: str) -> None:
    await process.call(TAINTS)
    await process.ends(await process.call(EARNS, OTHER), GOOD)
    await process.close()
    process.clock.advance(3600)
    process.clock.jump(-86400)
    again = await started(url, process.clock)
    try:
        assert again.labels.of(CALLER) == {"untrusted"}
        assert again.labels.of(OTHER) == {"tests-passed"}
        again.clock.advance(1800)
        assert again.labels.of(OTHER) == frozenset()
        await again.close()
        again = await started(url, process.clock)
    finally:
        await again.close()


async def test_replicas_see_each_others_labels(postgres: str) -> None:
    one, two = await started(postgres, HandClock()), await started(postgres, HandClock())
    try:
        await one.call(TAINTS)
        async with asyncio.timeout(10):
            while "untrusted" not in two.labels.of(CALLER):
                await asyncio.sleep(0.02)  # it hears of the change, then reads it: there is no event for the second
        assert two.labels.of(OTHER) == frozenset()
    finally:
        await one.close()
        await two.close()
