"""Pure: the smallest change to a call that would get it another decision: which rule, which field, to which value.

A search over edits of the question: what stands in the way now is taken from the rules, each way to remove it is an
edit (`change_rules`), and every change that is offered has been asked of the policy set, so it does flip the decision.
Fewest fields first, then what the agent itself can send before what it cannot, then the nearest number. Must not know
how a change is shown.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import count
from math import inf
from typing import Any, Final

from policylayer.core.call import Question
from policylayer.core.decision import Decision, Effect
from policylayer.core.immutable import immutable
from policylayer.policy import outcomes
from policylayer.policy.ast import Path
from policylayer.policy.change_edits import OWN, cost, edited, settable
from policylayer.policy.change_rules import Rules, Said
from policylayer.policy.change_solve import Conditions, Edit, Exhausted, Option, merged, values
from policylayer.policy.change_values import REMOVED
from policylayer.policy.charges import LimitPlan
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.truth import Problem
from policylayer.policy.values import BROKEN, Context, reader, text_of

VALUES: Final = 30_000
"""Values tried at most: a fifth of a second or so."""
FIELDS: Final = 4
"""Fields changed at most."""
STATES: Final = 400
PERMITS: Final = frozenset((Effect.ALLOW, Effect.REQUIRE_APPROVAL))


@immutable
class Step:
    """One field. `now` is its value (None: missing), `to` the new one, or `REMOVED`; `says` what asks for it."""

    path: Path
    now: Any
    to: Any
    rule: str
    says: str

    @property
    def field(self) -> str:
        """The path as it is written."""
        return text_of(self.path)


@immutable
class Change:
    """All steps together, and the effect that they lead to. `own`: the agent itself could send the call so."""

    steps: tuple[Step, ...]
    effect: Effect

    @property
    def own(self) -> bool:
        """Whether nothing but arguments and responses changes."""
        return all(step.path[0] in OWN for step in self.steps)

    def applied(self, question: Question) -> Question:
        """The question so changed."""
        return edited(question, {step.path: step.to for step in self.steps})


def changes(policy_set: PolicySet, question: Question, left: int = VALUES) -> Iterator[Change]:
    """Changes that get the question another effect, the smallest first. None may be found."""
    yield from _Search(policy_set, question, left).run()


def smallest(policy_set: PolicySet, question: Question) -> Change | None:
    """The first of them."""
    return next(changes(policy_set, question), None)


class _Search:
    """One search: states are options, kept by what they cost."""

    def __init__(self, policy_set: PolicySet, question: Question, left: int) -> None:
        self._policy_set = policy_set
        self._question = question
        self._conditions = Conditions(policy_set, left)
        self._rules = Rules(policy_set, self._conditions)
        self._before = policy_set.decide(question).effect
        self._now = policy_set.context(question)
        self._heap: list[tuple[int, float, int, Option]] = []
        self._seen: set[str] = set()
        self._number = count()

    def run(self) -> Iterator[Change]:
        """Best first. For a held call, one that would be allowed; where there is none, one that would be denied."""
        for wanted in self._wanted():
            self._heap, self._seen = [], set()
            try:
                yield from self._towards(wanted)
            except Exhausted:
                return

    def _wanted(self) -> Iterator[frozenset[Effect]]:
        if self._before is Effect.DENY:
            yield PERMITS
        elif self._before is Effect.ALLOW:
            yield frozenset((Effect.DENY, Effect.REQUIRE_APPROVAL))
        else:
            yield frozenset((Effect.ALLOW,))
            yield frozenset((Effect.DENY,))

    def _towards(self, wanted: frozenset[Effect]) -> Iterator[Change]:
        self._push([{}], {})
        found: set[str] = set()
        for _ in range(STATES):
            if not self._heap:
                return
            *_, option = heapq.heappop(self._heap)
            decision = self._decided(option)
            if decision.effect not in wanted:
                self._push(self._next(option, decision, wanted), option)
                continue
            change = self._change(self._reduced(option, wanted))
            if repr(change) not in found:
                found.add(repr(change))
                yield change

    def _decided(self, option: Option) -> Decision:
        return self._policy_set.decide(edited(self._question, values(option)))

    def _push(self, options: Iterable[Option], before: Option) -> None:
        for option in options:
            # A field that was changed for one rule may have to be changed on for another.
            whole = merged([{path: edit for path, edit in before.items() if path not in option}, option])
            if whole is None or len(whole) > FIELDS:
                continue
            key = repr(sorted((path, repr(edit.value)) for path, edit in whole.items()))
            if key not in self._seen:
                self._seen.add(key)
                heapq.heappush(self._heap, (cost(values(whole)), self._far(whole), next(self._number), whole))

    def _far(self, option: Option) -> float:
        """How far numbers are from what they are now; what is no number counts as farthest."""
        pairs = ((self._value(path), edit.value) for path, edit in option.items())
        return sum(abs(to - now) if _is_number(now) and _is_number(to) else inf for now, to in pairs)

    def _value(self, path: Path) -> Any:
        read = reader(path) if path not in _SPECIAL else None
        now = None if read is None else read(self._now)
        return None if now is BROKEN else now

    def _reduced(self, option: Option, wanted: frozenset[Effect]) -> Option:
        """Without the edits that are not needed."""
        kept = dict(option)
        for path in list(kept):
            less = {other: edit for other, edit in kept.items() if other != path}
            if less and self._decided(less).effect in wanted:
                kept = less
        return kept

    def _change(self, option: Option) -> Change:
        steps = (
            Step(path, self._value(path), edit.value, edit.rule, edit.says) for path, edit in sorted(option.items())
        )
        return Change(tuple(steps), self._decided(option).effect)

    # --- what stands in the way ---------------------------------------------------------------------------------------

    def _next(self, option: Option, decision: Decision, wanted: frozenset[Effect]) -> Iterable[Option]:
        """Edits that remove one thing that keeps the decision from being as wanted."""
        asked = edited(self._question, values(option))
        if Effect.DENY in wanted:
            return self._to_refuse(asked)
        return self._to_permit(asked, decision, wanted)

    def _to_permit(self, asked: Question, decision: Decision, wanted: frozenset[Effect]) -> Iterator[Option]:
        denying = self._firing(asked, Effect.DENY, outcomes.TRUE | outcomes.MISSING | outcomes.WRONG)
        holding = self._firing(asked, Effect.REQUIRE_APPROVAL, outcomes.WRONG)
        in_the_way = next(iter((*denying, *holding)), None)
        if in_the_way is not None:
            yield from self._rules.not_to_match(in_the_way, asked)
            yield from self._readable(in_the_way, asked)
            return
        if decision.effect is Effect.REQUIRE_APPROVAL:
            yield from self._past_holds(asked, decision)
            return
        yield from self._countable(asked)
        effects = (Effect.ALLOW, Effect.REQUIRE_APPROVAL) if wanted == PERMITS else (Effect.ALLOW,)
        for said in self._of_effect(*effects):
            yield from self._rules.to_match(said, asked)

    def _past_holds(self, asked: Question, decision: Decision) -> Iterator[Option]:
        waiting = self._rules.said[decision.holds[0].ref.name] if self._is_ours(decision) else None
        if waiting is not None:
            yield from self._rules.not_to_match(waiting, asked)
        if all(hold.ref.name in self._rules.said for hold in decision.holds):
            names = tuple(hold.ref.name for hold in decision.holds)
            yield {("approved",): Edit(names, names[0], "somebody approves")}

    def _is_ours(self, decision: Decision) -> bool:
        """Whether the first hold is one of the files' rules, and not of another engine."""
        return bool(decision.holds) and decision.holds[0].ref.name in self._rules.said

    def _to_refuse(self, asked: Question) -> Iterator[Option]:
        permitting = [*self._firing(asked, Effect.ALLOW, outcomes.TRUE)]
        permitting += self._firing(asked, Effect.REQUIRE_APPROVAL, outcomes.TRUE | outcomes.MISSING)
        if len(permitting) <= FIELDS:
            for said in permitting[:1]:
                yield from self._rules.not_to_match(said, asked)
        for said in self._of_effect(Effect.DENY, Effect.REQUIRE_APPROVAL):
            yield from self._rules.to_match(said, asked)
        for said in (*permitting, *self._of_effect(Effect.DENY)):
            yield from self._missing(said, asked)

    def _of_effect(self, *effects: Effect) -> Iterator[Said]:
        for effect in effects:
            for said in self._rules.said.values():
                if said.compiled.effect is effect and not said.compiled.observe:
                    yield said

    def _firing(self, asked: Question, effect: Effect, counts: int) -> Iterator[Said]:
        for said in self._of_effect(effect):
            if outcomes.of(self._rules.truth(said, asked)) & counts:
                yield said

    def _missing(self, said: Said, asked: Question) -> Iterator[Option]:
        """What a rule reads, taken out."""
        if self._rules.about_target(said, asked):
            for path in self._reads(said):
                yield {path: Edit(REMOVED, said.name, f"{text_of(path)} must be there")}

    def _readable(self, said: Said, asked: Question) -> Iterator[Option]:
        """What a rule reads, taken out where it is of a wrong type: a hold fires where it is missing."""
        if said.compiled.effect is Effect.REQUIRE_APPROVAL:
            yield from self._missing(said, asked)

    def _reads(self, said: Said) -> Iterator[Path]:
        selectors = (said.compiled.selector, *said.compiled.excepts)
        paths = {path for selector in selectors if selector.when is not None for path in selector.when.reads}
        yield from sorted(path for path in paths if path[0] in OWN and settable(path))

    def _countable(self, asked: Question) -> Iterator[Option]:
        """Values that limits can count by."""
        entry, ctx = self._policy_set.asked(asked)
        if not entry.limits:
            return
        groups = entry.counted
        for candidate in (*groups.allows, *groups.holds, *groups.plain):
            for limit in candidate.rule.limits:
                if isinstance(limit.charge(ctx), Problem):
                    yield _countable(limit, candidate.rule.name, ctx)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _countable(limit: LimitPlan, rule: str, ctx: Context) -> Option:
    """A value that can be summed, and one that can be counted by, where they are not."""
    made: dict[Path, Edit] = {}
    summed = None if limit.sum is None else limit.sum[1]
    for path in filter(settable, sorted(limit.reads)):
        field = text_of(path)
        read = reader(path)
        value = None if read is None else read(ctx)
        if field == summed:
            made[path] = Edit("1" if limit.decimal else 1, rule, f"a limit sums {field}")
        elif value is None or not isinstance(value, str | int | float | bool):
            made[path] = Edit("x", rule, f"a limit counts by {field}")
    return made


_SPECIAL: Final = frozenset((("approved",), ("time",), ("for",), ("risk",), ("traits",)))
