"""Calls inside calls: whatever an agent does to hide a denied tool in a meta-tool's arguments, the server sees nothing.

The proxy declares what is a meta-tool; to the recording server these are tools like any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.attacks.messages import ERAS, Era, call, headers, message
from tests.attacks.rig import POLICY, SECRET, Case, Rig
from tests.support.raw_http import Response

pytestmark = pytest.mark.shows("proxy.5", "policy.5")

UNWRAP: Final = [
    {"tool": "meta", "name": "args.tool_name", "arguments": "args.arguments"},
    {"tool": "text", "name": "args.name", "arguments": "args.params", "arguments_as": "json"},
    {"tool": "batch", "each": "args.calls", "name": "item.tool", "arguments": "item.arguments"},
]
RULES: Final = """
  - {id: metas, tools: [meta, text, batch], effect: allow, redact: [args.pin_code]}
  - {id: spending, tools: [pay], limits: [{sum: args.amount, max: 250, per: day}]}
  - {id: card, tools: [pay], redact: [args.card.**], limits: [1000/hour]}
"""


@pytest.fixture(scope="module")
def meta(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A proxy that knows which tools of its server call others."""
    policies = {"attacks.yaml": POLICY + RULES.lstrip("\n")}
    with Rig(tmp_path_factory.mktemp("metas"), policies=policies, servers={"rec": {"unwrap": UNWRAP}}) as rig:
        yield rig


def sent(case: Case, tool: str, arguments: str, era: Era) -> Response:
    """A call with these arguments, as they are written."""
    given = headers(case.agent.token, era, "tools/call", tool)
    return case.post(call(f'"{tool}"'.encode(), arguments.encode(), era), given, era)


def plain(name: Any, arguments: Any = None, **more: Any) -> str:
    return json.dumps({"tool_name": name, **({} if arguments is None else {"arguments": arguments}), **more})


def texted(name: str, params: Any) -> str:
    return json.dumps({"name": name, "params": params})


def nested(depth: int, name: str = "danger") -> str:
    inner: dict[str, Any] = {"tool_name": name, "arguments": {}}
    for _ in range(depth):
        inner = {"tool_name": "meta", "arguments": inner}
    return json.dumps(inner)


DENIED: Final = {
    "plain": ("meta", plain("danger", {})),
    "in-a-text": ("text", texted("danger", "{}")),
    "in-a-batch": ("batch", json.dumps({"calls": [{"tool": "safe"}, {"tool": "danger", "arguments": {}}]})),
    "nested": ("meta", nested(2)),
    "nested-in-a-text": ("text", texted("meta", plain("danger"))),
    "nested-in-a-batch": ("batch", json.dumps({"calls": [{"tool": "text", "arguments": {"name": "danger"}}]})),
    "escaped": ("meta", '{"tool_name":"d\\u0061nger","arguments":{}}'),
}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(("tool", "arguments"), DENIED.values(), ids=DENIED)
def test_a_denied_tool_is_denied_wherever_it_hides(meta: Rig, era: Era, tool: str, arguments: str) -> None:
    with meta.case() as case:
        row = case.denied(sent(case, tool, arguments, era), "rule", "attacks/no-danger")
        assert (row["target"], row["reason"].rpartition(": ")[2]) == (tool, "rule attacks/no-danger")
        assert json.loads(row["detail"])["inner"][-1]["target"] == "danger"
        case.nothing_sent()


NAMELESS: Final = {
    "unknown": ("meta", plain("Danger")),
    "prefixed": ("meta", plain("rec.danger")),
    "method": ("meta", plain("tools/call")),
    "other-server": ("meta", plain("rec2/safe")),
}


@pytest.mark.parametrize(("tool", "arguments"), NAMELESS.values(), ids=NAMELESS)
def test_a_name_that_no_rule_allows_is_denied(meta: Rig, tool: str, arguments: str) -> None:
    with meta.case() as case:
        case.denied(sent(case, tool, arguments, "modern"), "not_applicable")
        case.nothing_sent()


DEEP: Final = "[" * 62 + "]" * 62
UNREADABLE: Final = {
    "empty": ("meta", "{}"),
    "null-name": ("meta", plain(None)),
    "number": ("meta", plain(5)),
    "list": ("meta", plain(["safe"])),
    "object": ("meta", plain({"safe": "danger"})),
    "empty-name": ("meta", plain("")),
    "space-before": ("meta", plain(" danger")),
    "space-after": ("meta", plain("danger ")),
    "newline": ("meta", plain("safe\ndanger")),
    "nul": ("meta", plain("safe\x00danger")),
    "zero-width": ("meta", plain("dan\u200bger")),
    "direction": ("meta", plain("\u202eregnad")),
    "long": ("meta", plain("d" * 129)),
    "other-case": ("meta", plain("safe", {}, Tool_Name="danger")),
    "upper-case": ("meta", plain("safe", {}, TOOL_NAME="danger")),
    "full-width": ("meta", plain("safe", {}, **{"\uff54ool_name": "danger"})),
    "other-arguments": ("meta", plain("pay", {"amount": 1}, Arguments={"amount": 1000})),
    "arguments-list": ("meta", plain("safe", [])),
    "arguments-text": ("meta", plain("safe", "{}")),
    "arguments-number": ("meta", plain("safe", 5)),
    "object-for-text": ("text", texted("pay", {"amount": 1})),
    "no-json": ("text", texted("safe", "amount: 1")),
    "list-text": ("text", texted("safe", "[]")),
    "null-text": ("text", texted("safe", "null")),
    "empty-text": ("text", texted("safe", "")),
    "duplicate-key": ("text", texted("pay", '{"amount": 1, "amount": 1000}')),
    "duplicate-by-escape": ("text", texted("pay", '{"amount": 1, "\\u0061mount": 1000}')),
    "not-a-number": ("text", texted("pay", '{"amount": NaN}')),
    "not-shortest": ("text", texted("pay", '{"amount": 100.00000000000000001}')),
    "bom": ("text", texted("pay", '\ufeff{"amount": 1}')),
    "two-texts": ("text", texted("pay", '{"amount": 1}{"amount": 1000}')),
    "comment": ("text", texted("pay", '{"amount": 1} // 1000')),
    "lone-surrogate": ("text", texted("safe", '{"a": "\\ud800"}')),
    "too-deep-text": ("text", texted("safe", '{"a":' + DEEP + "}")),
    "no-list": ("batch", "{}"),
    "empty-list": ("batch", '{"calls":[]}'),
    "object-list": ("batch", '{"calls":{"tool":"safe"}}'),
    "text-list": ("batch", json.dumps({"calls": '[{"tool":"danger"}]'})),
    "item-text": ("batch", '{"calls":["danger"]}'),
    "item-null": ("batch", '{"calls":[{"tool":"safe"},null]}'),
    "item-list": ("batch", '{"calls":[[{"tool":"danger"}]]}'),
    "too-many": ("batch", json.dumps({"calls": [{"tool": "safe"}] * 65})),
    "too-nested": ("meta", nested(4, "safe")),
    "far-too-nested": ("meta", nested(25, "safe")),
}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(("tool", "arguments"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_nobody_can_tell_is_denied_and_says_which_field(meta: Rig, era: Era, tool: str, arguments: str) -> None:
    with meta.case() as case:
        answer = sent(case, tool, arguments, era)
        row = case.denied(answer, "indeterminate")
        text = answer.json["result"]["content"][0]["text"]
        assert f"What {'meta' if 'meta' in text.split(chr(10))[1] else tool} is to call cannot be read (" in text
        assert "danger" not in text
        assert row["reason"].startswith(f"what {tool} is to call cannot be read") or "too many" in row["reason"]
        case.nothing_sent()


@pytest.mark.parametrize("era", ERAS)
def test_what_is_allowed_inside_is_sent_as_it_came(meta: Rig, era: Era) -> None:
    """With odd spacing and order, byte by byte; the row tells both."""
    with meta.case() as case:
        arguments = '{ "arguments" : {"z":1,"a" :  [1.50]} , "extra":null, "tool_name":"s\\u0061fe" }'
        row = case.executed(sent(case, "meta", arguments, era), "meta done")
        assert arguments.encode() in meta.rec.received[-1].body
        (inner,) = json.loads(row["detail"])["inner"]
        assert inner == {"target": "safe", "effect": "allow", "reason_code": "rule", "rules": ["attacks/safe"]}
        assert {rule["rule"] for rule in json.loads(row["rules"])} == {"metas", "safe"}


def test_a_batch_cannot_spend_more_than_its_calls_one_by_one(meta: Rig) -> None:
    with meta.case() as case:

        def pay(*amounts: int) -> str:
            return json.dumps({"calls": [{"tool": "pay", "arguments": {"amount": each}} for each in amounts]})

        case.executed(sent(case, "batch", pay(100, 100), "modern"), "batch done")
        charged = {each["counter"]: each["amount"] for each in json.loads(case.decisions()[-1]["charges"])}
        assert charged == {"attacks/spending#1": "200", "attacks/card#1": "2"}
        case.denied(sent(case, "batch", pay(30, 30), "modern"), "over_limit")
        case.denied(sent(case, "meta", plain("pay", {"amount": 60}), "modern"), "over_limit")
        case.executed(sent(case, "meta", plain("pay", {"amount": 50}), "modern"), "meta done")
        case.denied(sent(case, "meta", plain("pay", {"amount": 1}), "modern"), "over_limit")


@pytest.mark.parametrize("era", ERAS)
def test_what_inner_rules_redact_is_in_no_row(meta: Rig, era: Era) -> None:
    card = {"number": f"{SECRET}-card", "cvc": 123}
    with meta.case() as case:
        pay = {"amount": 1, "card": card}
        for tool, arguments in (
            ("meta", plain("pay", pay)),
            ("text", texted("pay", json.dumps(pay))),
            ("batch", json.dumps({"calls": [{"tool": "pay", "arguments": pay}]})),
            ("meta", json.dumps({"tool_name": "meta", "arguments": {"tool_name": "pay", "arguments": pay}})),
        ):
            row = case.executed(sent(case, tool, arguments, era), f"{tool} done")
            assert "redacted:" in row["arguments"]
        for tool, arguments in (
            ("meta", plain("pay", [f"{SECRET}-list"])),
            ("text", texted("pay", f'{{"card": {{"number": "{SECRET}-broken')),
            ("batch", json.dumps({"calls": [{"tool": 5, "arguments": pay}]})),
            ("meta", plain([f"{SECRET}-name"], pay)),
        ):
            case.denied(sent(case, tool, arguments, era), "indeterminate")


def test_large_and_nested_arguments_take_no_time(meta: Rig) -> None:
    """As much as a message may hold, in texts within texts and in keys that are almost the declared ones."""
    wide = {f"tool_nam{number}": number for number in range(100_000)}
    with meta.case() as case:
        case.executed(sent(case, "meta", plain("safe", {}, **wide), "modern"), "meta done")
        text = plain("danger")
        for _ in range(2):
            text = texted("text", text)
        case.denied(sent(case, "text", text, "modern"), "indeterminate")
        big = texted("safe", json.dumps({"a": "x" * 1_000_000}))
        case.executed(sent(case, "text", big, "modern"), "text done")


def test_a_task_is_judged_again_with_what_is_inside_its_call(meta: Rig) -> None:
    arguments = b'"arguments":{"tool_name":"%b"},"task":{"ttl":60000}'
    with meta.case() as case:
        denied = case.post(message("tools/call", b'"name":"meta",' + arguments % b"danger"), headers(case.agent.token))
        case.denied(denied, "rule", "attacks/no-danger")
        made = case.post(message("tools/call", b'"name":"meta",' + arguments % b"safe"), headers(case.agent.token))
        task = json.dumps(made.json["result"]["task"]["taskId"]).encode()
        case.executed_other(made)
        read = case.post(message("tasks/result", b'"taskId":' + task), headers(case.agent.token))
        assert read.json["result"]["content"][0]["text"] == "the task's result"
        (inner,) = json.loads(case.executed_other(read)["detail"])["inner"]
        assert (inner["target"], inner["effect"]) == ("safe", "allow")
