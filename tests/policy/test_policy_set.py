"""A compiled set answers questions: effects combine, and nothing at all is a denial."""

from __future__ import annotations

import pytest

from policylayer.core.call import Subject
from policylayer.core.decision import Effect, ReasonCode
from policylayer.policy import ast
from tests.policy.made import ALLOW, DENY, HOLD, NOON, SPAN, policy, policy_set, question, rule

MEMBER = ast.Member("agent:a", SPAN)


def test_what_else_is_asked_of_a_set() -> None:
    directory = ast.Directory(principals={"agent:a": {}}, owners={"agent:a": "user:o"}, groups={"g": (MEMBER,)})
    made = policy_set(directory=directory)
    assert (made.owner_of("agent:a"), made.owner_of("agent:b")) == ("user:o", None)
    assert (made.knows("agent:a"), made.knows("agent:b")) == (True, False)
    assert made.groups_of(Subject("agent:a", frozenset({"group:x"})), NOON) == {"group:g", "group:x"}
    assert made.revision == "r1"
    assert [ref.name for ref in policy_set(policy(rule("r", ALLOW, TOOL))).rules] == ["p/r"]


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
