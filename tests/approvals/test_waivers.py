"""Waivers: similar calls for a while, within what the approver said, and never beyond one person's say."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from policylayer.approvals import waivers
from policylayer.approvals.approvals import Approvals
from policylayer.approvals.opening import Opening
from policylayer.approvals.waivers import Similar
from policylayer.core.call import Call, Caller
from policylayer.core.decision import Charge, HoldRule
from policylayer.core.errors import ApprovalError
from policylayer.identity.person import Role
from policylayer.keys import Keys
from tests.approvals.desk import KEYS, Bench, call, caller, held, hold, make_event, person

pytestmark = pytest.mark.anyio

LEA = person("user:lea")


ANY: tuple[str, ...] = ()
"""No argument must be equal."""


def often(uses: int = 20, seconds: int = 3600, same: tuple[str, ...] = ANY) -> Similar:
    """Similar calls, whatever their arguments."""
    return Similar(seconds, uses, same)


async def waive(
    bench: Bench, similar: Similar, what: Call | None = None, *rules: HoldRule, for_: str | None = None
) -> str:
    approval = await bench.hold(what or call(amount=5, to="acme"), caller(for_=for_), *rules)
    shown = await bench.approvals.vote(approval, LEA, "approve", "ok", similar)
    assert shown["state"] == "approved"
    return approval


async def standing(bench: Bench) -> list[dict[str, Any]]:
    return list((await bench.approvals.waivers())[0])


async def covered(bench: Bench, what: Call, who: Caller | None = None, *rules: HoldRule) -> bool:
    return bool(await bench.approvals.waived(who or caller(), what, held(*rules).holds))


@pytest.mark.shows("proxy.8")
async def test_appr_24_similar_calls_pass_for_as_long_and_as_often_as_was_said(bench: Bench) -> None:
    approval = await waive(bench, often(2, 60))
    assert await bench.events(approval) == ["approval.voted", "waiver.created", "approval.approved"]
    (used,) = await bench.approvals.waived(caller(), call(amount=9), held().holds)
    assert (used.rule, used.approval_id) == ("p/hold", approval)
    assert await covered(bench, call(amount=10, to="other"))
    assert not await covered(bench, call(amount=11))  # used up
    await bench.consume(approval)
    await waive(bench, often(2, 60))
    bench.clock.advance(59)
    assert await covered(bench, call())
    bench.clock.advance(1)
    assert not await covered(bench, call())


@pytest.mark.shows("proxy.8")
async def test_appr_24_a_waiver_covers_nothing_beyond_its_scope(bench: Bench) -> None:
    await waive(bench, often(100))
    assert not await covered(bench, call("pay"))
    assert not await covered(bench, call(server="files"))
    assert not await covered(bench, replace(call(), method="prompts/get"))
    assert not await covered(bench, call(), caller("agent:other"))
    assert not await covered(bench, call(), caller(for_="user:carl"))
    assert not await covered(bench, call(), None, hold("other"))
    assert await covered(bench, call(), caller(grant="g2"))  # the same principal


@pytest.mark.shows("proxy.8")
async def test_appr_24_the_named_arguments_must_be_equal(bench: Bench) -> None:
    await waive(bench, often(100, same=("to",)))
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
    assert caught.value.help
    shown = await bench.approvals.get(approval)
    assert shown["votes"] == []
    assert shown["rules"][0]["waivable"] == (rule == hold())


async def test_only_rules_that_one_person_decides_are_waived(bench: Bench) -> None:
    approval = await bench.hold(None, None, hold("a"), hold("b", quorum=2), hold("c", "group:ops"))
    await bench.approvals.vote(approval, LEA, "approve", None, Similar())
    assert [each["rule"] for each in await standing(bench)] == ["p/a"]
    assert [each["rule"] for each in (await bench.approvals.get(approval))["waivers"]] == ["p/a"]


async def test_who_denies_a_call_allows_no_similar_ones(bench: Bench) -> None:
    approval = await bench.hold(call(n=1))
    with pytest.raises(ApprovalError, match="approves"):
        await bench.approvals.vote(approval, LEA, "deny", None, Similar())
    assert await bench.state(approval) == "pending"
    assert await standing(bench) == []


@pytest.mark.shows("proxy.8")
async def test_a_waiver_ends_with_the_demands_it_was_given_under(bench: Bench) -> None:
    await waive(bench, often(), None, hold("a", "user:lea"))
    assert await covered(bench, call(), None, hold("a", "user:lea"))
    assert not await covered(bench, call(), None, hold("a", "user:lea", "user:olga"))
    assert not await covered(bench, call(), None, hold("a", "user:lea", quorum=2))
    assert not await covered(bench, call(), None, hold("a", "user:lea", note_required=True))


@pytest.mark.shows("proxy.8")
async def test_a_waiver_never_touches_a_limit(bench: Bench) -> None:
    await waive(bench, often())
    rule = hold()
    one = Decimal(1)
    limit = Charge("p/hold#1", "agent:bot", one, one, 3600, rule.ref, hold=rule)
    waived = bench.approvals.waived
    assert await waived(caller(), call(), [rule], (limit,)) == ()
    assert [each.rule for each in await waived(caller(), call(), [rule], (replace(limit, hold=None),))] == ["p/hold"]
    limited = replace(held(rule), charges=(limit,))
    wish = Opening(caller("agent:x"), call(), limited, "r")
    approval = await bench.store.record(lambda conn, add: bench.approvals.open_or_join(conn, add, wish))
    with pytest.raises(ApprovalError, match="waived"):
        await bench.approvals.vote(approval, LEA, "approve", None, Similar())
    assert not (await bench.approvals.get(approval))["rules"][0]["waivable"]


async def test_uses_are_counted_also_when_many_come_at_once(bench: Bench) -> None:
    await waive(bench, often(7))
    told = await asyncio.gather(*(covered(bench, call(number=number)) for number in range(50)))
    assert told.count(True) == 7


async def test_a_second_waiver_is_used_when_the_first_is_used_up(bench: Bench) -> None:
    for number in range(2):
        await bench.consume(await waive(bench, often(1), call(number=number)))
    assert [await covered(bench, call(n=number)) for number in range(3)] == [True, True, False]


@pytest.mark.shows("proxy.8")
async def test_waivers_are_listed_and_revoked(bench: Bench) -> None:
    approval = await waive(bench, often(3, 60, ("to",)))
    (shown,) = await standing(bench)
    assert shown["approval_id"] == approval
    assert (shown["rule"], shown["target"], shown["same"], shown["uses_left"]) == ("p/hold", "refund", ["to"], 3)
    assert shown["expires_at"] == "2026-11-23T12:01:00.000Z"
    ended = await bench.approvals.revoke_waiver(shown["id"], LEA)
    assert (ended["revoked_by"], ended["revoked_at"]) == ("user:lea", "2026-11-23T12:00:00.000Z")
    with pytest.raises(ApprovalError) as caught:
        await bench.approvals.revoke_waiver(shown["id"], LEA)
    assert caught.value.reason == "not_found"
    assert await standing(bench) == []
    assert not await covered(bench, call(to="acme"))
    assert "waiver.revoked" in await bench.events(approval)


async def test_waivers_come_in_pages(bench: Bench) -> None:
    for number in range(5):
        await waive(bench, often(seconds=60 * (5 - number)), call(n=number))
    first, cursor = await bench.approvals.waivers(limit=3)
    rest, end = await bench.approvals.waivers(3, cursor)
    assert [each["expires_at"][14:19] for each in [*first, *rest]] == ["01:00", "02:00", "03:00", "04:00", "05:00"]
    assert end is None
    assert len((await bench.approvals.waivers(cursor="nonsense"))[0]) == 5


@pytest.mark.shows("proxy.8")
async def test_who_may_end_a_waiver(bench: Bench) -> None:
    bench.people.groups = {"leads": {"user:lea", "user:luis"}}
    await waive(bench, often(), None, hold("hold", "group:leads"))
    (shown,) = await standing(bench)
    for nobody in (person("user:mallory"), person("user:luis", Role.VIEWER), person("agent:bot")):
        with pytest.raises(ApprovalError) as caught:
            await bench.approvals.revoke_waiver(shown["id"], nobody)
        assert caught.value.reason == "not_an_approver"
    assert len(await standing(bench)) == 1
    for someone in (person("user:luis"), LEA, person("user:olga", Role.OPERATOR), person("user:ada", Role.ADMIN)):
        (shown,) = await standing(bench)
        assert (await bench.approvals.revoke_waiver(shown["id"], someone))["revoked_by"] == someone.principal
        await bench.consume(shown["approval_id"])
        await waive(bench, often(), None, hold("hold", "group:leads"))


async def test_a_waiver_whose_approval_is_gone_is_ended_by_operators_only(bench: Bench) -> None:
    bench.people.groups = {"leads": {"user:lea", "user:luis"}}
    await waive(bench, often(), None, hold("hold", "group:leads"))
    bench.alter("DELETE FROM approvals")
    (shown,) = await standing(bench)
    with pytest.raises(ApprovalError):
        await bench.approvals.revoke_waiver(shown["id"], person("user:luis"))
    await bench.approvals.revoke_waiver(shown["id"], person("user:olga", Role.OPERATOR))


@pytest.mark.shows("proxy.8")
async def test_a_freeze_and_the_end_of_the_grant_end_the_waivers_too(bench: Bench) -> None:
    for which in (("principal", "agent:bot"), ("principal", "user:carl"), ("server", "shop"), ("all", None)):
        await bench.consume(await waive(bench, often(), call(to="acme"), for_="user:carl"))
        await bench.store.record(lambda c, add, w=which: bench.approvals.cancel_for_freeze(c, add, *w, "user:root"))
        assert await standing(bench) == [], which
    approval = await waive(bench, often())
    freeze = bench.approvals.cancel_for_freeze
    await bench.store.record(lambda c, add: freeze(c, add, "principal", "agent:other", "user:root"))
    await bench.store.record(lambda c, add: bench.approvals.cancel_for_grant(c, add, "g2", "user:root"))
    assert len(await standing(bench)) == 1
    await bench.store.record(lambda c, add: bench.approvals.cancel_for_grant(c, add, "g1", "user:root"))
    assert not await covered(bench, call())
    assert "waiver.revoked" in await bench.events(approval)


@pytest.mark.shows("proxy.8")
async def test_a_waiver_ends_when_who_gave_it_could_not_vote_any_more(bench: Bench) -> None:
    bench.people.groups = {"leads": {"user:lea"}}
    rule = hold("hold", "group:leads")
    await waive(bench, often(), None, rule)
    assert await covered(bench, call(), None, rule)
    bench.people.groups = {"leads": set()}
    assert not await covered(bench, call(), None, rule)
    bench.people.groups = {"leads": {"user:lea"}}
    bench.people.owners = {"agent:bot": "user:lea"}
    assert not await covered(bench, call(), None, rule), "she owns the agent now"


@pytest.mark.shows("proxy.8")
async def test_a_waiver_ends_with_the_token_that_it_was_given_with(bench: Bench) -> None:
    names, values = "id, principal, role, prefix, token_hash, created_us", "'token-of-user:lea', 'user:lea', 'approver'"
    bench.alter(f"INSERT INTO tokens ({names}) VALUES ({values}, 'x', x'00', 0)")
    await waive(bench, often())
    assert await covered(bench, call())
    bench.alter("UPDATE tokens SET revoked_us = 1")
    assert await standing(bench) == []
    assert not await covered(bench, call())


async def test_a_vote_takes_the_place_of_what_the_same_person_allowed_before(bench: Bench) -> None:
    """Until the approval is settled, people may change their minds."""
    rules = (hold("a", "user:lea"), hold("b", "user:omar"))
    approval = await bench.hold(None, None, *rules)
    for similar, stand in ((often(5), [5]), (often(9), [9]), (None, [])):
        await bench.approvals.vote(approval, LEA, "approve", None, similar)
        assert [each["uses_left"] for each in await standing(bench)] == stand
    await bench.approvals.vote(approval, LEA, "approve", None, often(5))
    assert (await bench.approvals.vote(approval, LEA, "deny", None))["waivers"] == []
    assert not await covered(bench, call(), None, rules[0])


@pytest.mark.shows("proxy.8")
async def test_where_nothing_is_said_of_arguments_all_must_be_equal(bench: Bench) -> None:
    """The most careful reading: the same call again, and no argument that the approver did not see."""
    await waive(bench, Similar(uses=100), call(amount=50.5, to="acme"))
    assert await covered(bench, call(to="acme", amount=50.5))
    for other in (call(amount=50.51, to="acme"), call(amount=50.5), call(amount=50.5, to="acme", force=True), call()):
        assert not await covered(bench, other)
    (shown,) = await standing(bench)
    assert (shown["same"], shown["exact"]) == (["amount", "to"], True)


@pytest.mark.shows("proxy.8")
async def test_a_call_without_arguments_is_similar_to_none_with_some(bench: Bench) -> None:
    await waive(bench, Similar(), call())
    assert await covered(bench, call())
    assert not await covered(bench, call(all=True))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("expires_us", "expires_us + 1"),
        ("rule", "'p/other'"),
        ("created_by", "'user:luis'"),
        ("approval_id", "'another'"),
        ("scope", """replace(scope, '"exact":true', '"exact":false')"""),
        ("scope", """replace(scope, '["amount"]', '[]')"""),
        ("scope", """replace(scope, 'agent:bot', 'agent:eve')"""),
    ],
)
async def test_a_waiver_that_was_altered_in_the_database_covers_nothing(bench: Bench, column: str, value: str) -> None:
    await waive(bench, Similar(), call(amount=5), hold("hold"), hold("other"))
    bench.alter("DELETE FROM waivers WHERE rule = 'p/other'")
    assert await covered(bench, call(amount=5))
    bench.alter(f"UPDATE waivers SET {column} = {value}")
    for who in ("agent:bot", "agent:eve"):
        for what in (call(amount=5), call(amount=6)):
            assert not await covered(bench, what, caller(who), hold("hold"), hold("other"))


@pytest.mark.parametrize("jump", [-3600, -365 * 24 * 3600, 3600])
async def test_a_clock_that_jumps_never_extends_a_waiver(bench: Bench, jump: int) -> None:
    await waive(bench, often(seconds=600))
    bench.clock.jump(jump)
    bench.clock.advance(599)
    assert await covered(bench, call()) == (jump < 0)
    bench.clock.advance(1)
    assert not await covered(bench, call())
    assert await standing(bench) == []


async def test_a_key_rotation_leaves_waivers_standing(bench: Bench) -> None:
    await waive(bench, often(same=("to",)))
    rotated = Keys([bytes(range(1, 33)), bytes(range(32))])
    turned = Approvals(bench.store, rotated, bench.clock, lambda: bench.people, make_event(bench.clock))
    assert await turned.waived(caller(), call(to="acme"), held().holds)
    assert len((await turned.waivers())[0]) == 1
    assert KEYS.current_id != rotated.current_id


async def test_waivers_of_one_rule_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waivers, "MOST_LIVE", 2)
    for number in range(2):
        await waive(bench, often(1), call(number=number))
    with pytest.raises(ApprovalError, match="2 waivers of this rule stand already"):
        await waive(bench, often(), call(number=3))
    assert len(await standing(bench)) == 2
    assert await covered(bench, call())
    await waive(bench, often(), call(number=4))


# --- calls inside calls -----------------------------------------------------------------------------------------------

INNER = hold(bound=("tool_name",))


@pytest.mark.shows("proxy.8")
async def test_a_waiver_for_an_inner_call_is_for_that_tool(bench: Bench) -> None:
    """`call_tool` is one tool to the server, and as many as there are to whoever approves."""
    await waive(bench, often(100), call("call_tool", tool_name="refund", arguments={"n": 1}), INNER)
    assert await covered(bench, call("call_tool", tool_name="refund", arguments={"n": 2}), None, INNER)
    assert not await covered(bench, call("call_tool", tool_name="delete", arguments={"n": 1}), None, INNER)
    assert not await covered(bench, call("call_tool", arguments={"n": 1}), None, INNER)
    (given,) = await standing(bench)
    assert given["same"] == ["tool_name"]


@pytest.mark.shows("proxy.8")
async def test_a_waiver_from_before_the_tool_was_looked_into_covers_no_inner_call(bench: Bench) -> None:
    await waive(bench, often(100), call("call_tool", tool_name="refund"))
    assert await covered(bench, call("call_tool", tool_name="refund"))
    assert not await covered(bench, call("call_tool", tool_name="refund"), None, INNER)
