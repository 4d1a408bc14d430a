"""ASTs, questions and policy sets made by hand, for tests that need no text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from policylayer.core.call import Call, Question, ServerFacts, Subject
from policylayer.core.decision import Effect
from policylayer.policy import ast
from policylayer.policy.compile import compile
from policylayer.policy.policy_set import PolicySet

SPAN = ast.Span("p.yaml", 1, 1)
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ALLOW, DENY, HOLD = Effect.ALLOW, Effect.DENY, Effect.REQUIRE_APPROVAL


def patterns(*texts: str) -> tuple[ast.Pattern, ...]:
    """Names of a selector."""
    return tuple(ast.Pattern(text, SPAN) for text in texts)


def path(text: str) -> ast.Path:
    """A plain path."""
    return tuple(text.split("."))


def matcher(name: str, value: Any) -> ast.Matcher:
    """One matcher; `ref:x` is a reference, a mapping under `length` and `decimal` nested matchers."""
    if name in ("every", "some"):
        value = _each(value)
    elif isinstance(value, str) and value.startswith("ref:"):
        value = ast.Ref(path(value[4:]), SPAN)
    elif name in ("length", "decimal"):
        value = tuple(matcher(key, inner) for key, inner in value.items())
    elif isinstance(value, list) and name != "schema":
        value = tuple(value)
    return ast.Matcher(name, value, SPAN)


def _each(value: Any) -> ast.Each:
    if isinstance(value, Mapping) and not any(key == "item" or key.startswith("item.") for key in value):
        return ast.Each(element=test("item", value))
    return ast.Each(condition=when(value)) if isinstance(value, Mapping) else ast.Each(element=test("item", value))


def test(where: str, matchers: Any) -> ast.Test:
    """A path with its matchers, or a scalar."""
    if not isinstance(matchers, Mapping):
        matchers = {"eq": matchers}
    said = {key: value for key, value in matchers.items() if key in ("absent", "ignore_case")}
    found = tuple(matcher(key, value) for key, value in matchers.items() if key not in said)
    return ast.Test(path(where), found, SPAN, said.get("absent"), said.get("ignore_case", False))


test.__test__ = False  # type: ignore[attr-defined]


def when(mapping: Mapping[str, Any]) -> ast.Condition:
    """A condition mapping."""
    parts: list[ast.Condition] = []
    for key, value in mapping.items():
        if key == "all":
            parts.append(ast.All(tuple(map(when, value))))
        elif key == "any":
            parts.append(ast.Any_(tuple(map(when, value))))
        elif key == "not":
            parts.append(ast.Not(when(value)))
        else:
            parts.append(test(key, value))
    return ast.All(tuple(parts))


def selection(**said: Any) -> ast.Selection:
    """Target and selectors; lists of names as lists, `when` as a mapping."""
    made: dict[str, Any] = {
        key: patterns(*value) if isinstance(value, list) else value for key, value in said.items() if key != "when"
    }
    return ast.Selection(**made, when=when(said["when"]) if "when" in said else None)


def rule(name: str, effect: Effect | None, said: Mapping[str, Any], **more: Any) -> ast.Rule:
    """A rule."""
    return ast.Rule(name, SPAN, selection(**said), effect, **more)


def policy(*rules: ast.Rule, name: str = "p", who: tuple[str, ...] = ("*",), **more: Any) -> ast.Policy:
    """A file."""
    return ast.Policy(name, SPAN, ast.AppliesTo(patterns(*who), patterns("*"), SPAN), rules, **more)


def policy_set(*policies: ast.Policy, directory: ast.Directory | None = None) -> PolicySet:
    """A compiled set, or an assertion with its diagnostics."""
    made, diagnostics = compile(policies, directory or ast.Directory(), "r1")
    assert made is not None, diagnostics
    return made


def question(tool: str = "t", arguments: Mapping[str, Any] | None = None, **more: Any) -> Question:
    """A call of a tool on `s` by `agent:a`."""
    call = Call("s", "tools/call", tool, dict(arguments or {}), b"", b"", "2025-11-25", more.pop("input", {}))
    more = {"subject": Subject("agent:a"), "server": ServerFacts("s"), "now": NOON, "call": call} | more
    return Question(**more)
