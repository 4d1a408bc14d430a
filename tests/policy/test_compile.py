"""What cannot be compiled is reported with its code and place, all of it, and there is no set."""

from __future__ import annotations

from typing import Any

import pytest

from policylayer.policy import ast
from policylayer.policy.codes import Code
from policylayer.policy.compile import compile
from tests.policy.made import ALLOW, DENY, SPAN, patterns, policy, rule

ELSEWHERE = ast.Span("q.yaml", 7, 3)


def codes(*rules: ast.Rule, **more: Any) -> list[str]:
    made, diagnostics = compile([policy(*rules, **more)], ast.Directory(), "r")
    assert (made is None) is bool(diagnostics)
    assert all(found.is_error and found.message for found in diagnostics)
    return [found.code for found in diagnostics]


def about(matchers: Any) -> list[str]:
    return codes(rule("r", ALLOW, {"tools": ["t"], "when": {"args.x": matchers}}))


@pytest.mark.parametrize(
    ("matchers", "code"),
    [
        ({"glob": "a?"}, Code.BAD_GLOB),
        ({"glob": ["a", "b[c]"]}, Code.BAD_GLOB),
        ({"path_glob": "/a/{b}"}, Code.BAD_GLOB),
        ({"path_glob": "a/*"}, Code.RELATIVE_PATH),
        ({"within": "a"}, Code.RELATIVE_PATH),
        ({"within": ["/a", "//b"]}, Code.RELATIVE_PATH),
        ({"matches": "("}, Code.BAD_REGEX),
        ({"finds": "(?i)a"}, Code.BAD_REGEX),
        ({"finds": r"\pL", "ignore_case": True}, Code.BAD_REGEX),
        ({"host": "https://a.com"}, Code.BAD_URL),
        ({"url_glob": "a.com/*"}, Code.BAD_URL),
        ({"cidr": "10.0.0.1/8"}, Code.BAD_CIDR),
        ({"schema": {"type": "nonsense"}}, Code.BAD_SCHEMA),
        ({"schema": {"$ref": "https://example.com/schema"}}, Code.BAD_SCHEMA),
        ({"schema": {"pattern": "(?=a)"}}, Code.BAD_SCHEMA),
        ({"schema": {"$schema": "http://json-schema.org/draft-07/schema#"}}, Code.BAD_SCHEMA),
        ({"schema": "x"}, Code.BAD_SCHEMA),
        ({"type": "integer"}, Code.NOT_A_CHOICE),
        ({"lt": "a"}, Code.BAD_OPERAND),
        ({"eq": None}, Code.BAD_OPERAND),
        ({"in": [1, "a"]}, Code.MIXED_LITERALS),
        ({"contains": 5}, Code.BAD_OPERAND),
        ({"keys": [1]}, Code.BAD_OPERAND),
        ({"length": {}}, Code.BAD_OPERAND),
        ({"decimal": {"contains": "a"}}, Code.BAD_OPERAND),
        ({"like": "a"}, Code.UNKNOWN_MATCHER),
        ({"eq": "ref:nothing.x"}, Code.UNKNOWN_PATH),
        ({"every": {"finds": "("}}, Code.BAD_REGEX),
        ({"some": {"item.a": {"cidr": "x"}}}, Code.BAD_CIDR),
    ],
)
def test_a_matcher_that_is_wrong(matchers: Any, code: Code) -> None:
    assert about(matchers) == [code]


@pytest.mark.parametrize(
    "path", ["nothing", "item", "principal", "for", "session", "session.x", "request", "request.x"]
)
def test_there_is_no_such_path(path: str) -> None:
    assert codes(rule("r", ALLOW, {"tools": ["t"], "when": {path: 1}})) == [Code.UNKNOWN_PATH]


def test_a_zone_that_there_is_not() -> None:
    during = ast.During(frozenset({0}), None, "Mars/Base", ELSEWHERE)
    made = ast.Rule("r", SPAN, ast.Selection(tools=patterns("t"), when=during), ALLOW)
    _, (found,) = compile([policy(made)], ast.Directory(), "r")
    assert (found.code, found.file, found.line, found.column) == (Code.UNKNOWN_ZONE, "q.yaml", 7, 3)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"tools": ["a?"]}, Code.BAD_GLOB),
        ({"tools": ["a"], "principals": ["a[b]"]}, Code.BAD_GLOB),
        ({"tools": ["a"], "servers": ["{a}"]}, Code.BAD_GLOB),
        ({"resources": ["file:///a?"]}, Code.BAD_GLOB),
        ({"resources": ["nothing"]}, Code.BAD_RESOURCE),
        ({"resources": ["file://host/x"]}, Code.BAD_RESOURCE),
    ],
)
def test_a_name_that_is_wrong(said: dict[str, Any], code: Code) -> None:
    assert codes(rule("r", DENY, said)) == [code]


def test_limits_that_are_wrong() -> None:
    odd = ast.Limit(max=5, per=60, span=SPAN, sum=("nothing",))  # type: ignore[arg-type]
    assert codes(rule("r", ALLOW, {"tools": ["t"]}, limits=("rate",))) == [Code.UNKNOWN_LIMIT]
    assert codes(rule("r", ALLOW, {"tools": ["t"]}, limits=(odd,))) == [Code.UNKNOWN_PATH]


def test_a_mask_that_is_wrong() -> None:
    assert codes(rule("r", ALLOW, {"tools": ["t"]}, mask=(ast.MaskRule(SPAN, regex="("),))) == [Code.BAD_REGEX]


def test_everything_is_reported_at_once() -> None:
    found = codes(
        rule("a", ALLOW, {"tools": ["t?"], "when": {"args.x": {"cidr": "x"}}}),
        rule(
            "b",
            DENY,
            {"tools": ["t"], "when": {"not": {"any": [{"args.x": {"finds": "("}}, {"args.y": {"host": ""}}]}}},
        ),
    )
    assert found == [Code.BAD_GLOB, Code.BAD_CIDR, Code.BAD_REGEX, Code.BAD_URL]
