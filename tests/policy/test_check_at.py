"""A policy test says when it is wherever its outcome may depend on that."""

from __future__ import annotations

import pytest

from policylayer.policy.diagnostics import Diagnostic
from policylayer.policy.load import load
from policylayer.policy.testing import run
from tests.policy.parsed import HEAD

pytestmark = pytest.mark.shows("policy.7")

PEOPLE = """principals: {agent:bot: {}, agent:guest: {}}
groups:
  guests: [{member: agent:guest, until: "2026-12-01T00:00:00Z"}]
  all: [group:guests, agent:bot]
"""
TIME = 'time: {after: "2026-12-01T00:00:00Z"}'


def found(rule: str, test: str = "", who: str = "agent:bot", call: str = "tool: t") -> list[Diagnostic]:
    """What is said of one test and one rule, beside a rule about another tool that reads the time."""
    policy = (
        f"{HEAD}rules:\n  - {{id: other, tools: [other], effect: allow, when: {{{TIME}}}}}\n  - {{id: r, {rule}}}\n"
    )
    tests = (
        "tests:\n  - name: first\n    expect: {effect: deny}\n"
        f"    principal: {who}\n    call: {{server: s, {call}}}\n{test}"
    )
    files = {"p.yaml": policy, "principals.yaml": PEOPLE, "p_test.yaml": tests}
    loaded = load({name: text.encode() for name, text in files.items()}, not_enforced=frozenset())
    return [each for each in loaded.diagnostics if each.file == "p_test.yaml"]


@pytest.mark.parametrize(
    "rule",
    [
        f"tools: [t], effect: allow, when: {{{TIME}}}",
        f"tools: [t], effect: allow, when: {{any: [{{args.a: 1}}, {{not: {{{TIME}}}}}]}}",
        f"methods: ['*'], effect: allow, except: [{{when: {{{TIME}}}}}]",
        "tools: ['*'], effect: allow, when: {time: {during: {days: [mon], zone: UTC}}}",
    ],
)
def test_a_test_that_reads_the_time_says_it(rule: str) -> None:
    (one,) = found(rule)
    assert (one.code, one.line, one.column) == ("PL121", 2, 5)
    assert "`shop/r` reads the time" in one.message
    assert found(rule, '    at: "2026-12-01T00:00:00Z"\n') == []
    assert found(rule.replace("effect: allow", "servers: [elsewhere], effect: allow")) == []


@pytest.mark.parametrize(
    "rule",
    [
        "tools: [t], principals: [group:guests], effect: allow",
        "tools: [t], effect: allow, except: [{principals: ['group:a*']}]",
        "tools: [t], effect: allow, when: {principal.groups: {some: group:ops}}",
        "tools: [t], effect: allow, when: {args.g: {in: {ref: principal.groups}}}",
    ],
)
def test_so_does_one_by_somebody_whose_membership_ends(rule: str) -> None:
    assert [each.code for each in found(rule, who="agent:guest")] == ["PL121"]
    assert found(rule, '    at: "2026-12-01T00:00:00Z"\n', who="agent:guest") == []
    assert found(rule) == []


def test_no_other_does() -> None:
    assert found("tools: [t], effect: allow") == []
    assert found("tools: [t], effect: allow", who="agent:guest") == []
    assert found(f"tools: [t], effect: allow, when: {{{TIME}}}", call="tool: u") == []


def test_one_that_calls_a_meta_tool_says_it_too() -> None:
    unwrap = "servers: {s: {unwrap: {tool: m, name: args.name, arguments: args.a}}}\n"
    tests = (
        f"{unwrap}tests:\n  - name: first\n    expect: {{effect: deny}}\n    principal: agent:bot\n"
        "    call: {server: s, tool: m, arguments: {name: t, a: {}}}\n"
    )
    policy = f"{HEAD}rules:\n  - {{id: r, tools: [t], effect: allow, when: {{{TIME}}}}}\n"
    files = {"p.yaml": policy.encode(), "principals.yaml": PEOPLE.encode(), "p_test.yaml": tests.encode()}
    assert [each.code for each in load(files, not_enforced=frozenset()).diagnostics] == ["PL121"]


def test_sums_are_exact_as_they_are_when_counted() -> None:
    limit = "limits: [{sum: args.sum, max: 10000000000000000000, per: day}]"
    policy = f"{HEAD}rules:\n  - {{id: r, tools: [t], effect: allow, {limit}}}\n"
    tests = (
        "tests:\n  - name: over\n    principal: agent:bot\n    limits: {shop/r#1: 10000000000000000000}\n"
        "    call: {server: s, tool: t, arguments: {sum: 1.0e-10}}\n    expect: {effect: deny}\n"
    )
    files = {"p.yaml": policy.encode(), "principals.yaml": PEOPLE.encode(), "p_test.yaml": tests.encode()}
    loaded = load(files, not_enforced=frozenset())
    assert loaded.policy_set is not None, loaded.diagnostics
    assert [result.passed for result in run(loaded.policy_set, loaded.tests)] == [True]
