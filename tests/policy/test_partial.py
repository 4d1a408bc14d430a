"""What may come about where not all is known: never less than what does, over random sets and calls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from policylayer.core.decision import Effect, RuleRef
from policylayer.core.finding import Finding
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.values import NOT_ARRIVED, Unknown
from tests.policy.cases import compiled, question_of
from tests.policy.made import NOON, path, policy, policy_set, question, rule
from tests.reference.pools import FIELDS
from tests.reference.random_calls import NOTHING, Calls
from tests.reference.random_sets import Sets

ALLOW, DENY, HOLD = Effect.ALLOW, Effect.DENY, Effect.REQUIRE_APPROVAL
X = Unknown((path("args.x"),))


def varied(question: dict[str, Any], hidden: list[str], calls: Calls) -> dict[str, Any]:
    """The same question with other values in the hidden arguments."""
    values = {field: calls.value(field) for field in hidden}
    arguments = {field: value for field, value in question["args"].items() if field not in hidden}
    return question | {"args": arguments | {field: value for field, value in values.items() if value is not NOTHING}}


def of_random_sets(random: Random) -> Iterator[tuple[PolicySet, dict[str, Any], Calls]]:
    """A random set, and questions to it that have arguments."""
    sets, calls = Sets(random), Calls(random)
    made = compiled({name: json.dumps(said) for name, said in sets.files().items()})
    for _ in range(30):
        asked = calls.question([])
        if "args" in asked:
            yield made, asked, calls


@pytest.mark.parametrize("seed", range(60))
def test_no_effect_is_left_out(seed: int) -> None:
    random = Random(f"partial {seed}")
    for made, asked, calls in of_random_sets(random):
        hidden = random.sample(sorted(FIELDS), random.randint(1, 4))
        unknown = Unknown(tuple(("args", field) for field in hidden))
        possible = made.possible(question_of(asked), unknown)
        for _ in range(8):
            assert made.decide(question_of(varied(asked, hidden, calls))).effect in possible


@pytest.mark.parametrize("seed", range(60))
def test_what_is_not_named_does_not_matter(seed: int) -> None:
    """The fields on which it hangs are all of them: with those as they are, the others may be anything."""
    for made, asked, calls in of_random_sets(Random(f"fields {seed}")):
        unknown = Unknown(tuple(("args", field) for field in FIELDS))
        outlook = made.outlook(question_of(asked), unknown)
        named = {field.removeprefix("args.").strip('"').split(".")[0] for field in outlook.fields}
        assert bool(outlook.fields) is (len(outlook.effects) > 1)
        before = made.decide(question_of(asked)).effect
        assert before in outlook.effects
        for _ in range(4):
            others = varied(asked, [field for field in FIELDS if field not in named], calls)
            assert made.decide(question_of(others)).effect is before


@pytest.mark.parametrize("seed", range(30))
def test_all_that_is_known_leaves_one_effect(seed: int) -> None:
    random = Random(f"known {seed}")
    sets, calls = Sets(random), Calls(random)
    made = compiled({name: json.dumps(said) for name, said in sets.files().items()})
    for _ in range(30):
        asked = question_of(calls.question([]))
        assert made.possible(asked, Unknown(())) == {made.decide(asked).effect}


def test_a_certain_deny_needs_no_arguments() -> None:
    made = policy_set(
        policy(rule("a", ALLOW, {"tools": ["t"], "when": {"args.x": 1}}), rule("d", DENY, {"tools": ["t"]}))
    )
    assert made.possible(question(), NOT_ARRIVED) == {DENY}


def test_what_is_not_read_does_not_matter() -> None:
    made = policy_set(policy(rule("a", ALLOW, {"tools": ["t"], "when": {"args.y": 1}})))
    assert made.possible(question(arguments={"y": 1}), X) == {ALLOW}
    assert made.possible(question(arguments={"y": 2}), X) == {DENY}


def test_a_part_of_what_is_not_known_is_not_known() -> None:
    made = policy_set(policy(rule("a", ALLOW, {"tools": ["t"], "when": {"args.x.y": {"exists": True}}})))
    assert made.possible(question(), X) == {ALLOW, DENY}
    assert made.possible(question(), Unknown((path("args.x.y.z"),))) == {ALLOW, DENY}
    assert made.possible(question(), Unknown((path("args.x.z"),))) == {DENY}


def test_a_hold_that_is_satisfied_may_allow() -> None:
    made = policy_set(policy(rule("h", HOLD, {"tools": ["t"], "when": {"args.x": {"gt": 5}}})))
    assert made.possible(question(), X) == {HOLD, DENY}
    assert made.possible(question(approved=frozenset(["p/h"])), X) == {ALLOW, DENY}


def test_time_risk_and_the_folder_may_be_unknown() -> None:
    files = {
        "p.yaml": json.dumps(
            {
                "policy": "p",
                "applies_to": {"principals": ["*"], "servers": ["*"]},
                "rules": [
                    {
                        "id": "t",
                        "tools": ["time"],
                        "when": {"time": {"during": {"days": ["sat"], "zone": "UTC"}}},
                        "effect": "allow",
                    },
                    {"id": "r", "tools": ["risk"], "risk": ["read"], "effect": "allow"},
                    {"id": "f", "tools": ["file"], "when": {"args.x": {"within": "/srv"}}, "effect": "allow"},
                    {
                        "id": "l",
                        "tools": ["list"],
                        "when": {"args.x": {"every": {"within": "/srv"}}},
                        "effect": "allow",
                    },
                ],
            }
        )
    }
    made = compiled(files)
    assert made.possible(question("time", now=NOON), Unknown(())) == {DENY}
    assert made.possible(question("time"), Unknown((("time",),))) == {ALLOW, DENY}
    assert made.possible(question("risk"), Unknown(())) == {DENY}
    assert made.possible(question("risk"), Unknown((("risk",),))) == {ALLOW, DENY}
    nowhere = Unknown((), cwd=True)
    assert made.possible(question("file", {"x": "/srv/a"}), nowhere) == {ALLOW}
    assert made.possible(question("file", {"x": "/etc"}), nowhere) == {DENY}
    assert made.possible(question("file", {"x": "a"}), nowhere) == {ALLOW, DENY}
    assert made.possible(question("list", {"x": ["/srv/a", "a"]}), nowhere) == {ALLOW, DENY}
    assert made.possible(question("list", {"x": ["/etc", "a"]}), nowhere) == {DENY}


def test_a_limit_that_may_not_be_countable_may_deny() -> None:
    files = {
        "p.yaml": json.dumps(
            {
                "policy": "p",
                "applies_to": {"principals": ["*"], "servers": ["*"]},
                "rules": [
                    {"id": "a", "tools": ["t"], "effect": "allow"},
                    {
                        "id": "l",
                        "tools": ["t"],
                        "when": {"args.y": 1},
                        "limits": [{"sum": "args.x", "max": 5, "per": "hour"}],
                    },
                ],
            }
        )
    }
    made = compiled(files)
    assert made.possible(question(arguments={"y": 2}), X) == {ALLOW}
    assert made.possible(question(arguments={"y": 1}), X) == {ALLOW, DENY}
    assert made.possible(question(arguments={"x": -1}), Unknown((path("args.y"),))) == {ALLOW, DENY}
    assert made.possible(question(arguments={"x": -1, "y": 1}), Unknown(())) == {DENY}


def test_the_question_is_asked_as_it_is() -> None:
    made = policy_set(policy(rule("a", ALLOW, {"tools": ["t"]})))
    entry, ctx = made.asked(replace(question(), labels=frozenset(["x"])))
    assert [candidate.rule.name for candidate in entry.counted.allows] == ["p/a"]
    assert ctx.question.labels == {"x"}


# --- by which rules ---------------------------------------------------------------------------------------------------


def test_the_rules_of_each_effect_are_told_with_their_certainty() -> None:
    made = policy_set(
        policy(
            rule("a", ALLOW, {"tools": ["t"]}),
            rule("b", ALLOW, {"tools": ["t"], "when": {"args.y": 1}}),
            rule("d", DENY, {"tools": ["t"], "when": {"args.x": {"gt": 5}}}),
            rule("other", DENY, {"tools": ["u"]}),
        )
    )
    outlook = made.outlook(question(arguments={"y": 1}), X)
    assert [(says.ref.rule, says.effect, says.certain) for says in outlook.rules] == [
        ("d", DENY, False),
        ("a", ALLOW, True),
        ("b", ALLOW, True),
    ]
    assert outlook.fields == ("args.x",)
    certain = made.outlook(question(arguments={"x": 9}), Unknown(()))
    assert [(says.ref.rule, says.certain) for says in certain.rules] == [("d", True)]
    assert certain.fields == ()


def test_a_hold_of_a_malformed_call_is_a_denial_by_that_rule() -> None:
    made = policy_set(policy(rule("h", HOLD, {"tools": ["t"], "when": {"args.x": {"gt": 5}}})))
    outlook = made.outlook(question(arguments={"x": "a"}), Unknown(()))
    assert [(says.ref.rule, says.effect, says.certain) for says in outlook.rules] == [("h", DENY, True)]


def test_what_cannot_matter_is_not_named() -> None:
    made = policy_set(
        policy(
            rule("a", ALLOW, {"tools": ["t"], "when": {"args.y": 1}}),
            rule("h", HOLD, {"tools": ["t"]}),
            rule("d", DENY, {"tools": ["t"], "when": {"args.x": {"gt": 5, "absent": "no_match"}}}),
        )
    )
    outlook = made.outlook(question(), NOT_ARRIVED)
    assert outlook.effects == {HOLD, DENY}
    assert outlook.fields == ("args.x",)


def test_hints_and_the_directory_are_named() -> None:
    made = policy_set(
        policy(
            rule("a", ALLOW, {"annotations": {"readOnlyHint": True}}),
            rule("f", DENY, {"tools": ["t"], "when": {"args.f": {"within": "/srv"}}}),
        )
    )
    outlook = made.outlook(question(arguments={"f": "a"}), Unknown((("annotations",),), cwd=True))
    assert outlook.fields == ("annotations.readOnlyHint", "server.cwd")


# --- another engine ---------------------------------------------------------------------------------------------------


def found(effect: Effect | None) -> tuple[Finding, ...]:
    return (Finding(RuleRef("rego", "r", "a.rego", 3), effect, failure=None if effect else "indeterminate"),)


@pytest.mark.parametrize("says", [ALLOW, DENY, HOLD, None])
@pytest.mark.parametrize("own", [ALLOW, DENY, HOLD, None])
def test_findings_are_what_deciding_makes_of_them(own: Effect | None, says: Effect | None) -> None:
    made = policy_set(policy(*([rule("a", own, {"tools": ["t"]})] if own else [])))
    for approved in (frozenset[str](), frozenset({"p/a", "rego/r"})):
        asked = question(findings=found(says), approved=approved)
        assert made.possible(asked, Unknown(())) == {made.decide(asked).effect}


def test_an_engine_that_is_not_asked_may_say_anything() -> None:
    made = policy_set(policy(rule("a", ALLOW, {"tools": ["t"]}), rule("d", DENY, {"tools": ["u"]})))
    outlook = made.outlook(question(), Unknown((), engine=True))
    assert outlook.effects == {ALLOW, HOLD, DENY}
    assert outlook.fields == ("rego",)
    assert made.possible(question("u"), Unknown((), engine=True)) == {DENY}
