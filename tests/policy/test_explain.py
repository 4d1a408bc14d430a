"""Explaining: every rule, every part, and what they come to together is what deciding found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policylayer.core.decision import Effect
from policylayer.policy.change import smallest
from policylayer.policy.explain import Considered, Explanation, Part, explain
from policylayer.policy.explain_lines import lines
from policylayer.policy.explain_shown import Told, as_json
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.values import Unknown
from tests.policy.cases import cases, compiled, files_of, question_of
from tests.reference.random_calls import Calls
from tests.reference.random_sets import Sets

SHOP = """\
policy: shop
applies_to: {principals: ["*"], servers: [shop]}
rules:
  - id: small
    tools: [refund]
    when:
      args.amount: {gt: 0, lte: 5000}
      any: [{args.currency: usd}, {args.note: {exists: true}}]
    effect: allow
  - id: frozen
    tools: ["*"]
    effect: deny
    reason: The shop is closed.
    when: {args.amount: {gt: 100000}}
    except: [{principals: ["user:*"]}, {when: {args.force: true}}]
  - id: later
    tools: [refund]
    when: {args.amount: {gt: 5000}}
    effect: require_approval
"""


def made(seed: object) -> tuple[PolicySet, Calls]:
    """A random set and its calls."""
    random = Random(f"explain {seed}")
    files = Sets(random).files()
    return compiled({name: json.dumps(said) for name, said in files.items()}), Calls(random)


def folded(rule: Considered) -> str:
    """What a rule's parts come to together, by the language's own logic."""
    outcomes = [part.outcome for part in rule.parts if part.what != "except"]
    blocks = [part.outcome for part in rule.parts if part.what == "except"]
    if blocks:
        excused = next((word for word in ("true", "wrong", "missing") if word in blocks), "false")
        outcomes.append({"true": "false", "false": "true"}.get(excused, excused))  # type: ignore[arg-type]
    return next((word for word in ("false", "wrong", "missing") if word in outcomes), "true")


@settings(max_examples=60)
@given(st.integers(0, 10**6))
def test_the_parts_of_a_rule_come_to_what_it_comes_to(seed: int) -> None:
    policy_set, calls = made(seed)
    for _ in range(5):
        question = question_of(calls.question([]))
        explanation = explain(policy_set, question)
        assert explanation.decision == policy_set.decide(question)
        assert [rule.ref for rule in explanation.rules] == list(policy_set.rules)
        for rule in explanation.rules:
            assert folded(rule) == rule.outcome, rule
        assert {rule.ref for rule in explanation.rules if rule.decided} == set(explanation.decision.rules)
        json.dumps(as_json(Told(explanation, smallest(policy_set, question))))
        assert list(lines(as_json(Told(explanation)), everything=True))


@pytest.mark.parametrize("case", cases("decisions"))
def test_every_case_is_explained(case: Mapping[str, Any]) -> None:
    policy_set, question = compiled(files_of(case)), question_of(case)
    explanation = explain(policy_set, question)
    assert all(folded(rule) == rule.outcome for rule in explanation.rules)
    json.dumps(as_json(Told(explanation)))


# --- one set, looked at closely ---------------------------------------------------------------------------------------


def asked(arguments: Mapping[str, Any], **more: Any) -> Explanation:
    """The shop's explanation of a refund."""
    question = question_of({"server": "shop", "tool": "refund", "args": arguments, **more})
    return explain(compiled({"shop.yaml": SHOP}), question)


def rule(explanation: Explanation, name: str) -> Considered:
    """One rule's."""
    return next(each for each in explanation.rules if each.ref.rule == name)


def conditions_in(part: Part) -> dict[str, str]:
    """All single conditions below a part, with their outcomes."""
    found = {part.written: part.outcome} if part.what in ("test", "time") else {}
    for each in part.parts:
        found |= conditions_in(each)
    return found


def test_each_condition_has_its_outcome_and_its_value() -> None:
    small = rule(asked({"amount": 6000}), "small")
    (when,) = [part for part in small.parts if part.what == "when"]
    assert small.outcome == "false"
    assert conditions_in(when) == {
        "args.amount: {gt: 0, lte: 5000}": "false",
        "args.currency: usd": "missing",
        "args.note: {exists: true}": "false",
    }
    amount = when.parts[0]
    assert (amount.value, amount.line) == (6000, 7)
    assert [part.what for part in when.parts] == ["test", "any"]


def test_a_wrong_type_and_a_missing_field_are_told_apart() -> None:
    explanation = asked({"amount": "5"})
    assert rule(explanation, "small").outcome == "wrong"
    assert rule(explanation, "small").fields == ("args.amount", "args.currency")
    assert rule(asked({"currency": "usd"}), "small").outcome == "missing"


def test_a_block_that_excuses_is_true() -> None:
    explanation = asked({"amount": 200_000, "force": True})
    frozen = rule(explanation, "frozen")
    assert frozen.outcome == "false"
    assert [part.outcome for part in frozen.parts if part.what == "except"] == ["false", "true"]


def test_what_decided_is_said() -> None:
    explanation = asked({"amount": 200_000, "force": False})
    assert explanation.decision.effect is Effect.DENY
    assert [each.ref.rule for each in explanation.rules if each.decided] == ["frozen"]


def test_rules_about_others_are_counted_and_listed_on_demand() -> None:
    question = question_of({"server": "shop", "tool": "search", "args": {"amount": 1}})
    told = as_json(Told(explain(compiled({"shop.yaml": SHOP}), question)))
    assert "  2 rules are about other calls or callers (--all lists them)" in lines(told)
    listed = [line for line in lines(told, everything=True) if "shop/small" in line]
    assert listed == ["  shop/small  shop.yaml:4  no: target: tools: [refund]"]


def test_lines_for_people() -> None:
    question = question_of({"server": "shop", "tool": "refund", "args": {"amount": 6000, "currency": "usd"}})
    policy_set = compiled({"shop.yaml": SHOP})
    told = as_json(Told(explain(policy_set, question), smallest(policy_set, question)))
    shown = list(lines(told))
    assert shown[0] == "require_approval (rule): rule shop/later"
    assert "  shop/later  shop.yaml:16  require_approval: yes (decided)" in shown
    assert "    no         args.amount: {gt: 0, lte: 5000}  <- 6000  (line 7)" in shown
    assert shown[-1] == "The smallest change: `args.amount` = 5000 (shop/later: args.amount: {gt: 5000}): then allow."


def test_the_file_s_own_words() -> None:
    policy = {
        "policy": "p",
        "applies_to": {"principals": ["*"], "servers": ["*"]},
        "rules": [
            {
                "id": "a",
                "tools": ["t"],
                "when": {
                    "args.rows": {"every": {"item.n": {"lte": {"ref": "args.m"}}}, "absent": "match"},
                    "args.tags": {"some": {"ends_with": ["@a.com", "b c"], "ignore_case": True}},
                    "args.o": {"schema": {"type": "object"}, "length": {"gte": 1}},
                    "time": {"during": {"days": ["mon", "tue"], "between": ["09:00", "17:30"], "zone": "UTC"}},
                    "not": {"args.x": "yes"},
                    "all": [{"args.y": True}],
                },
                "effect": "allow",
            }
        ],
    }
    explanation = explain(compiled({"p.yaml": json.dumps(policy)}), question_of({}))
    (when,) = [part for part in explanation.rules[0].parts if part.what == "when"]
    assert list(conditions_in(when)) == [
        "args.rows: {every: {item.n: {lte: {ref: args.m}}}, absent: match}",
        'args.tags: {some: {ends_with: ["@a.com", "b c"], ignore_case: true}}',
        "args.o: {schema: {type: object}, length: {gte: 1}}",
        'time: {during: {days: [mon, tue], between: ["09:00", "17:30"], zone: UTC}}',
        'args.x: "yes"',
        "args.y: true",
    ]


# --- where not all is known -------------------------------------------------------------------------------------------


def test_what_hangs_on_what_is_not_known_is_said() -> None:
    policy_set = compiled({"shop.yaml": SHOP})
    question = question_of({"server": "shop", "tool": "refund", "args": {"currency": "usd"}})
    explanation = explain(policy_set, question, Unknown((("args", "amount"),)))
    assert explanation.possible == {Effect.ALLOW, Effect.DENY, Effect.REQUIRE_APPROVAL}
    assert explanation.not_known == ("args.amount",)
    small = rule(explanation, "small")
    assert small.outcome == "unknown"
    (when,) = [part for part in small.parts if part.what == "when"]
    assert conditions_in(when)["args.amount: {gt: 0, lte: 5000}"] == "unknown"
    assert conditions_in(when)["args.currency: usd"] == "true"
    shown = list(lines(as_json(Told(explanation))))
    assert shown[:2] == [
        "allow or deny or require_approval: the record does not hold what decides",
        "  not known any more: args.amount",
    ]
    assert shown[-1] == "What would change it cannot be said of a call that is not known whole."


def test_what_does_not_hang_on_it_is_certain() -> None:
    policy_set = compiled({"shop.yaml": SHOP})
    question = question_of({"server": "shop", "tool": "refund", "args": {"amount": 200_000}})
    explanation = explain(policy_set, question, Unknown((("args", "note"),)))
    assert explanation.possible == {Effect.DENY}
    assert explanation.is_certain
