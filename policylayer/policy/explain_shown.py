"""Pure: an explanation as JSON: the API's answer, and what `explain --json` prints. As lines: `explain_lines`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from policylayer.core.call import Question
from policylayer.core.decision import Decision, RuleRef
from policylayer.core.immutable import immutable
from policylayer.policy.change import Change, Step
from policylayer.policy.change_values import REMOVED
from policylayer.policy.explain import UNSET, Considered, Explanation, Part
from policylayer.policy.written import instant


@immutable
class Told:
    """All that is told: why, and what would change it. `own` is the smallest change that the agent itself can make.

    `recorded` is the row of the decision log that this is about: what was decided then.
    """

    explanation: Explanation
    change: Change | None = None
    own: Change | None = None
    rego: Sequence[dict[str, Any]] = ()
    recorded: Mapping[str, Any] | None = None


# --- JSON -------------------------------------------------------------------------------------------------------------


def as_json(told: Told) -> dict[str, Any]:
    """Everything."""
    explanation = told.explanation
    made: dict[str, Any] = {
        "revision": explanation.decision.revision,
        "question": question_json(explanation.question),
        "decision": decision_json(explanation.decision),
        "rules": [_rule_json(rule) for rule in explanation.rules],
        "change": None if told.change is None else _change_json(told.change),
        "own_change": None if told.own is None else _change_json(told.own),
    }
    if explanation.inside:
        made["inside"] = [_inner_json(each) for each in explanation.inside]
    if explanation.possible:
        made |= {"possible": sorted(map(str, explanation.possible)), "not_known": list(explanation.not_known)}
    return (
        made | ({"recorded": told.recorded} if told.recorded else {}) | ({"rego": list(told.rego)} if told.rego else {})
    )


def _inner_json(explanation: Explanation) -> dict[str, Any]:
    """A call inside a call."""
    made: dict[str, Any] = {
        "question": question_json(explanation.question),
        "decision": decision_json(explanation.decision),
        "rules": [_rule_json(rule) for rule in explanation.rules],
    }
    if explanation.possible:
        made |= {"possible": sorted(map(str, explanation.possible)), "not_known": list(explanation.not_known)}
    return made


def question_json(question: Question) -> dict[str, Any]:
    """What was asked."""
    call, user = question.call, question.on_behalf_of
    made = {
        "principal": question.subject.id,
        "for": None if user is None else user.id,
        "server": call.server,
        "method": call.method,
        "target": call.target,
        "arguments": dict(call.arguments),
        "input": dict(call.input),
        "at": instant(question.now),
        "labels": sorted(question.labels),
        "approved": sorted(question.approved),
        "ip": question.ip,
        "client": question.client,
    }
    return {name: value for name, value in made.items() if value not in (None, [], {})}


def decision_json(decision: Decision) -> dict[str, Any]:
    """A decision, as far as explaining needs it."""
    return {
        "effect": str(decision.effect),
        "enforced": str(decision.enforced),
        "would": None if decision.would is None else str(decision.would),
        "reason_code": str(decision.reason_code),
        "reason": decision.reason,
        "rules": [_ref(ref) for ref in decision.rules],
        "observed": [_ref(ref) for ref in decision.observed],
        "fields": list(decision.fields),
        "charges": [
            {"counter": charge.counter, "amount": str(charge.amount), "max": str(charge.max), "window": charge.window}
            for charge in decision.charges
        ],
    }


def _ref(ref: RuleRef) -> dict[str, Any]:
    return {"policy": ref.policy, "rule": ref.rule, "file": ref.file, "line": ref.line}


def _rule_json(rule: Considered) -> dict[str, Any]:
    return {
        **_ref(rule.ref),
        "effect": None if rule.effect is None else str(rule.effect),
        "observed": rule.observed,
        "outcome": rule.outcome,
        "fields": list(rule.fields),
        "concerns": rule.concerns,
        "decided": rule.decided,
        "parts": [_part_json(part) for part in rule.parts],
    }


def _part_json(part: Part) -> dict[str, Any]:
    made: dict[str, Any] = {"what": part.what, "written": part.written, "outcome": part.outcome}
    made |= {"line": part.line} if part.line is not None else {}
    made |= {"fields": list(part.fields)} if part.fields else {}
    made |= {"value": part.value} if part.value is not UNSET else {}
    return made | ({"parts": [_part_json(each) for each in part.parts]} if part.parts else {})


def _change_json(change: Change) -> dict[str, Any]:
    return {
        "effect": str(change.effect),
        "own": change.own,
        "steps": [_step_json(step) for step in change.steps],
    }


def _step_json(step: Step) -> dict[str, Any]:
    to = {"removed": True} if step.to is REMOVED else {"to": _plain(step.to)}
    return {"field": step.field, "now": _plain(step.now), **to, "rule": step.rule, "says": step.says}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return instant(value)
    return list(value) if isinstance(value, tuple) else value
