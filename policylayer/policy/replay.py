"""Pure: recorded decisions asked of a policy set again, one by one; fast, and never guessing.

A row that leaves out nothing that rules of its kind read is decided as any call is. Of any other row it is worked out
which effects are possible (`partial`): one that is left over is the answer, several are none. Must not know where rows
come from, nor what their answers are compared with (`tally`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from policylayer.core.call import Call, Question, ServerFacts, Subject
from policylayer.core.decision import Effect, RuleRef
from policylayer.policy import ast, inside
from policylayer.policy.ast import Path
from policylayer.policy.conditions import TIME
from policylayer.policy.decide import effect_of
from policylayer.policy.engine import Entry
from policylayer.policy.partial import Outlook, Together
from policylayer.policy.policy_set import LONGEST_REMEMBERED, PolicySet
from policylayer.policy.recorded import PROTOCOL, UNSTORABLE, Facts, Kept, Recorded, moment
from policylayer.policy.times import EPOCH, microseconds
from policylayer.policy.values import Unknown, text_of

LATER_US: Final = 10_000_000
"""How much later than policy was asked a row's time may be, beside the time that deciding took: a call that is held
looks for its approval first, and the database may be slow."""

MINUTE_US: Final = 60_000_000

NAMES: Final = frozenset((("target",), ("principal", "id"), ("for", "id")))
"""By these rules are found, before anything is asked."""

OF_NAMES: Final = frozenset(("principal", "for", "server", "method", "target"))
"""The paths that lead to nothing but names, and what is known of those."""

REMEMBERED: Final = 8192
FAR: Final = datetime.max.replace(tzinfo=UTC)


class Answer(NamedTuple):
    """What the set says of one row: an effect, and the rules that surely give it; or, of several possible effects,
    none, and the `fields` that would decide."""

    effect: Effect | None
    rules: tuple[RuleRef, ...] = ()
    fields: tuple[str, ...] = ()


class _Way(NamedTuple):
    """How rows of a kind are asked: `plain` as any call is; `timed`, where rules read the time; `lost` names what rules
    are found by, where that is not known."""

    plain: bool
    timed: bool
    lost: tuple[str, ...]


class Replay:
    """One policy set, asked about rows."""

    def __init__(self, policy_set: PolicySet) -> None:
        self.policy_set = policy_set
        ends = [each.until_us for members in policy_set.directory.groups.values() for each in members]
        bounds = (each.at_us for policy in policy_set.policies for rule in policy.rules for each in bounds_of(rule))
        self._ends = sorted({end for end in ends if end is not None})
        self._instants = sorted({*bounds, *self._ends})
        self._like = lru_cache(maxsize=REMEMBERED)(self._of_names)
        self._way = lru_cache(maxsize=REMEMBERED)(self._work_out)

    def by_names(self, row: Kept, facts: Facts) -> Effect | None:
        """What the set says of every call like this, as most rules look at names only; None: it takes more to tell."""
        if row.detail is not None or len(row.target or "") > LONGEST_REMEMBERED:
            return None
        server = facts(row.server or "")
        return None if server is None else self._like(row.principal, row.on_behalf_of, server, row.method, row.target)

    def _of_names(
        self, principal: str | None, user: str | None, server: ServerFacts, method: str | None, target: str | None
    ) -> Effect | None:
        question = Question(
            Call(server.name, method or "", target, {}, b"", b"", PROTOCOL),
            Subject(principal or ""),
            server,
            EPOCH,
            None if user is None else Subject(user),
        )
        entry, ctx = self.policy_set.asked(question)
        odd = UNSTORABLE in f"{principal} {user} {target}" or inside.asked(question) is not None
        if odd or not self._settled(question) or any(path[0] not in OF_NAMES for path in reads_of(entry)):
            return None
        return effect_of(entry, ctx)

    def _settled(self, question: Question) -> bool:
        """Whether nobody in it leaves a group at some time."""
        subjects = [question.subject, *([question.on_behalf_of] if question.on_behalf_of else ())]
        groups_of = self.policy_set.groups_of
        return all(groups_of(each, EPOCH) == groups_of(each, FAR) for each in subjects)

    def ask(self, row: Recorded) -> Effect | Answer:
        """What the set says; the effect alone where nothing stands in the way of deciding the row as any call is, which
        is most of the time."""
        entry, ctx = self.policy_set.asked(row.question, row.unknown)
        way = self._way_of(row, entry)
        if way.plain and not self._turns(row, way):
            return effect_of(entry, ctx)
        return self._answer(row, way)

    def answer(self, row: Recorded) -> Answer:
        """The same with its reasons."""
        return self._answer(row, self._way_of(row, self.policy_set.asked(row.question, row.unknown)[0]))

    def _answer(self, row: Recorded, way: _Way) -> Answer:
        if way.lost:
            return Answer(None, (), way.lost)
        outlooks = self._outlooks(row, way)
        effects = outlooks[0].effects.union(*(outlook.effects for outlook in outlooks[1:]))
        if len(effects) > 1:
            fields = {field for outlook in outlooks for field in outlook.fields}
            return Answer(None, (), tuple(sorted(fields)) or (text_of(TIME),))
        (effect,) = effects
        return Answer(effect, tuple(dict.fromkeys(says.ref for says in outlooks[0].rules if says.certain)))

    def is_denied(self, row: Recorded) -> bool:
        """Whether the rules of files deny it, whatever another engine says."""
        unknown = replace(row.unknown, engine=True)
        return self.policy_set.possible(row.question, unknown) == {Effect.DENY}

    def _way_of(self, row: Recorded, entry: Entry) -> _Way:
        """A call with others inside is no plain one."""
        way = self._way(entry, row.unknown)
        if not row.question.server.unwrap or inside.asked(row.question) is None:
            return way
        return way._replace(plain=False, timed=True)

    def _outlooks(self, row: Recorded, way: _Way) -> list[Outlook | Together]:
        """At the row's time; and, where it matters, whenever else policy may have been asked."""
        moments = [row.question.now, *map(moment, self._turns(row, way))]
        return [self.policy_set.outlook(replace(row.question, now=at), row.unknown) for at in moments]

    def _turns(self, row: Recorded, way: _Way) -> list[int]:
        """The earliest that policy may have been asked, and when something may have turned since: the end of a
        membership; and where rules read the time, a bound, or a minute, at which windows begin and end. Empty where
        nothing has."""
        instants = self._instants if way.timed else self._ends
        if not instants and not way.timed:
            return []
        now = microseconds(row.question.now)
        early = now - row.decide_us - LATER_US
        turns = instants[bisect_right(instants, early) : bisect_right(instants, now)]
        if way.timed:
            turns += range((early // MINUTE_US + 1) * MINUTE_US, now + 1, MINUTE_US)
        return [early, *turns] if turns else []

    def _work_out(self, entry: Entry, unknown: Unknown) -> _Way:
        reads = reads_of(entry)
        lost = tuple(sorted(text_of(path) for path in NAMES.intersection(unknown.paths)))
        known = not unknown.cwd and not unknown.engine and not any(map(unknown.touches, reads))
        return _Way(known and not lost, TIME in reads, lost)


def reads_of(entry: Entry) -> frozenset[Path]:
    """Every path that these rules look at."""
    groups = entry.counted
    candidates = (*groups.denies, *groups.holds, *groups.allows, *groups.plain)
    nodes: Iterable[frozenset[Path]] = (each.node.reads for each in candidates if each.node is not None)
    limits = (limit.reads for each in candidates for limit in each.rule.limits)
    return frozenset().union(*nodes, *limits)


def bounds_of(rule: ast.Rule) -> Iterable[ast.Bound]:
    """Every point in time that a rule names."""
    blocks = (rule.selection, *rule.except_)
    return (leaf for block in blocks for leaf, _ in ast.leaves(block.when) if isinstance(leaf, ast.Bound))
