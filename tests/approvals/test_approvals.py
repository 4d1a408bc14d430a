"""One approval from the held call to its end, over a real database."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection

from policylayer.core.commands import Found
from policylayer.core.satisfied import by_these, is_satisfied
from policylayer.identity import tokens
from policylayer.identity.person import Person, Role
from tests.approvals.desk import Bench, call, caller, hold, person
from tests.approvals.people import HOUR, LEA, OLGA, ROOT, refused

pytestmark = pytest.mark.anyio


@pytest.mark.shows("proxy.8")
async def test_an_approved_call_is_found_and_used_once(bench: Bench) -> None:
    approval = await bench.hold(call(amount=100))
    assert await bench.approvals.seek(caller(), call(amount=100)) == Found(approval, "pending", by_these([hold()]))
    shown = await bench.approvals.vote(approval, LEA, "approve", "fine")
    assert (shown["state"], shown["note"], shown["decided_by"]) == ("approved", "fine", "user:lea")
    found = await bench.approvals.seek(caller(), call(amount=100))
    assert found == Found(approval, "approved", by_these([hold()]), "fine")
    assert await bench.consume(approval)
    assert not await bench.consume(approval)
    assert await bench.state(approval) == "consumed"
    assert await bench.approvals.seek(caller(), call(amount=100)) is None
    assert await bench.events(approval) == ["approval.voted", "approval.approved"]


async def test_the_view_is_the_interfaces(bench: Bench) -> None:
    rules = (hold("a", "group:leads", quorum=2), hold("b", "owner", note_required=True))
    bench.people.groups["leads"] = {"user:lea"}
    who = caller(for_="user:carl")
    approval = await bench.hold(call(amount=100, card="4242"), who, *rules, arguments='{"amount": 100}')
    await bench.approvals.vote(approval, LEA, "approve")
    shown = await bench.approvals.get(approval)
    assert {key: shown[key] for key in ("id", "state", "created_at", "expires_at", "principal", "for", "server")} == {
        "id": approval,
        "state": "pending",
        "created_at": "2026-11-23T12:00:00.000Z",
        "expires_at": "2026-11-23T13:00:00.000Z",
        "principal": "agent:bot",
        "for": "user:carl",
        "server": "shop",
    }
    assert (shown["method"], shown["target"]) == ("tools/call", "refund")
    assert shown["arguments"] == {"amount": 100, "card": "4242"}
    assert shown["arguments_complete"] is True
    assert (shown["approvers"], shown["quorum"], shown["waiters"]) == (["group:leads", "owner"], 2, 0)
    assert [(rule["rule"], rule["approved_by"]) for rule in shown["rules"]] == [("a", ["user:lea"]), ("b", [])]
    assert [(vote["principal"], vote["decision"]) for vote in shown["votes"]] == [("user:lea", "approve")]
    assert shown["digest"]
    assert not shown["altered"]


@pytest.mark.shows("proxy.8")
async def test_identical_calls_join_and_any_difference_does_not(bench: Bench) -> None:
    first = await bench.hold(call(amount=1))
    assert await bench.hold(call(amount=1)) == first
    assert await bench.hold(call(amount=1), caller(grant="g2")) == first
    others = [
        await bench.hold(call(amount=2)),
        await bench.hold(call("pay", amount=1)),
        await bench.hold(call(server="files", amount=1)),
        await bench.hold(call(amount=1), caller("agent:other")),
        await bench.hold(call(amount=1), caller(for_="user:carl")),
    ]
    assert len({first, *others}) == 6


@pytest.mark.shows("proxy.8")
async def test_appr_14_ids_cannot_be_guessed(bench: Bench) -> None:
    ids = [await bench.hold(call(number=number)) for number in range(20)]
    assert len({each[:8] for each in ids}) == 20
    assert all(each.startswith("apr_") and len(each) == 4 + 24 for each in ids)
    almost = ids[0][:-1] + ("_" if ids[0][-1] != "_" else "-")
    for stranger in ("apr_0", "1", "", "apr_" + "A" * 24, ids[0].lower() + "x", "%", almost):
        assert (await refused(bench.approvals.get(stranger))).reason == "not_found"
        assert (await refused(bench.approvals.vote(stranger, LEA, "approve"))).reason == "not_found"
        assert (await refused(bench.approvals.withdraw(stranger, ROOT))).reason == "not_found"
        assert not await bench.consume(stranger)


@pytest.mark.shows("proxy.8")
async def test_quorum_counts_people(bench: Bench) -> None:
    approval = await bench.hold(None, None, hold(quorum=2))
    for _ in range(3):
        assert (await bench.approvals.vote(approval, LEA, "approve"))["state"] == "pending"
    assert len((await bench.approvals.get(approval))["votes"]) == 1
    assert (await bench.approvals.vote(approval, OLGA, "approve"))["state"] == "approved"
    assert (await bench.events(approval)).count("approval.voted") == 2


@pytest.mark.shows("proxy.8")
async def test_every_rule_has_its_own_approvers(bench: Bench) -> None:
    bench.people.groups = {"leads": {"user:lea"}, "ops": {"user:olga"}}
    approval = await bench.hold(None, None, hold("a", "group:leads"), hold("b", "group:ops"))
    assert (await bench.approvals.vote(approval, LEA, "approve"))["state"] == "pending"
    assert (await bench.approvals.vote(approval, OLGA, "approve"))["state"] == "approved"


@pytest.mark.shows("proxy.8")
async def test_any_valid_denial_denies_and_an_invalid_one_does_not(bench: Bench) -> None:
    bench.people.groups = {"leads": {"user:lea"}}
    approval = await bench.hold(None, None, hold("a", "group:leads", quorum=2))
    assert (await refused(bench.approvals.vote(approval, OLGA, "deny"))).reason == "not_an_approver"
    await bench.approvals.vote(approval, LEA, "approve")
    shown = await bench.approvals.vote(approval, LEA, "deny", "on second thought")
    assert (shown["state"], shown["note"]) == ("denied", "on second thought")
    error = await refused(bench.approvals.vote(approval, LEA, "approve"))
    assert (error.reason, error.state) == ("state", "denied")


@pytest.mark.shows("proxy.8")
async def test_appr_09_nobody_approves_their_own(bench: Bench) -> None:
    bench.people.owners = {"agent:bot": "user:alice"}
    approval = await bench.hold()
    for who in ("agent:bot", "user:alice"):
        for decision in ("approve", "deny"):
            error = await refused(bench.approvals.vote(approval, person(who, Role.ADMIN), decision))
            assert error.reason == "self_approval"
    assert await bench.state(approval) == "pending"
    assert (await bench.approvals.vote(approval, LEA, "approve"))["state"] == "approved"
    assert (await refused(bench.approvals.vote(approval, person("agent:bot"), "approve"))).reason == "self_approval"


@pytest.mark.shows("proxy.8")
async def test_a_note_is_required_where_a_rule_says_so(bench: Bench) -> None:
    approval = await bench.hold(None, None, hold(note_required=True))
    for note in (None, "", " \n"):
        assert (await refused(bench.approvals.vote(approval, LEA, "approve", note))).reason == "note_required"
    assert (await refused(bench.approvals.vote(approval, LEA, "approve", "x" * 2001))).reason == "note_too_long"
    assert (await bench.approvals.vote(approval, LEA, "approve", "  checked\x00 "))["note"] == "checked\\u0000"


@pytest.mark.shows("proxy.8")
async def test_appr_11_groups_count_as_they_are_now(bench: Bench) -> None:
    bench.people.groups = {"leads": {"user:lea", "user:olga"}}
    approval = await bench.hold(None, None, hold("a", "group:leads", quorum=2))
    await bench.approvals.vote(approval, LEA, "approve")
    bench.people.groups["leads"] = {"user:olga", "user:nina"}
    assert (await bench.approvals.vote(approval, OLGA, "approve"))["state"] == "pending"  # Lea's no longer counts
    assert (await refused(bench.approvals.vote(approval, LEA, "approve"))).reason == "not_an_approver"
    assert (await bench.approvals.vote(approval, person("user:nina"), "approve"))["state"] == "approved"


@pytest.mark.shows("proxy.8")
async def test_a_vote_by_a_token_that_was_revoked_since_does_not_count(bench: Bench) -> None:
    def token(conn: Connection) -> str:
        return str(tokens.create(conn, bench.clock, "user:lea", Role.APPROVER)[0]["id"])

    stolen = Person("user:lea", Role.APPROVER, await bench.store.write(token))
    approval = await bench.hold(None, None, hold(quorum=2))
    await bench.approvals.vote(approval, stolen, "approve")
    await bench.store.write(lambda conn: tokens.revoke(conn, bench.clock, stolen.token_id))
    assert (await bench.approvals.vote(approval, OLGA, "approve"))["state"] == "pending"
    assert (await bench.approvals.vote(approval, LEA, "approve"))["state"] == "approved"


@pytest.mark.shows("proxy.8")
async def test_appr_11_an_edited_rule_is_asked_again(bench: Bench) -> None:
    approval = await bench.hold(None, None, hold("a"), hold("b"))
    await bench.approvals.vote(approval, LEA, "approve")
    found = await bench.approvals.seek(caller(), call())
    waited = await bench.approvals.wait(approval, bench.clock.monotonic() + 10)
    assert found is not None
    assert found.rules == waited.rules == by_these([hold("a"), hold("b")])
    assert is_satisfied("p/b", hold("b"), waited.rules)
    assert not is_satisfied("p/b", hold("b", "group:leads"), waited.rules)


@pytest.mark.shows("proxy.8")
async def test_a_rule_that_is_carried_on_is_carried_as_it_was(bench: Bench) -> None:
    """What one approval (or a waiver) satisfied stands in the next only for what the rule asked then."""
    then, now = hold("a"), hold("a", quorum=2)
    approval = await bench.hold(None, None, then, hold("b"), carried=by_these([then]))
    await bench.approvals.vote(approval, LEA, "approve")
    waited = await bench.approvals.wait(approval, bench.clock.monotonic() + 10)
    assert is_satisfied("p/a", then, waited.rules)
    assert not is_satisfied("p/a", now, waited.rules)


@pytest.mark.shows("proxy.8")
async def test_two_rules_of_one_name_are_each_to_be_approved(bench: Bench) -> None:
    """Rego's results have one name unless they say another."""
    one, other = hold("same", "user:lea"), hold("same", "user:olga")
    approval = await bench.hold(None, None, one, other)
    assert (await bench.approvals.vote(approval, OLGA, "approve"))["state"] == "pending"
    assert (await bench.approvals.vote(approval, LEA, "approve"))["state"] == "approved"
    waited = await bench.approvals.wait(approval, bench.clock.monotonic() + 10)
    assert is_satisfied("p/same", one, waited.rules)
    assert is_satisfied("p/same", other, waited.rules)


@pytest.mark.shows("proxy.8")
async def test_the_shortest_expiry_holds(bench: Bench) -> None:
    first = await bench.hold(None, None, hold("a", expires=1800), hold("b", expires=60), hold("c"))
    assert (await bench.approvals.get(first))["expires_at"] == "2026-11-23T12:01:00.000Z"
    second = await bench.hold(call(n=2), None, hold("c", expires=7200))
    assert (await bench.approvals.get(second))["expires_at"] == "2026-11-23T14:00:00.000Z"


@pytest.mark.shows("proxy.8")
async def test_appr_04_what_was_approved_in_time_is_not_used_late(bench: Bench) -> None:
    approval = await bench.hold()
    await bench.approvals.vote(approval, LEA, "approve")
    bench.clock.advance(HOUR)
    assert not await bench.consume(approval)
    assert await bench.state(approval) == "expired"
    assert await bench.approvals.seek(caller(), call()) is None
    assert await bench.approvals.sweep() == 1
    assert await bench.events(approval) == ["approval.voted", "approval.approved", "approval.expired"]
    assert await bench.hold() != approval


@pytest.mark.shows("proxy.8")
@pytest.mark.parametrize("settle", ["sweep", "vote", "withdraw", "hold"])
async def test_a_pending_approval_expires_at_whatever_touches_it(bench: Bench, settle: str) -> None:
    approval = await bench.hold()
    bench.clock.advance(HOUR - 0.000001)
    assert await bench.state(approval) == "pending"
    bench.clock.advance(0.000001)
    assert await bench.state(approval) == "expired"
    if settle == "sweep":
        assert await bench.approvals.sweep() == 1
        assert await bench.approvals.sweep() == 0
    elif settle == "hold":
        assert await bench.hold() != approval
    else:
        act = bench.approvals.vote(approval, LEA, "approve")
        error = await refused(act if settle == "vote" else _closing(act, bench.approvals.withdraw(approval, ROOT)))
        assert (error.reason, error.state) == ("state", "expired")
    assert await bench.events(approval) == ["approval.expired"]


async def _closing(unused: Any, wanted: Any) -> Any:
    unused.close()
    return await wanted


@pytest.mark.shows("proxy.8")
@pytest.mark.parametrize("jump", [-HOUR, -365 * 24 * HOUR, HOUR])
async def test_a_clock_that_jumps_never_extends_an_approval(bench: Bench, jump: int) -> None:
    approval = await bench.hold()
    await bench.approvals.vote(approval, LEA, "approve")
    bench.clock.jump(jump)
    bench.clock.advance(HOUR)
    assert not await bench.consume(approval)
    assert await bench.state(approval) == "expired"
    assert (await refused(bench.approvals.vote(approval, LEA, "deny"))).state == "expired"
    assert "approval.expired" in await bench.events(approval)
    assert await bench.approvals.sweep() == 0
    assert await bench.approvals.seek(caller(), call()) is None


@pytest.mark.shows("proxy.8")
async def test_appr_22_after_a_denial_there_is_no_new_prompt_until_it_would_have_expired(bench: Bench) -> None:
    approval = await bench.hold()
    await bench.approvals.vote(approval, LEA, "deny", "not today")
    for _ in range(100):
        assert await bench.approvals.seek(caller(), call()) == Found(approval, "denied", note="not today")
        assert await bench.hold() == approval
        waited = await bench.approvals.wait(approval, bench.clock.monotonic() + 10)
        assert (waited.state, waited.note) == ("denied", "not today")
    assert await bench.approvals.seek(caller(), call(amount=1)) is None
    bench.clock.advance(HOUR)
    assert await bench.approvals.seek(caller(), call()) is None
    assert await bench.hold() != approval


@pytest.mark.shows("proxy.8")
async def test_a_new_rule_at_release_leaves_only_what_is_missing(bench: Bench) -> None:
    first = await bench.hold(None, None, hold("a"))
    await bench.approvals.vote(first, LEA, "approve")
    assert await bench.consume(first)
    second = await bench.hold(None, None, hold("a"), hold("b"), carried=frozenset({"p/a"}))
    shown = await bench.approvals.get(second)
    assert [rule["rule"] for rule in shown["rules"]] == ["b"]
    assert shown["satisfied"] == ["p/a"]
    await bench.approvals.vote(second, LEA, "approve")
    found = await bench.approvals.seek(caller(), call())
    assert found is not None
    assert found.rules == {"p/a"} | by_these([hold("b")])


async def test_a_call_that_nothing_holds_is_never_approved_by_nobody(bench: Bench) -> None:
    with pytest.raises(ValueError, match="at least one rule"):
        await bench.hold(None, None, hold("a"), carried=frozenset({"p/a"}))
