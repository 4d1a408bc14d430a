"""Pure: the calls inside a meta-tool's call, judged with it: the request is as good as the worst of all of them.

The outer call is judged as what it is, each inner one as a call of its own to the same server. What an inner call's
rules say of `args` is about its own arguments; here it is said of the place where those stand in the whole call. What
cannot be unwrapped is denied. Must not know how arguments are unwrapped (`core/unwrap.py`) nor how one call is judged
(`policy_set`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from policylayer.core.call import Question
from policylayer.core.decision import Charge, Decision, Effect, HoldRule, Inner, Obligations, ReasonCode, RuleRef
from policylayer.core.finding import Finding
from policylayer.core.immutable import immutable
from policylayer.core.unwrap import Fault, Layer, Place, path_of, unwrapped
from policylayer.policy import numbers, texts
from policylayer.policy.ast import Path
from policylayer.policy.together import worst
from policylayer.policy.truth import Problem

Reads = Callable[[str, str, str | None], Iterable[Path] | None]
"""Which paths rules read of calls to a server, method and target; None: that is not known."""

ANYTHING: Final = frozenset(Effect)

_UNASKED: Final = (Finding(RuleRef("", "", "", 1), None, "an inner call was not asked about", failure="engine_error"),)


@immutable
class Asked:
    """A question about a meta-tool's call: its layers, the outermost first, and the question that each of them asks."""

    whole: Layer
    layers: tuple[Layer, ...]
    questions: tuple[Question, ...]


def asked(question: Question) -> Asked | None:
    """The question with those inside it; None where it is not about a meta-tool."""
    if not question.server.unwrap:
        return None
    whole = unwrapped(question.call, question.server.unwrap)
    if whole is None:
        return None
    layers = tuple(whole.all())
    inner = (_question(question, layer, number) for number, layer in enumerate(layers[1:]))
    return Asked(whole, layers, (question, *inner))


def questions(question: Question) -> tuple[Question, ...]:
    """Those inside it, for another engine that is to be asked each of them."""
    found = asked(question)
    return () if found is None else found.questions[1:]


def _question(question: Question, layer: Layer, number: int) -> Question:
    findings = question.findings
    if findings is not None:
        said = question.inner_findings
        findings = said[number] if number < len(said) else _UNASKED
    return replace(
        question,
        call=layer.call,
        annotations=None if question.others is None else question.others.get(layer.call.target or ""),
        risk=None,
        traits=None,
        findings=findings,
        others=None,
        inner_findings=(),
    )


# --- deciding ---------------------------------------------------------------------------------------------------------


def decided(found: Asked, decisions: Sequence[Decision]) -> Decision:
    """The decision on the whole request, from those on each of its calls."""
    by_layer = dict(zip(map(id, found.layers), decisions, strict=True))
    placed = [_placed(layer, decision) for layer, decision in zip(found.layers, decisions, strict=True)]
    observed = found.questions[0].server.mode == "observe"
    faults = [_faulty(layer, layer.fault, decisions[0], observed) for layer in found.layers if layer.fault is not None]
    made = worst([*placed, *faults], lambda all: _charges(found.whole, by_layer, all))
    inner = (
        Inner(layer.call.target or "", decision.effect, decision.reason_code, decision.rules)
        for layer, decision in zip(found.layers[1:], decisions[1:], strict=True)
    )
    return replace(made, inner=tuple(inner))


def _placed(layer: Layer, decision: Decision) -> Decision:
    """A decision on an inner call, as it is said of the whole."""
    if not layer.keys:
        return decision
    target = layer.call.target or ""
    redact = tuple(_at(layer, path) for path in decision.obligations.redact)
    return replace(
        decision,
        reason=texts.of_inner(target, decision.reason),
        said=texts.said_of_inner(target, decision.said),
        holds=tuple(_bound(layer, hold) for hold in decision.holds),
        charges=tuple(_held_by(layer, charge) for charge in decision.charges),
        obligations=replace(decision.obligations, redact=redact),
    )


def _at(layer: Layer, path: str) -> str:
    """A redact path of an inner call; what begins with `input` is the same for all."""
    return path_of(layer.at) + path.removeprefix("args") if path.partition(".")[0] == "args" else path


def _all_of(place: Place) -> str:
    """A redact path for everything at a place; the arguments themselves stay a mapping."""
    return path_of(place) if len(place) > 1 else f"{path_of(place)}.*"


def _bound(layer: Layer, hold: HoldRule) -> HoldRule:
    return replace(hold, bound=tuple(sorted({*hold.bound, *layer.keys})))


def _held_by(layer: Layer, charge: Charge) -> Charge:
    return charge if charge.hold is None else replace(charge, hold=_bound(layer, charge.hold))


def _faulty(layer: Layer, fault: Fault, like: Decision, observed: bool) -> Decision:
    """The denial of a call that nobody can tell what it calls."""
    problem = Problem(fault.missing, fault.wrong)
    target = layer.call.target or ""
    return Decision(
        Effect.DENY,
        ReasonCode.INDETERMINATE,
        Effect.ALLOW if observed else Effect.DENY,
        like.revision,
        reason=texts.unwrapping(target, problem, fault.too_much),
        fields=problem.fields,
        said=texts.said_unwrapping(target, problem, fault.too_much),
        retry="changed",
        obligations=Obligations(redact=tuple(sorted(set(map(_all_of, fault.hidden))))),
    )


def _charges(whole: Layer, by_layer: dict[int, Decision], placed: Iterable[Decision]) -> tuple[Charge, ...]:
    """A call and the one inside it charge a counter once, by the larger amount; several inside it by their sum."""
    amounts = _amounts(whole, by_layer)
    found = {(each.counter, each.key, each.rule.name): each for one in placed for each in one.charges}
    return tuple(replace(each, amount=amounts[each.counter, each.key]) for each in found.values())


def _amounts(layer: Layer, by_layer: dict[int, Decision]) -> dict[tuple[str, str], Decimal]:
    below: dict[tuple[str, str], Decimal] = {}
    for inner in layer.inside:
        for name, amount in _amounts(inner, by_layer).items():
            below[name] = numbers.add(below[name], amount) if name in below else amount
    for charge in by_layer[id(layer)].charges:
        name = charge.counter, charge.key
        below[name] = max(below.get(name, charge.amount), charge.amount)
    return below
