"""Why a call gets its decision, and what would change it, with Rego's engines asked where there are any.

The rules of the files are explained by `policy/explain.py`; here each change that it offers is asked of the engines
too, and what they found, covered and printed is put beside it. Must not know who asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from policylayer.core.call import Question
from policylayer.core.finding import Finding
from policylayer.policy.change import Change, changes
from policylayer.policy.explain import explain
from policylayer.policy.explain_shown import Told
from policylayer.policy.policy_set import PolicySet
from policylayer.rego.document import Describe
from policylayer.rego.embedded import Embedded
from policylayer.rego.pool import EngineFailure

ASKED: Final = 40
"""Changes that engines are asked about."""

Findings = Callable[[Question], Awaitable[tuple[Finding, ...]]]


async def explained(
    policy_set: PolicySet, question: Question, findings: Findings | None = None, rego: Embedded | None = None
) -> Told:
    """All that is told of a question. `findings` asks every engine; `rego` says more about itself."""
    if findings is None:
        explanation = explain(policy_set, question)
        first, own = _best(changes(policy_set, question))
        return Told(explanation, first, own)
    found = await findings(question)
    asked = replace(question, findings=found)
    explanation = explain(policy_set, asked)
    before = explanation.decision.effect
    kept = []
    for change in islice(changes(policy_set, asked), ASKED):
        changed = change.applied(question)
        decision = policy_set.decide(replace(changed, findings=await findings(changed)))
        if decision.effect is not before:
            kept.append(replace(change, effect=decision.effect))
            if change.own:
                break
    first, own = _best(iter(kept))
    return Told(explanation, first, own, await _looked(rego, asked, found, policy_set.describe))


def _best(found: Iterator[Change]) -> tuple[Change | None, Change | None]:
    """The smallest, and the smallest that the agent itself can make."""
    first: Change | None = None
    for change in islice(found, ASKED):
        first = first or change
        if change.own:
            return first, change
    return first, None


async def _looked(
    rego: Embedded | None, question: Question, found: Iterable[Finding], describe: Describe
) -> tuple[dict[str, Any], ...]:
    """What each embedded unit covered and printed; the findings stand with the first."""
    shown = [_finding(each) for each in found]
    if rego is None:
        return ({"findings": shown},) if shown else ()
    try:
        units = await rego.explain(question, describe)
    except EngineFailure as failure:
        return ({"findings": shown, "error": str(failure)},)
    made = [_unit(unit) for unit in units]
    return ({**made[0], "findings": shown}, *made[1:]) if made else ()


def _unit(unit: Mapping[str, Any]) -> dict[str, Any]:
    files = unit.get("coverage", {}).get("files", ())
    coverage = {
        each["path"]: {"covered": each.get("covered", []), "not_covered": each.get("not_covered", [])} for each in files
    }
    return {"files": list(coverage), "coverage": coverage, "prints": list(unit.get("prints", ()))}


def _finding(found: Finding) -> dict[str, Any]:
    return {
        "rule": found.rule.name,
        "file": found.rule.file,
        "line": found.rule.line,
        "effect": None if found.effect is None else str(found.effect),
        "reason": found.reason,
        "failure": found.failure,
    }
