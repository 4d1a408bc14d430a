"""Requests that leave a row before they leave: judged calls, and lists that are filtered.

Puts together, for each kind, what is asked of policy, how the request is sent, and what becomes of the answer; then
tells the agent the verdict where nothing was relayed. Must not know how any of the parts works.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from policylayer.approvals.state import asked_digest
from policylayer.core.call import Call
from policylayer.core.commands import Forward, Outcome, Refused, Unavailable, Verdict
from policylayer.core.decision import Decision, Effect, ReasonCode
from policylayer.policy.texts import render
from policylayer.proxy import judging, rounds, server_requests
from policylayer.proxy.faults import Unusable
from policylayer.proxy.forwarding import Forwarding
from policylayer.proxy.guards import guard_of
from policylayer.proxy.holding import Holding
from policylayer.proxy.lists import filtered
from policylayer.proxy.perform import Judge, Performer
from policylayer.proxy.rounds import Attempt
from policylayer.proxy.sessions import Request, Take, key_of
from policylayer.proxy.treating import treating
from policylayer.proxy.visit import Visit
from policylayer.wire import replies
from policylayer.wire.calls import calls_of
from policylayer.wire.lists import LISTS
from policylayer.wire.message import Message
from policylayer.wire.rejection import INVALID_PARAMS
from policylayer.wire.replies import Reply
from policylayer.wire.server_messages import ServerMessage

LISTENING = "subscriptions/listen"
ACCEPTED = Reply(202, (), b"")
FREE = frozenset({"resources/unsubscribe", "tasks/list"})
"""Nothing is gained by these but what is judged or filtered elsewhere."""


async def handle(visit: Visit, tried: Attempt, schema: object = None) -> None:
    """One request that is judged, filtered or denied, from its decision to the end of its answer."""
    message = tried.message
    assert message.id is not None
    request = Request(message.method or "")
    judge = _judge(visit, tried)
    sent: list[Forward] = []
    request.take = treating(visit, tried.call, request, _take(visit, tried, sent))
    if (listing := LISTS.get(request.method)) is not None:
        request.lists[listing.items] = request.take
    if visit.session is not None:
        visit.session.remember(message.id, request, visit.deps.limits.remembered)
    forwarding = Forwarding(
        visit,
        message,
        request,
        tried.raw,
        schema=schema,
        endless=message.method == LISTENING,
        allowed=_still_allowed(visit, judge) if message.method == LISTENING else None,
    )

    async def send(command: Forward) -> Outcome:
        sent.append(command)
        request.guard = guard_of(command.decision.obligations)
        if request.guard is not None and visit.session is not None and message.id is not None:
            visit.session.guards.put(key_of(message.id), request.guard)
        return await forwarding(command)

    holding = Holding(visit, tried, request)
    performer = Performer(visit, tried.call, judge, send, holding, visit.down.release)
    verdict = await performer.run(tried.round)
    if holding.cancelled:
        # Who cancels a request is not answered.
        await (visit.down.end() if visit.down.begun else visit.down.reply(ACCEPTED))
    elif (reply := _told(visit, tried, verdict)) is not None:
        await visit.down.reply(reply)


async def deny(visit: Visit, message: Message, decision: Decision, call: Call) -> None:
    """A request that is denied whatever policy says."""
    tried, request = Attempt(message, call, message.raw), Request(message.method or "")
    unsent = Forwarding(visit, message, request, message.raw)
    performer = Performer(visit, call, judging.constant(decision), unsent, Holding(visit, tried, request))
    reply = _told(visit, tried, await performer.run())
    if reply is not None:
        await visit.down.reply(reply)


# --- what is asked of policy ------------------------------------------------------------------------------------------


def _judge(visit: Visit, tried: Attempt) -> Judge:
    message, call = tried.message, tried.call
    method = message.method or ""
    if message.treatment == "filtered" or method in FREE:
        return judging.of_list(visit)
    if method == LISTENING:
        return _judge_listening(visit, message)
    if method.startswith("tasks/"):
        task = visit.deps.tasks.find(call.server, call.target or "", visit.caller)
        return judging.of_task(visit, task, call.input)
    return judging.of_call(visit, call)


def _judge_listening(visit: Visit, message: Message) -> Judge:
    """Each resource and each task; to hear that lists have changed, as on a handshake session's stream, is free."""
    wanted = message.params["notifications"]
    calls = calls_of(message, visit.server.name) if wanted.get("resourceSubscriptions") else ()
    find = visit.deps.tasks.find
    tasks = [find(visit.server.name, task_id, visit.caller) for task_id in wanted.get("taskIds") or ()]
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


# --- what becomes of the answer ---------------------------------------------------------------------------------------


def _take(visit: Visit, tried: Attempt, sent: list[Forward]) -> Take:
    message = tried.message
    method = message.method or ""
    if message.treatment == "filtered" or method == "tasks/list":
        return filtered(visit, method, message.protocol)
    if message.era == "handshake":
        return _handshake(visit.detached(), tried, sent)
    return _modern(visit, tried, sent)


def _modern(visit: Visit, tried: Attempt, sent: list[Forward]) -> Take:
    async def take(answer: ServerMessage) -> bytes:
        if server_requests.urls_asked(answer) is not None:
            raise Unusable("it asks for input where it may not")
        if answer.result_type == "input_required":
            return await rounds.ask_back(visit, tried, sent[0], answer)
        if answer.result_type == "task" and answer.result is not None:
            _keep_task(visit, tried.call, sent[0], answer.result.get("taskId"))
        if answer.input_requests is not None:
            return await _asked_by_task(visit, tried, sent[0], answer)
        return answer.raw

    return take


async def _asked_by_task(visit: Visit, tried: Attempt, sent: Forward, answer: ServerMessage) -> bytes:
    """A task's state may ask for input, which the client answers by `tasks/update`; nothing else may ask so."""
    task = visit.deps.tasks.find(visit.server.name, tried.call.target or "", visit.caller)
    if task is None or not (tried.message.method or "").startswith("tasks/"):
        raise Unusable("it asks for input where it may not")
    questions = answer.input_requests or {}
    digest = asked_digest(questions)
    if digest not in task.shown:
        ended = await rounds.refused_by_policy(visit, tried.message, questions.values(), sent.row_id)
        if ended is not None:
            return ended
        task.shown.add(digest)
    return answer.raw


def _handshake(visit: Visit, tried: Attempt, sent: list[Forward]) -> Take:
    async def take(answer: ServerMessage) -> bytes:
        pages = server_requests.urls_asked(answer)
        if pages is not None:
            ended = await rounds.refused_by_policy(visit, tried.message, pages, sent[0].row_id)
            return answer.raw if ended is None else ended
        task = answer.result.get("task") if answer.result is not None and "task" in tried.message.params else None
        if type(task) is dict:
            _keep_task(visit, tried.call, sent[0], task.get("taskId"))
        return answer.raw

    return take


def _keep_task(visit: Visit, call: Call, sent: Forward, task_id: object) -> None:
    guarded = guard_of(sent.decision.obligations) is not None
    if not visit.deps.tasks.keep(task_id, visit.caller, call, sent.row_id, sent.rules, guarded):
        visit.deps.metrics.count("dropped", reason="task")


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
            return Reply(200, (("Content-Type", "application/json"),), body)
    if decision.reason_code is ReasonCode.REJECTED and (message.method or "").startswith("tasks/"):
        told = replies.told_of(decision, verdict.row_id)
        return replies.error(message.id, INVALID_PARAMS, "no such task", told)
    words = render(decision, tried.call, verdict.row_id, verdict.note, verdict.approval_id)
    return replies.denial(message, decision, verdict.row_id, verdict.approval_id, verdict.note, text=words)
