"""What becomes of a server's answer before the agent gets it: by its method, its era, and what the decision wants.

One `Taking` for one request. In a handshake session an answer may come again on another stream, long after its own
exchange: there it holds on to nothing of that (`Visit.detached`). Must not know how an answer travels (`relay.py`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from policylayer.approvals.state import asked_digest
from policylayer.core.call import Call
from policylayer.core.commands import Forward, OutcomeState
from policylayer.proxy import rounds, server_requests
from policylayer.proxy.faults import Unusable
from policylayer.proxy.guards import guard_of
from policylayer.proxy.lists import filtered
from policylayer.proxy.rounds import Attempt
from policylayer.proxy.sessions import Request, Take
from policylayer.proxy.task_owners import TaskTakenError
from policylayer.proxy.treating import schema_of, treated_by
from policylayer.proxy.visit import Visit
from policylayer.wire.server_messages import ServerMessage

KINDS: Final = frozenset({"complete", "input_required", "task"})
"""Types of results at 2026-07-28. What clients make of another cannot be known, so not whether it would be judged."""


class Taking:
    """The `Take` of one request. `sent` is the command by which it was forwarded."""

    __slots__ = ("_listed", "_request", "_tried", "_visit", "sent")

    def __init__(self, visit: Visit, tried: Attempt, request: Request) -> None:
        message = tried.message
        self._visit = visit if visit.session is None else visit.detached()
        self._tried = tried
        self._request = request
        self.sent: Forward | None = None
        is_list = message.treatment == "filtered" or message.method == "tasks/list"
        self._listed: Take | None = filtered(self._visit, message.method or "", message.protocol) if is_list else None

    async def __call__(self, answer: ServerMessage) -> bytes:
        """What the agent gets of it: masked and cut first, where the decision wants that. Raises `Unusable`."""
        guard = self._request.guard
        if guard is not None:
            schema = schema_of(self._visit, self._tried.call)
            answer, done = await treated_by(self._visit, answer, guard, schema)
            self._request.treated = done or self._request.treated
        if self._listed is not None:
            return await self._listed(answer)
        return await (self._modern(answer) if self._tried.message.era == "modern" else self._handshake(answer))

    def over(self) -> None:
        """Its POST has ended. On a later stream its answer may still come again.

        To that, what was asked matters only in kind: large calls are not kept for as long as their session lasts.
        """
        tried = self._tried
        message = replace(tried.message, raw=b"", params={}, meta={})
        call = replace(tried.call, arguments={}, input={})
        self._tried = replace(tried, message=message, call=call, raw=b"", state=None)

    # --- 2026-07-28 ---------------------------------------------------------------------------------------------------

    async def _modern(self, answer: ServerMessage) -> bytes:
        if server_requests.urls_asked(answer) is not None:
            raise Unusable(server_requests.NOT_HERE)
        result = answer.result
        if result is None:
            return answer.raw
        kind, inner = answer.result_type, result.get("result")
        if kind not in KINDS:
            raise Unusable("its result is of a type that is not known")
        if type(inner) is dict and self._tried.call.method.startswith("tasks/") and server_requests.asks(inner):
            # What is said of a task holds its result, which clients take for the call's own.
            raise Unusable(server_requests.NOT_HERE)
        if kind == "input_required":
            return await rounds.ask_back(self._visit, self._tried, self._forward, answer)
        if kind == "task":
            self._keep_task(result.get("taskId"))
        if "inputRequests" in result and answer.input_requests is not None:
            return await self._asked_by_task(answer)
        return answer.raw

    async def _asked_by_task(self, answer: ServerMessage) -> bytes:
        """A task's state may ask for input, which the client answers by `tasks/update`; nothing else may ask so."""
        visit, message = self._visit, self._tried.message
        task = visit.task(self._tried.call.target or "")
        if task is None or not (message.method or "").startswith("tasks/"):
            raise Unusable("it asks for input where it may not")
        questions = answer.input_requests or {}
        digest = asked_digest(questions)
        if not task.was_shown(digest, visit.deps.limits.rounds):
            ended = await rounds.refused_by_policy(visit, message, questions.values(), self._forward.row_id)
            if ended is not None:
                return ended
            task.shown.add(digest)
        return answer.raw

    # --- the handshake era --------------------------------------------------------------------------------------------

    async def _handshake(self, answer: ServerMessage) -> bytes:
        pages = server_requests.urls_asked(answer)
        if pages is not None:
            if len(pages) > self._visit.deps.limits.asked:
                raise Unusable("it asks too much")
            ended = await rounds.refused_by_policy(self._visit, self._tried.message, pages, self._forward.row_id)
            return answer.raw if ended is None else ended
        result = answer.result
        if result is not None and server_requests.asks(result):
            # No client of this era should answer that; one that speaks both might.
            raise Unusable(server_requests.NOT_HERE)
        task = result.get("task") if result is not None and "task" in self._tried.message.params else None
        if type(task) is dict:
            self._keep_task(task.get("taskId"))
        return answer.raw

    # --- both ---------------------------------------------------------------------------------------------------------

    @property
    def _forward(self) -> Forward:
        if self.sent is None:
            raise Unusable("it answers what was not sent")
        return self.sent

    def _keep_task(self, task_id: object) -> None:
        call: Call = self._tried.call
        sent, visit = self._forward, self._visit
        guarded = guard_of(sent.decision.obligations) is not None
        session, size = visit.session.id if visit.session else "", len(self._tried.raw)
        keep = visit.deps.tasks.keep
        try:
            kept = keep(task_id, visit.caller, call, sent.row_id, sent.rules, guarded, session, size)
        except TaskTakenError:
            raise Unusable("its task has the id of another", state=OutcomeState.EXECUTED) from None
        if not kept:
            visit.deps.metrics.count("dropped", "task")
