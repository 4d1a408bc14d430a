"""Findings of another engine, combined with the rules of the files by one order of effects."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from policylayer.core.call import Call, Question, ServerFacts, Subject
from policylayer.core.decision import Effect, HoldRule, Obligations, ReasonCode, RuleRef
from policylayer.core.finding import Finding
from policylayer.policy.load import load
from policylayer.policy.policy_set import PolicySet

FILES = {
    "principals.yaml": b"principals:\n  agent:x: {}\n  user:o: {}\ngroups:\n  team: [agent:x]\n",
    "a.yaml": b"""
policy: a
applies_to: {principals: ["*"], servers: ["*"]}
rules:
  - {id: ok, tools: [read], effect: allow}
  - {id: never, tools: [drop], effect: deny, reason: Never.}
  - {id: odd, tools: [odd], when: {args.n: {gt: 1}}, effect: deny, reason: Odd.}
""",
}
REF = RuleRef("rego", "r", "a.rego", 3)


@pytest.fixture(scope="module")
def policies() -> PolicySet:
    loaded = load(FILES)
    assert loaded.policy_set is not None, loaded.diagnostics
    return loaded.policy_set


def question(target: str, *findings: Finding, mode: str = "enforce") -> Question:
    call = Call("s", "tools/call", target, {}, b"", b"", "2026-07-28")
    facts = ServerFacts("s", mode=mode)  # type: ignore[arg-type]
    return Question(call, Subject("agent:x"), facts, datetime(2026, 1, 1, tzinfo=UTC), findings=findings)


def finding(effect: Effect | None, **more: object) -> Finding:
    return replace(Finding(REF, effect), **more)  # type: ignore[arg-type]


HOLD = finding(Effect.REQUIRE_APPROVAL, hold=HoldRule(REF, ("group:team",)))
BROKEN = finding(None, failure="indeterminate", reason="the Rego decision is not an object")
DEAD = finding(None, failure="engine_error", reason="the Rego engine timed out")


@pytest.mark.parametrize(
    ("target", "findings", "effect", "code"),
    [
        ("read", [], Effect.ALLOW, ReasonCode.RULE),
        ("other", [], Effect.DENY, ReasonCode.NOT_APPLICABLE),
        ("other", [finding(Effect.ALLOW)], Effect.ALLOW, ReasonCode.RULE),
        ("read", [finding(Effect.DENY)], Effect.DENY, ReasonCode.RULE),
        ("drop", [finding(Effect.ALLOW)], Effect.DENY, ReasonCode.RULE),
        ("read", [HOLD], Effect.REQUIRE_APPROVAL, ReasonCode.RULE),
        ("other", [HOLD, finding(Effect.ALLOW)], Effect.REQUIRE_APPROVAL, ReasonCode.RULE),
        ("read", [BROKEN], Effect.DENY, ReasonCode.INDETERMINATE),
        ("read", [DEAD, BROKEN], Effect.DENY, ReasonCode.ENGINE_ERROR),
        ("drop", [DEAD], Effect.DENY, ReasonCode.RULE),
        ("odd", [finding(Effect.ALLOW)], Effect.DENY, ReasonCode.INDETERMINATE),
    ],
)
@pytest.mark.shows("policy.5", "rego.3")
def test_effects_combine(
    policies: PolicySet, target: str, findings: list[Finding], effect: Effect, code: ReasonCode
) -> None:
    decision = policies.decide(question(target, *findings))
    assert (decision.effect, decision.enforced, decision.reason_code) == (effect, effect, code)


@pytest.mark.parametrize("findings", [[finding(Effect.ALLOW)], [finding(Effect.DENY)], [finding(Effect.ALLOW), BROKEN]])
@pytest.mark.parametrize("target", ["read", "drop", "odd"])
def test_what_an_engine_redacts_is_redacted_whatever_becomes_of_the_call(
    policies: PolicySet, target: str, findings: list[Finding]
) -> None:
    first, *others = findings
    redacting = replace(first, obligations=Obligations(redact=("args.text",)))
    assert policies.decide(question(target, redacting, *others)).obligations.redact == ("args.text",)


def test_both_engines_rules_are_listed(policies: PolicySet) -> None:
    decision = policies.decide(question("drop", finding(Effect.DENY)))
    assert [rule.name for rule in decision.rules] == ["a/never", "rego/r"]


def test_an_approval_satisfies_a_rego_hold(policies: PolicySet) -> None:
    held = policies.decide(question("read", HOLD))
    assert [hold.approvers for hold in held.holds] == [("group:team",)]
    released = policies.decide(replace(question("read", HOLD), approved=frozenset({"rego/r"})))
    assert released.effect is Effect.ALLOW


def test_obligations_are_merged(policies: PolicySet) -> None:
    allowed = finding(Effect.ALLOW, obligations=Obligations(redact=("args.x",), cap=5, label=frozenset({"u"})))
    obligations = policies.decide(question("read", allowed)).obligations
    assert (obligations.redact, obligations.cap, obligations.label) == (("args.x",), 5, frozenset({"u"}))


def test_a_server_in_observe_mode_is_not_stopped_by_a_failure(policies: PolicySet) -> None:
    decision = policies.decide(question("read", DEAD, mode="observe"))
    assert (decision.effect, decision.enforced) == (Effect.DENY, Effect.ALLOW)


def test_lists_hide_only_what_is_denied(policies: PolicySet) -> None:
    assert policies.listed(question("other"))
    assert not policies.listed(question("other", finding(Effect.DENY)))
    assert policies.listed(question("other", DEAD))
    assert not policies.listed(question("drop", finding(Effect.ALLOW)))
    assert not policies.listed(replace(question("other"), findings=None))


def test_a_subject_is_described_with_groups_as_held_now(policies: PolicySet) -> None:
    described = policies.describe(Subject("agent:x"), datetime(2026, 1, 1, tzinfo=UTC))
    assert described == {"id": "agent:x", "kind": "agent", "groups": ["group:team"], "attributes": {}}
