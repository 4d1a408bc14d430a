"""Calls inside calls with Rego beside the YAML: a folder's tests, as they gate its activation, see both."""

from __future__ import annotations

import pytest

from policylayer.policy.load import load
from policylayer.rego.examine import examined

pytest.importorskip("regorus", reason="the extra `rego` is not installed")

FILES = {
    "hub.yaml": (
        'policy: hub\napplies_to: {principals: ["*"], servers: [hub]}\n'
        "rules: [{id: metas, tools: [call, batch], effect: allow}]\n"
    ),
    "rules.rego": (
        "package policylayer\n"
        'decision contains {"effect": "deny", "rule": "no-deletes"} if startswith(input.target, "delete_")\n'
        'decision contains {"effect": "allow", "rule": "small"} if {\n'
        '\tinput.target == "pay"\n\tinput.args.amount < 100\n}\n'
    ),
    "hub_test.yaml": """
servers:
  hub:
    unwrap:
      - {tool: call, name: args.tool, arguments: args.with}
      - {tool: batch, each: args.calls, name: item.tool, arguments: item.with}
tests:
  - name: allowed by Rego, inside what YAML allows
    principal: agent:a
    call: {server: hub, tool: call, arguments: {tool: pay, with: {amount: 5}}}
    expect: {effect: allow, rules: [hub/metas, rego/small]}
  - name: denied by Rego
    principal: agent:a
    call: {server: hub, tool: call, arguments: {tool: delete_all}}
    expect: {effect: deny, rules: [rego/no-deletes], reason_code: rule}
  - name: one of several
    principal: agent:a
    call: {server: hub, tool: batch, arguments: {calls: [{tool: pay, with: {amount: 5}}, {tool: delete_all}]}}
    expect: {effect: deny, rules: [rego/no-deletes]}
  - name: allowed by nothing
    principal: agent:a
    call: {server: hub, tool: call, arguments: {tool: pay, with: {amount: 500}}}
    expect: {effect: deny, reason_code: not_applicable}
  - name: not to be read
    principal: agent:a
    call: {server: hub, tool: call, arguments: {tool: 5}}
    expect: {effect: deny, reason_code: indeterminate}
""",
}


def test_rego_is_asked_about_the_call_and_each_inside_it() -> None:
    files = {name: text.encode() for name, text in FILES.items()}
    loaded = load(files)
    assert not loaded.errors, loaded.errors
    examination = examined(loaded, files)
    assert not examination.problems, examination.problems
    assert [str(result) for result in examination.failed] == []
    assert len(examination.results) == 5
