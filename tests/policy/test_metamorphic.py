"""What must hold of every policy set: order never matters, a deny never allows, others' rules change nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from policylayer.core.call import Question, Subject
from policylayer.core.decision import Decision, Effect
from policylayer.policy import ast
from tests.policy.generated import SEEDS, World
from tests.policy.made import ALLOW, DENY, HOLD, policy, policy_set, question, rule

STRICTNESS = {ALLOW: 0, HOLD: 1, DENY: 2}
MANY = settings(max_examples=150)


def decide(made: list[ast.Policy], question: Question) -> Decision:
    return policy_set(*made).decide(question)


@pytest.mark.shows("policy.1", "policy.5")
@MANY
@given(SEEDS)
def test_order_never_matters(seed: int) -> None:
    world = World(seed)
    made = world.policies()
    asked = world.question()
    random = world.random
    shuffled = [replace(one, rules=tuple(random.sample(one.rules, len(one.rules)))) for one in made]
    random.shuffle(shuffled)
    assert decide(shuffled, asked) == decide(made, asked)


@pytest.mark.shows("policy.1", "policy.5")
@MANY
@given(SEEDS)
def test_adding_a_deny_never_allows_more(seed: int) -> None:
    world = World(seed)
    made = world.policies()
    extra = world.rule("extra")
    asked = world.question()
    before = decide(made, asked)
    after = decide([*made, policy(replace(extra, effect=DENY), name="more")], asked)
    assert STRICTNESS[after.effect] >= STRICTNESS[before.effect]


@MANY
@given(SEEDS)
def test_adding_a_hold_never_turns_a_denial_by_rule_into_more(seed: int) -> None:
    world = World(seed)
    made = world.policies()
    extra = world.rule("extra")
    asked = world.question()
    before = decide(made, asked)
    after = decide([*made, policy(replace(extra, effect=HOLD), name="more")], asked)
    assert after.effect is not ALLOW or before.effect is ALLOW
    assert not before.rules or before.effect is not DENY or after.effect is DENY


@pytest.mark.shows("policy.1")
@MANY
@given(SEEDS)
def test_adding_an_allow_never_denies_more(seed: int) -> None:
    world = World(seed)
    made = world.policies()
    extra = world.rule("extra")
    asked = world.question()
    before = decide(made, asked)
    after = decide([*made, policy(replace(extra, effect=ALLOW), name="more")], asked)
    assert STRICTNESS[after.effect] <= STRICTNESS[before.effect]


@pytest.mark.shows("policy.1")
@MANY
@given(SEEDS)
def test_rules_for_somebody_else_change_nothing(seed: int) -> None:
    world = World(seed)
    made = world.policies()
    more = world.policy("more")
    asked = world.question()
    elsewhere = policy(*more.rules, name="more", who=("agent:somebody-else", "group:nobody"))
    assert decide([*made, elsewhere], asked) == decide(made, asked)


@MANY
@given(SEEDS)
def test_an_observed_file_changes_only_the_record(seed: int) -> None:
    world = World(seed)
    made = world.policies()
    seen = world.policy("seen", observe=True)
    asked = world.question()
    before, after = decide(made, asked), decide([*made, seen], asked)
    assert replace(after, observed=(), would=None) == before
    assert policy_set(*made, seen).listed(asked) is policy_set(*made).listed(asked)
    counted = decide([*made, replace(seen, observe=False)], asked)
    assert (after.would or after.effect) is counted.effect


@pytest.mark.shows("policy.1")
@given(SEEDS)
def test_an_empty_set_denies_everything(seed: int) -> None:
    world = World(seed)
    asked = world.question()
    made = policy_set()
    assert made.decide(asked).effect is Effect.DENY
    assert not made.listed(asked)


@MANY
@given(SEEDS)
def test_approvals_only_ever_turn_a_hold_into_an_allow(seed: int) -> None:
    world = World(seed)
    made = world.policies()
    asked = world.question()
    everything = frozenset(f"{one.name}/{rule.id}" for one in made for rule in one.rules)
    before = decide(made, replace(asked, approved=frozenset()))
    after = decide(made, replace(asked, approved=everything))
    assert after.effect is (ALLOW if before.effect is HOLD else before.effect)


@MANY
@given(SEEDS)
def test_the_same_question_gets_the_same_decision(seed: int) -> None:
    world = World(seed)
    made = world.policies()
    asked = world.question()
    one = policy_set(*made)
    first = one.decide(asked)
    one.decide(replace(asked, subject=Subject("agent:other")))
    assert one.decide(asked) == first == decide(made, asked)


@MANY
@given(SEEDS)
def test_an_observed_server_is_never_denied(seed: int) -> None:
    world = World(seed)
    made = world.policies()
    asked = world.question()
    watched = replace(asked, server=replace(asked.server, mode="observe"))
    before, after = decide(made, asked), decide(made, watched)
    assert (after.enforced, after.effect, after.rules) == (ALLOW, before.effect, before.rules)
    assert policy_set(*made).listed(watched)


@MANY
@given(SEEDS)
def test_what_is_named_is_told_consistently(seed: int) -> None:
    world = World(seed)
    made = world.policies()
    asked = world.question()
    decision = decide(made, asked)
    if decision.effect is ALLOW:
        assert decision.rules
        assert not decision.said
    if decision.reason_code == "indeterminate":
        assert decision.fields
    if decision.effect is DENY:
        assert decision.said
        assert not decision.charges
        assert not decision.holds


def test_a_deny_with_default_allow_meets_every_spelling() -> None:
    made = policy_set(policy(rule("a", ALLOW, {"methods": ["*"]}), rule("d", DENY, {"tools": ["delete_*"]})))
    denied = [made.decide(question(tool)).effect is DENY for tool in ("delete_x", "delete_\nx", "Delete_x", "delete-x")]
    assert denied == [True, True, False, False]
