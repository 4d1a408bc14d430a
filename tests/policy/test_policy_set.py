"""A compiled set answers questions: effects combine, and nothing at all is a denial."""

from __future__ import annotations

import pytest

from policylayer.core.decision import Effect, ReasonCode
from tests.policy.made import ALLOW, DENY, HOLD, policy, policy_set, question, rule

TOOL = {"tools": ["t"]}


@pytest.mark.shows("policy.1")
def test_an_empty_set_denies() -> None:
    decision = policy_set().decide(question())
    assert (decision.effect, decision.reason_code) == (DENY, ReasonCode.NOT_APPLICABLE)


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ([ALLOW], ALLOW),
        ([DENY], DENY),
        ([HOLD], HOLD),
        ([ALLOW, HOLD], HOLD),
        ([ALLOW, HOLD, DENY], DENY),
        ([None], DENY),
        ([None, ALLOW], ALLOW),
    ],
)
def test_deny_beats_hold_beats_allow(effects: list[Effect | None], expected: Effect) -> None:
    made = [rule(f"r{number}", effect, TOOL) for number, effect in enumerate(effects)]
    for order in (made, made[::-1]):
        assert policy_set(policy(*order)).decide(question()).effect is expected
