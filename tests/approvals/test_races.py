"""Races: however many try at once, one transition happens, and everyone is told the same story."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from policylayer.approvals.approvals import Approvals
from policylayer.clock import Clock
from policylayer.core.errors import ApprovalError
from policylayer.identity.person import Role
from policylayer.store.sqlite import SqliteStore
from tests.approvals.desk import KEYS, PATIENT, Bench, call, hold, make_event, person

pytestmark = pytest.mark.anyio

LEA, OLGA, ROOT = person("user:lea"), person("user:olga"), person("user:root", Role.ADMIN)


async def outcome(act: Any) -> str:
    """`ok` or why not."""
    try:
        await act
    except ApprovalError as error:
        return error.reason
    return "ok"


@pytest.mark.shows("proxy.8")
async def test_appr_01_a_hundred_approvals_at_once_are_one(bench: Bench) -> None:
    approval = await bench.hold()
    voters = [LEA, OLGA] * 50
    told = await asyncio.gather(*(outcome(bench.approvals.vote(approval, who, "approve")) for who in voters))
    assert (told.count("ok"), told.count("state")) == (1, 99)
    assert (await bench.events(approval)).count("approval.approved") == 1
    used = await asyncio.gather(*(bench.consume(approval) for _ in range(50)))
    assert used.count(True) == 1


@pytest.mark.shows("proxy.8")
async def test_appr_01_also_from_two_processes(bench: Bench) -> None:
    store = SqliteStore(bench.path, KEYS, Clock(), PATIENT)
    await store.start()
    other = Approvals(store, KEYS, bench.clock, lambda: bench.people, make_event(bench.clock))
    for number in range(10):
        approval = await bench.hold(call(number=number))
        desks = [bench.approvals, other] * 5
        told = await asyncio.gather(*(outcome(desk.vote(approval, LEA, "approve")) for desk in desks))
        assert told.count("ok") == 1
        uses = [
            at.record(lambda conn, add, by=by, approval=approval: by.consume(conn, add, approval))  # type: ignore[misc]
            for at, by in ((bench.store, bench.approvals), (store, other)) * 5
        ]
        assert (await asyncio.gather(*uses)).count(True) == 1
    await store.close()


@pytest.mark.shows("proxy.8")
async def test_appr_02_approving_against_denying(bench: Bench) -> None:
    chance = random.Random(8)

    async def one(number: int) -> None:
        approval = await bench.hold(call(number=number))
        acts = [
            bench.approvals.vote(approval, LEA, "approve"),
            bench.approvals.vote(approval, OLGA, "deny"),
        ]
        chance.shuffle(acts)
        told = await asyncio.gather(*(outcome(act) for act in acts))
        used = await bench.consume(approval)
        state = await bench.state(approval)
        assert sorted(told) == ["ok", "state"]
        assert (state, used) in {("consumed", True), ("denied", False)}

    for start in range(0, 1000, 100):
        await asyncio.gather(*(one(number) for number in range(start, start + 100)))


@pytest.mark.shows("proxy.8")
async def test_appr_07_fifty_that_use_one_approval(bench: Bench) -> None:
    for number in range(5):
        approval = await bench.hold(call(number=number))
        await bench.approvals.vote(approval, LEA, "approve")
        assert sum(await asyncio.gather(*(bench.consume(approval) for _ in range(50)))) == 1


@pytest.mark.shows("proxy.8")
async def test_two_that_make_up_a_quorum_at_once_do(bench: Bench) -> None:
    async def one(number: int) -> None:
        approval = await bench.hold(call(number=number), None, hold(quorum=2))
        votes = (bench.approvals.vote(approval, who, "approve") for who in (LEA, OLGA))
        assert [await outcome(vote) for vote in votes] == ["ok", "ok"]
        assert await bench.state(approval) == "approved"

    await asyncio.gather(*(one(number) for number in range(50)))


async def test_a_hundred_identical_calls_at_once_are_one_approval(bench: Bench) -> None:
    assert len(set(await asyncio.gather(*(bench.hold() for _ in range(100))))) == 1


async def test_withdrawing_against_using(bench: Bench) -> None:
    for number in range(20):
        approval = await bench.hold(call(number=number))
        await bench.approvals.vote(approval, LEA, "approve")
        used, told = await asyncio.gather(bench.consume(approval), outcome(bench.approvals.withdraw(approval, ROOT)))
        assert (await bench.state(approval), used, told) in {
            ("consumed", True, "state"),
            ("cancelled", False, "ok"),
        }
