"""Each value in its own column: rows are made by place, and every one of them is told apart here."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

from policylayer.audit.context import Keeping
from policylayer.audit.rows import RowMaker, Stamp
from policylayer.core.call import Caller, Grant, Subject
from policylayer.core.commands import Kind, Round
from policylayer.core.decision import Charge, Effect, RuleRef
from policylayer.keys import text
from policylayer.store.rows import VERSION, Row
from tests.audit.support import EXECUTED, KEYS, RULE, context, record

OTHER = RuleRef("payments", "observed", "payments.yaml", 21)
MAKER = RowMaker(KEYS, Keeping())


def test_a_decision_with_everything() -> None:
    caller = Caller(Subject("agent:a", frozenset({"g"})), Subject("user:u"), Grant("g-1", "laptop", frozenset()))
    asked = replace(context({"amount": 1}, input={"answer": 2}, labels=frozenset({"seen"})), caller=caller)
    command = record(
        kind=Kind.ROUND,
        parent="parent",
        charge=True,
        redeem=Round("parent", 2, "nonce", "apr"),
        would=Effect.DENY,
        observed=(OTHER,),
        reason="why",
        charges=(Charge("p/spend", "agent:a", Decimal("1.5"), Decimal(9), 3600, RULE),),
    )
    row = MAKER.decision(command, asked, Stamp("id", 17, 37))
    assert json.loads(row.rules or "")[0]["rule"] == RULE.rule
    assert json.loads(row.observed or "")[0]["rule"] == "observed"
    assert json.loads(row.detail or "")["principal"] == {"groups": ["g"], "attributes": {}}
    assert row == Row(
        id="id",
        kind="round",
        time_us=17,
        version=VERSION,
        parent="parent",
        principal="agent:a",
        on_behalf_of="user:u",
        grant_id="g-1",
        server="shop",
        method="tools/call",
        target="refund",
        effect="allow",
        enforced="allow",
        would="deny",
        reason_code="rule",
        reason="why",
        rules=row.rules,
        observed=row.observed,
        revision="sha256:" + "a" * 64,
        arguments='{"amount":1}',
        input='{"answer":2}',
        arguments_mode="redacted",
        digest=text(KEYS.digest(asked.call.digest)),
        approval_id="apr",
        session="s-1",
        protocol="2025-11-25",
        client="a client",
        ip="127.0.0.1",
        detail=row.detail,
        decide_us=37,
        labels='["seen"]',
        charges=row.charges,
        redeemed="nonce",
    )
    assert json.loads(row.charges or "")[0]["amount"] == "1.5"


def test_a_decision_with_next_to_nothing() -> None:
    row = MAKER.decision(record(), context(), Stamp("id", 17))
    there = {name for name, value in row._asdict().items() if value is not None}
    of_a_call = {"server", "method", "target", "arguments", "arguments_mode", "digest", "session", "protocol"}
    decided = {"effect", "enforced", "reason_code", "rules", "revision"}
    assert there == {"id", "kind", "time_us", "version", "principal", "grant_id", "client", "ip", *of_a_call, *decided}


def test_an_outcome() -> None:
    row = MAKER.outcome("parent", EXECUTED, Stamp("id", 17), 5)
    assert EXECUTED.digest is not None
    assert row == Row(
        id="id",
        kind="outcome",
        time_us=17,
        parent="parent",
        state="executed",
        record_us=5,
        upstream_us=1200,
        size=88,
        is_error=0,
        result_digest=text(KEYS.digest(EXECUTED.digest)),
    )
