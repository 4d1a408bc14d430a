"""Ten thousand concurrent operations from two processes' stores: each approval's history has an order that explains it.

And the answers are durable: a store that is opened afterwards finds the last state of each.
"""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest

from policylayer.approvals.approvals import Approvals
from policylayer.clock import Clock
from policylayer.core.errors import ApprovalError
from policylayer.identity.person import Role
from policylayer.store.sqlite import SqliteStore
from tests.approvals.desk import KEYS, PATIENT, Bench, call, make_event, person
from tests.approvals.linear import Operation, explains

pytestmark = pytest.mark.anyio

LEA, OLGA, ROOT = person("user:lea"), person("user:olga"), person("user:root", Role.ADMIN)
NAMES = ("approve", "approve", "deny", "use", "use", "withdraw", "get", "get")
APPROVALS, WORKERS, STEPS = 500, 4, 5


async def ask(store: SqliteStore, approvals: Approvals, approval: str, name: str) -> str:
    """Do one operation; its answer as `linear.apply` words it."""
    try:
        if name == "get":
            return str((await approvals.get(approval))["state"])
        if name == "use":
            used = await store.record(lambda conn, add: approvals.consume(conn, add, approval))
            return "used" if used else "not used"
        if name == "withdraw":
            await approvals.withdraw(approval, ROOT)
        elif name == "approve":
            await approvals.vote(approval, LEA, "approve")
        else:
            await approvals.vote(approval, OLGA, "deny")
    except ApprovalError as error:
        return f"refused: {error.state or error.reason}"
    return "ok"


@pytest.mark.shows("proxy.8")
async def test_ten_thousand_operations_have_an_order_that_explains_them(bench: Bench) -> None:
    store = SqliteStore(bench.path, KEYS, Clock(), PATIENT)
    await store.start()
    other = Approvals(store, KEYS, bench.clock, lambda: bench.people, make_event(bench.clock))
    chance, moments = random.Random(23), itertools.count()
    desks = [(bench.store, bench.approvals), (store, other)]
    histories: dict[str, list[Operation]] = {}

    async def work(approval: str, desk: tuple[SqliteStore, Approvals]) -> None:
        for _ in range(STEPS):
            name = chance.choice(NAMES)
            began = next(moments)
            answer = await ask(*desk, approval, name)
            histories[approval].append(Operation(name, answer, began, next(moments)))

    for start in range(0, APPROVALS, 100):
        ids = await asyncio.gather(*(bench.hold(call(number=start + number)) for number in range(100)))
        histories |= {approval: [] for approval in ids}
        await asyncio.gather(*(work(each, desks[number % 2]) for each in ids for number in range(WORKERS)))
    await store.close()
    assert sum(map(len, histories.values())) == APPROVALS * WORKERS * STEPS
    assert all(explains(history) for history in histories.values())
    for approval, history in histories.items():
        last = Operation("get", await bench.state(approval), next(moments), next(moments))
        assert explains([*history, last])


def test_the_check_itself_sees_what_cannot_be() -> None:
    def told(*operations: tuple[str, str, int, int]) -> bool:
        return explains([Operation(*each) for each in operations])

    assert told(("approve", "ok", 0, 1), ("use", "used", 2, 3), ("use", "not used", 4, 5))
    assert told(("use", "used", 0, 9), ("approve", "ok", 1, 2))
    assert not told(("use", "used", 0, 1), ("approve", "ok", 2, 3))
    assert not told(("approve", "ok", 0, 1), ("use", "used", 2, 5), ("use", "used", 2, 5))
    assert not told(("approve", "ok", 0, 3), ("deny", "ok", 0, 3))
    assert not told(("approve", "ok", 0, 3), ("deny", "refused: consumed", 0, 3))
    assert not told(("deny", "ok", 0, 1), ("get", "pending", 2, 3))
