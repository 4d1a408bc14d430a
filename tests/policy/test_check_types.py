"""Conditions that are an error whatever is called are told of, also where no tools are known."""

from __future__ import annotations

import pytest

from tests.policy.parsed import codes_of_rule

pytestmark = pytest.mark.shows("proxy.9")


@pytest.mark.parametrize(
    ("when", "found"),
    [
        ('principal.groups: "group:ops"', ["PL407"]),
        ("session.labels: untrusted", ["PL407"]),
        ("session.labels: {glob: untrusted}", ["PL407"]),
        ("session.labels: {some: 5}", ["PL406"]),
        ("method: 5", ["PL406"]),
        ("server: {gt: 3}", ["PL406"]),
        ("target: {every: {eq: a}}", ["PL406"]),
        ("request.ip: true", ["PL406"]),
        ("for.kind: {keys: [a]}", ["PL406"]),
        ("principal.tenant: 5", ["PL406"]),
        ("principal.projects: web", ["PL407"]),
        ("not: {any: [{method: 5}, {server: a}]}", ["PL406"]),
        ("args.n: {gt: 5, lt: 3}", ["PL409"]),
        ("args.n: {gte: 5, lt: 5}", ["PL409"]),
        ("args.n: {gt: 5, lte: 5.0}", ["PL409"]),
        ("args.n: {gte: 5, lte: 5}", []),
        ("args.n: {gt: 5, lt: 5.5}", []),
        ("principal.projects: {some: web}", []),
        ("session.labels: {length: {gt: 1}, every: {neq: a}}", []),
        ("principal.id: {eq: {ref: args.a}}", []),
        ("request.ip: {cidr: 10.0.0.0/8}", []),
        ("args.x: 5", []),
    ],
)
def test_types_that_are_known(when: str, found: list[str]) -> None:
    assert codes_of_rule(f"effect: allow, when: {{{when}}}") == found


@pytest.mark.parametrize("name", ["contains", "starts_with", "ends_with", "matches", "finds", "glob"])
def test_an_empty_text_matches_all_and_is_refused(name: str) -> None:
    code = "PL170" if name == "glob" else "PL122"
    assert codes_of_rule(f'effect: allow, when: {{args.x: {{{name}: ""}}}}') == [code]
    assert codes_of_rule(f'effect: allow, when: {{args.x: {{{name}: [a, ""]}}}}') == [code]


def test_comparing_with_it_is_not() -> None:
    assert codes_of_rule('effect: allow, when: {args.x: {neq: ""}, args.y: {in: ["", a]}, args.z: ""}') == []
