"""The recorder: what each command writes, what it answers, and that no failure reads as a success."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from policylayer.audit.context import Keeping, ToolModes
from policylayer.audit.hooks import Charged, Charging, Held, Hooks
from policylayer.audit.recorder import Recorder
from policylayer.clock import Clock
from policylayer.core.commands import (
    AlreadyConsumed,
    Kind,
    Outcome,
    OutcomeState,
    OverLimit,
    Recorded,
    RecordOutcome,
    Round,
    Unrecorded,
)
from policylayer.core.decision import Charge, Effect, Inner, ReasonCode
from policylayer.keys import text
from policylayer.store.sqlite import SqliteStore
from policylayer.store.store import Add
from policylayer.store.tables import meta
from tests.audit.support import EXECUTED, KEYS, RULE, context, decision, record

pytestmark = pytest.mark.anyio
Sql = Callable[..., list[dict[str, Any]]]
ROUND = Round("parent-1", 2, "nonce-1", "apr-1")


def row_of(sql: Sql, row_id: str | None) -> dict[str, Any]:
    (row,) = sql("SELECT * FROM records WHERE id = ?", row_id)
    return row


@pytest.mark.shows("audit.1")
async def test_a_row_says_who_did_what_under_which_rule(recorder: Recorder, sql: Sql) -> None:
    """AUD-24."""
    asked = context({"amount": 100, "note": "dup"}, labels=frozenset({"untrusted"}))
    reply = await recorder.record(record(would=Effect.DENY, observed=(RULE,), reason="it is small"), asked, 37)
    assert isinstance(reply, Recorded)
    row = row_of(sql, reply.row_id)
    told = {
        "kind": "decision",
        "principal": "agent:refund-bot",
        "grant_id": "g-1",
        "server": "shop",
        "method": "tools/call",
        "target": "refund",
        "effect": "allow",
        "enforced": "allow",
        "would": "deny",
        "reason_code": "rule",
        "reason": "it is small",
        "revision": "sha256:" + "a" * 64,
        "arguments": '{"amount":100,"note":"dup"}',
        "arguments_mode": "redacted",
        "digest": text(KEYS.digest(asked.call.digest)),
        "session": "s-1",
        "protocol": "2025-11-25",
        "client": "a client",
        "ip": "127.0.0.1",
        "decide_us": 37,
        "labels": '["untrusted"]',
        "key_id": KEYS.fingerprint,
    }
    assert {name: row[name] for name in told} == told
    rule = {"policy": "payments", "rule": "small-refunds", "file": "payments.yaml", "line": 14}
    assert json.loads(row["rules"]) == json.loads(row["observed"]) == [rule]
    assert abs(row["time_us"] - Clock().time_us()) < 60_000_000


async def test_an_outcome_names_its_row_and_the_latencies(recorder: Recorder, sql: Sql) -> None:
    reply = await recorder.record(record(), context())
    assert isinstance(reply, Recorded)
    outcome = await recorder.outcome(RecordOutcome(reply.row_id, EXECUTED, decision()))
    await recorder.drained()
    assert isinstance(outcome, Recorded)
    row = row_of(sql, outcome.row_id)
    assert (row["kind"], row["parent"], row["state"]) == ("outcome", reply.row_id, "executed")
    assert (row["upstream_us"], row["size"], row["is_error"]) == (1200, 88, 0)
    assert row["record_us"] > 0
    assert row["result_digest"] == text(KEYS.digest(hashlib.sha256(b"result").digest()))


@pytest.mark.parametrize("state", list(OutcomeState))
async def test_every_way_to_end_is_written(recorder: Recorder, sql: Sql, state: OutcomeState) -> None:
    reply = await recorder.outcome(RecordOutcome("r-1", Outcome(state, "why"), decision()))
    await recorder.drained()
    assert isinstance(reply, Recorded)
    assert (row_of(sql, reply.row_id)["state"], row_of(sql, reply.row_id)["reason"]) == (state.value, "why")


@pytest.mark.shows("audit.1")
async def test_text_that_a_database_might_not_hold_is_kept(recorder: Recorder, sql: Sql) -> None:
    """R-05, AUD-14: U+0000 and the like in every place that comes from outside; one line of JSON."""
    odd = "a\x00b\u2028c\x1b[31m\r\nd\U000e0041\"'é"
    asked = replace(context({odd: [odd]}, target=odd, principal=f"agent:{odd}"), client=odd + "\ud800")
    reply = await recorder.record(record(reason=odd), asked)
    assert isinstance(reply, Recorded)
    row = row_of(sql, reply.row_id)
    assert json.loads(row["arguments"]) == {odd: [odd]}
    assert not {"\n", "\r", "\x00", "\x1b"} & set(row["arguments"])
    assert row["target"] == odd.replace("\x00", "\\u0000")
    assert row["client"] == odd.replace("\x00", "\\u0000") + "\\ud800"


@pytest.mark.parametrize(("mode", "kept"), [("none", None), ("digest", None), ("full", '{"password":"hunter2"}')])
async def test_arguments_are_kept_as_configured(store: SqliteStore, sql: Sql, mode: Any, kept: str | None) -> None:
    recorder = Recorder(store, KEYS, Clock(), Keeping("redacted", {"shop": mode}))
    reply = await recorder.record(record(), context({"password": "hunter2"}))
    assert isinstance(reply, Recorded)
    row = row_of(sql, reply.row_id)
    assert (row["arguments"], row["arguments_mode"]) == (kept, mode)
    assert (row["digest"] is None) == (mode == "none")


def test_a_tools_own_mode_is_found_by_name_or_glob() -> None:
    modes: list[tuple[str, Any]] = [("get_*", "full"), ("get_secret", "none"), ("*_key", "digest")]
    tools = ToolModes("redacted", modes, metas=["call_tool"])
    keeping = Keeping("read", {"shop": "redacted", "other": "full"}, tools={"shop": tools})

    def mode(target: str | None, method: str = "tools/call", server: str = "shop", *inner: str) -> str:
        found = [Inner(name, Effect.ALLOW, ReasonCode.RULE) for name in inner]
        return keeping.mode_of(context(target=target, method=method, server=server).call, found)

    assert [mode(name) for name in ("get_x", "get_secret", "get_key", "a_key", "else", None)] == [
        *("full", "none", "full", "digest", "redacted", "redacted")
    ]
    assert mode("get_x", "prompts/get") == "redacted"
    assert mode("get_x", server="other") == "full"
    assert mode("get_x", server="third") == "read"
    # A tool that calls others holds their arguments; where nobody knows whose, they may be the most secret one's.
    assert mode("call_tool", "tools/call", "shop", "get_x", "a_key") == "digest"
    assert mode("call_tool") == "none"
    # A task, or what a server asks back, may belong to the most secret of them.
    assert mode("task-1", "tasks/update") == mode(None, "sampling/createMessage") == "none"


async def test_a_tool_keeps_less_than_its_server(store: SqliteStore, sql: Sql) -> None:
    recorder = Recorder(store, KEYS, Clock(), Keeping("full", tools={"shop": ToolModes("full", [("refund", "none")])}))
    for target in ("refund", "look"):
        assert isinstance(await recorder.record(record(), context({"amount": 1}, target=target)), Recorded)
    found = sql("SELECT target, arguments, arguments_mode, digest IS NULL AS bare FROM records WHERE kind = 'decision'")
    assert [tuple(each.values()) for each in found] == [
        ("refund", None, "none", 1),
        ("look", '{"amount":1}', "full", 0),
    ]


async def test_a_masked_value_can_be_looked_for(recorder: Recorder, sql: Sql) -> None:
    reply = await recorder.record(record(), context({"password": "hunter2"}, input={"q": {"token": "hunter2"}}))
    assert isinstance(reply, Recorded)
    row = row_of(sql, reply.row_id)
    assert json.loads(row["arguments"]) == {"password": f"[redacted:{recorder.mark('hunter2')}]"}
    assert json.loads(row["input"]) == {"q": {"token": f"[redacted:{recorder.mark('hunter2')}]"}}
    assert json.loads(row["detail"]) == {"masked_arguments": ["/password"], "masked_input": ["/q/token"]}


@pytest.mark.shows("audit.1")
async def test_a_redactor_that_fails_keeps_the_digest_only(
    recorder: Recorder, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AUD-17."""

    def broken(*_: object) -> None:
        raise RuntimeError("CANARY")

    monkeypatch.setattr("policylayer.core.redact._Walk.value", broken)
    reply = await recorder.record(record(), context({"password": "CANARY"}))
    assert isinstance(reply, Recorded)
    row = row_of(sql, reply.row_id)
    assert (row["arguments"], row["arguments_mode"]) == (None, "digest")
    assert row["digest"]
    assert "CANARY" not in json.dumps({name: str(value) for name, value in row.items()})


@pytest.mark.shows("audit.1")
async def test_a_row_that_cannot_be_written_is_unrecorded(recorder: Recorder, sql: Sql) -> None:
    """AUD-02."""
    sql("CREATE TRIGGER broken BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'no'); END")
    assert isinstance(await recorder.record(record(), context()), Unrecorded)
    sql("DROP TRIGGER broken")
    assert isinstance(await recorder.record(record(), context()), Recorded)


async def test_a_closed_store_is_unrecorded(store: SqliteStore, recorder: Recorder) -> None:
    await store.close()
    assert isinstance(await recorder.record(record(), context()), Unrecorded)


# --- what goes with a row ---------------------------------------------------------------------------------------------


def note(connection: Connection, name: str) -> None:
    connection.execute(insert(meta).values(name=name, value="1"))


def noted(sql: Sql) -> set[str]:
    return {row["name"] for row in sql("SELECT name FROM meta")} - {"key"}


@pytest.fixture
def hooked(store: SqliteStore) -> Recorder:
    """Hooks that leave a note of what they did; a name that begins with `bad` does not work."""
    made = Recorder(store, KEYS, Clock())

    def open_or_join(connection: Connection, add: Add, held: Held) -> str:
        note(connection, f"opened for {held.record_id}")
        add(made.make_event("approval.opened", None, {"approval_id": "apr-9"}))
        return "apr-9"

    def consume(connection: Connection, add: Add, approval_id: str, record_id: str | None) -> bool:
        if approval_id.startswith("bad"):
            add(made.make_event("approval.expired", None, {"approval_id": approval_id}))
            return False
        note(connection, f"consumed {approval_id}")
        return True

    def redeem(connection: Connection, round: Round, record_id: str) -> bool:
        note(connection, f"redeemed {round.nonce}")
        return not round.nonce.startswith("bad")

    def charge(connection: Connection, charging: Charging) -> Charged:
        if charging.decision.charges[0].key == "over":
            return Charged(over=decision(Effect.DENY, reason_code=ReasonCode.OVER_LIMIT))
        if charging.decision.charges[0].key == "hold":
            return Charged(over=decision(Effect.REQUIRE_APPROVAL, reason_code=ReasonCode.OVER_LIMIT))
        note(connection, "charged")
        return Charged(charges='["told"]')

    def give_back(connection: Connection, row_id: str) -> None:
        note(connection, f"given back {row_id}")

    made.hooks = Hooks(open_or_join, consume, redeem, charge, give_back=give_back)
    return made


def charges(key: str) -> tuple[Charge, ...]:
    return (Charge("payments/spend", key, Decimal("1.50"), Decimal(10), 60, RULE),)


async def test_a_held_call_opens_its_approval_with_its_row(hooked: Recorder, sql: Sql) -> None:
    reply = await hooked.record(record(Effect.REQUIRE_APPROVAL, hold=True), context())
    assert isinstance(reply, Recorded)
    assert reply.approval_id == "apr-9"
    assert noted(sql) == {f"opened for {reply.row_id}"}
    assert row_of(sql, reply.row_id)["approval_id"] == "apr-9"
    assert [row["reason_code"] for row in sql("SELECT * FROM records WHERE kind = 'event' ORDER BY seq")][1:] == [
        "approval.opened"
    ]


async def test_a_release_uses_its_approval_up_charges_and_redeems(hooked: Recorder, sql: Sql) -> None:
    wish = record(kind=Kind.RELEASE, consume="apr-1", redeem=ROUND, charge=True, charges=charges("k"), parent="p")
    reply = await hooked.record(wish, context())
    assert isinstance(reply, Recorded)
    assert noted(sql) == {"consumed apr-1", "redeemed nonce-1", "charged"}
    row = row_of(sql, reply.row_id)
    assert (row["approval_id"], row["redeemed"], row["parent"]) == ("apr-1", "nonce-1", "p")
    assert json.loads(row["charges"]) == ["told"]


async def test_an_approval_that_was_used_writes_no_row_but_what_was_found(hooked: Recorder, sql: Sql) -> None:
    assert await hooked.record(record(consume="bad-1"), context()) == AlreadyConsumed("approval")
    assert noted(sql) == set()
    assert [row["reason_code"] for row in sql("SELECT * FROM records ORDER BY seq")] == [
        "chain.opened",
        "approval.expired",
    ]


async def test_a_round_that_was_answered_leaves_the_approval_unused(hooked: Recorder, sql: Sql) -> None:
    wish = record(consume="apr-1", redeem=replace(ROUND, nonce="bad-1"))
    assert await hooked.record(wish, context()) == AlreadyConsumed("round")
    assert noted(sql) == set()


async def test_over_a_limit_the_denial_is_the_row_and_nothing_is_used(hooked: Recorder, sql: Sql) -> None:
    reply = await hooked.record(record(consume="apr-1", charge=True, charges=charges("over")), context())
    assert isinstance(reply, OverLimit)
    assert noted(sql) == set()
    row = row_of(sql, reply.row_id)
    assert (row["enforced"], row["reason_code"], row["charges"]) == ("deny", "over_limit", None)


async def test_over_a_limit_that_asks_for_approval_nothing_is_written(hooked: Recorder, sql: Sql) -> None:
    reply = await hooked.record(record(charge=True, charges=charges("hold")), context())
    assert isinstance(reply, OverLimit)
    assert reply.row_id is None
    assert reply.decision.enforced is Effect.REQUIRE_APPROVAL
    assert len(sql("SELECT id FROM records")) == 1


async def test_a_hook_that_fails_is_unrecorded_and_leaves_nothing(hooked: Recorder, sql: Sql) -> None:
    def broken(connection: Connection, charging: Charging) -> None:
        raise ZeroDivisionError

    hooked.hooks = replace(hooked.hooks, charge=broken)
    wish = record(consume="apr-1", charge=True, charges=charges("k"))
    replies = await asyncio.gather(hooked.record(wish, context()), hooked.record(record(), context()))
    assert [type(reply) for reply in replies] == [Unrecorded, Recorded]
    assert noted(sql) == set()


async def test_what_was_never_sent_is_given_back(hooked: Recorder, sql: Sql) -> None:
    for state in (OutcomeState.UNKNOWN, OutcomeState.NEVER_SENT):
        await hooked.outcome(RecordOutcome(state.value, Outcome(state), decision(charges=charges("k"))))
    assert noted(sql) == {"given back never_sent"}
    assert {row["parent"] for row in sql("SELECT * FROM records WHERE kind = 'outcome'")} == {"unknown", "never_sent"}


async def test_without_hooks_nothing_can_be_held_or_used(recorder: Recorder, sql: Sql) -> None:
    assert isinstance(await recorder.record(record(Effect.REQUIRE_APPROVAL, hold=True), context()), Unrecorded)
    assert await recorder.record(record(consume="apr-1"), context()) == AlreadyConsumed("approval")
    assert await recorder.record(record(redeem=ROUND), context()) == AlreadyConsumed("round")
    assert len(sql("SELECT id FROM records")) == 1


# --- events -----------------------------------------------------------------------------------------------------------


async def test_an_event_says_who_did_what(recorder: Recorder, sql: Sql) -> None:
    await recorder.event("grant.revoked", "user:alice", {"grant": "g-1", "approval_id": "apr-1"})
    (row,) = sql("SELECT * FROM records WHERE reason_code = 'grant.revoked'")
    assert (row["kind"], row["principal"], row["approval_id"]) == ("event", "user:alice", "apr-1")
    assert json.loads(row["detail"]) == {"grant": "g-1", "approval_id": "apr-1"}


@pytest.mark.shows("audit.1")
async def test_refusals_are_rows_and_a_flood_of_them_a_count(recorder: Recorder, sql: Sql) -> None:
    """AUD-19."""
    for _ in range(2000):
        await recorder.rejected("duplicate_key", b"\x01" * 32, 44, ip="10.0.0.1")
    await recorder.rejected("unauthenticated", None, 0, ip="10.0.0.2", server="shop")
    await recorder.close()
    rows = sql("SELECT * FROM records WHERE reason_code IN ('rejected', 'unauthenticated')")
    assert len(rows) == 21
    assert json.loads(rows[0]["detail"]) == {
        "reason": "duplicate_key",
        "body_sha256": "01" * 32,
        "length": 44,
        "ip": "10.0.0.1",
        "server": None,
    }
    assert [(row["ip"], row["server"]) for row in rows if row["reason_code"] == "unauthenticated"] == [
        ("10.0.0.2", "shop")
    ]
    (many,) = sql("SELECT * FROM records WHERE reason_code = 'rejected.many'")
    counts = [{"source": "10.0.0.1", "reason": "duplicate_key", "count": 1980}]
    assert json.loads(many["detail"]) == {"total": 1980, "counts": counts}


def test_every_field_of_a_command_reaches_the_row_or_a_hook() -> None:
    """A reminder: a new field of `Record` must be thought of here."""
    known = {"approval_id", "kind", "decision", "parent", "charge", "consume", "redeem", "hold", "approved"}
    assert {field.name for field in fields(type(record()))} == known


async def test_the_database_file_may_be_read_while_it_is_written(recorder: Recorder, path: Path, sql: Sql) -> None:
    await asyncio.gather(*(recorder.record(record(), context()) for _ in range(200)))
    assert sql("SELECT count(*) AS n FROM records WHERE kind = 'decision'")[0]["n"] == 200
