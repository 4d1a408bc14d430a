"""Rows of the decision log as the recorder makes them, of questions and what a policy set says of them; no database."""

from __future__ import annotations

from policylayer.audit.context import CallContext, Keeping
from policylayer.audit.rows import RowMaker, Stamp
from policylayer.clock import uuid7
from policylayer.core.call import Caller, Question
from policylayer.core.commands import Kind, Record
from policylayer.core.decision import Decision
from policylayer.core.redact import Mode, Path
from policylayer.keys import Keys
from policylayer.policy.inside_kept import reads_inside
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.recorded import Kept
from policylayer.policy.selectors import TOOLS
from policylayer.policy.times import microseconds
from policylayer.store.rows import Row

KEYS = Keys([bytes(range(32))])


def row_of(
    question: Question,
    decision: Decision,
    number: int = 0,
    mode: Mode = "redacted",
    kind: Kind = Kind.DECISION,
    reads: frozenset[Path] | None = None,
) -> Row:
    """The row of one decision, the `number`th of its microsecond."""
    call = question.call
    believed = question.server.trust_annotations and call.method == TOOLS
    context = CallContext(
        call,
        Caller(question.subject, question.on_behalf_of),
        client=question.client,
        ip=question.ip,
        labels=question.labels,
        approved=question.approved,
        annotations=question.annotations if believed else None,
        reads=reads,
    )
    time_us = microseconds(question.now)
    stamp = Stamp(uuid7(time_us * 4, f"{number:016x}"), time_us, 40)
    return RowMaker(KEYS, Keeping(mode)).decision(Record(kind, decision), context, stamp)


def decided(policy_set: PolicySet, question: Question, mode: Mode = "redacted") -> Kept:
    """What is kept of a question that the set decides."""
    call = question.call
    reads = reads_inside(call, question.server.unwrap, policy_set.reads)
    return kept_of(row_of(question, policy_set.decide(question), mode=mode, reads=reads))


def kept_of(row: Row) -> Kept:
    """The columns that replaying reads."""
    return Kept(*(getattr(row, name) for name in Kept._fields))
