"""Several decisions about one request become one: the worst, with all that the others ask."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from policylayer.core.decision import Charge, Decision, Effect, HoldRule, Mask, Obligations, ReasonCode
from policylayer.policy.together import worst
from tests.proxy.fakes import ALLOW, DENY, HOLD, rule

SPEND = Charge("p/spend", "k", Decimal(1), Decimal(5), 60, rule("spend"))
OTHER = replace(SPEND, key="other")


def test_one_denial_is_enough() -> None:
    assert worst([ALLOW, HOLD, DENY, ALLOW]) == DENY


def test_holds_come_together() -> None:
    second = replace(HOLD, rules=(rule("second"),), holds=(HoldRule(rule("second")), HoldRule(rule("hold"))))
    held = worst([ALLOW, HOLD, second])
    assert held.enforced is Effect.REQUIRE_APPROVAL
    assert [hold.ref.name for hold in held.holds] == ["p/hold", "p/second"]
    assert [each.name for each in held.rules] == ["p/allow", "p/second"]


def test_a_counter_is_charged_once_by_one_request() -> None:
    allowed = worst([replace(ALLOW, charges=(SPEND,)), replace(ALLOW, charges=(SPEND, OTHER))])
    assert allowed.charges == (SPEND, OTHER)


def test_what_is_held_by_both_is_bound_by_what_either_is() -> None:
    bound = replace(HOLD, holds=(replace(HOLD.holds[0], bound=("tool",)),))
    assert [worst(each).holds[0].bound for each in ([HOLD, bound], [bound, HOLD])] == [("tool",), ("tool",)]


def test_obligations_come_together() -> None:
    one = Obligations(redact=("args.a",), mask=(Mask(pattern="email"),), cap=10, label=frozenset({"x"}), earn={"e": 5})
    two = Obligations(redact=("args.b",), mask=(Mask(pattern="ip"),), cap=20, label=frozenset({"y"}), earn={"e": 3})
    both = worst([replace(ALLOW, obligations=one), replace(ALLOW, obligations=two)]).obligations
    assert both == Obligations(
        ("args.a", "args.b"), (Mask(pattern="email"), Mask(pattern="ip")), 10, frozenset({"x", "y"}), {"e": 3}
    )
    denied = worst([replace(ALLOW, obligations=one), replace(DENY, obligations=Obligations(redact=("args.c",)))])
    assert denied.obligations == Obligations(redact=("args.a", "args.c"))


def test_what_a_rule_says_is_told_before_what_nothing_said() -> None:
    codes = [ReasonCode.NOT_APPLICABLE, ReasonCode.INDETERMINATE, ReasonCode.ENGINE_ERROR, ReasonCode.RULE]
    denials = [replace(DENY, reason_code=code, fields=(str(code),)) for code in codes]
    for number, code in enumerate(codes):
        told = worst(denials[: number + 1])
        assert (told.reason_code, told.fields) == (code, (str(code),))
    assert worst([DENY, *denials]).reason_code is ReasonCode.RULE


def test_another_try_helps_only_where_no_denial_forbids_it() -> None:
    changed = replace(DENY, retry="changed")
    assert worst([changed, changed]).retry == "changed"
    assert worst([changed, DENY]).retry == worst([DENY, changed]).retry == "never"
    assert worst([changed, replace(ALLOW, retry="never")]).retry == "changed"


def test_where_a_server_is_observed_it_is_told_what_it_would_have_been() -> None:
    seen = [replace(each, enforced=Effect.ALLOW) for each in (ALLOW, DENY, HOLD)]
    told = worst(seen)
    assert (told.effect, told.enforced) == (Effect.DENY, Effect.ALLOW)


def test_what_observed_files_would_have_made_of_it() -> None:
    stricter, milder = replace(ALLOW, would=Effect.DENY), replace(DENY, would=Effect.ALLOW)
    assert worst([ALLOW, stricter]).would is Effect.DENY
    assert worst([stricter, DENY]).would is None
    assert worst([milder, ALLOW]).would is Effect.ALLOW
    assert worst([milder, DENY]).would is None


@given(st.lists(st.sampled_from([ALLOW, HOLD, DENY]), min_size=1, max_size=6), st.randoms())
def test_their_order_does_not_matter(decisions: list[Decision], random: Any) -> None:
    shuffled = list(decisions)
    random.shuffle(shuffled)
    assert worst(decisions).enforced is worst(shuffled).enforced
