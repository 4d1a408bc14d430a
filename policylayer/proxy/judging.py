"""What is asked of policy for each kind of request: one call, several at once, a list, a task, a server's question.

Each function gives a `Judge` for `perform.py`. Must not know how a decision is recorded or enforced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from policylayer.core.call import NOTHING, Call, Json
from policylayer.core.decision import Decision, Effect, ReasonCode
from policylayer.policy.together import worst
from policylayer.proxy.perform import Judge
from policylayer.proxy.task_owners import Task
from policylayer.proxy.visit import Visit, refusal


def of_call(visit: Visit, call: Call) -> Judge:
    """Policy says what it says."""

    async def judge(approved: frozenset[str], labels: frozenset[str]) -> Decision:
        return await visit.deps.engine.decide(visit.question(call, approved, labels))

    return judge


def of_calls(visit: Visit, calls: Sequence[Call], tasks: Sequence[Task | None] = ()) -> Judge:
    """Several calls, and tasks, in one request: it is as good as the worst of them."""

    async def judge(approved: frozenset[str], labels: frozenset[str]) -> Decision:
        decisions = [await of_call(visit, call)(approved, labels) for call in calls]
        decisions += [await of_task(visit, task)(approved, labels) for task in tasks]
        return worst(decisions)

    return judge


def of_task(visit: Visit, task: Task | None, answers: Mapping[str, Json] = NOTHING) -> Judge:
    """A task is judged as the call it came from, and charges nothing again; to others it does not exist.

    `answers` are those to what its server asked.
    """

    async def judge(approved: frozenset[str], labels: frozenset[str]) -> Decision:
        if task is None:
            return refusal(ReasonCode.REJECTED, "no such task", visit.deps.engine.revision)
        question = visit.question(replace(task.call, input=answers), approved | task.rules, labels)
        return replace(await visit.deps.engine.decide(question), charges=())

    return judge


def of_list(visit: Visit) -> Judge:
    """What is only filtered is always allowed: what each caller sees of it is decided item by item."""
    return constant(permission(visit, "filtered"))


def constant(decision: Decision) -> Judge:
    """The answer is known."""

    async def judge(approved: frozenset[str], labels: frozenset[str]) -> Decision:
        return decision

    return judge


def permission(visit: Visit, reason: str) -> Decision:
    """An allow that is not a rule's."""
    return Decision(Effect.ALLOW, ReasonCode.RULE, Effect.ALLOW, visit.deps.engine.revision, reason=reason)


def unknown_method(visit: Visit) -> Decision:
    """What is not in the method table is denied, also where a server is only observed."""
    return refusal(ReasonCode.UNKNOWN_METHOD, "the method is not known", visit.deps.engine.revision)
