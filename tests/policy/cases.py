"""Runs the cases of `tests/cases/decide`; their format is described in the README beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from policylayer.core.call import Call, Question, ServerFacts, Subject
from policylayer.core.decision import Decision, Effect
from policylayer.policy.directory import as_group
from policylayer.policy.load import Loaded, load
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.texts import render

FOLDER: Final = Path(__file__).resolve().parents[1] / "cases" / "decide"
WHEN: Final = "2026-11-23T12:00:00Z"

CONDITION: Final = """\
policy: c
applies_to: {{principals: ["*"], servers: ["*"]}}
rules:
  - {{id: allowed, methods: ["*"], servers: [deny, hold, plain], effect: allow}}
  - {{id: allow, methods: ["*"], servers: [allow], effect: allow, when: {when}}}
"""
OTHERS: Final = """\
  - {{id: deny, methods: ["*"], servers: [deny], effect: deny, when: {when}}}
  - {{id: hold, methods: ["*"], servers: [hold], effect: require_approval, when: {when}}}
  - {{id: plain, methods: ["*"], servers: [plain], label: [applied], when: {when}}}
"""

MEANING: Final[Mapping[str, tuple[tuple[str, str], tuple[str, str], tuple[str, str], bool]]] = {
    "true": (("allow", "rule"), ("deny", "rule"), ("require_approval", "rule"), True),
    "false": (("deny", "not_applicable"), ("allow", "rule"), ("allow", "rule"), False),
    "missing": (("deny", "indeterminate"), ("deny", "indeterminate"), ("require_approval", "rule"), True),
    "wrong": (("deny", "indeterminate"), ("deny", "indeterminate"), ("deny", "indeterminate"), True),
}
"""What each truth of a condition comes to in an allow, a deny, a hold, and a rule without effect."""


def cases(kind: str) -> list[Any]:
    """All cases of a kind (`conditions`, `decisions`) with readable ids, defaults of their file filled in."""
    found: list[Any] = []
    for path in sorted(FOLDER.glob("*.yaml")):
        document = yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)
        defaults = document.get("defaults", {})
        found += [pytest.param(defaults | case, id=f"{path.stem}: {case['name']}") for case in document.get(kind, [])]
    return found


def loaded(files: Mapping[str, str]) -> Loaded:
    """A folder, every feature of the language enabled."""
    return load({name: text.encode() for name, text in files.items()}, not_enforced=frozenset())


def compiled(files: Mapping[str, str]) -> PolicySet:
    """The folder's policy set; its errors fail the test."""
    result = loaded(files)
    assert not result.errors, [f"{found.file}:{found.line} {found.code} {found.message}" for found in result.errors]
    assert result.policy_set is not None
    return result.policy_set


def files_of(case: Mapping[str, Any]) -> dict[str, str]:
    """A case's folder: `files` by name, or one `policy`; `principals` beside them."""
    files = dict(case.get("files", {}))
    if "policy" in case:
        files["p.yaml"] = _as_text(case["policy"])
    if "principals" in case:
        files["principals.yaml"] = _as_text(case["principals"])
    return {name: _as_text(content) for name, content in files.items()}


def _as_text(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def question_of(case: Mapping[str, Any]) -> Question:
    """The question that a case asks."""
    server = case.get("server", "s")
    user = case.get("for")
    return Question(
        call=_call(case, server),
        subject=_subject(case.get("principal", "agent:a")),
        server=ServerFacts(server, case.get("mode", "enforce"), case.get("cwd"), case.get("trust_annotations", False)),
        now=datetime.fromisoformat(case.get("at", WHEN)),
        on_behalf_of=None if user is None else _subject(user),
        approved=frozenset(case.get("approved", ())),
        labels=frozenset(case.get("labels", ())),
        annotations=case.get("annotations"),
        risk=case.get("risk"),
        traits=None if "traits" not in case else frozenset(case["traits"]),
        ip=case.get("ip"),
        client=case.get("client"),
    )


def _call(case: Mapping[str, Any], server: str) -> Call:
    arguments = case.get("args", {})
    method, target = "tools/call", case.get("tool", "t")
    if "prompt" in case:
        method, target = "prompts/get", case["prompt"]
    elif "resource" in case:
        method, target, arguments = "resources/read", case["resource"], {"uri": case["resource"], **arguments}
    elif "method" in case:
        method, target = case["method"], case.get("target")
    protocol = case.get("protocol", "2025-11-25")
    return Call(server, method, target, arguments, b"", b"", protocol, case.get("input", {}))


def _subject(written: Any) -> Subject:
    if isinstance(written, str):
        return Subject(written)
    groups = frozenset(map(as_group, written.get("groups", ())))
    return Subject(written["id"], groups, written.get("attributes", {}))


# --- conditions -------------------------------------------------------------------------------------------------------


def check_condition(case: Mapping[str, Any]) -> None:
    """A condition's truth, seen in each kind of rule that may hold it."""
    only_allow = case.get("only") == "allow"
    text = (CONDITION + ("" if only_allow else OTHERS)).format(when=json.dumps(case["when"], ensure_ascii=False))
    policy_set = compiled({**files_of(case), "c.yaml": text})
    in_allow, in_deny, in_hold, applies = MEANING[case["truth"]]
    fields = tuple(case["fields"]) if "fields" in case else None
    _expect(policy_set, case, "allow", in_allow, fields)
    if not only_allow:
        _expect(policy_set, case, "deny", in_deny, fields)
        _expect(policy_set, case, "hold", in_hold, fields)
        decision = policy_set.decide(question_of(case | {"server": "plain"}))
        assert (decision.obligations.label == {"applied"}) is applies


def _expect(
    policy_set: PolicySet,
    case: Mapping[str, Any],
    server: str,
    expected: tuple[str, str],
    fields: tuple[str, ...] | None,
) -> None:
    question = question_of(case | {"server": server})
    decision = policy_set.decide(question)
    assert (decision.effect, decision.reason_code) == expected, (server, decision)
    if fields is not None and expected[1] == "indeterminate":
        assert decision.fields == fields
    if decision.effect is not Effect.DENY:
        assert policy_set.listed(question)


# --- decisions --------------------------------------------------------------------------------------------------------


def check_decision(case: Mapping[str, Any]) -> None:
    """Every word of `expect`."""
    policy_set = compiled(files_of(case))
    question = question_of(case)
    decision = policy_set.decide(question)
    expect = dict(case["expect"])
    if "listed" in expect:
        assert policy_set.listed(question) is expect.pop("listed")
    for said in expect.pop("said", ()):
        assert said in render(decision, question.call, "id").splitlines()
    found = _described(decision)
    assert {key: found[key] for key in expect} == expect, decision


def _described(decision: Decision) -> dict[str, Any]:
    """A decision in the words of `expect`."""
    obligations = decision.obligations
    return {
        "effect": str(decision.effect),
        "enforced": str(decision.enforced),
        "would": None if decision.would is None else str(decision.would),
        "reason_code": str(decision.reason_code),
        "rules": [ref.name for ref in decision.rules],
        "observed": [ref.name for ref in decision.observed],
        "fields": list(decision.fields),
        "retry": decision.retry,
        "holds": [
            {
                "rule": hold.ref.name,
                "approvers": list(hold.approvers),
                "quorum": hold.quorum,
                "expires": hold.expires,
                "note": hold.note_required,
                "each_round": hold.each_round,
            }
            for hold in decision.holds
        ],
        "charges": [
            {
                "counter": charge.counter,
                "key": charge.key,
                "amount": str(charge.amount),
                "max": str(charge.max),
                "window": charge.window,
                "rule": charge.rule.name,
                "over": "deny" if charge.hold is None else "require_approval",
            }
            for charge in decision.charges
        ],
        "redact": list(obligations.redact),
        "mask": [mask.path or mask.pattern or mask.regex for mask in obligations.mask],
        "cap": obligations.cap,
        "label": sorted(obligations.label),
        "earn": dict(obligations.earn),
    }


def policies_of(case: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and text of each policy file of a case."""
    for name, text in files_of(case).items():
        if name != "principals.yaml":
            yield name, text
