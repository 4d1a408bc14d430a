"""What satisfies a hold rule: its name, and that it asks for what it asked for then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policylayer.core.decision import HoldRule, RuleRef, permission
from policylayer.core.satisfied import asks, by_these, demand, is_satisfied, names, without

pytestmark = pytest.mark.shows("proxy.8")

RULE = HoldRule(RuleRef("p", "a", "p.yaml", 1), ("group:x", "user:y"))
OTHERS = [
    replace(RULE, approvers=("group:x",)),
    replace(RULE, quorum=2),
    replace(RULE, note_required=True),
    replace(RULE, each_round=True),
]


def test_what_a_rule_asks_is_not_where_it_stands_or_how_long_it_waits() -> None:
    elsewhere = HoldRule(RuleRef("q", "b", "q.yaml", 9), ("user:y", "group:x"), expires=9, bound=("tool",))
    assert asks(RULE) == asks(elsewhere)
    assert len({asks(rule) for rule in (RULE, *OTHERS)}) == len(OTHERS) + 1


@pytest.mark.parametrize("other", OTHERS)
def test_a_rule_that_asks_for_something_else_is_not_satisfied(other: HoldRule) -> None:
    satisfied = by_these([RULE])
    assert is_satisfied("p/a", RULE, satisfied)
    assert not is_satisfied("p/a", other, satisfied)
    assert is_satisfied("p/a", other, by_these([RULE, other]))


def test_a_name_alone_stands_for_whatever_it_asks() -> None:
    """A test's, or a recorded call's."""
    assert is_satisfied("p/a", RULE, frozenset({"p/a"}))
    assert is_satisfied("p/a", None, by_these([RULE]))


def test_a_demand_without_its_name_stands_for_nothing() -> None:
    assert not is_satisfied("p/a", RULE, frozenset({demand(RULE)}))
    assert not is_satisfied("p/b", RULE, by_these([RULE]))


def test_what_is_taken_back_leaves_nothing_behind() -> None:
    beside = replace(RULE, ref=RuleRef("p", "a b", "p.yaml", 1))
    satisfied = by_these([RULE, beside]) | {permission("p/a#1")}
    assert without(satisfied, ["p/a b"]) == by_these([RULE]) | {permission("p/a#1")}
    assert names(satisfied) == {"p/a", "p/a b", permission("p/a#1")}
