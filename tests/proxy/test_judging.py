"""Several decisions about one request become one: the worst, with all that the others ask."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from policylayer.core.decision import Charge, Effect, HoldRule
from policylayer.policy.together import worst
from tests.proxy.rig import ALLOW, DENY, HOLD, rule

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


@given(st.lists(st.sampled_from([ALLOW, HOLD, DENY]), min_size=1, max_size=6), st.randoms())
def test_their_order_does_not_matter(decisions: list[object], random: object) -> None:
    shuffled = list(decisions)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert worst(decisions).enforced is worst(shuffled).enforced  # type: ignore[arg-type]
