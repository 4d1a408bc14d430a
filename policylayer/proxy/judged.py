"""Requests that leave a row before they leave: judged calls, and lists that are filtered.

Puts together, for each kind, what is asked of policy, how the request is sent, and what becomes of the answer; then
tells the agent the verdict where nothing was relayed. Must not know how any of the parts works.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from policylayer.core.call import Call
from policylayer.core.commands import Forward, Hold, Outcome, Refused, Unavailable, Verdict, Waited
from policylayer.core.decision import Decision, Effect, ReasonCode
from policylayer.policy.texts import render
from policylayer.proxy import judging, rounds
from policylayer.proxy.forwarding import Forwarding
from policylayer.proxy.guards import guard_of
from policylayer.proxy.holding import Holding
from policylayer.proxy.perform import Judge, Performer
from policylayer.proxy.rounds import Attempt
from policylayer.proxy.sessions import Request, key_of
from policylayer.proxy.taking import Taking
from policylayer.proxy.visit import Visit
from policylayer.wire import replies
from policylayer.wire.calls import calls_of
from policylayer.wire.headers import JSON
from policylayer.wire.lists import LISTS
from policylayer.wire.message import Message
from policylayer.wire.rejection import INVALID_PARAMS
from policylayer.wire.replies import Reply

LISTENING = "subscriptions/listen"
FREE = frozenset({"resources/unsubscribe", "tasks/list"})
"""Nothing is gained by these but what is judged or filtered elsewhere."""


class Handling:
    """One request on its way through `mediate`: how it is judged, sent, and kept waiting."""

    __slots__ = ("_holding", "_judge", "_schema", "_taking", "_tried", "_visit", "request")

    def __init__(self, visit: Visit, tried: Attempt, schema: object) -> None:
        message = tried.message
        method = message.method or ""
        self._visit = visit
        self._tried = tried
        self._schema = schema
        self._judge = _special_judge(visit, tried, method)
        self._holding: Holding | None = None
        self.request = request = Request(method)
        self._taking = request.take = Taking(visit, tried, request)
        if (listing := LISTS.get(method)) is not None:
            request.lists[listing.items] = request.take
        if visit.session is not None and message.id is not None:
            visit.session.remember(message.id, request, visit.deps.limits.remembered)

    async def judge(self, approved: frozenset[str], labels: frozenset[str]) -> Decision:
        """Ask policy."""
        if self._judge is not None:
            return await self._judge(approved, labels)
        visit = self._visit
        return await visit.deps.engine.decide(visit.question(self._tried.call, approved, labels))

    async def send(self, command: Forward) -> Outcome:
        """Send what was let through, and relay what comes back."""
        visit, tried, request = self._visit, self._tried, self.request
        message = tried.message
        self._taking.sent = command
        request.guard = guard_of(command.decision.obligations)
        if request.guard is not None and visit.session is not None and message.id is not None:
            visit.session.guards.put(key_of(message.id), request.guard)
        forwarding = Forwarding(visit, message, request, tried.raw, self._schema)
        if message.method == LISTENING:
            assert self._judge is not None
            forwarding.endless, forwarding.allowed = True, _still_allowed(visit, self._judge)
        return await forwarding(command)

    async def hold(self, command: Hold) -> Waited:
        """Keep it waiting for a person."""
        if self._holding is None:
            self._holding = Holding(self._visit, self._tried, self.request)
        return await self._holding(command)

    def over(self) -> None:
        """No more of it will come; what holds on to each other lets go, so that no collector need look for it."""
        session, id = self._visit.session, self._tried.message.id
        if session is not None and id is not None and self._taking.sent is None:
            session.answered_whole(id, self.request)
        if session is None or session.asked(id) is not self.request:
            self.request.take = None
            self.request.lists.clear()
        else:
            self._taking.over()

    @property
    def cancelled(self) -> bool:
        """Whether its client has cancelled it while it was held."""
        return self._holding is not None and self._holding.cancelled


async def handle(visit: Visit, tried: Attempt, schema: object = None) -> None:
    """One request that is judged, filtered or denied, from its decision to the end of its answer."""
    handling, down = Handling(visit, tried, schema), visit.down
    performer = Performer(visit, tried.call, handling.judge, handling.send, handling.hold, down.release)
    try:
        verdict = await performer.run(tried.round)
    finally:
        handling.over()
    if handling.cancelled:
        # Who cancels a request is not answered.
        await (down.end() if down.begun else down.reply(replies.ACCEPTED))
    elif (reply := _told(visit, tried, verdict)) is not None:
        await down.reply(reply)


async def deny(visit: Visit, message: Message, decision: Decision, call: Call) -> None:
    """A request that is denied whatever policy says."""
    tried, request = Attempt(message, call, message.raw), Request(message.method or "")
    unsent = Forwarding(visit, message, request, message.raw)
    performer = Performer(visit, call, judging.constant(decision), unsent, Holding(visit, tried, request))
    reply = _told(visit, tried, await performer.run())
    if reply is not None:
        await visit.down.reply(reply)


# --- what is asked of policy ------------------------------------------------------------------------------------------


def _special_judge(visit: Visit, tried: Attempt, method: str) -> Judge | None:
    """How all but plain calls are judged; None for these."""
    message, call = tried.message, tried.call
    if message.treatment == "filtered" or method in FREE:
        return judging.of_list(visit)
    if method == LISTENING:
        return _judge_listening(visit, message)
    if method.startswith("tasks/"):
        task = visit.task(call.target or "")
        return judging.of_task(visit, task, call.input)
    return None


def _judge_listening(visit: Visit, message: Message) -> Judge:
    """Each resource and each task; to hear that lists have changed, as on a handshake session's stream, is free."""
    wanted = message.params["notifications"]
    calls = calls_of(message, visit.server.name) if wanted.get("resourceSubscriptions") else ()
    tasks = [visit.task(task_id) for task_id in wanted.get("taskIds") or ()]
    return judging.of_calls(visit, calls, tasks) if calls or tasks else judging.of_list(visit)


def _still_allowed(visit: Visit, judge: Judge) -> Callable[[], Awaitable[bool]]:
    """Whether an open stream may stay open: its caller, and everything it listens to."""
    judged = ""

    async def allowed() -> bool:
        nonlocal judged
        if not await visit.allowed():
            return False
        revision = visit.deps.engine.revision
        if revision == judged:
            return True
        decision = await judge(frozenset(), visit.deps.labels(visit.caller))
        judged = revision
        return decision.enforced is not Effect.DENY

    return allowed


# --- what the agent is told -------------------------------------------------------------------------------------------


def _told(visit: Visit, tried: Attempt, verdict: Verdict) -> Reply | None:
    """The answer to a request that was not forwarded."""
    message = tried.message
    if isinstance(verdict, Unavailable):
        return replies.unavailable(message.id, str(verdict.reason_code), verdict.row_id)
    if not isinstance(verdict, Refused):
        return None
    decision = verdict.decision
    if decision.reason_code is ReasonCode.PENDING and message.era == "modern":
        body = rounds.wait_again(visit, tried, verdict)
        if body is not None:
            return Reply(200, (JSON,), body)
    if decision.reason_code is ReasonCode.REJECTED and (message.method or "").startswith("tasks/"):
        told = replies.told_of(decision, verdict.row_id)
        return replies.error(message.id, INVALID_PARAMS, "no such task", told)
    words = render(decision, tried.call, verdict.row_id, verdict.note, verdict.approval_id)
    return replies.denial(message, decision, verdict.row_id, verdict.approval_id, verdict.note, text=words)
