"""Lists show what arguments could still make allowed or held, and nothing that is certainly denied."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from policylayer.core.decision import Effect
from tests.policy.generated import SEEDS, World
from tests.policy.made import ALLOW, DENY, policy, policy_set, question, rule


@pytest.mark.shows("policy.5")
@settings(max_examples=150)
@given(SEEDS)
def test_what_some_arguments_allow_is_listed(seed: int) -> None:
    world = World(seed)
    made = world.policies()
    asked = world.question()
    arguments = [world.arguments() for _ in range(6)]
    compiled = policy_set(*made)
    asked = replace(asked, approved=frozenset())
    shown = compiled.listed(replace(asked, call=replace(asked.call, arguments={})))
    for given_arguments in arguments:
        call = replace(asked.call, arguments=given_arguments)
        if compiled.decide(replace(asked, call=call)).effect is not Effect.DENY:
            assert shown


@settings(max_examples=150)
@given(SEEDS)
def test_arguments_do_not_matter_to_lists(seed: int) -> None:
    world = World(seed)
    made = world.policies()
    asked = world.question()
    compiled = policy_set(*made)
    assert compiled.listed(asked) is compiled.listed(replace(asked, call=replace(asked.call, arguments={})))


@pytest.mark.shows("policy.5")
@settings(max_examples=150)
@given(SEEDS)
def test_where_no_rule_reads_arguments_lists_are_exact(seed: int) -> None:
    world = World(seed)
    made = world.policies()
    asked = world.question()
    compiled = policy_set(*made)
    call = asked.call
    keeps = any(one.list for file in made for one in file.rules)
    if compiled.reads(call.server, call.method, call.target) or keeps:
        return
    assert compiled.listed(asked) is (compiled.decide(asked).effect is not Effect.DENY)


def test_hidden_and_callable_are_one_question() -> None:
    compiled = policy_set(policy(rule("a", ALLOW, {"tools": ["*"]}), rule("d", DENY, {"tools": ["danger"]})))
    assert [compiled.listed(question(tool)) for tool in ("safe", "danger", "Danger")] == [True, False, True]
