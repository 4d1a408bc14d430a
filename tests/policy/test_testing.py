"""Policy tests run as data, and say what was not as expected."""

from __future__ import annotations

from policylayer.policy.testing import run
from tests.policy.cases import loaded

POLICY = """\
policy: payments
applies_to: {principals: ["group:support-agents"], servers: [stripe]}
limits:
  spend: {sum: args.amount, max: 100000, per: day, by: [principal.id, args.currency]}
rules:
  - {id: read, tools: ["list_*"], effect: allow}
  - id: small-refunds
    tools: [create_refund]
    when: {args.amount: {gt: 0, lte: 5000}, args.currency: {in: [usd, eur]}, args.note: {exists: true}}
    effect: allow
    limits: [20/hour, spend]
  - id: large-refunds
    tools: [create_refund]
    when: {args.amount: {gt: 5000}}
    effect: require_approval
    approval: {approvers: ["group:finance-leads"]}
  - {id: no-deletes, tools: ["delete_*"], effect: deny, reason: Never., except: [{tools: [delete_draft]}]}
  - {id: everyone-rate, tools: ["*"], limits: [100/hour]}
  - {id: soft, tools: [soft], effect: allow, limits: [{calls: 1, per: hour, over: require_approval}]}
  - {id: files, resources: ["file:///srv/**"], effect: allow}
  - {id: prompts, prompts: [review], when: {args.lang: de}, effect: allow}
  - {id: relative, tools: [open], when: {args.path: {within: /srv/app}}, effect: allow}
  - {id: for-people, tools: [mine], for: ["user:alice@example.com"], effect: allow}
  - {id: listen, methods: [resources/subscribe], when: {args.uri: {exists: true}}, effect: allow}
  - {id: hours, tools: [timed], when: {time: {after: "2026-01-01T00:00:00Z"}}, effect: allow}
  - {id: round, tools: [round], when: {input.ok: true, request.ip: {cidr: "10.0.0.0/8"}}, effect: allow}
"""
PRINCIPALS = """\
principals: {"agent:refund-bot": {}, "user:alice@example.com": {}}
groups: {support-agents: ["agent:refund-bot"], finance-leads: ["user:alice@example.com"]}
"""


def results(tests: str) -> list[str]:
    """The messages of a test file's tests, which stand one a line below a fixture."""
    head = "servers: {stripe: {cwd: /srv/app, mode: observe}}\ntests:\n"
    folder = {"payments.yaml": POLICY, "principals.yaml": PRINCIPALS, "payments_test.yaml": head + tests}
    found = loaded(folder)
    assert not found.errors, found.errors
    assert found.policy_set is not None
    return [str(result) for result in run(found.policy_set, found.tests)]


def one(call: str, expect: str) -> str:
    text = f"  - {{name: one, principal: 'agent:refund-bot', call: {{server: stripe, {call}}}, expect: {expect}}}\n"
    (result,) = results(text)
    return result


PASSING = """\
  - name: a small refund passes
    principal: "agent:refund-bot"
    call: {server: stripe, tool: create_refund, arguments: {amount: 100, currency: usd, note: dup}}
    expect: {effect: allow, rules: [payments/small-refunds, payments/everyone-rate], reason_code: rule}
  - name: reading passes
    principal: "agent:refund-bot"
    call: {server: stripe, tool: list_charges}
    expect: {effect: allow, rules: [payments/read, payments/everyone-rate]}
  - name: a large refund is held
    principal: "agent:refund-bot"
    call: {server: stripe, tool: create_refund, arguments: {amount: 6000}}
    expect: {effect: require_approval, rules: [payments/large-refunds]}
  - name: a large refund passes once approved
    principal: "agent:refund-bot"
    call: {server: stripe, tool: create_refund, arguments: {amount: 6000}}
    approved: [payments/large-refunds]
    expect: {effect: allow, rules: [payments/large-refunds, payments/everyone-rate]}
  - name: deleting is refused
    principal: "agent:refund-bot"
    call: {server: stripe, tool: delete_x}
    expect: {effect: deny, rules: [payments/no-deletes], reason_code: rule}
  - name: a draft may be deleted as far as that rule goes
    principal: "agent:refund-bot"
    call: {server: stripe, tool: delete_draft}
    expect: {effect: deny, rules: [], reason_code: not_applicable}
  - name: a text is no amount
    principal: "agent:refund-bot"
    call: {server: stripe, tool: create_refund, arguments: {amount: x}}
    expect: {effect: deny, reason_code: indeterminate, rules: [payments/large-refunds]}
  - name: the daily sum is over
    principal: "agent:refund-bot"
    call: {server: stripe, tool: create_refund, arguments: {amount: 100, currency: usd, note: dup}}
    limits: {payments/spend: 99901}
    expect: {effect: deny, reason_code: over_limit, rules: [payments/small-refunds]}
  - name: the daily sum is just met
    principal: "agent:refund-bot"
    call: {server: stripe, tool: create_refund, arguments: {amount: 100, currency: usd, note: dup}}
    limits: {payments/spend: 99900}
    expect: {effect: allow}
  - name: two counters are over
    principal: "agent:refund-bot"
    call: {server: stripe, tool: create_refund, arguments: {amount: 100, currency: usd, note: dup}}
    limits: {"payments/small-refunds#1": 20, "payments/everyone-rate#1": 100}
    expect: {effect: deny, reason_code: over_limit, rules: [payments/small-refunds, payments/everyone-rate]}
  - name: a soft limit is held
    principal: "agent:refund-bot"
    call: {server: stripe, tool: soft}
    limits: {"payments/soft#1": 1}
    expect: {effect: require_approval, reason_code: over_limit, rules: [payments/soft]}
  - name: a soft limit passes once approved
    principal: "agent:refund-bot"
    call: {server: stripe, tool: soft}
    limits: {"payments/soft#1": 1}
    approved: [payments/soft]
    expect: {effect: allow}
  - name: a hard limit beats a soft one
    principal: "agent:refund-bot"
    call: {server: stripe, tool: soft}
    limits: {"payments/soft#1": 1, "payments/everyone-rate#1": 100}
    expect: {effect: deny, reason_code: over_limit, rules: [payments/soft, payments/everyone-rate]}
  - name: a resource is read
    principal: "agent:refund-bot"
    call: {server: stripe, resource: "file:///srv/a"}
    expect: {effect: allow, rules: [payments/files]}
  - name: a prompt is got
    principal: "agent:refund-bot"
    call: {server: stripe, prompt: review, arguments: {lang: de}}
    expect: {effect: allow, rules: [payments/prompts]}
  - name: a relative path begins at the directory of the server
    principal: "agent:refund-bot"
    call: {server: stripe, tool: open, arguments: {path: x/y}}
    expect: {effect: allow}
  - name: a call for somebody
    principal: "agent:refund-bot"
    call: {server: stripe, tool: mine}
    for: "user:alice@example.com"
    expect: {effect: allow}
  - name: a method with params and a resource
    principal: "agent:refund-bot"
    call: {server: stripe, method: resources/subscribe, params: {uri: "file:///srv/a"}}
    expect: {effect: allow, rules: [payments/listen, payments/files]}
  - name: a call at a time
    principal: "agent:refund-bot"
    call: {server: stripe, tool: timed}
    at: "2026-11-23T10:00:00+01:00"
    expect: {effect: allow}
  - name: a later round, from an address
    principal: "agent:refund-bot"
    call: {server: stripe, tool: round}
    input: {ok: true}
    request: {ip: 10.1.2.3}
    expect: {effect: allow}
"""


def test_what_passes() -> None:
    found = results(PASSING)
    assert len(found) == PASSING.count("- name:")
    assert [result for result in found if ": passed: " not in result] == []


def test_a_principal_with_groups_from_a_token() -> None:
    text = """\
  - name: a
    principal: {id: "agent:new", groups: ["group:support-agents"]}
    call: {server: stripe, tool: list_x}
    expect: {effect: allow}
  - name: b
    principal: "agent:new"
    call: {server: stripe, tool: list_x}
    expect: {effect: deny, reason_code: not_applicable}
"""
    assert results(text) == ["payments_test.yaml:6: passed: a", "payments_test.yaml:10: passed: b"]


def test_each_mismatch_is_said() -> None:
    message = one("tool: delete_x", "{effect: allow, rules: [payments/read], reason_code: not_applicable}")
    assert message == (
        "payments_test.yaml:3: failed: one: expected allow, got deny (rule payments/no-deletes: Never.); "
        "expected reason_code not_applicable, got rule; rules expected and not matched: payments/read; "
        "rules matched and not expected: payments/no-deletes"
    )


def test_an_expected_rule_that_is_missing() -> None:
    message = one("tool: list_x", "{effect: allow, rules: []}")
    assert message.endswith("rules matched and not expected: payments/everyone-rate, payments/read")
