"""Policy files as values: every key of a file and of a rule, and where each stands."""

from __future__ import annotations

from decimal import Decimal

import pytest

from policylayer.core.decision import Effect
from policylayer.policy import ast
from tests.policy.parsed import HEAD, codes, codes_of_rule, policy, rule

WHOLE = """policy: payments
description: Refunds.
applies_to: {principals: [group:support-agents], servers: [stripe]}
mode: observe
limits:
  spend: {sum: args.amount, max: 100000, per: day, by: [principal.id, args.currency]}
rules:
  - id: small
    tools: [create_refund, "list_*"]
    prompts: [p]
    resources: ["file:///srv/**"]
    methods: [ping]
    principals: [agent:bot]
    for: ["user:*"]
    servers: [stripe]
    risk: [financial]
    traits: [egress]
    annotations: {readOnlyHint: false}
    when: {args.amount: {gt: 0, lte: 5000}}
    except:
      - {tools: [list_secrets]}
      - {principals: [group:break-glass], when: {args.x: 1}}
    effect: require_approval
    approval: {approvers: [group:ops, owner, on_behalf_of], quorum: 2, expires: 30m, note: required, each_round: true}
    limits: [20/hour, spend, {calls: 5, per: 15m, over: require_approval}]
    label: [untrusted]
    earn: {tests-passed: 30m}
    redact: [args.card.**, 'args."a b"', input.answer]
    mask: [result.x, {pattern: email}, {matches: "[0-9]+"}]
    cap: 64KiB
    reason: why
    instead: what
  - {id: never, tools: [x], effect: deny, list: true, reason: no more}
redact: [args.*]
"""


def texts(patterns: tuple[ast.Pattern, ...] | None) -> list[str]:
    """What patterns say."""
    return [pattern.text for pattern in patterns or ()]


def test_a_whole_policy() -> None:
    parsed = policy(WHOLE)
    assert (parsed.name, parsed.description, parsed.observe) == ("payments", "Refunds.", True)
    assert texts(parsed.applies_to.principals) == ["group:support-agents"]
    assert texts(parsed.applies_to.servers) == ["stripe"]
    assert [path.segments for path in parsed.redact] == [("args", "*")]
    spend = parsed.limits["spend"]
    assert (spend.name, spend.sum, spend.max, spend.per) == ("spend", ("args", "amount"), Decimal(100000), 86400)
    assert spend.by == (("principal", "id"), ("args", "currency"))
    assert [one.id for one in parsed.rules] == ["small", "never"]


def test_a_whole_rule() -> None:
    small, never = policy(WHOLE).rules
    selection = small.selection
    assert small.span == ast.Span("f.yaml", 8, 5)
    assert texts(selection.tools) == ["create_refund", "list_*"]
    assert selection.tools is not None
    assert selection.tools[1].span == ast.Span("f.yaml", 9, 28)
    assert texts(selection.prompts) == ["p"]
    assert texts(selection.resources) == ["file:///srv/**"]
    assert texts(selection.methods) == ["ping"]
    assert texts(selection.principals) == ["agent:bot"]
    assert texts(selection.on_behalf_of) == ["user:*"]
    assert texts(selection.servers) == ["stripe"]
    assert texts(selection.risk) == ["financial"]
    assert texts(selection.traits) == ["egress"]
    assert selection.annotations == {"readOnlyHint": False}
    assert small.effect is Effect.REQUIRE_APPROVAL
    assert [texts(block.tools) for block in small.except_] == [["list_secrets"], []]
    assert small.except_[1].when is not None
    assert (never.effect, never.list) == (Effect.DENY, True)


def test_an_approval_and_its_defaults() -> None:
    approval = policy(WHOLE).rules[0].approval
    assert approval is not None
    assert texts(approval.approvers) == ["group:ops", "owner", "on_behalf_of"]
    assert (approval.quorum, approval.expires, approval.note_required, approval.each_round) == (2, 1800, True, True)
    short = rule("effect: require_approval, approval: {quorum: 3}").approval
    assert short == ast.Approval((), 3, None, False, False)
    assert rule("effect: require_approval").approval is None


def test_limits_and_obligations() -> None:
    small = policy(WHOLE).rules[0]
    rate, name, calls = small.limits
    assert isinstance(rate, ast.Limit)
    assert isinstance(calls, ast.Limit)
    assert (rate.max, rate.per, rate.by, rate.over, rate.sum) == (20, 3600, (("principal", "id"),), "deny", None)
    assert name == "spend"
    assert (calls.max, calls.per, calls.over) == (5, 900, "require_approval")
    assert (small.label, small.earn, small.cap) == (("untrusted",), {"tests-passed": 1800}, 65536)
    assert [path.segments for path in small.redact] == [("args", "card", "**"), ("args", "a b"), ("input", "answer")]
    path, pattern, regex = small.mask
    assert path.path is not None
    assert (path.path.text, pattern.pattern, regex.regex) == ("result.x", "email", "[0-9]+")


def test_everybody_may_be_written_without_brackets() -> None:
    parsed = policy('policy: p\napplies_to: {principals: "*", servers: "*"}\nrules: []\n')
    assert (texts(parsed.applies_to.principals), texts(parsed.applies_to.servers)) == (["*"], ["*"])


def test_the_defaults_of_a_file() -> None:
    parsed = policy(HEAD + "rules: []\n")
    assert (parsed.rules, parsed.observe, parsed.limits, parsed.redact) == ((), False, {}, ())
    assert policy(HEAD + "mode: enforce\nrules: []\n").observe is False


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1/second", 1), ("1/minute", 60), ("1/hour", 3600), ("1/day", 86400), ("1/90s", 90), ("1/2d", 172800)],
)
def test_rates(text: str, seconds: int) -> None:
    limit = rule(f"limits: [{text}]").limits[0]
    assert isinstance(limit, ast.Limit)
    assert (limit.max, limit.per) == (1, seconds)


@pytest.mark.shows("policy.5")
@pytest.mark.parametrize("key", ["defualt", "effct", "Effect", "unless", "priority", "enabled", "tool", "allow"])
def test_load_06_no_key_is_ignored(key: str) -> None:
    assert "PL103" in codes_of_rule(f"effect: allow, {key}: [x]")
    assert "PL103" in codes(f"{HEAD}{key}: [x]\nrules: []\n")
    assert "PL103" in codes_of_rule(f"effect: allow, except: [{{{key}: [x]}}]")
    assert "PL103" in codes_of_rule(f"effect: require_approval, approval: {{{key}: [x]}}")


@pytest.mark.shows("policy.5")
@pytest.mark.parametrize("text", ["search", "{search: true}", "5", "true", "null", '""', "[]", "{}", "[[search]]"])
def test_load_06_tools_are_a_list_of_texts(text: str) -> None:
    found = codes_of_rule(f"effect: allow, tools: {text}")
    assert found
    assert set(found) <= {"PL120", "PL122"}


@pytest.mark.parametrize("pattern", ["a?", "[a]", "{a}", "a\\\\b", "a b", "", "a\\tb", "a\\u200bb", "***"])
def test_names_and_globs_have_no_other_wildcards_and_no_invisible_characters(pattern: str) -> None:
    assert codes_of_rule(f'effect: allow, tools: ["{pattern}"]') == ["PL170"]


@pytest.mark.parametrize("duty", ["limits: [1/day]", "label: [x]", "earn: {x: 1h}", "redact: [args.x]", "cap: 5"])
def test_a_rule_without_effect_needs_a_duty_and_a_deny_has_none(duty: str) -> None:
    assert codes_of_rule("reason: why") == ["PL151"]
    assert codes_of_rule(duty) == []
    assert codes_of_rule(f"effect: deny, reason: why, {duty}") == ["PL152"]


@pytest.mark.parametrize("target", ["tools: [a]", "prompts: [a]", 'resources: ["x://y/z"]', 'methods: ["*"]'])
def test_a_target_is_enough(target: str) -> None:
    assert codes(f"{HEAD}rules:\n  - {{id: r, effect: allow, {target}}}\n") == []


def test_risk_and_annotations_are_targets_and_traits_are_not() -> None:
    assert codes(f"{HEAD}rules:\n  - {{id: r, effect: allow, risk: [read]}}\n") == []
    assert codes(f"{HEAD}rules:\n  - {{id: r, effect: allow, annotations: {{readOnlyHint: true}}}}\n") == []
    assert codes(f"{HEAD}rules:\n  - {{id: r, effect: allow, traits: [egress]}}\n") == ["PL150"]
    assert codes(f"{HEAD}rules:\n  - {{id: r, effect: allow, principals: [agent:bot]}}\n") == ["PL150"]


def test_approval_goes_with_something_that_holds() -> None:
    assert codes_of_rule("effect: allow, approval: {quorum: 2}") == ["PL152"]
    over = "limits: [{calls: 1, per: day, over: require_approval}]"
    assert codes_of_rule(f"effect: allow, approval: {{quorum: 2}}, {over}") == []


BOUNDS = [
    ("{time: {before: AT}}", True),
    ("{time: {after: AT}}", False),
    ("{not: {time: {before: AT}}}", False),
    ("{not: {time: {after: AT}}}", True),
    ("{not: {not: {time: {before: AT}}}}", True),
    ("{any: [{args.x: 1}, {all: [{time: {before: AT}}]}]}", True),
    ("{time: {during: {zone: UTC}}}", False),
    ("{not: {time: {during: {zone: UTC}}}}", False),
]


@pytest.mark.parametrize(("condition", "ends"), BOUNDS)
def test_no_rule_but_an_allow_may_end_by_itself(condition: str, ends: bool) -> None:
    condition = condition.replace("AT", '"2027-01-01T00:00:00Z"')
    refused, permitted = (["PL154"], []) if ends else ([], ["PL154"])
    for effect in ("effect: deny, reason: x", "effect: require_approval", "redact: [args.x]"):
        assert codes_of_rule(f"{effect}, when: {condition}") == refused
        if "during" not in condition:
            assert codes_of_rule(f"{effect}, except: [{{when: {condition}}}]") == permitted
    assert codes_of_rule(f"effect: allow, when: {condition}") == []
    assert codes_of_rule(f"effect: allow, except: [{{when: {condition}}}]") == []
