"""What passes without a decision: opening a session, pings and the like, notifications, answers to servers' questions.

An operator's freeze stops these too. Sessions leave a row when they are opened, the rest counts. Must not know policy.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Final

from policylayer.core.call import Call
from policylayer.core.errors import UpstreamError
from policylayer.proxy import judged
from policylayer.proxy.faults import Unusable, reply_of
from policylayer.proxy.forwarding import Forwarding, session_not_found
from policylayer.proxy.server_requests import plain
from policylayer.proxy.sessions import Request, Session, TooManySessions
from policylayer.proxy.visit import SESSION_HEADER, Visit
from policylayer.tasks import spawn
from policylayer.upstream.interface import Answer, Exchange, Upstream
from policylayer.wire import replies
from policylayer.wire.headers import outgoing
from policylayer.wire.message import Message
from policylayer.wire.methods import HANDSHAKE
from policylayer.wire.rejection import INVALID_REQUEST, Id
from policylayer.wire.replies import Reply
from policylayer.wire.server_messages import ServerMessage

CANCELLED: Final = "notifications/cancelled"
PROGRESS: Final = "notifications/progress"
TASK_STATUS: Final = "notifications/tasks/status"
RELATED: Final = "io.modelcontextprotocol/related-task"


async def request(visit: Visit, message: Message) -> None:
    """A request of the table's that is passed."""
    frozen = visit.frozen()
    if frozen is not None:
        call = Call(visit.server.name, message.method or "", None, {}, b"", b"", message.protocol)
        await judged.deny(visit, message, frozen, call)
    elif message.method == "initialize":
        await Opening(visit, message).run()
    else:
        sent = Request(message.method or "", plain)
        if visit.session is not None and message.id is not None:
            visit.session.remember(message.id, sent, visit.deps.limits.remembered)
        await Forwarding(visit, message, sent, message.raw)()


async def notification(visit: Visit, message: Message) -> None:
    """A notification: known ones are forwarded, others end here."""
    if message.treatment == "denied" or visit.frozen() is not None:
        visit.deps.metrics.count("refused", "notification")
        await visit.down.reply(replies.ACCEPTED)
    elif message.method == CANCELLED and _cancel_wait(visit, message):
        await visit.down.reply(replies.ACCEPTED)
    elif not _is_own(visit, message):
        visit.deps.metrics.count("dropped", "foreign_notification")
        await visit.down.reply(replies.ACCEPTED)
    else:
        if message.method == CANCELLED:
            _give_up(visit, message)
        await _forward(visit, message)


def _cancel_wait(visit: Visit, message: Message) -> bool:
    """Whether it cancels a request that waits here and that the server has not seen."""
    asked = _named(visit, message)
    if asked is None or asked.cancel is None:
        return False
    asked.cancel()
    return True


def _give_up(visit: Visit, message: Message) -> None:
    """A server need not answer what is cancelled: nobody waits for that until it is too late, and the server is to
    blame. Begun before the server is told, which may have to wait for it to read."""
    asked = _named(visit, message)
    if asked is not None and asked.give_up is not None:
        asked.give_up()


def _named(visit: Visit, message: Message) -> Request | None:
    """The caller's own request that it cancels."""
    id = message.params.get("requestId")
    # JSON's `true` is no id, though Python's is a number.
    is_id = type(id) is int or type(id) is str
    return visit.session.asked(id) if visit.session is not None and is_id else None


def _is_own(visit: Visit, message: Message) -> bool:
    """Whether it is about what is the caller's own at the server, as far as it is about one thing.

    Servers go by ids alone, and all callers reach them with one credential: only in a session of the caller's own can a
    server know whose request or task is meant. Without one, and at 2026-07-28, leaving is how a request is cancelled.
    """
    if message.method == CANCELLED:
        id = message.params.get("requestId")
        return visit.session is not None and isinstance(id, int | str) and visit.session.under_way(id)
    if message.method == PROGRESS:
        return visit.session is not None
    if message.method == TASK_STATUS:
        return visit.session is not None and not visit.deps.tasks.is_anothers(
            visit.server.name, message.params.get("taskId"), visit.caller
        )
    return True


def names_anothers_task(visit: Visit, message: Message) -> bool:
    """Whether its `_meta` says that it belongs to a task which is another caller's."""
    meta = message.meta if message.result is None else message.result.get("_meta")
    related = meta.get(RELATED) if isinstance(meta, Mapping) else None
    return isinstance(related, Mapping) and visit.deps.tasks.is_anothers(
        visit.server.name, related.get("taskId"), visit.caller
    )


async def response(visit: Visit, message: Message) -> bool:
    """An answer to a server's question; False where this session was not asked it."""
    if visit.session is None or not visit.session.settle(message.id):
        return False
    if visit.frozen() is not None:
        await visit.down.reply(replies.ACCEPTED)
    else:
        await _forward(visit, message)
    return True


async def _forward(visit: Visit, message: Message) -> None:
    """Send what gets no answer but a status."""
    try:
        answer = await visit.send(outgoing(message, visit.headers), message.raw)
    except UpstreamError as error:
        failed = reply_of(None, error)
        await visit.down.reply(Reply(502 if failed.status == 200 else failed.status, failed.headers, failed.body))
        return
    try:
        await visit.down.reply(_status_of(visit, answer))
    finally:
        answer.close()


def _status_of(visit: Visit, answer: Answer) -> Reply:
    """The server's status, where it means something between agent and server; never its body."""
    status = answer.status
    if 200 <= status < 300:
        return replies.ACCEPTED
    if status == 404 and visit.session is not None:
        visit.deps.sessions.forget(visit.session)
        return session_not_found(None)
    if status in (400, 404, 405, 406, 409, 413, 415, 429):
        return replies.error(None, INVALID_REQUEST, "the server refused the message", status=status)
    failed = replies.upstream_failed(None, "it refused the message")
    return Reply(502, failed.headers, failed.body)


class Opening:
    """One `initialize`: a session is opened where the server opens one, and its row is written before the answer."""

    def __init__(self, visit: Visit, message: Message) -> None:
        self._visit = visit
        self._message = message
        self._session: Session | None = None
        self._done = False

    async def run(self) -> None:
        """Forward it and relay the answer."""
        visit, message = self._visit, self._message
        try:
            visit.deps.sessions.make_room(visit.owner)
        except TooManySessions:
            await visit.down.reply(_full(message.id))
            return
        request = Request("initialize", self._answered)
        forwarding = Forwarding(visit, message, request, message.raw)
        forwarding.on_head = self._begun
        await forwarding()
        if self._session is not None and not self._done:
            visit.deps.sessions.forget(self._session)
            spawn(end_at_server(visit.upstream, self._session), "end session")

    def _begun(self, answer: Answer) -> None:
        """The server's answer has begun: our own session over its, if it has one."""
        visit, message = self._visit, self._message
        upstream_id = answer.headers.get(SESSION_HEADER)
        if upstream_id is None or answer.status != 200:
            return
        self._session = visit.deps.sessions.open(
            visit.caller,
            visit.server.name,
            upstream_id,
            str(message.params["protocolVersion"]),
            message.client,
            message.client_capabilities or {},
        )
        visit.down.add_header(b"mcp-session-id", self._session.ticket.encode())

    async def _answered(self, answer: ServerMessage) -> bytes:
        """The server's answer is there: what was negotiated, and the row. Raises where it cannot be written."""
        await plain(answer)
        if answer.result is None:
            return answer.raw
        visit, session = self._visit, self._session
        version = answer.result.get("protocolVersion")
        if version not in HANDSHAKE:
            raise Unusable("it speaks a version that is not known")
        if session is not None:
            session.protocol = version
        detail = {
            "server": visit.server.name,
            "session": session.id if session else None,
            "grant": visit.caller.grant.id if visit.caller.grant else None,
            "protocol": version,
            "client": visit.client,
            "ip": visit.ip,
        }
        await visit.deps.recorder.event("session.opened", visit.caller.subject.id, detail)
        visit.deps.metrics.count("sessions_opened", visit.server.name)
        self._done = True
        return answer.raw


async def end_at_server(upstream: Upstream, session: Session) -> None:
    """Tell the server that a session is over; that it does not hear it is no harm."""
    headers = [("Mcp-Session-Id", session.upstream_id), ("MCP-Protocol-Version", session.protocol)]
    with contextlib.suppress(UpstreamError):
        answer = await upstream.exchange(Exchange("DELETE", headers, owner="\n".join(session.owner), timeout=10.0))
        answer.close()


def _full(id: Id | None) -> Reply:
    failed = replies.error(id, replies.UPSTREAM_FAILED, "too many sessions are open", status=503)
    return Reply(failed.status, (*failed.headers, ("Retry-After", "10")), failed.body)
