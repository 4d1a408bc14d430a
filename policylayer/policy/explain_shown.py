"""Pure: an explanation as JSON (the API's, and `--json`) and as lines for people. Must not know how it was found."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from policylayer.core.call import Question
from policylayer.core.decision import Decision, RuleRef
from policylayer.policy.change import Change, Step
from policylayer.policy.change_values import REMOVED
from policylayer.policy.explain import UNSET, Considered, Explanation, Part
from policylayer.policy.written import instant

SHOWN: Final = 120
"""Characters of a value that people are shown."""

MARKS: Final = {"true": "yes", "false": "no", "missing": "missing", "wrong": "wrong type"}


@dataclass(frozen=True, slots=True)
class Told:
    """All that is told: why, and what would change it. `own` is the smallest change that the agent itself can make."""

    explanation: Explanation
    change: Change | None = None
    own: Change | None = None
    rego: Sequence[dict[str, Any]] = ()


# --- JSON -------------------------------------------------------------------------------------------------------------


def as_json(told: Told) -> dict[str, Any]:
    """Everything."""
    explanation = told.explanation
    made = {
        "revision": explanation.decision.revision,
        "question": question_json(explanation.question),
        "decision": decision_json(explanation.decision),
        "rules": [_rule_json(rule) for rule in explanation.rules],
        "change": None if told.change is None else _change_json(told.change),
        "own_change": None if told.own is None else _change_json(told.own),
    }
    return {**made, "rego": list(told.rego)} if told.rego else made


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
        "text": change_text(change),
    }


def _step_json(step: Step) -> dict[str, Any]:
    to = {"removed": True} if step.to is REMOVED else {"to": _plain(step.to)}
    return {"field": step.field, "now": _plain(step.now), **to, "rule": step.rule, "says": step.says}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return instant(value)
    return list(value) if isinstance(value, tuple) else value


# --- lines ------------------------------------------------------------------------------------------------------------


def lines(told: Told, everything: bool = False) -> Iterator[str]:
    """For people: what was decided and by what, the rules about this call, and what would change it."""
    explanation = told.explanation
    decision = explanation.decision
    yield f"{decision.effect} ({decision.reason_code}): {decision.reason}"
    if decision.enforced is not decision.effect:
        yield f"  the server is in observe mode: {decision.enforced} is what happens"
    if decision.would is not None:
        yield f"  with the files in observe mode it would be: {decision.would}"
    for charge in decision.charges:
        yield f"  charges {charge.counter} {charge.amount} of {charge.max} in {charge.window} s"
    about = [rule for rule in explanation.rules if rule.concerns]
    yield ""
    yield "Rules about this call:" if about else "No rule is about this call."
    for rule in about:
        yield from _rule_lines(rule)
    yield from _others(explanation, everything)
    for unit in told.rego:
        yield from _rego_lines(unit)
    yield ""
    yield from _change_lines(told)


def _rule_lines(rule: Considered) -> Iterator[str]:
    effect = "limit or duty" if rule.effect is None else str(rule.effect)
    notes = [note for note, said in (("decided", rule.decided), ("observed only", rule.observed)) if said]
    head = f"  {rule.ref.name}  {rule.ref.file}:{rule.ref.line}  {effect}: {MARKS[rule.outcome]}"
    yield f"{head}{' (' + ', '.join(notes) + ')' if notes else ''}"
    for part in rule.parts:
        if part.what in ("when", "except") or part.outcome != "true":
            yield from _part_lines(part, "    ")


def _part_lines(part: Part, indent: str) -> Iterator[str]:
    word = f"{part.what}: " if part.what not in ("test", "time", "all") else ""
    if part.what == "when":
        for each in part.parts:
            yield from _part_lines(each, indent)
        return
    at = f"  (line {part.line})" if part.line is not None else ""
    read = f"  <- {_short(part.value)}" if part.value is not UNSET and part.what == "test" else ""
    fields = f" [{', '.join(part.fields)}]" if part.fields else ""
    yield f"{indent}{MARKS[part.outcome]:<10} {word}{part.written}{read}{fields}{at}"
    for each in part.parts:
        yield from _part_lines(each, f"{indent}  ")


def _others(explanation: Explanation, everything: bool) -> Iterator[str]:
    others = [rule for rule in explanation.rules if not rule.concerns]
    if not everything:
        if others:
            plural = f"{len(others)} rules are" if len(others) > 1 else "1 rule is"
            yield f"  {plural} about other calls or callers (--all lists them)"
        return
    for rule in others:
        why = next(part for part in rule.parts if part.outcome == "false" and part.what not in ("when", "except"))
        yield f"  {rule.ref.name}  {rule.ref.file}:{rule.ref.line}  no: {why.what}: {why.written}"


def _rego_lines(unit: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield f"Rego, {', '.join(unit.get('files', ()))}:"
    for finding in unit.get("findings", ()):
        yield f"  {finding['effect'] or 'failed'}: {finding['rule']}  {finding['reason']}"
    for text in unit.get("prints", ()):
        yield f"  printed: {text}"
    for file, covered in unit.get("coverage", {}).items():
        yield f"  {file}: lines {', '.join(map(str, covered['covered']))} held; {_not_covered(covered)}"


def _not_covered(covered: dict[str, Any]) -> str:
    missed = covered["not_covered"]
    return f"{', '.join(map(str, missed))} did not" if missed else "all did"


def _change_lines(told: Told) -> Iterator[str]:
    if told.change is None:
        yield "No change of this call that was thought of gets it another decision."
        return
    yield f"The smallest change: {change_text(told.change)}."
    if told.own is not None and told.own != told.change:
        yield f"What the agent itself could send: {change_text(told.own)}."


def change_text(change: Change) -> str:
    """A change in words."""
    steps = "; ".join(_step_text(step) for step in change.steps)
    return f"{steps}: then {change.effect}"


def _step_text(step: Step) -> str:
    because = f"({step.rule}: {step.says})"
    if step.path == ("approved",):
        return f"an approval for {', '.join(step.to)}"
    if step.path == ("for",):
        return f"a direct call {because}"
    if step.to is REMOVED:
        return f"without `{step.field}` {because}"
    if step.path[-1:] == ("groups",):
        return f"`{step.path[0]}` in {', '.join(step.to)} {because}"
    return f"`{step.field}` = {_short(_plain(step.to))} {because}"


def _short(value: Any) -> str:
    if value is None:
        return "missing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
