"""principals.yaml as values: attributes with types, owners, groups that nest and end, issuers."""

from __future__ import annotations

import pytest

from policylayer.policy import ast
from policylayer.policy.diagnostics import Diagnostic, ordered, render
from policylayer.policy.parse_principals import parse_principals
from policylayer.policy.shapes import Reading
from policylayer.policy.source import read


def parse(text: str) -> tuple[ast.Directory | None, list[str]]:
    """The directory, and the codes of what is wrong."""
    sink: list[Diagnostic] = []
    node = read("principals.yaml", text.encode(), sink)
    directory = parse_principals(node, Reading("principals.yaml", sink)) if node else None
    return directory, [finding.code for finding in ordered(sink)]


def good(text: str) -> ast.Directory:
    """A directory in which nothing is wrong."""
    directory, codes = parse(text)
    assert codes == [], render([], {})
    assert directory is not None
    return directory


def test_a_whole_directory() -> None:
    directory = good(
        """attributes: {tenant: string, level: number, on-call: boolean, projects: [string], sizes: [number]}
principals:
  agent:bot: {owner: user:alice, tenant: acme, level: 2.5, on-call: true, projects: [a, b], sizes: [1, 2]}
  user:alice: {tenant: acme}
  user:bob: {}
groups:
  ops: [user:alice, group:all, group:okta/x]
  all: [{member: user:bob, until: "2026-12-01T18:00:00Z"}, {member: agent:bot}]
issuers: [okta]
"""
    )
    assert directory.attributes["projects"] == "[string]"
    assert directory.principals["agent:bot"] == {
        "tenant": "acme",
        "level": 2.5,
        "on-call": True,
        "projects": ["a", "b"],
        "sizes": [1, 2],
    }
    assert directory.principals["user:bob"] == {}
    assert directory.owners == {"agent:bot": "user:alice"}
    assert [member.name for member in directory.groups["ops"]] == ["user:alice", "group:all", "group:okta/x"]
    assert [member.until_us for member in directory.groups["all"]] == [1796148000_000_000, None]
    assert directory.issuers == ("okta",)


@pytest.mark.parametrize("text", ["groups: {a: [user:x]}\n", "issuers: [okta]\n", "principals: {agent:a: {}}\n"])
def test_every_part_may_be_left_out(text: str) -> None:
    good(text)


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("groups: {a: [group:a]}", ["PL142"]),
        ("groups: {a: [group:b], b: [group:c], c: [group:b]}", ["PL142"]),
        ("groups: {a: [group:b]}", ["PL140"]),
        ("groups: {a: [group:okta/b]}", ["PL140"]),
        ("groups: {okta/a: [user:x]}\nissuers: [okta]", ["PL145"]),
        ("groups: {group:a: [user:x]}", ["PL124"]),
        ("groups: {a: []}", ["PL122"]),
        ("groups: {a: [x]}", ["PL124"]),
        ('groups: {a: ["user:*"]}', ["PL124"]),
        ('groups: {a: ["user:"]}', ["PL124"]),
        ("groups: {a: user:x}", ["PL120"]),
        ("groups: {a: [{member: user:x, until: tomorrow}]}", ["PL126"]),
        ("groups: {a: [{member: user:x, till: 5}]}", ["PL103"]),
        ("principals: {bot: {}}", ["PL124"]),
        ("principals: {Agent:x: {}}", ["PL124"]),
        ('principals: {"agent:a b": {}}', ["PL124"]),
        ("principals: {group:a: {}}", ["PL124"]),
        ("principals: {agent:a: []}", ["PL120"]),
        ("principals: {agent:a: {tenant: x}}", ["PL143"]),
        ("principals: {agent:a: {id: x}}", ["PL145"]),
        ("principals: {agent:a: {owner: group:a}}", ["PL124"]),
        ("principals: {agent:a: {owner: user:nobody}}", ["PL140"]),
        ("attributes: {groups: string}", ["PL145"]),
        ("attributes: {a: [string, string]}", ["PL120"]),
        ("attributes: {a: date}", ["PL123"]),
        ("attributes: {a.b: string}", ["PL124"]),
        ("attributes: {a: string}\nprincipals: {agent:a: {a: 5}}", ["PL144"]),
        ("attributes: {a: number}\nprincipals: {agent:a: {a: true}}", ["PL144"]),
        ("attributes: {a: [string]}\nprincipals: {agent:a: {a: [x, 5]}}", ["PL144"]),
        ("attributes: {a: string}\nprincipals: {agent:a: {a: null}}", ["PL144"]),
        ("issuers: [a/b]", ["PL124"]),
        ("people: {}", ["PL103"]),
        ("principals: {}", ["PL122"]),
    ],
)
def test_what_is_refused(text: str, codes: list[str]) -> None:
    assert parse(text + "\n")[1] == codes


def test_groups_that_share_members_are_no_circle_and_cost_nothing() -> None:
    groups = "".join(
        f"  g{n}: [group:g{n + 1}, group:h{n + 1}]\n  h{n}: [group:g{n + 1}, group:h{n + 1}]\n" for n in range(60)
    )
    good(f"groups:\n{groups}  g60: [user:a]\n  h60: [user:a]\n")
