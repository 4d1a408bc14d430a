"""What is kept of an approval: sealed while it lives, erased when it ends; and every other way by which it ends."""

from __future__ import annotations

from typing import Any

import pytest

from policylayer.approvals.approvals import Approvals
from policylayer.core.commands import Round
from policylayer.keys import Keys
from tests.approvals.desk import KEYS, Bench, call, caller, hold, make_event, person
from tests.approvals.people import HOUR, LEA, ROOT, refused

pytestmark = pytest.mark.anyio

ALL_BUT_THE_LAST = "substr(arguments_sealed, 1, length(arguments_sealed) - 1)"
ANOTHER = "CASE substr(arguments_sealed, -1) WHEN x'78' THEN 'y' ELSE 'x' END"

ALTERATIONS = [
    ("arguments_sealed = zeroblob(80)", ()),
    (f"arguments_sealed = CAST({ALL_BUT_THE_LAST} || {ANOTHER} AS BLOB)", ()),
    ("arguments_sealed = 'text'", ()),
    ("arguments_sealed = NULL", ()),
    ("target = 'wipe'", ()),
    ("server = 'files'", ()),
    ("principal = 'agent:evil'", ()),
    ("expires_us = expires_us + 1", ()),
    ("rules = replace(rules, 'group:leads', 'user:evil')", ()),
    ("rules = '[]'", ()),
    ("rules = 'nonsense'", ()),
    ("satisfied = '[\"p/other\"]'", ()),
    ("digest = 'AAAA'", ()),
]


@pytest.mark.shows("proxy.8")
@pytest.mark.parametrize(("change", "values"), ALTERATIONS, ids=range(len(ALTERATIONS)))
@pytest.mark.parametrize("when", ["pending", "approved", "waiting"])
async def test_appr_06_an_altered_row_is_refused_and_told(bench: Bench, change: str, values: Any, when: str) -> None:
    bench.people.groups = {"leads": {"user:lea"}}
    rule = hold("a", "group:leads")
    approval = await bench.hold(None, None, rule)
    if when != "pending":
        await bench.approvals.vote(approval, LEA, "approve")
    bench.alter(f"UPDATE approvals SET {change} WHERE id = ?", *values, approval)
    assert (await bench.approvals.get(approval))["altered"]
    assert await bench.approvals.seek(caller(), call()) is None
    if when == "pending":
        assert (await refused(bench.approvals.vote(approval, person("user:lea"), "approve"))).reason in (
            "state",
            "not_an_approver",
        )
        assert not await bench.consume(approval)
    elif when == "waiting":
        assert (await bench.approvals.wait(approval, bench.clock.monotonic() + 10)).state == "cancelled"
    else:
        assert not await bench.consume(approval)
    assert await bench.hold(None, None, rule) != approval
    assert (await bench.events(approval))[-1] == "approval.tampered"
    assert await bench.state(approval) == "cancelled"


async def test_sealed_arguments_of_another_approval_do_not_fit(bench: Bench) -> None:
    small, large = await bench.hold(call(amount=1)), await bench.hold(call(amount=1000))
    await bench.approvals.vote(small, LEA, "approve")
    bench.alter(
        "UPDATE approvals SET arguments_sealed = (SELECT arguments_sealed FROM approvals WHERE id = ?) WHERE id = ?",
        large,
        small,
    )
    assert not await bench.consume(small)


@pytest.mark.shows("proxy.8")
async def test_arguments_survive_a_restart_are_sealed_at_rest_and_erased_at_the_end(bench: Bench) -> None:
    approval = await bench.hold(call(secret="hunter2-canary"), arguments='{"secret": "***"}')
    again = Approvals(bench.store, KEYS, bench.clock, lambda: bench.people, make_event(bench.clock))
    assert (await again.get(approval))["arguments"] == {"secret": "hunter2-canary"}
    rotated = Keys([bytes(range(1, 33)), bytes(range(32))])
    turned = Approvals(bench.store, rotated, bench.clock, lambda: bench.people, make_event(bench.clock))
    assert (await turned.get(approval))["arguments"] == {"secret": "hunter2-canary"}
    assert await turned.seek(caller(), call(secret="hunter2-canary")) is not None
    stranger = Approvals(bench.store, Keys([bytes(range(2, 34))]), bench.clock, lambda: bench.people, lambda *_: None)  # type: ignore[arg-type,return-value]
    assert (await stranger.get(approval))["altered"]
    await bench.approvals.vote(approval, LEA, "deny")
    shown = await bench.approvals.get(approval)
    assert (shown["arguments"], shown["arguments_complete"]) == ({"secret": "***"}, False)
    sealed = await bench.store.read(
        lambda conn: conn.exec_driver_sql("SELECT count(*) FROM approvals WHERE arguments_sealed IS NOT NULL").scalar()
    )
    assert sealed == 0
    assert not any(b"hunter2-canary" in file.read_bytes() for file in bench.path.parent.iterdir())


@pytest.mark.shows("proxy.8")
@pytest.mark.parametrize("approved", [False, True])
async def test_withdrawing_needs_an_operator_and_ends_it(bench: Bench, approved: bool) -> None:
    approval = await bench.hold()
    if approved:
        await bench.approvals.vote(approval, LEA, "approve")
    assert (await refused(bench.approvals.withdraw(approval, LEA))).reason == "not_an_approver"
    shown = await bench.approvals.withdraw(approval, ROOT, "duplicate")
    assert (shown["state"], shown["note"], shown["decided_by"]) == ("cancelled", "duplicate", "user:root")
    assert (await refused(bench.approvals.withdraw(approval, ROOT))).state == "cancelled"
    assert not await bench.consume(approval)
    assert await bench.hold() != approval


async def test_an_agent_withdraws_its_own_and_no_other(bench: Bench) -> None:
    approval = await bench.hold()
    assert not await bench.approvals.withdraw_own(approval, caller("agent:other"))
    assert not await bench.approvals.withdraw_own(approval, caller(grant="g2"))
    assert not await bench.approvals.withdraw_own("apr_x", caller())
    assert await bench.approvals.withdraw_own(approval, caller())
    assert not await bench.approvals.withdraw_own(approval, caller())
    assert await bench.state(approval) == "cancelled"


@pytest.mark.shows("proxy.8")
async def test_revoking_a_grant_and_freezing_end_what_they_concern(bench: Bench) -> None:
    ids = {
        "g1": await bench.hold(call(n=1), caller(grant="g1")),
        "g2": await bench.hold(call(n=2), caller(grant="g2")),
        "carl": await bench.hold(call(n=3), caller("agent:x", "g3", "user:carl")),
        "files": await bench.hold(call(n=4, server="files"), caller(grant="g4")),
    }
    await bench.approvals.vote(ids["g1"], LEA, "approve")

    async def live() -> set[str]:
        return {name for name, each in ids.items() if await bench.state(each) in ("pending", "approved")}

    assert await bench.store.record(lambda c, add: bench.approvals.cancel_for_grant(c, add, "g1", "user:root")) == 1
    assert await live() == {"g2", "carl", "files"}
    freeze = bench.approvals.cancel_for_freeze
    assert await bench.store.record(lambda c, add: freeze(c, add, "principal", "user:carl", "user:root")) == 1
    assert await bench.store.record(lambda c, add: freeze(c, add, "server", "files", "user:root")) == 1
    assert await live() == {"g2"}
    assert await bench.store.record(lambda c, add: freeze(c, add, "all", None, "user:root")) == 1
    assert await live() == set()


@pytest.mark.shows("proxy.8")
@pytest.mark.parametrize("how", ["withdrawn", "frozen", "revoked", "cancelled"])
async def test_who_waits_is_told_why_nobody_answered(bench: Bench, how: str) -> None:
    approval = await bench.hold(call(n=1), caller(grant="g1"))
    ending = bench.approvals
    if how == "withdrawn":
        await ending.withdraw(approval, ROOT, "duplicate")
    elif how == "frozen":
        await bench.store.record(lambda c, add: ending.cancel_for_freeze(c, add, "all", None, "user:root"))
    elif how == "revoked":
        await bench.store.record(lambda c, add: ending.cancel_for_grant(c, add, "g1", "user:root"))
    else:
        assert await ending.withdraw_own(approval, caller(grant="g1"))
    waited = await ending.wait(approval, bench.clock.monotonic() + 10)
    assert (waited.state, waited.note) == (how, "duplicate" if how == "withdrawn" else None)


@pytest.mark.shows("proxy.8")
async def test_a_round_is_redeemed_once(bench: Bench) -> None:
    step = Round("r1", 1, "nonce", "apr_x", frozenset({"p/a"}))
    redeem = bench.approvals.redeem
    assert await bench.store.write(lambda conn: redeem(conn, step, "r2"))
    assert not await bench.store.write(lambda conn: redeem(conn, step, "r3"))
    assert await bench.store.write(lambda conn: redeem(conn, Round("r1", 1, "other"), "r3"))


async def test_pages_are_newest_first_and_states_are_as_of_now(bench: Bench) -> None:
    ids = []
    for number in range(7):
        ids.append(await bench.hold(call(number=number)))
        bench.clock.advance(1)
    await bench.approvals.vote(ids[3], LEA, "deny")
    seen: list[str] = []
    cursor = None
    while True:
        items, cursor = await bench.approvals.list(limit=3, cursor=cursor)
        seen += [item["id"] for item in items]
        if cursor is None:
            break
    assert seen == ids[::-1]
    pending, _ = await bench.approvals.list("pending")
    assert [item["id"] for item in pending] == [each for each in ids[::-1] if each != ids[3]]
    bench.clock.advance(HOUR - 3)
    counts = {state: len((await bench.approvals.list(state))[0]) for state in ("pending", "expired", "denied", "x")}
    assert counts == {"pending": 2, "expired": 4, "denied": 1, "x": 0}
    for nonsense in ("", ".", "x.y", "-1.apr_", "9" * 40, "1" * 18 + ".apr"):
        assert len((await bench.approvals.list(limit=0, cursor=nonsense))[0]) == 1
