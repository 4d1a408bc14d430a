"""A policy set that recorded decisions are asked of, with its Rego engine where there are Rego files.

The engine is asked page by page, and only about rows that hold all that its rules read; of any other row what it says
is not known. The same goes for an engine that is configured beside the files, which is not asked about the past. Must
not know where rows come from, nor what is counted (`policy/tally.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from policylayer.core.call import Question
from policylayer.core.decision import Effect, RuleRef
from policylayer.core.errors import PolicyError
from policylayer.core.finding import Finding
from policylayer.policy.ast import Path
from policylayer.policy.load import Loaded
from policylayer.policy.recorded import Facts, Kept, Recorded, loaded, recorded, said_of
from policylayer.policy.replay import Answer, Replay
from policylayer.policy.tally import Tally, Turn
from policylayer.rego.again import asked_again

if TYPE_CHECKING:
    from policylayer.rego.embedded import Embedded

PATIENCE: Final = 30.0
"""Seconds to wait for a worker: one that ran out of time is replaced."""


class Replaying:
    """One set with its engine. `close` it."""

    def __init__(self, policies: Loaded, engine: Embedded | None = None, elsewhere: bool = False) -> None:
        assert policies.policy_set is not None
        self.replay = Replay(policies.policy_set)
        self._of_files = policies.policy_set.reads
        self._describe = policies.policy_set.describe
        self._engine = engine
        self._elsewhere = elsewhere

    @classmethod
    async def open(cls, policies: Loaded, files: Mapping[str, bytes], elsewhere: bool = False) -> Replaying:
        """Start the engine, where there are files for it. `elsewhere`: another one is configured beside the files."""
        if not policies.rego or policies.policy_set is None:
            return cls(policies, None, elsewhere)
        from policylayer.rego.examine import PATIENT, open_rego

        settings = replace(PATIENT, wait=PATIENCE)
        engine, problems = await open_rego(policies.policy_set, policies.rego, files, settings)
        if engine is None:
            raise PolicyError(problems[0].message, problems[0].help)
        return cls(policies, engine, elsewhere)

    @property
    def is_plain(self) -> bool:
        """Whether the rules of files say everything."""
        return self._engine is None and not self._elsewhere

    async def close(self) -> None:
        """End the engine."""
        if self._engine is not None:
            await self._engine.close()

    async def ready(self, page: Sequence[Kept], facts: Facts) -> list[Recorded]:
        """The rows as questions, in their order, with what the engine says of each."""
        rows = [recorded(row, facts, self._reads) for row in page]
        if self._elsewhere:
            return list(map(_without_engine, rows))
        return rows if self._engine is None else await self._with_findings(self._engine, rows)

    async def _with_findings(self, engine: Embedded, rows: Sequence[Recorded]) -> list[Recorded]:
        """The engine is asked about all of them at once, and about the calls inside them."""
        looked = [self._look(engine, row) for row in rows]
        found = await engine.findings_of([each for asked in looked for each in asked or ()], self._describe)
        answers = iter(found)
        return [
            _without_engine(row) if asked is None else _answered(row, [next(answers) for _ in asked])
            for row, asked in zip(rows, looked, strict=True)
        ]

    def _reads(self, server: str, method: str, target: str | None) -> frozenset[Path]:
        """What is read of such calls' arguments, by rules of any kind."""
        found = self._of_files(server, method, target)
        return found if self._engine is None else found | self._engine.argument_paths(server)

    def _look(self, engine: Embedded, row: Recorded) -> tuple[Question, ...] | None:
        """What the engine is to be asked about a row, and about the calls inside it; None: it cannot be."""
        asked = asked_again(row.question, row.unknown, engine.reads)
        return None if asked.lacking or (asked.questions and self.replay.is_denied(row)) else asked.questions


def _without_engine(row: Recorded) -> Recorded:
    return row._replace(unknown=replace(row.unknown, engine=True))


def _answered(row: Recorded, findings: Sequence[tuple[Finding, ...]]) -> Recorded:
    """A row with what the engine said: of the call, and of those inside it. Where it gave no answer, that is none."""
    if not findings:
        return row
    if any(each.failure == "engine_error" for said in findings for each in said):
        return _without_engine(row)
    question = replace(row.question, findings=findings[0], inner_findings=tuple(findings[1:]))
    return row._replace(question=question)


async def take(
    tally: Tally, page: Sequence[Kept], facts: Facts, head: Replaying, base: Replaying | None = None
) -> None:
    """Count a page of rows: what `head` says of them, against what was recorded, or against what `base` says."""
    plain = head.is_plain and (base is None or base.is_plain)
    if plain:
        left = [row for row in page if not _plainly_same(row, facts, head, base)]
        tally.same += len(page) - len(left)
        page = left
    asked = await head.ready(page, facts)
    others = await base.ready(page, facts) if base is not None else asked
    for row, now, then in zip(page, asked, others, strict=True):
        if now.effect is None:
            tally.skipped[now.why] += 1
            continue
        new = head.replay.ask(now)
        old: Effect | Answer = now.effect if base is None else base.replay.ask(then)
        if _effect(old) is _effect(new) is not None:
            tally.same += 1
            continue
        new = new if isinstance(new, Answer) else head.replay.answer(now)
        if base is None:
            old = Answer(_effect(old), _named(row))
        elif not isinstance(old, Answer):
            old = base.replay.answer(then)
        _count(tally, row, old, new)


def _effect(found: Effect | Answer) -> Effect | None:
    return found.effect if isinstance(found, Answer) else found


def _count(tally: Tally, row: Kept, old: Answer, new: Answer) -> None:
    if old.effect is None or new.effect is None:
        tally.undecide(row, tuple(sorted({*old.fields, *new.fields})))
    else:
        tally.change(row, Turn(old.effect, new.effect), old.rules, new.rules)


def _plainly_same(row: Kept, facts: Facts, head: Replaying, base: Replaying | None) -> bool:
    """Whether the names in a row are enough to tell that it stays as it was."""
    after, said = head.replay.by_names(row, facts), said_of(row)[0]
    if after is None or said is None:
        return False
    return after is (said if base is None else base.replay.by_names(row, facts))


def _named(row: Kept) -> tuple[RuleRef, ...]:
    """The rules that a row names."""
    return tuple(RuleRef(each["policy"], each["rule"], each["file"], each["line"]) for each in loaded(row.rules) or ())
