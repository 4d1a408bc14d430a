"""One approval from the held call to its end, over a real database."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection

from policylayer.approvals.approvals import Approvals
from policylayer.core.commands import Found, Round
from policylayer.core.errors import ApprovalError
from policylayer.identity import tokens
from policylayer.identity.person import Person, Role
from policylayer.keys import Keys
from tests.approvals.desk import KEYS, Bench, call, caller, held, hold, make_event, person

pytestmark = pytest.mark.anyio

LEA, OLGA, ROOT = person("user:lea"), person("user:olga"), person("user:root", Role.OPERATOR)
HOUR = 3600


async def refused(vote: Any) -> ApprovalError:
    with pytest.raises(ApprovalError) as caught:
        await vote
    return caught.value


@pytest.mark.shows("proxy.8")
async def test_an_approved_call_is_found_and_used_once(bench: Bench) -> None:
    approval = await bench.hold(call(amount=100))
    assert await bench.approvals.seek(caller(), call(amount=100)) == Found(approval, "pending", frozenset({"p/hold"}))
    shown = await bench.approvals.vote(approval, LEA, "approve", "fine")
    assert (shown["state"], shown["note"], shown["decided_by"]) == ("approved", "fine", "user:lea")
    found = await bench.approvals.seek(caller(), call(amount=100))
    assert found == Found(approval, "approved", frozenset({"p/hold"}), "fine")
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
    for stranger in ("apr_0", "1", "", "apr_" + "A" * 24, ids[0].lower() + "x", "%", ids[0][:-1] + "_"):
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
    same, edited = hold("a"), hold("b", "group:leads")
    found = await bench.approvals.seek(caller(), call(), held(same, edited))
    assert found is not None
    assert found.rules == frozenset({"p/a"})
    waited = await bench.approvals.wait(approval, bench.clock.monotonic() + 10, held(edited))
    assert waited.rules == frozenset({"p/a"})
    moved = hold("b")
    assert (await bench.approvals.wait(approval, bench.clock.monotonic() + 10, held(moved))).rules == {"p/a", "p/b"}


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
    assert found.rules == frozenset({"p/a", "p/b"})


async def test_a_call_that_nothing_holds_is_never_approved_by_nobody(bench: Bench) -> None:
    with pytest.raises(ValueError, match="at least one rule"):
        await bench.hold(None, None, hold("a"), carried=frozenset({"p/a"}))


ALTERATIONS = [
    ("arguments_sealed = zeroblob(80)", ()),
    ("arguments_sealed = CAST(substr(arguments_sealed, 1, length(arguments_sealed) - 1) || 'x' AS BLOB)", ()),
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
