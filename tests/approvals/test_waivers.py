"""Waivers: similar calls for a while, within what the approver said, and never beyond one person's say."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from policylayer.approvals import waivers
from policylayer.approvals.approvals import Approvals
from policylayer.approvals.opening import Opening
from policylayer.approvals.waivers import Similar
from policylayer.core.call import Call, Caller
from policylayer.core.decision import Charge, HoldRule
from policylayer.core.errors import ApprovalError
from policylayer.keys import Keys
from tests.approvals.desk import KEYS, Bench, call, caller, held, hold, make_event, person

pytestmark = pytest.mark.anyio

LEA = person("user:lea")


async def waive(bench: Bench, similar: Similar, what: Call | None = None, *rules: HoldRule) -> str:
    approval = await bench.hold(what or call(amount=5, to="acme"), None, *rules)
    shown = await bench.approvals.vote(approval, LEA, "approve", "ok", similar)
    assert shown["state"] == "approved"
    return approval


async def covered(bench: Bench, what: Call, who: Caller | None = None, *rules: HoldRule) -> bool:
    return bool(await bench.approvals.waived(who or caller(), what, held(*rules).holds))


@pytest.mark.shows("proxy.8")
async def test_appr_24_similar_calls_pass_for_as_long_and_as_often_as_was_said(bench: Bench) -> None:
    approval = await waive(bench, Similar(seconds=60, uses=2))
    assert await bench.events(approval) == ["approval.voted", "waiver.created", "approval.approved"]
    assert await bench.approvals.waived(caller(), call(amount=9), held().holds) == frozenset({"p/hold"})
    assert await covered(bench, call(amount=10, to="other"))
    assert not await covered(bench, call(amount=11))  # used up
    await bench.consume(approval)
    await waive(bench, Similar(seconds=60, uses=2))
    bench.clock.advance(59)
    assert await covered(bench, call())
    bench.clock.advance(1)
    assert not await covered(bench, call())


@pytest.mark.shows("proxy.8")
async def test_appr_24_a_waiver_covers_nothing_beyond_its_scope(bench: Bench) -> None:
    await waive(bench, Similar(uses=100))
    assert not await covered(bench, call("pay"))
    assert not await covered(bench, call(server="files"))
    assert not await covered(bench, replace(call(), method="prompts/get"))
    assert not await covered(bench, call(), caller("agent:other"))
    assert not await covered(bench, call(), caller(for_="user:carl"))
    assert not await covered(bench, call(), None, hold("other"))
    assert await covered(bench, call(), caller(grant="g2"))  # the same principal


@pytest.mark.shows("proxy.8")
async def test_appr_24_the_named_arguments_must_be_equal(bench: Bench) -> None:
    await waive(bench, Similar(uses=100, same=("to",)))
    assert await covered(bench, call(amount=6, to="acme"))
    assert await covered(bench, call(amount=6, to="acme", note="x"))
    assert not await covered(bench, call(amount=6, to="Acme"))
    assert not await covered(bench, call(amount=6, to=["acme"]))
    assert not await covered(bench, call(amount=6))
    kept = await bench.store.read(lambda conn: conn.exec_driver_sql("SELECT scope FROM waivers").scalar())
    assert "acme" not in str(kept)


@pytest.mark.shows("proxy.8")
@pytest.mark.parametrize(
    ("similar", "rule"),
    [
        (Similar(seconds=24 * 3600 + 1), hold()),
        (Similar(seconds=0), hold()),
        (Similar(uses=0), hold()),
        (Similar(uses=1001), hold()),
        (Similar(same=("nothing",)), hold()),
        (Similar(), hold(quorum=2)),
        (Similar(), hold(each_round=True)),
    ],
    ids=["long", "instant", "useless", "many", "no argument", "quorum", "each round"],
)
async def test_appr_24_what_cannot_be_waived_is_refused_with_the_vote(
    bench: Bench, similar: Similar, rule: HoldRule
) -> None:
    approval = await bench.hold(None, None, rule)
    with pytest.raises(ApprovalError) as caught:
        await bench.approvals.vote(approval, LEA, "approve", None, similar)
    assert caught.value.reason == "waiver"
    assert (await bench.approvals.get(approval))["votes"] == []


async def test_only_rules_that_one_person_decides_are_waived(bench: Bench) -> None:
    approval = await bench.hold(None, None, hold("a"), hold("b", quorum=2), hold("c", "group:ops"))
    await bench.approvals.vote(approval, LEA, "approve", None, Similar())
    assert [each["rule"] for each in await bench.approvals.waivers()] == ["p/a"]
    denied = await bench.hold(call(n=1))
    await bench.approvals.vote(denied, LEA, "deny", None, Similar())
    assert len(await bench.approvals.waivers()) == 1


@pytest.mark.shows("proxy.8")
async def test_a_waiver_ends_with_the_demands_it_was_given_under(bench: Bench) -> None:
    await waive(bench, Similar(), None, hold("a", "user:lea"))
    assert await covered(bench, call(), None, hold("a", "user:lea"))
    assert not await covered(bench, call(), None, hold("a", "user:lea", "user:olga"))
    assert not await covered(bench, call(), None, hold("a", "user:lea", quorum=2))
    assert not await covered(bench, call(), None, hold("a", "user:lea", note_required=True))


@pytest.mark.shows("proxy.8")
async def test_a_waiver_never_touches_a_limit(bench: Bench) -> None:
    await waive(bench, Similar())
    rule = hold()
    one = Decimal(1)
    limit = Charge("p/hold#1", "agent:bot", one, one, 3600, rule.ref, hold=rule)
    waived = bench.approvals.waived
    assert await waived(caller(), call(), [rule], (limit,)) == frozenset()
    assert await waived(caller(), call(), [rule], (replace(limit, hold=None),)) == frozenset({"p/hold"})
    limited = replace(held(rule), charges=(limit,))
    wish = Opening(caller("agent:x"), call(), limited, "r")
    approval = await bench.store.record(lambda conn, add: bench.approvals.open_or_join(conn, add, wish))
    with pytest.raises(ApprovalError, match="waived"):
        await bench.approvals.vote(approval, LEA, "approve", None, Similar())


async def test_uses_are_counted_also_when_many_come_at_once(bench: Bench) -> None:
    await waive(bench, Similar(uses=7))
    told = await asyncio.gather(*(covered(bench, call(number=number)) for number in range(50)))
    assert told.count(True) == 7


async def test_a_second_waiver_is_used_when_the_first_is_used_up(bench: Bench) -> None:
    for number in range(2):
        await bench.consume(await waive(bench, Similar(uses=1), call(number=number)))
    assert [await covered(bench, call(n=number)) for number in range(3)] == [True, True, False]


@pytest.mark.shows("proxy.8")
async def test_waivers_are_listed_and_revoked(bench: Bench) -> None:
    approval = await waive(bench, Similar(seconds=60, uses=3, same=("to",)))
    (shown,) = await bench.approvals.waivers()
    assert shown["approval_id"] == approval
    assert (shown["rule"], shown["target"], shown["same"], shown["uses_left"]) == ("p/hold", "refund", ["to"], 3)
    assert shown["expires_at"] == "2026-11-23T12:01:00.000Z"
    assert await bench.approvals.revoke_waiver(shown["id"], LEA)
    assert not await bench.approvals.revoke_waiver(shown["id"], LEA)
    assert await bench.approvals.waivers() == []
    assert not await covered(bench, call(to="acme"))
    assert "waiver.revoked" in await bench.events()


async def test_a_key_rotation_leaves_waivers_standing(bench: Bench) -> None:
    await waive(bench, Similar(same=("to",)))
    rotated = Keys([bytes(range(1, 33)), bytes(range(32))])
    turned = Approvals(bench.store, rotated, bench.clock, lambda: bench.people, make_event(bench.clock))
    assert await turned.waived(caller(), call(to="acme"), held().holds)
    assert KEYS.current_id != rotated.current_id


async def test_waivers_of_one_rule_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waivers, "MOST_LIVE", 2)
    for number in range(4):
        await waive(bench, Similar(), call(number=number))
    assert len(await bench.approvals.waivers()) == 2


# --- calls inside calls -----------------------------------------------------------------------------------------------

INNER = hold(bound=("tool_name",))


@pytest.mark.shows("proxy.8")
async def test_a_waiver_for_an_inner_call_is_for_that_tool(bench: Bench) -> None:
    """`call_tool` is one tool to the server, and as many as there are to whoever approves."""
    await waive(bench, Similar(uses=100), call("call_tool", tool_name="refund", arguments={"n": 1}), INNER)
    assert await covered(bench, call("call_tool", tool_name="refund", arguments={"n": 2}), None, INNER)
    assert not await covered(bench, call("call_tool", tool_name="delete", arguments={"n": 1}), None, INNER)
    assert not await covered(bench, call("call_tool", arguments={"n": 1}), None, INNER)
    (given,) = await bench.approvals.waivers()
    assert given["same"] == ["tool_name"]


@pytest.mark.shows("proxy.8")
async def test_a_waiver_from_before_the_tool_was_looked_into_covers_no_inner_call(bench: Bench) -> None:
    await waive(bench, Similar(uses=100), call("call_tool", tool_name="refund"))
    assert await covered(bench, call("call_tool", tool_name="refund"))
    assert not await covered(bench, call("call_tool", tool_name="refund"), None, INNER)
