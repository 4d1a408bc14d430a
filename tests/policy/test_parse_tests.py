"""Test files as values, and what of them is held against the policies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from policylayer.core.call import Unwrap
from policylayer.core.decision import Effect
from policylayer.policy import ast
from tests.policy.parsed import HEAD, loaded

POLICY = HEAD + (
    "limits: {spend: {sum: args.amount, max: 5, per: day}}\n"
    "rules:\n"
    "  - {id: read, tools: [a], effect: allow}\n"
    "  - {id: ask, tools: [b], effect: require_approval}\n"
    "  - {id: few, tools: [c], limits: [spend, 5/day, {calls: 6, per: hour, over: require_approval}]}\n"
)
WHOLE = """servers: {shop: {cwd: /srv, mode: observe}}
tests:
  - name: everything
    principal: {id: agent:bot, groups: [group:ops, group:okta/x], attributes: {tenant: acme}, for: user:alice}
    call: {server: shop, tool: a, arguments: {m: 1, f: 0.5, o: {}, l: [], z: null, "y": true}}
    at: "2026-11-23T10:00:00+01:00"
    labels: [untrusted]
    limits: {shop/spend: 99.5, "shop/few#1": 3}
    request: {ip: 10.0.0.1, client: claude, protocol: "2025-11-25"}
    input: {answer: {action: accept}}
    approved: [shop/ask]
    expect: {effect: deny, rules: [shop/read, shop/few], reason_code: over_limit}
"""


def cases_in(text: str) -> list[ast.TestCase]:
    """The tests of a file in which nothing is wrong."""
    result = loaded(POLICY, f_test=text)
    assert result.diagnostics == ()
    return list(result.tests)


def one(call: str = "{server: shop, tool: a}", principal: str = "agent:bot", rest: str = "") -> str:
    """A file with one test."""
    return f"tests: [{{name: x, principal: {principal}, call: {call}, expect: {{effect: allow}}{rest}}}]\n"


def codes(text: str) -> list[str]:
    """The codes of what is wrong with a test file."""
    return [finding.code for finding in loaded(POLICY, f_test=text).diagnostics]


def test_a_whole_test() -> None:
    (test,) = cases_in(WHOLE)
    assert (test.name, test.subject.id, test.subject.groups) == (
        "everything",
        "agent:bot",
        ("group:ops", "group:okta/x"),
    )
    assert test.subject.attributes == {"tenant": "acme"}
    assert test.on_behalf_of is not None
    assert test.on_behalf_of.id == "user:alice"
    assert (test.call.server, test.call.kind, test.call.name) == ("shop", "tool", "a")
    assert test.call.arguments == {"m": 1, "f": 0.5, "o": {}, "l": [], "z": None, "y": True}
    assert test.at == datetime(2026, 11, 23, 10, tzinfo=timezone(timedelta(hours=1)))
    assert test.labels == {"untrusted"}
    assert test.limits == {"shop/spend": Decimal("99.5"), "shop/few#1": 3}
    assert (test.ip, test.client, test.protocol) == ("10.0.0.1", "claude", "2025-11-25")
    assert test.input == {"answer": {"action": "accept"}}
    assert test.approved == {"shop/ask"}
    assert test.servers == {"shop": ast.Fixture("/srv", "observe")}
    expected = test.expected
    assert (expected.effect, expected.rules, expected.reason_code) == (
        Effect.DENY,
        ("shop/read", "shop/few"),
        "over_limit",
    )


def test_the_shortest_test() -> None:
    (test,) = cases_in(one())
    assert (test.on_behalf_of, test.at, test.call.arguments, test.expected.rules) == (None, None, {}, None)


@pytest.mark.parametrize(
    ("call", "kind", "name", "arguments"),
    [
        ("{server: s, prompt: p, arguments: {a: b}}", "prompt", "p", {"a": "b"}),
        ('{server: s, resource: "file:///x"}', "resource", "file:///x", {}),
        ("{server: s, method: ping}", "method", "ping", {}),
        ("{server: s, method: completion/complete, params: {a: 1}}", "method", "completion/complete", {"a": 1}),
        ("{server: s, tool: t, arguments: {}}", "tool", "t", {}),
    ],
)
def test_calls(call: str, kind: str, name: str, arguments: dict[str, object]) -> None:
    (test,) = cases_in(one(call))
    assert (test.call.kind, test.call.name, test.call.arguments) == (kind, name, arguments)


def test_whom_it_acts_for_may_stand_beside_the_principal() -> None:
    (test,) = cases_in(one(rest=", for: {id: user:alice, groups: [group:ops]}"))
    assert test.on_behalf_of is not None
    assert (test.on_behalf_of.id, test.on_behalf_of.groups) == ("user:alice", ("group:ops",))
    assert codes(one(principal="{id: agent:bot, for: user:alice}", rest=", for: user:alice")) == ["PL128"]


def test_no_rules_may_be_expected() -> None:
    (test,) = cases_in(one().replace("effect: allow", "effect: deny, rules: []"))
    assert test.expected.rules == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("tests: []\n", "PL122"),
        ("test: []\n", "PL103"),
        (one("{server: shop}"), "PL128"),
        (one("{server: shop, tool: a, prompt: b}"), "PL128"),
        (one("{tool: a}"), "PL121"),
        (one("{server: shop, tool: a, params: {a: 1}}"), "PL128"),
        (one("{server: shop, method: ping, arguments: {a: 1}}"), "PL128"),
        (one("{server: shop, tool: a, arguments: [1]}"), "PL120"),
        (one(principal="bot"), "PL124"),
        (one(principal='"agent:*"'), "PL124"),
        (one(principal="{groups: [group:ops]}"), "PL121"),
        (one(principal="{id: agent:bot, groups: [ops]}"), "PL124"),
        (one(principal="{id: agent:bot, attributes: {colour: red}}"), "PL143"),
        (one(rest=', at: "2026-11-23T10:00:00"'), "PL126"),
        (one(rest=', at: "9999-12-31T23:59:59Z"'), "PL126"),
        (one(rest=", limits: {shop/nothing: 5}"), "PL147"),
        (one(rest=', limits: {"shop/few#3": 5}'), "PL147"),
        (one(rest=", limits: {spend: 5}"), "PL124"),
        (one(rest=", limits: {shop/spend: -5}"), "PL127"),
        (one(rest=", approved: [shop/read]"), "PL146"),
        (one(rest=", approved: [shop/nothing]"), "PL146"),
        (one().replace("effect: allow", "effect: allow, rules: [shop/raed]"), "PL146"),
        (one().replace("effect: allow", "effect: allow, rules: [read]"), "PL124"),
        (one().replace("effect: allow", "reason_code: rule"), "PL121"),
        (one().replace("effect: allow", "effect: allow, reason_code: frozen"), "PL123"),
        ("servers: {shop: {cwd: srv}}\n" + one(), "PL171"),
    ],
)
def test_what_is_refused(text: str, code: str) -> None:
    assert code in codes(text)


def test_limits_with_over_may_be_approved() -> None:
    assert codes(one(rest=", approved: [shop/few]")) == []


def test_a_moment_is_aware() -> None:
    (test,) = cases_in(one(rest=', at: "2026-11-23T10:00:00Z"'))
    assert test.at == datetime(2026, 11, 23, 10, tzinfo=UTC)


def test_a_fixture_declares_meta_tools_as_a_configuration_does() -> None:
    unwrap = "servers: {shop: {unwrap: {tool: call, name: args.tool, arguments: args.with, arguments_as: json}}}\n"
    (test,) = cases_in(unwrap + one())
    assert test.servers["shop"].unwrap == (Unwrap("call", ("args", "tool"), ("args", "with"), as_json=True),)
    assert codes("servers: {shop: {unwrap: {tool: call, name: tool, arguments: args.with}}}\n" + one()) == ["PL161"]
