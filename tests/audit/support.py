"""Calls, decisions and commands to record."""

from __future__ import annotations

import hashlib
from typing import Any

from policylayer.audit.context import CallContext
from policylayer.core.call import Call, Caller, Grant, Json, Subject
from policylayer.core.commands import Kind, Outcome, OutcomeState, Record
from policylayer.core.decision import Decision, Effect, ReasonCode, RuleRef
from policylayer.keys import Keys

KEYS = Keys([bytes(range(32))])
RULE = RuleRef("payments", "small-refunds", "payments.yaml", 14)
EXECUTED = Outcome(OutcomeState.EXECUTED, upstream_us=1200, size=88, digest=hashlib.sha256(b"result").digest())


def context(arguments: dict[str, Json] | None = None, **more: Any) -> CallContext:
    digest = hashlib.sha256(repr(arguments).encode()).digest()
    call = Call(
        more.pop("server", "shop"),
        more.pop("method", "tools/call"),
        more.pop("target", "refund"),
        arguments if arguments is not None else {"amount": 100},
        digest,
        digest,
        "2025-11-25",
        more.pop("input", {}),
    )
    caller = Caller(
        Subject(more.pop("principal", "agent:refund-bot")), grant=Grant("g-1", "laptop", frozenset({"shop"}))
    )
    return CallContext(call, caller, ip="127.0.0.1", client="a client", session="s-1", **more)


def decision(effect: Effect = Effect.ALLOW, **more: Any) -> Decision:
    given = {"enforced": effect, "reason_code": ReasonCode.RULE, "revision": "sha256:" + "a" * 64, "rules": (RULE,)}
    return Decision(effect, **{**given, **more})


def record(effect: Effect = Effect.ALLOW, **more: Any) -> Record:
    wish = {
        name: more.pop(name)
        for name in ("kind", "parent", "charge", "consume", "redeem", "hold", "approved")
        if name in more
    }
    return Record(wish.pop("kind", Kind.DECISION), decision(effect, **more), **wish)
