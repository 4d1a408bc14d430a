"""Pure: the smallest change to a meta-tool's call: to the call itself, or to one that is inside it.

A change of an inner call is offered as one of the whole: at the place where the inner arguments stand, and only if the
whole then gets another decision. Must not know how changes are found (`change`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from policylayer.core.call import Question
from policylayer.core.unwrap import Layer, rewrapped
from policylayer.policy.change import VALUES, Change, Step, changes
from policylayer.policy.change_edits import cost, edited
from policylayer.policy.inside import Asked, asked
from policylayer.policy.policy_set import PolicySet

EACH: Final = 6
"""Changes of one call that are looked at."""

LOOKED_INTO: Final = 3
"""Inner calls that are searched."""


def all_changes(policy_set: PolicySet, question: Question) -> Iterator[Change]:
    """Changes that get the question another effect, the smallest first. None may be found."""
    found = asked(question)
    if found is None:
        yield from changes(policy_set, question)
        return
    left = VALUES // (LOOKED_INTO + 1)
    offered = list(islice(changes(policy_set, question, left), EACH))
    for layer, inner in _in_the_way(policy_set, found):
        for change in islice(changes(policy_set, inner, left), EACH):
            lifted = _lifted(policy_set, question, found.whole, layer, change.applied(inner), change)
            if lifted is not None:
                offered.append(lifted)
    seen: set[str] = set()
    for change in sorted(offered, key=_cost):
        if repr(change) not in seen:
            seen.add(repr(change))
            yield change


def _in_the_way(policy_set: PolicySet, found: Asked) -> Iterator[tuple[Layer, Question]]:
    """The inner calls that get the effect which the whole gets."""
    effect = policy_set.decide(found.questions[0]).effect
    inner = zip(found.layers[1:], found.questions[1:], strict=True)
    alike = ((layer, question) for layer, question in inner if policy_set.alone(question).effect is effect)
    yield from islice(alike, LOOKED_INTO)


def _cost(change: Change) -> int:
    return cost({step.path: step.to for step in change.steps})


def _lifted(
    policy_set: PolicySet, question: Question, whole: Layer, layer: Layer, changed: Question, change: Change
) -> Change | None:
    """A change of an inner call as one of the whole, if it is one."""
    own = [step for step in change.steps if step.path[0] == "args"]
    steps = [step for step in change.steps if step.path[0] != "args"]
    if layer.plain:
        at = tuple(map(str, layer.at))
        steps += [Step((*at, *step.path[1:]), step.now, step.to, step.rule, step.says) for step in own]
    elif own:
        steps.append(_as_one(question, rewrapped(whole, layer, changed.call.arguments), str(layer.at[1]), own))
    steps.sort(key=lambda step: step.path)
    before = policy_set.decide(question).effect
    effect = policy_set.decide(edited(question, {step.path: step.to for step in steps})).effect
    return None if effect is before else Change(tuple(steps), effect)


def _as_one(question: Question, arguments: Any, member: str, own: list[Step]) -> Step:
    """What stands in a text or a list is changed with all of it."""
    now = question.call.arguments.get(member)
    says = "; ".join(dict.fromkeys(step.says for step in own))
    return Step(("args", member), now, arguments[member], own[0].rule, says)
