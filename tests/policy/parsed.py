"""Texts to ASTs, for tests of the parsers."""

from __future__ import annotations

from typing import Any

from policylayer.policy import ast
from policylayer.policy.diagnostics import Diagnostic, ordered, render
from policylayer.policy.load import Loaded, load
from policylayer.policy.parse_policy import parse_policy
from policylayer.policy.shapes import Reading
from policylayer.policy.source import read

HEAD = 'policy: shop\napplies_to: {principals: ["*"], servers: ["*"]}\n'
PEOPLE = b"""attributes: {tenant: string, projects: [string]}
principals:
  agent:bot: {owner: user:alice, tenant: acme}
  user:alice: {tenant: acme, projects: [web]}
groups:
  ops: [user:alice]
issuers: [okta]
"""


def policy(text: str) -> ast.Policy:
    """A policy in which nothing is wrong."""
    sink: list[Diagnostic] = []
    node = read("f.yaml", text.encode(), sink)
    parsed = parse_policy(node, Reading("f.yaml", sink, frozenset())) if node else None
    assert not sink, render(ordered(sink), {"f.yaml": text.encode()})
    assert parsed is not None
    return parsed


def rule(body: str) -> ast.Rule:
    """One rule, its keys as flow YAML without braces; `id` and a tool are there already."""
    target = "" if any(key in body for key in ("tools:", "methods:", "resources:", "prompts:")) else "tools: [t], "
    return policy(f"{HEAD}rules:\n  - {{id: r, {target}{body}}}\n").rules[0]


def when(conditions: str) -> Any:
    """What the condition mapping `{…}` is read as."""
    condition = rule(f"effect: allow, when: {{{conditions}}}").selection.when
    assert isinstance(condition, ast.All)
    return condition.parts[0] if len(condition.parts) == 1 else condition


def loaded(text: str, **files: str) -> Loaded:
    """A file beside principals, loaded with all of the language enforced."""
    others = {name.replace("__", "/") + ".yaml": content.encode() for name, content in files.items()}
    return load({"f.yaml": text.encode(), "principals.yaml": PEOPLE, **others}, not_enforced=frozenset())


def codes(text: str, **files: str) -> list[str]:
    """The codes of what is wrong with a file, in order."""
    return [finding.code for finding in loaded(text, **files).diagnostics]


def codes_of_rule(body: str) -> list[str]:
    """The codes of what is wrong with a rule."""
    target = "" if any(key in body for key in ("tools:", "methods:", "resources:", "prompts:")) else "tools: [t], "
    return codes(f"{HEAD}rules:\n  - {{id: r, {target}{body}}}\n")
