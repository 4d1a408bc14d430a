"""Why a call gets its decision, and what would change it, with Rego's engines asked where there are any.

The rules of the files are explained by `policy/why.py`; here each change that it offers is asked of the engines too,
and what they found, covered and printed is put beside it. Of a call that is not known whole any more, engines are asked
only if they read nothing of what is not: else it is said that they were not asked, and what they read. Must not know
who asks, nor open an engine (`opened.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from policylayer.core.call import Question
from policylayer.core.finding import Finding
from policylayer.core.immutable import immutable
from policylayer.policy.explain import KNOWN, explain
from policylayer.policy.explain_shown import Told
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.values import Unknown, text_of
from policylayer.policy.why import told, until_own, why
from policylayer.rego.again import asked_again
from policylayer.rego.asking import with_findings

if TYPE_CHECKING:
    from policylayer.rego.document import Describe
    from policylayer.rego.embedded import Embedded

Findings = Callable[[Question], Awaitable[tuple[Finding, ...]]]


@immutable
class Engines:
    """The engines of a set: `findings` asks all of them. `rego` says more about itself; `server`: there is an OPA
    server among them, of which it is not known what it reads."""

    findings: Findings
    rego: Embedded | None = None
    server: bool = False


async def explained(
    policy_set: PolicySet, question: Question, engines: Engines | None = None, unknown: Unknown = KNOWN
) -> Told:
    """All that is told of a question."""
    if engines is None:
        return await asyncio.to_thread(why, policy_set, question, unknown)
    if not_asked := tuple(_not_asked(engines, question, unknown)):
        explanation = await asyncio.to_thread(explain, policy_set, question, replace(unknown, engine=True))
        return Told(explanation, rego=not_asked)
    asked = await with_findings(question, engines.findings)
    explanation = explain(policy_set, asked, unknown)
    before = explanation.decision.effect
    kept = []
    for change in await asyncio.to_thread(until_own, policy_set, asked) if explanation.is_whole else ():
        changed = change.applied(question)
        decision = policy_set.decide(await with_findings(changed, engines.findings))
        if decision.effect is not before:
            kept.append(replace(change, effect=decision.effect))
    looked = await _looked(engines.rego, asked, asked.findings or (), policy_set.describe)
    return told(Told(explanation, rego=looked), kept)


def _not_asked(engines: Engines, question: Question, unknown: Unknown) -> Iterator[dict[str, Any]]:
    """The engines that cannot be asked about what is left of a call, each with why."""
    if unknown == KNOWN:
        return
    if engines.rego is not None and (lacking := asked_again(question, unknown, engines.rego.reads).lacking):
        yield {"engine": "embedded", "not_asked": [text_of(path) or "input" for path in lacking]}
    if engines.server:
        yield {"engine": "opa", "not_asked": []}


async def _looked(
    rego: Embedded | None, question: Question, findings: Iterable[Finding], describe: Describe
) -> tuple[dict[str, Any], ...]:
    """What each embedded unit covered and printed; the findings stand with the first."""
    shown = [_finding(each) for each in findings]
    if rego is None:
        return ({"findings": shown},) if shown else ()
    from policylayer.rego.pool import EngineFailure

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
