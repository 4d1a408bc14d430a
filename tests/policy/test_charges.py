"""Over a limit: a denial that names all counters, or a hold under the rule's own approval."""

from __future__ import annotations

from decimal import Decimal

from policylayer.core.decision import Decision, ReasonCode
from policylayer.policy import ast
from policylayer.policy.decide import over_limit
from tests.policy.made import ALLOW, DENY, HOLD, SPAN, policy, policy_set, question, rule


def limit(over: str = "deny", name: str | None = None) -> ast.Limit:
    return ast.Limit(Decimal(1), 60, SPAN, name=name, over=over)  # type: ignore[arg-type]


def allowed(*rules: ast.Rule) -> Decision:
    return policy_set(policy(*rules)).decide(question())


def test_a_denial_names_all_that_is_exceeded() -> None:
    decision = allowed(
        rule(
            "a", ALLOW, {"tools": ["t"]}, limits=(limit(),), label=("x",), redact=(ast.ResultPath("args.c", (), SPAN),)
        ),
        rule("b", None, {"tools": ["*"]}, limits=(limit(),)),
    )
    denied = over_limit(decision, decision.charges, frozenset(), 42)
    assert (denied.effect, denied.enforced, denied.reason_code) == (DENY, DENY, ReasonCode.OVER_LIMIT)
    assert [ref.name for ref in denied.rules] == ["p/a", "p/b"]
    assert (denied.retry, denied.retry_after, denied.charges) == ("after", 42, ())
    assert denied.obligations.redact == ("args.c",)
    assert not denied.obligations.label
    assert denied.reason == "over limit: p/a#1, p/b#1"
    assert denied.said == ("Rule p/a: over the limit p/a#1.",)


def test_what_is_not_exceeded_is_not_named() -> None:
    decision = allowed(rule("a", ALLOW, {"tools": ["t"]}, limits=(limit(), limit())))
    denied = over_limit(decision, decision.charges[1:], frozenset(), 1)
    assert denied.said == ("Rule p/a: over the limit p/a#2.",)


def test_a_hold_under_the_rules_own_approval() -> None:
    made = rule("a", ALLOW, {"tools": ["t"]}, limits=(limit("require_approval"),), approval=ast.Approval(quorum=2))
    decision = allowed(made)
    held = over_limit(decision, decision.charges, frozenset(), 1)
    assert (held.effect, held.reason_code, held.retry_after) == (HOLD, ReasonCode.OVER_LIMIT, None)
    assert [(hold.ref.name, hold.quorum) for hold in held.holds] == [("p/a", 2)]
    assert held.charges == decision.charges
    assert over_limit(decision, decision.charges, frozenset({"p/a"}), 1) == decision


def test_a_denial_beats_such_a_hold() -> None:
    decision = allowed(rule("a", ALLOW, {"tools": ["t"]}, limits=(limit("require_approval"), limit())))
    denied = over_limit(decision, decision.charges, frozenset({"p/a"}), 1)
    assert (denied.effect, denied.holds) == (DENY, ())
    assert [ref.name for ref in denied.rules] == ["p/a"]


def test_nothing_exceeded_changes_nothing() -> None:
    decision = allowed(rule("a", ALLOW, {"tools": ["t"]}, limits=(limit(),)))
    assert over_limit(decision, [], frozenset(), 1) == decision


def test_long_keys_and_summands_are_bounded() -> None:
    key = ast.Limit(Decimal(1), 60, SPAN, by=(("args", "k"),))
    total = ast.Limit(Decimal(1), 60, SPAN, sum=("args", "n"), decimal=True)
    made = policy_set(
        policy(rule("a", ALLOW, {"tools": ["t"]}, limits=(key,)), rule("b", ALLOW, {"tools": ["u"]}, limits=(total,)))
    )
    one, same, other = (made.decide(question(arguments={"k": k * 1000})).charges[0].key for k in ("x", "x", "y"))
    assert one == same != other
    assert made.decide(question(arguments={"k": "x"})).charges[0].private
    assert len(one) < 80
    assert made.decide(question("u", {"n": "1" * 65})).fields == ("args.n",)
