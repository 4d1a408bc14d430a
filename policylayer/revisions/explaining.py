"""Why a call gets its decision, and what would change it, with Rego's engines asked where there are any.

The rules of the files are explained by `policy/why.py`; here each change that it offers is asked of the engines too,
and what they found, covered and printed is put beside it. Must not know who asks. Engines are imported only where a
set has Rego files, so that explaining starts at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from policylayer.core.call import Question
from policylayer.core.errors import PolicyError
from policylayer.core.finding import Finding
from policylayer.policy.explain import KNOWN, explain
from policylayer.policy.explain_shown import Told
from policylayer.policy.load import Loaded
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.values import Unknown
from policylayer.policy.why import told, until_own, why
from policylayer.rego.asking import with_findings

if TYPE_CHECKING:
    from policylayer.rego.document import Describe
    from policylayer.rego.embedded import Embedded

Findings = Callable[[Question], Awaitable[tuple[Finding, ...]]]


async def explained(
    policy_set: PolicySet,
    question: Question,
    findings: Findings | None = None,
    rego: Embedded | None = None,
    unknown: Unknown = KNOWN,
) -> Told:
    """All that is told of a question. `findings` asks every engine; `rego` says more about itself."""
    if findings is None:
        return await asyncio.to_thread(why, policy_set, question, unknown)
    asked = await with_findings(question, findings)
    explanation = explain(policy_set, asked, unknown)
    before = explanation.decision.effect
    kept = []
    for change in await asyncio.to_thread(until_own, policy_set, asked) if explanation.is_certain else ():
        changed = change.applied(question)
        decision = policy_set.decide(await with_findings(changed, findings))
        if decision.effect is not before:
            kept.append(replace(change, effect=decision.effect))
    looked = await _looked(rego, asked, asked.findings or (), policy_set.describe)
    return told(Told(explanation, rego=looked), kept)


async def explained_from(
    loaded: Loaded, files: Mapping[str, bytes], question: Question, unknown: Unknown = KNOWN
) -> Told:
    """The same by a folder that was loaded; its Rego engine is opened for this one question. `PolicyError`."""
    policy_set = loaded.policy_set
    assert policy_set is not None
    if not loaded.rego:
        return await explained(policy_set, question, unknown=unknown)
    from policylayer.rego.examine import PATIENT, open_rego

    engine, problems = await open_rego(policy_set, loaded.rego, files, PATIENT)
    if engine is None:
        raise PolicyError(problems[0].message, problems[0].help)
    try:
        findings = partial(engine.findings, describe=policy_set.describe)
        return await explained(policy_set, question, findings, engine, unknown)
    finally:
        await engine.close()


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
