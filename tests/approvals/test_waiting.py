"""Waiting: woken when settled, however many wait; a client that goes away ends its wait and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from policylayer.approvals import waiting
from policylayer.approvals.approvals import Approvals
from policylayer.clock import Clock
from policylayer.core.commands import Waited
from policylayer.core.errors import AuditUnavailable
from policylayer.core.satisfied import by_these
from policylayer.store.sqlite import SqliteStore
from tests.approvals.desk import KEYS, PATIENT, Bench, call, caller, hold, make_event, person

pytestmark = pytest.mark.anyio

LEA = person("user:lea")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.shows("proxy.8")
async def test_a_vote_wakes_everyone_who_waits_and_one_of_them_uses_it(bench: Bench) -> None:
    approval = await bench.hold()
    end = bench.clock.monotonic() + 60
    waits = [asyncio.ensure_future(bench.approvals.wait(approval, end)) for _ in range(50)]
    await until(lambda: bench.approvals.waiters(approval) == 50)
    assert (await bench.approvals.get(approval))["waiters"] == 50
    await bench.approvals.vote(approval, LEA, "approve")
    assert {each.state for each in await asyncio.gather(*waits)} == {"approved"}
    assert bench.approvals.waiters(approval) == 0
    used = await asyncio.gather(*(bench.consume(approval) for _ in range(50)))
    assert sum(used) == 1
    late = await bench.approvals.wait(approval, end)  # used meanwhile: it tries too, and is told so there
    assert late.state == "approved"


async def test_one_change_is_one_query_for_all_who_wait(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "POLL", 3600)
    ids = [await bench.hold(call(number=number)) for number in range(300)]
    end = bench.clock.monotonic() + 60
    waits = {each: asyncio.ensure_future(bench.approvals.wait(each, end)) for each in ids}
    await until(lambda: all(bench.approvals.waiters(each) for each in ids))
    reads = 0
    read = bench.store.read

    async def counted(fn: Callable[[Connection], Any]) -> Any:
        nonlocal reads
        reads += 1
        return await read(fn)

    monkeypatch.setattr(bench.store, "read", counted)
    await bench.approvals.vote(ids[0], LEA, "approve")
    assert (await waits.pop(ids[0])).state == "approved"
    assert reads <= 3
    for task in waits.values():
        task.cancel()
    await asyncio.gather(*waits.values(), return_exceptions=True)


@pytest.mark.shows("proxy.8")
async def test_waiting_too_long_leaves_it_pending(bench: Bench) -> None:
    approval = await bench.hold()
    waited = await bench.approvals.wait(approval, bench.clock.monotonic() + 0.05)
    assert waited == Waited("pending", approval)
    assert await bench.state(approval) == "pending"


@pytest.mark.shows("proxy.8")
async def test_appr_19_a_client_that_goes_away_ends_only_its_wait(bench: Bench) -> None:
    approval = await bench.hold()
    wait = asyncio.ensure_future(bench.approvals.wait(approval, bench.clock.monotonic() + 60))
    await until(lambda: bench.approvals.waiters(approval) == 1)
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait
    assert (await bench.approvals.get(approval))["waiters"] == 0
    shown = await bench.approvals.vote(approval, LEA, "approve")
    assert (shown["state"], shown["consumed_at"]) == ("approved", None)  # nothing runs without a live call
    bench.clock.advance(3600)
    await bench.approvals.sweep()
    assert await bench.state(approval) == "expired"


@pytest.mark.shows("proxy.8")
async def test_a_wait_ends_when_the_approval_does(bench: Bench) -> None:
    approval = await bench.hold()
    wait = asyncio.ensure_future(bench.approvals.wait(approval, bench.clock.monotonic() + 9999))
    await until(lambda: bench.approvals.waiters(approval) == 1)
    bench.clock.advance(3600)
    await bench.approvals.sweep()
    assert (await wait).state == "expired"


async def test_another_process_that_decides_wakes_us(bench: Bench) -> None:
    store = SqliteStore(bench.path, KEYS, Clock(), PATIENT)
    await store.start()
    other = Approvals(store, KEYS, bench.clock, lambda: bench.people, make_event(bench.clock))
    approval = await bench.hold()
    wait = asyncio.ensure_future(bench.approvals.wait(approval, bench.clock.monotonic() + 60))
    await until(lambda: bench.approvals.waiters(approval) == 1)
    assert (await other.vote(approval, LEA, "deny", "no"))["state"] == "denied"
    async with asyncio.timeout(20):
        assert await wait == Waited("denied", approval, by_these([hold()]), "no")
    await store.close()


async def test_a_database_that_does_not_answer_is_asked_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "POLL", 0.01)
    approval = await bench.hold(None, None, hold())
    read, failures = bench.store.read, 0

    async def failing(fn: Callable[[Connection], Any]) -> Any:
        nonlocal failures
        failures += 1
        if failures < 3:
            raise AuditUnavailable("away")
        return await read(fn)

    monkeypatch.setattr(bench.store, "read", failing)
    wait = asyncio.ensure_future(bench.approvals.wait(approval, bench.clock.monotonic() + 60))
    await until(lambda: failures >= 3)
    await bench.approvals.vote(approval, LEA, "approve")
    assert (await wait).state == "approved"


@pytest.mark.parametrize("failure", [AuditUnavailable("away"), ValueError("odd")])
async def test_the_sweeper_runs_by_itself_and_survives_a_failure(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    monkeypatch.setattr("policylayer.approvals.approvals.SWEEP", 0.01)
    approvals = Approvals(bench.store, KEYS, bench.clock, lambda: bench.people, make_event(bench.clock))
    await bench.hold(None, caller(), hold(expires=1))
    real, failed = approvals.sweep, asyncio.Event()

    async def sweep() -> int:
        if not failed.is_set():
            failed.set()
            raise failure
        return await real()

    monkeypatch.setattr(approvals, "sweep", sweep)
    await approvals.start()
    await failed.wait()
    bench.clock.advance(1)
    async with asyncio.timeout(20):
        while "approval.expired" not in await bench.events():
            await asyncio.sleep(0.01)
    await approvals.close()
