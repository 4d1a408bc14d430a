"""Runs the cases of `tests/cases/decide`; their format is described in the README beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from policylayer.core.call import Call, Question, ServerFacts, Subject, Unwrap
from policylayer.core.decision import Decision, Effect
from policylayer.policy.diagnostics import Diagnostic
from policylayer.policy.directory import as_group
from policylayer.policy.load import Loaded, load
from policylayer.policy.nodes import Mapping as Mapped
from policylayer.policy.parse_unwrap import UNWRAP
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.shapes import Reading
from policylayer.policy.source import read as read_yaml
from policylayer.policy.texts import render

FOLDER: Final = Path(__file__).resolve().parents[1] / "cases" / "decide"
WHEN: Final = "2026-11-23T12:00:00Z"

CONDITION: Final = """\
policy: c
applies_to: {{principals: ["*"], servers: ["*"]}}
rules:
  - {{id: allowed, methods: ["*"], servers: [deny, hold, plain, except-deny], effect: allow}}
  - {{id: allow, methods: ["*"], servers: [allow], effect: allow, when: {when}}}
  - {{id: except-allow, methods: ["*"], servers: [except-allow], effect: allow, except: [{{when: {when}}}]}}
"""
OTHERS: Final = """\
  - {{id: deny, methods: ["*"], servers: [deny], effect: deny, when: {when}}}
  - {{id: hold, methods: ["*"], servers: [hold], effect: require_approval, when: {when}}}
  - {{id: plain, methods: ["*"], servers: [plain], label: [applied], when: {when}}}
"""
EXCUSES: Final = """\
  - {{id: except-deny, methods: ["*"], servers: [except-deny], effect: deny, except: [{{when: {when}}}]}}
"""

ALLOWED: Final = ("allow", "rule")
DENIED: Final = ("deny", "rule")
HELD: Final = ("require_approval", "rule")
ERRED: Final = ("deny", "indeterminate")
UNRULED: Final = ("deny", "not_applicable")
KINDS: Final = ("allow", "deny", "hold", "plain", "except-allow", "except-deny")
"""The kinds of rules that a condition is seen through, by the name of their server."""

MEANING: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "true": dict(zip(KINDS, (ALLOWED, DENIED, HELD, ALLOWED, UNRULED, ALLOWED), strict=True)),
    "false": dict(zip(KINDS, (UNRULED, ALLOWED, ALLOWED, ALLOWED, ALLOWED, DENIED), strict=True)),
    "missing": dict(zip(KINDS, (ERRED, ERRED, HELD, ALLOWED, ERRED, ERRED), strict=True)),
    "wrong": dict(zip(KINDS, (ERRED, ERRED, ERRED, ALLOWED, ERRED, ERRED), strict=True)),
}
"""What each truth of a condition comes to in each kind of rule; `plain` applies unless it is false."""


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
        server=ServerFacts(
            server,
            case.get("mode", "enforce"),
            case.get("cwd"),
            case.get("trust_annotations", False),
            _metas(case.get("unwrap", ())),
        ),
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


def _metas(written: Any) -> tuple[Unwrap, ...]:
    """What `unwrap` declares, read as the configuration reads it."""
    if not written:
        return ()
    found: list[Diagnostic] = []
    node = read_yaml("case", json.dumps({"unwrap": written}).encode(), found)
    assert isinstance(node, Mapped)
    metas: tuple[Unwrap, ...] | None = UNWRAP.read(node.pairs[0][1], Reading("case", found))
    assert metas is not None, found
    return metas


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


def kinds_of(case: Mapping[str, Any]) -> tuple[str, ...]:
    """The kinds of rules that a condition is seen through. What time ends may stand only where a rule closes by it."""
    if case.get("only") == "allow":
        return ("allow",)
    timed = '"time"' in json.dumps(case["when"])
    return tuple(kind for kind in KINDS if not (timed and kind == "except-deny"))


def condition_policy(case: Mapping[str, Any]) -> str:
    """The file that a condition is seen through."""
    kinds = kinds_of(case)
    text = CONDITION + (OTHERS if "deny" in kinds else "") + (EXCUSES if "except-deny" in kinds else "")
    return text.format(when=json.dumps(case["when"], ensure_ascii=False))


def check_condition(case: Mapping[str, Any]) -> None:
    """A condition's truth, seen in each kind of rule that may hold it."""
    policy_set = compiled({**files_of(case), "c.yaml": condition_policy(case)})
    fields = tuple(case["fields"]) if "fields" in case else None
    for kind in kinds_of(case):
        _expect(policy_set, case, kind, MEANING[case["truth"]][kind], fields)
    if "plain" in kinds_of(case):
        decision = policy_set.decide(question_of(case | {"server": "plain"}))
        assert (decision.obligations.label == {"applied"}) is (case["truth"] != "false")


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
        "inner": [{"target": inner.target, "effect": str(inner.effect)} for inner in decision.inner],
    }


def policies_of(case: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and text of each policy file of a case."""
    for name, text in files_of(case).items():
        if name != "principals.yaml":
            yield name, text
