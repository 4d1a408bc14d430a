"""The smallest change to a call: it does flip the decision, it is small, and it is found where there is one."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import islice
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policylayer.core.call import Unwrap
from policylayer.core.decision import Effect
from policylayer.policy.change import Change, changes, smallest
from policylayer.policy.change_inside import all_changes
from policylayer.policy.change_values import REMOVED
from tests.policy.cases import compiled, question_of
from tests.policy.test_explain import made
from tests.reference.random_calls import Calls
from tests.reference.random_sets import Sets


@pytest.mark.shows("policy.2")
@settings(max_examples=150)
@given(st.integers(0, 10**6))
def test_the_smallest_change_flips_the_decision(seed: int) -> None:
    policy_set, calls = made(seed)
    for _ in range(4):
        question = question_of(calls.question([]))
        before = policy_set.decide(question)
        change = smallest(policy_set, question)
        if change is None:
            continue
        after = policy_set.decide(change.applied(question))
        assert after.effect is change.effect
        assert after.effect is not before.effect
        assert change.steps
        for step in change.steps:
            others = Change(tuple(other for other in change.steps if other != step), change.effect)
            if others.steps:
                assert policy_set.decide(others.applied(question)).effect is not change.effect, "one step is too many"


@pytest.mark.shows("policy.2")
@pytest.mark.parametrize("seed", range(8))
def test_a_change_is_found_where_other_arguments_would_do(seed: int) -> None:
    """Other arguments, tried at random, show that a change exists; then one is found, but for a few."""
    random = Random(f"found {seed}")
    sets, calls = Sets(random), Calls(random)
    found: Counter[bool] = Counter()
    for _ in range(6):
        policy_set = compiled({name: json.dumps(said) for name, said in sets.files().items()})
        for _ in range(6):
            asked = calls.question([]) | {"tool": random.choice(("get_x", "set_x", "t"))}
            before = policy_set.decide(question_of(asked)).effect
            others = (asked | {"args": calls.arguments()} for _ in range(40))
            if any(policy_set.decide(question_of(other)).effect is not before for other in others):
                found[smallest(policy_set, question_of(asked)) is not None] += 1
    assert found[True] >= 9 * found[False], found


# --- each kind of step ------------------------------------------------------------------------------------------------


def change_of(rules: list[dict[str, Any]], asked: dict[str, Any], **more: Any) -> Change:
    """The smallest change of a call under a few rules."""
    policy = {"policy": "p", "applies_to": {"principals": ["*"], "servers": ["*"]}, "rules": rules}
    files = {"p.yaml": json.dumps(policy)} | ({"principals.yaml": json.dumps(more)} if more else {})
    policy_set, question = compiled(files), question_of(asked)
    change = smallest(policy_set, question)
    assert change is not None
    assert policy_set.decide(change.applied(question)).effect is change.effect
    return change


def allow(**when: Any) -> list[dict[str, Any]]:
    """One allow of one tool."""
    return [
        {"id": "a", "tools": ["t"], "effect": "allow", "when": {f"args.{name}": said for name, said in when.items()}}
    ]


def to(change: Change) -> dict[str, Any]:
    """Fields and what they become."""
    return {step.field: step.to for step in change.steps}


@pytest.mark.parametrize(
    ("said", "now", "wanted"),
    [
        ({"lte": 5000}, 6000, 5000),
        ({"gt": 10}, 3, 11),
        ({"gt": 0, "lte": 5}, 9, 5),
        ({"in": ["usd", "eur"]}, "gbp", "usd"),
        ("usd", None, "usd"),
        ({"neq": "prod"}, "prod", "prodx"),
        ({"exists": False}, 5, REMOVED),
        ({"starts_with": "/srv/"}, "a", "/srv/"),
        ({"starts_with": "a", "ends_with": "z"}, "q", "az"),
        ({"glob": "reports/**/*.csv"}, "x", "reports/x.csv"),
        ({"matches": "(feature|fix)/[a-z0-9-]{1,40}"}, "main", "feature/a"),
        ({"within": "/srv/data"}, "/etc/passwd", "/srv/data/x"),
        ({"host": "*.example.com"}, "https://evil.com/", "https://a.example.com/"),
        ({"url_glob": "https://example.com/hooks/**"}, "https://evil.com/", "https://example.com/hooks/x"),
        ({"cidr": "10.0.0.0/8"}, "192.0.2.1", "10.0.0.0"),
        ({"decimal": {"lte": 99.5}}, "100", "99.5"),
        ({"length": {"lte": 2}}, "abcd", "ab"),
        ({"length": {"gte": 2}}, [1], [1, 1]),
        ({"type": "number"}, "x", 1),
        ({"keys": ["a"]}, {"a": 1, "b": 2}, {"a": 1}),
        ({"schema": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}}, 5, {"n": 1}),
        ({"every": {"ends_with": "@example.com"}}, ["x@evil.com"], ["@example.com"]),
        ({"some": "urgent"}, ["a"], ["a", "urgent"]),
    ],
)
def test_a_value_is_said_for_every_matcher(said: Any, now: Any, wanted: Any) -> None:
    change = change_of(allow(x=said), {"args": {} if now is None else {"x": now}})
    assert to(change) == {"args.x": wanted}
    assert change.effect is Effect.ALLOW
    assert change.own


def test_a_field_that_another_is_compared_with() -> None:
    change = change_of(allow(amount={"lte": {"ref": "args.balance"}}), {"args": {"amount": 9, "balance": 5}})
    assert to(change) == {"args.amount": 5}


def test_two_fields_where_two_are_needed() -> None:
    change = change_of(allow(x={"lte": 5}, y="a"), {"args": {"x": 6}})
    assert to(change) == {"args.x": 5, "args.y": "a"}


def test_a_deny_is_left_and_an_allow_is_met() -> None:
    rules = [*allow(x=1), {"id": "d", "tools": ["*"], "when": {"args.x": {"gt": 5}}, "effect": "deny"}]
    assert to(change_of(rules, {"args": {"x": 9}})) == {"args.x": 1}


def test_an_allowed_call_would_be_refused() -> None:
    rules = [
        {"id": "a", "tools": ["*"], "effect": "allow"},
        {"id": "d", "tools": ["t"], "when": {"args.x": {"gt": 5}}, "effect": "deny"},
    ]
    change = change_of(rules, {"args": {"x": 1}})
    assert to(change) == {"args.x": 6}
    assert change.effect is Effect.DENY


def test_a_held_call_would_be_allowed() -> None:
    rules = [
        *allow(x={"lte": 5}),
        {"id": "h", "tools": ["t"], "when": {"args.x": {"gt": 5}}, "effect": "require_approval"},
    ]
    assert to(change_of(rules, {"args": {"x": 9}})) == {"args.x": 5}
    only = [{"id": "h", "tools": ["t"], "effect": "require_approval"}]
    change = change_of(only, {})
    assert to(change) == {"approved": ("p/h",)}
    assert not change.own


def test_a_hold_that_meets_a_malformed_call() -> None:
    rules = [{"id": "h", "tools": ["t"], "when": {"args.x": {"gt": 5}}, "effect": "require_approval"}]
    change = change_of(rules, {"args": {"x": "9"}})
    assert change.effect is Effect.REQUIRE_APPROVAL


def test_an_except_is_a_way_out() -> None:
    rules = [
        {"id": "a", "tools": ["t"], "effect": "allow"},
        {"id": "d", "tools": ["t"], "effect": "deny", "except": [{"when": {"args.ticket": {"starts_with": "OPS-"}}}]},
    ]
    assert to(change_of(rules, {})) == {"args.ticket": "OPS-"}


def test_people_where_nothing_else_helps() -> None:
    rules = [{"id": "a", "tools": ["t"], "principals": ["group:ops"], "effect": "allow"}]
    known = {"principals": {"user:x": {}}, "groups": {"ops": ["user:x"]}}
    change = change_of(rules, {"principal": "agent:a"}, **known)
    assert to(change) == {"principal.groups": ("group:ops",)}
    assert not change.own


def test_a_delegated_call_could_be_a_direct_one() -> None:
    change = change_of([{"id": "a", "tools": ["t"], "effect": "allow"}], {"for": "user:x"})
    assert to(change) == {"for": REMOVED}


def test_labels_the_time_and_the_address() -> None:
    deny = {"id": "d", "tools": ["t"], "effect": "deny"}
    opened = [{"id": "a", "tools": ["t"], "effect": "allow"}]
    labelled = change_of(
        [*opened, deny | {"when": {"session.labels": {"some": "untrusted"}}}], {"labels": ["untrusted"]}
    )
    assert to(labelled) == {"session.labels": []}
    office = {"during": {"days": ["mon"], "between": ["09:00", "10:00"], "zone": "UTC"}}
    timed = change_of([opened[0] | {"when": {"time": office}}], {})
    assert [step.field for step in timed.steps] == ["time"]
    nearby = change_of([opened[0] | {"when": {"request.ip": {"cidr": "10.0.0.0/8"}}}], {"ip": "192.0.2.1"})
    assert to(nearby) == {"request.ip": "10.0.0.0"}


def test_what_is_known_of_the_tool() -> None:
    change = change_of([{"id": "a", "risk": ["read"], "effect": "allow"}], {"risk": "write"})
    assert to(change) == {"risk": "read"}


def test_a_limit_that_cannot_be_counted() -> None:
    rules = [{"id": "a", "tools": ["t"], "effect": "allow", "limits": [{"sum": "args.n", "max": 5, "per": "hour"}]}]
    assert to(change_of(rules, {"args": {"n": "many"}})) == {"args.n": 1}


def test_each_step_names_its_rule_and_words() -> None:
    (step,) = change_of(allow(x={"lte": 5}), {"args": {"x": 6}}).steps
    assert (step.rule, step.says, step.now) == ("p/a", "args.x: {lte: 5}", 6)


def test_nothing_is_offered_where_no_rule_is_about_the_call() -> None:
    policy = {"policy": "p", "applies_to": {"principals": ["*"], "servers": ["*"]}, "rules": []}
    assert list(changes(compiled({"p.yaml": json.dumps(policy)}), question_of({}))) == []


def test_looking_ends() -> None:
    policy_set, calls = made("ends")
    assert list(changes(policy_set, question_of(calls.question([])), left=0)) == []


# --- calls inside calls -----------------------------------------------------------------------------------------------

METAS = (
    Unwrap("t", ("args", "m_tool"), ("args", "m_args")),
    Unwrap("get_x", ("args", "m_tool"), ("args", "m_args"), as_json=True),
    Unwrap("set_x", ("item", "tool"), ("item", "with"), ("args", "calls")),
)


def around(outer: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """A meta-tool's arguments that hold this call."""
    if outer == "t":
        return {"m_tool": tool, "m_args": arguments}
    if outer == "get_x":
        return {"m_tool": tool, "m_args": json.dumps(arguments)}
    return {"calls": [{"tool": tool, "with": arguments}]}


@pytest.mark.shows("policy.2")
@settings(max_examples=60)
@given(st.integers(0, 10**6))
def test_a_change_of_a_meta_tools_call_flips_the_whole(seed: int) -> None:
    policy_set, calls = made(seed)
    random = Random(seed)
    for _ in range(3):
        outer = random.choice(("t", "get_x", "set_x"))
        asked = calls.question([]) | {"tool": outer, "args": around(outer, "delete_x", calls.arguments())}
        question = question_of(
            {key: each for key, each in asked.items() if key not in ("resource", "prompt", "method")}
        )
        question = replace(question, server=replace(question.server, unwrap=METAS))
        before = policy_set.decide(question).effect
        for change in islice(all_changes(policy_set, question), 5):
            after = policy_set.decide(change.applied(question)).effect
            assert after is change.effect
            assert after is not before


@pytest.mark.shows("policy.2")
@pytest.mark.parametrize(
    ("outer", "field", "to"),
    [
        ("t", "args.m_args.n", 5),
        ("get_x", "args.m_args", '{"n": 5, "other": "x"}'),
        ("set_x", "args.calls", [{"tool": "pay", "with": {"n": 5, "other": "x"}}]),
    ],
)
def test_what_the_agent_could_send_is_said_of_the_whole_call(outer: str, field: str, to: Any) -> None:
    rules = [
        {"id": "metas", "tools": ["t", "get_x", "set_x"], "effect": "allow"},
        {"id": "pay", "tools": ["pay"], "when": {"args.n": {"lte": 5}}, "effect": "allow"},
    ]
    policy = {"policy": "p", "applies_to": {"principals": ["*"], "servers": ["*"]}, "rules": rules}
    policy_set = compiled({"p.yaml": json.dumps(policy)})
    question = question_of({"tool": outer, "args": around(outer, "pay", {"n": 9, "other": "x"})})
    question = replace(question, server=replace(question.server, unwrap=METAS))
    change = next(all_changes(policy_set, question))
    assert [(step.field, step.to, step.rule) for step in change.steps] == [(field, to, "p/pay")]
    assert (change.effect, change.own) == (Effect.ALLOW, True)
    assert policy_set.decide(change.applied(question)).effect is Effect.ALLOW
