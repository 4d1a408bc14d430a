"""`decide` and the reference agree on random sets and calls; each set is loaded from its text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from policylayer.core.decision import Charge, Decision
from policylayer.policy.policy_set import PolicySet
from tests.policy.cases import compiled, question_of
from tests.reference.decide import Set
from tests.reference.random_calls import Calls
from tests.reference.random_sets import Sets
from tests.reference.test_cases import charge

SETS, CALLS, CHUNKS = 2_000, 50, 8


def described(decision: Decision) -> dict[str, Any]:
    """A decision as the reference writes it."""
    obligations = decision.obligations
    holds = [
        {
            "rule": hold.ref.name,
            "approvers": sorted(hold.approvers),
            "quorum": hold.quorum,
            "expires": hold.expires,
            "note": hold.note_required,
            "each_round": hold.each_round,
        }
        for hold in decision.holds
    ]
    return {
        "effect": str(decision.effect),
        "enforced": str(decision.enforced),
        "would": None if decision.would is None else str(decision.would),
        "reason_code": str(decision.reason_code),
        "rules": sorted(ref.name for ref in decision.rules),
        "holds": sorted(holds, key=lambda hold: str(hold["rule"])),
        "charges": sorted(map(_charge, decision.charges), key=repr),
        "redact": sorted(obligations.redact),
        "mask": sorted(mask.path or mask.pattern or mask.regex or "" for mask in obligations.mask),
        "cap": obligations.cap,
        "label": sorted(obligations.label),
        "earn": dict(obligations.earn),
        "inner": [{"target": inner.target, "effect": str(inner.effect)} for inner in decision.inner],
    }


def _charge(found: Charge) -> tuple[Any, ...]:
    over = "deny" if found.hold is None else "require_approval"
    said = {"counter": found.counter, "key": found.key, "amount": str(found.amount), "max": str(found.max)}
    return charge(said | {"window": found.window, "rule": found.rule.name, "over": over})


def expected(found: Mapping[str, Any]) -> dict[str, Any]:
    """The reference's decision, without what only some codes have."""
    return {key: value for key, value in found.items() if key != "fields"}


@pytest.mark.shows("policy.1")
@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_decide_agrees_with_the_reference(chunk: int) -> None:
    random = Random(f"agreement {chunk}")
    sets, calls = Sets(random), Calls(random)
    seen: Counter[tuple[str, str]] = Counter()
    for _ in range(SETS // CHUNKS):
        files = sets.files()
        policy_set = compiled({path: json.dumps(said, ensure_ascii=False) for path, said in files.items()})
        reference = Set(files)
        holds = [rule.name for rule in reference.rules if rule.effect == "require_approval"]
        for number in range(CALLS):
            question = calls.question(holds)
            seen[_agree(policy_set, reference, files, question)] += 1
            if number % 3 == 0:
                shown = policy_set.listed(question_of(question))
                assert shown is reference.listed(question), json.dumps({"files": files, "question": question})
    assert min(seen[code] for code in WANTED) > SETS * CALLS / CHUNKS / 100, seen


WANTED = (
    ("allow", "rule"),
    ("deny", "rule"),
    ("deny", "indeterminate"),
    ("deny", "not_applicable"),
    ("require_approval", "rule"),
)
"""What must have come up often enough for the comparison to mean something."""


def _agree(policy_set: PolicySet, reference: Set, files: Any, question: dict[str, Any]) -> tuple[str, str]:
    decision = policy_set.decide(question_of(question))
    wanted = reference.decide(question)
    found = described(decision)
    assert found == expected(wanted), json.dumps({"files": files, "question": question})
    if found["reason_code"] == "indeterminate":
        assert sorted(decision.fields) == wanted["fields"], json.dumps({"files": files, "question": question})
    return found["effect"], found["reason_code"]


METAS = [
    {"tool": "t", "name": "args.m_tool", "arguments": "args.m_args"},
    {"tool": "get_x", "name": "args.m_tool", "arguments": "args.m_args", "arguments_as": "json"},
    {"tool": "set_x", "each": "args.m_calls", "name": "item.tool", "arguments": "item.args"},
]


def _inside(random: Random, calls: Calls, depth: int = 0) -> dict[str, Any]:
    """A call, often of a meta-tool, now and then of one that holds nothing that can be read."""
    tool = random.choice(("t", "get_x", "set_x", "delete_x", "u")) if depth < 3 else "delete_x"
    arguments = calls.arguments()
    inner = (
        [_inside(random, calls, depth + 1) for _ in range(random.randint(1, 2))]
        if tool not in ("delete_x", "u")
        else []
    )
    if tool in ("t", "get_x") and random.random() < 0.95:
        given = inner[0]["args"]
        arguments |= {"m_tool": inner[0]["tool"], "m_args": given if tool == "t" else json.dumps(given)}
    elif tool == "set_x" and random.random() < 0.95:
        arguments["m_calls"] = inner
    if random.random() < 0.04:
        arguments["M_Tool"] = "u"
    if random.random() < 0.04:
        arguments[random.choice(("m_tool", "m_args", "m_calls"))] = random.choice((None, 5, "x", [], {}, " t"))
    return {"tool": tool, "args": arguments}


@pytest.mark.shows("policy.1")
@pytest.mark.parametrize("chunk", range(4))
def test_calls_inside_calls_agree(chunk: int) -> None:
    random = Random(f"inside {chunk}")
    sets, calls = Sets(random), Calls(random)
    seen: Counter[tuple[str, str]] = Counter()
    for _ in range(30):
        files = sets.files()
        policy_set = compiled({path: json.dumps(said, ensure_ascii=False) for path, said in files.items()})
        reference = Set(files)
        holds = [rule.name for rule in reference.rules if rule.effect == "require_approval"]
        for _ in range(40):
            question = {key: each for key, each in calls.question(holds).items() if key not in NOT_OF_TOOLS}
            seen[_agree(policy_set, reference, files, question | _inside(random, calls) | {"unwrap": METAS})] += 1
    assert all(seen[code] for code in WANTED), seen


NOT_OF_TOOLS = ("prompt", "resource", "method", "target")
