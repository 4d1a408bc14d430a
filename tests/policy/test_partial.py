"""What may come about where not all is known: never less than what does, over random sets and calls."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from policylayer.core.decision import Effect
from policylayer.policy.values import NOT_ARRIVED, Unknown
from tests.policy.cases import compiled, question_of
from tests.policy.made import NOON, path, policy, policy_set, question, rule
from tests.reference.random_calls import NOTHING, Calls
from tests.reference.random_sets import FIELDS, Sets

ALLOW, DENY, HOLD = Effect.ALLOW, Effect.DENY, Effect.REQUIRE_APPROVAL
X = Unknown((path("args.x"),))


def varied(question: dict[str, Any], hidden: list[str], calls: Calls) -> dict[str, Any]:
    """The same question with other values in the hidden arguments."""
    values = {field: calls.value(field) for field in hidden}
    arguments = {field: value for field, value in question["args"].items() if field not in hidden}
    return question | {"args": arguments | {field: value for field, value in values.items() if value is not NOTHING}}


@pytest.mark.parametrize("seed", range(60))
def test_no_effect_is_left_out(seed: int) -> None:
    random = Random(f"partial {seed}")
    sets, calls = Sets(random), Calls(random)
    made = compiled({name: json.dumps(said) for name, said in sets.files().items()})
    for _ in range(30):
        asked = calls.question([])
        if "args" not in asked:
            continue
        hidden = random.sample(sorted(FIELDS), random.randint(1, 4))
        unknown = Unknown(tuple(("args", field) for field in hidden))
        possible = made.possible(question_of(asked), unknown)
        for _ in range(8):
            assert made.decide(question_of(varied(asked, hidden, calls))).effect in possible


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
