"""Rows that tests of the API look at, written as `serve` writes them."""

from __future__ import annotations

from typing import Any, Final

from policylayer.audit.context import CallContext
from policylayer.core.call import Call, Caller, Subject
from policylayer.core.commands import Kind, Record, Recorded
from policylayer.core.decision import Decision, Effect, HoldRule, ReasonCode, RuleRef
from tests.api.rig import Rig

RULE: Final = RuleRef("shop", "refunds", "shop.yaml", 7)


async def row(
    rig: Rig, effect: Effect = Effect.ALLOW, target: str = "refund", principal: str = "agent:bot", **arguments: Any
) -> Recorded:
    """One decision, written as `serve` writes it."""
    holds = (HoldRule(RULE, approvers=("group:leads",)),) if effect is Effect.REQUIRE_APPROVAL else ()
    decision = Decision(effect, ReasonCode.RULE, effect, "sha256:00", reason="why", rules=(RULE,), holds=holds)
    digest = target.encode() * 4
    call = Call("shop", "tools/call", target, arguments, digest, digest, "2025-11-25")
    context = CallContext(call, Caller(Subject(principal)), ip="10.0.0.9")
    command = Record(Kind.DECISION, decision, hold=effect is Effect.REQUIRE_APPROVAL)
    recorded = await rig.backstage.recorder.record(command, context)
    assert isinstance(recorded, Recorded)
    return recorded
