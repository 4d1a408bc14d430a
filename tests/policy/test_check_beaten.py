"""A rule that is said never to count never does: taking it out changes no decision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given, settings

from policylayer.core.decision import Decision
from policylayer.policy import ast
from policylayer.policy.check_beaten import check_beaten
from policylayer.policy.diagnostics import Diagnostic
from tests.policy.generated import SEEDS, World
from tests.policy.made import DENY, HOLD, policy_set
from tests.policy.parsed import HEAD, codes

KINDS = ("tools", "resources", "methods")


def placed(made: Iterable[ast.Policy]) -> list[ast.Policy]:
    """The policies with a line for each rule, and a column for each of its targets."""
    found, line = [], 0
    for policy in made:
        rules = []
        for rule in policy.rules:
            line += 1
            column = count(2)
            targets = {
                kind: tuple(ast.Pattern(one.text, ast.Span("p.yaml", line, next(column))) for one in patterns)
                for kind in KINDS
                if (patterns := getattr(rule.selection, kind)) is not None
            }
            rules.append(replace(rule, span=ast.Span("p.yaml", line, 1), selection=replace(rule.selection, **targets)))
        found.append(replace(policy, rules=tuple(rules)))
    return found


def without(made: Iterable[ast.Policy], finding: Diagnostic) -> list[ast.Policy]:
    """The policies without the rule, or the target of a rule, that a finding is about."""
    found = []
    for policy in made:
        rules = []
        for rule in policy.rules:
            if rule.span.line != finding.line:
                rules.append(rule)
            elif finding.column > 1:
                targets = {
                    kind: tuple(each for each in patterns if each.span.column != finding.column)
                    for kind in KINDS
                    if (patterns := getattr(rule.selection, kind)) is not None
                }
                rules.append(replace(rule, selection=replace(rule.selection, **targets)))
        found.append(replace(policy, rules=tuple(rules)))
    return found


def what_counts(decision: Decision) -> tuple[object, ...]:
    """A decision without the names of its rules."""
    obligations = decision.obligations
    return (decision.effect, decision.reason_code, decision.holds, decision.charges, replace(obligations, redact=()))


@settings(max_examples=500)
@given(SEEDS)
def test_what_never_counts_changes_nothing(seed: int) -> None:
    world = World(seed)
    made = placed([*world.policies(), *world.policies()[:1]])
    made = [replace(one, name=f"p{number}") for number, one in enumerate(made)]
    broad = [
        replace(rule, effect=world.pick([DENY, HOLD])) if world.random.random() < 0.3 else rule
        for rule in made[0].rules
    ]
    made[0] = replace(made[0], rules=tuple(broad), observe=False)
    sink: list[Diagnostic] = []
    check_beaten(made, sink)
    questions = [world.question() for _ in range(15 if sink else 0)]
    for finding in sink:
        left, whole = policy_set(*without(made, finding)), policy_set(*made)
        for question in questions:
            assert what_counts(left.decide(question)) == what_counts(whole.decide(question)), (finding, made)


DENIES = '{id: d, tools: ["delete_*"], effect: deny, reason: No.'


@pytest.mark.parametrize(
    ("denies", "rule", "beaten"),
    [
        (DENIES + "}", "{id: r, tools: [delete_it], effect: allow}", True),
        (DENIES + "}", '{id: r, tools: ["*"], effect: allow}', False),
        (DENIES + "}", "{id: r, tools: [delete_it], effect: deny, reason: No.}", False),
        (
            DENIES + ", principals: [group:ops]}",
            "{id: r, tools: [delete_it], principals: [group:ops], effect: allow}",
            True,
        ),
        (
            DENIES + ", principals: [group:ops]}",
            "{id: r, tools: [delete_it], principals: [user:alice], effect: allow}",
            False,
        ),
        (DENIES + ', principals: ["*"]}', "{id: r, tools: [delete_it], principals: [group:ops], effect: allow}", True),
        (
            DENIES + ', principals: ["g*"]}',
            "{id: r, tools: [delete_it], principals: [group:ops], effect: allow}",
            False,
        ),
        (DENIES + ", servers: [a]}", "{id: r, tools: [delete_it], effect: allow}", False),
        (DENIES + ", servers: [a]}", "{id: r, tools: [delete_it], servers: [a], effect: allow}", True),
        (DENIES + ", for: [user:alice]}", "{id: r, tools: [delete_it], effect: allow}", False),
        (DENIES + ", for: [user:alice]}", "{id: r, tools: [delete_it], for: [user:alice], effect: allow}", True),
        (DENIES + ", when: {args.x: 1}}", "{id: r, tools: [delete_it], effect: allow}", False),
        (DENIES + ", when: {args.x: 1}}", "{id: r, tools: [delete_it], when: {args.x: true}, effect: allow}", False),
        (
            DENIES + ", when: {args.x: 1}}",
            "{id: r, tools: [delete_it], when: {args.y: 2, args.x: 1}, effect: allow}",
            True,
        ),
        (DENIES + ", except: [{tools: [delete_a]}]}", "{id: r, tools: [delete_it], effect: allow}", True),
        (DENIES + ', except: [{tools: ["*_it"]}]}', '{id: r, tools: ["delete_a*"], effect: allow}', False),
        (DENIES + ", except: [{principals: [group:ops]}]}", "{id: r, tools: [delete_it], effect: allow}", False),
        (DENIES + ", annotations: {readOnlyHint: true}}", "{id: r, tools: [delete_it], effect: allow}", False),
        ('{id: d, methods: ["*"], effect: deny, reason: No.}', '{id: r, resources: ["x://*"], effect: allow}', True),
        ('{id: d, methods: ["tools/*"], effect: deny, reason: No.}', "{id: r, prompts: [a], effect: allow}", False),
        (
            '{id: d, resources: ["x://*"], effect: deny, reason: No.}',
            '{id: r, resources: ["x://a"], effect: allow}',
            False,
        ),
        ('{id: d, methods: ["*"], effect: deny, reason: No.}', "{id: r, risk: [read], effect: allow}", True),
        (DENIES + "}", "{id: r, tools: [delete_it], redact: [args.x]}", False),
        (DENIES + "}", "{id: r, tools: [delete_it], label: [x]}", True),
        ("{id: d, tools: [t], effect: require_approval}", "{id: r, tools: [t], effect: allow}", True),
        ("{id: d, tools: [t], effect: require_approval}", "{id: r, tools: [t], effect: allow, label: [x]}", False),
        ("{id: d, tools: [t], effect: require_approval}", "{id: r, tools: [t], label: [x]}", False),
    ],
)
def test_what_covers_what(denies: str, rule: str, beaten: bool) -> None:
    assert ("PL158" in codes(f"{HEAD}rules:\n  - {denies}\n  - {rule}\n")) is beaten


def test_a_file_in_observe_mode_beats_nothing() -> None:
    watched = HEAD.replace("policy: shop\n", "policy: watched\nmode: observe\n") + f"rules:\n  - {DENIES}}}\n"
    rule = HEAD + "rules: [{id: r, tools: [delete_it], effect: allow}]\n"
    assert codes(rule, watched=watched) == []
