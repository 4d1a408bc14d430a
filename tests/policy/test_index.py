"""The index finds every rule that concerns a call, and does not ask rules about others."""

from __future__ import annotations

from hypothesis import given, settings

from policylayer.policy import index
from policylayer.policy.engine import candidate
from policylayer.policy.rules import Asker
from tests.policy.generated import SEEDS, World
from tests.policy.made import ALLOW, policy, policy_set, question, rule


@settings(max_examples=150)
@given(SEEDS)
def test_nothing_that_concerns_a_call_is_left_out(seed: int) -> None:
    world = World(seed)
    made = world.policies()
    asked = world.question()
    compiled = policy_set(*made)
    rules, user = compiled._rules, asked.on_behalf_of
    asker = Asker(
        asked.subject.id,
        compiled.groups_of(asked.subject, asked.now),
        None if user is None else user.id,
        frozenset() if user is None else compiled.groups_of(user, asked.now),
    )
    call = asked.call
    found = set(compiled._index.find(asker, call.server, call.method, call.target))
    needed = {number for number, one in enumerate(rules) if candidate(one, asker, call) is not None}
    assert needed <= found
    assert found <= set(compiled._index.at(call.server, call.method, call.target))


def test_rules_about_others_are_not_asked() -> None:
    many = [rule(f"t{n}", ALLOW, {"tools": [f"tool_{n}"]}) for n in range(300)]
    many += [rule(f"p{n}", ALLOW, {"tools": ["*"], "principals": [f"agent:{n}"]}) for n in range(300)]
    many += [rule(f"s{n}", ALLOW, {"tools": ["*"], "servers": [f"server-{n}"]}) for n in range(300)]
    compiled = policy_set(policy(*many), policy(rule("r", ALLOW, {"tools": ["*"]}), name="q", who=("agent:7",)))
    asked = Asker("agent:7", frozenset())
    names = [compiled._rules[n].name for n in compiled._index.find(asked, "s", "tools/call", "tool_9")]
    assert names == ["p/p7", "p/t9", "q/r"]


def test_caches_are_bounded() -> None:
    compiled = policy_set(policy(rule("r", ALLOW, {"tools": ["*"]})))
    for number in range(2 * index.REMEMBERED):
        asked = question(f"t{number}")
        compiled.decide(asked)
    assert compiled._remembered.cache_info().currsize <= index.REMEMBERED
    before = compiled._remembered.cache_info().misses
    compiled.decide(question("t" * 1000))
    assert compiled._remembered.cache_info().misses == before
