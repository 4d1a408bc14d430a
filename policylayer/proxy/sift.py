"""What of a server's stream reaches the agent: event by event, bytes untouched where nothing is to be changed.

One `Sift` for one stream of events. Responses go to the request they answer; notifications are those of the table, and
those of a resource only if the caller may have it; requests are judged (handshake) or dropped (2026-07-28, where
servers must not send any). What cannot be read at all is the server's failure. Must not know HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from policylayer.approvals.state import asked_digest
from policylayer.core.call import Call, Json
from policylayer.core.decision import Effect
from policylayer.core.errors import AuditUnavailable
from policylayer.proxy import aside, server_requests
from policylayer.proxy.faults import Unusable
from policylayer.proxy.pace import Pace
from policylayer.proxy.sessions import Request, key_of
from policylayer.proxy.treating import treated_by
from policylayer.proxy.visit import Visit
from policylayer.wire import questions, sse
from policylayer.wire.methods import MODERN
from policylayer.wire.own_words import heard
from policylayer.wire.rejection import Id, Rejection
from policylayer.wire.server_messages import ServerMessage

LIST_CHANGED: Final = "notifications/tools/list_changed"
CANCELLED: Final = "notifications/cancelled"
NOTED: Final = 10
"""Dropped requests of one stream that leave a row each; the others are counted."""

OF_TASKS: Final = frozenset({"notifications/tasks", "notifications/tasks/status"})


class Sift:
    """One stream. `id` and `request` are those of the POST it answers; a GET stream has none.

    `answer` is the response once it has come, `passed` what the agent gets of it; `resumable` says that events had ids,
    so that the agent may come back for the rest.
    """

    def __init__(
        self,
        visit: Visit,
        protocol: str,
        id: Id | None = None,
        request: Request | None = None,
        row_id: str | None = None,
        capabilities: Mapping[str, Any] | None = None,
    ) -> None:
        self._visit = visit
        self._protocol = protocol
        self._id = id
        self._request = request
        self._row_id = row_id
        own = visit.session.capabilities if visit.session is not None else {}
        self._capabilities = own if capabilities is None else capabilities
        self._questions = 0
        self._dropped = Pace()
        self._pace = visit.session.pace if visit.session is not None else Pace()
        self.answer: ServerMessage | None = None
        self.passed = b""
        self.resumable = False

    async def event(self, event: sse.Event) -> bytes:
        """What goes to the agent for this event. Raises `Unusable`."""
        self.resumable = self.resumable or event.id is not None
        clean, size = self._visit.hidden(event.raw) is event.raw, len(event.raw)
        alike = clean and await aside.read(size, sse.reads_alike, event.raw)
        if not clean:
            event = self._without_ours(event)
        if not event.data:
            # Comments, ids, retry times, and the event that only carries the first id.
            return event.raw if alike else await self._odd(event)
        if event.event not in (None, "", "message"):
            return await self._drop("event_type")
        message = await aside.read(size, heard, event.data, self._visit.deps.limits.server_message)
        if isinstance(message, Rejection):
            raise Unusable(f"an event is no message: {message.reason}")
        data = await self._message(message)
        if data is None:
            return b""
        return event.raw if alike and data is event.data else sse.rewritten(event, data)

    def _without_ours(self, event: sse.Event) -> sse.Event:
        """An event in whose bytes the proxy's own credential stands, as it may go on. Its comments do not."""
        hidden = self._visit.hidden
        self._visit.told_ours(self._request)
        event_type, id = (
            text if text and hidden(raw := text.encode()) is raw else None for text in (event.event, event.id)
        )
        return replace(event, data=event.data and hidden(event.data), event=event_type, id=id)

    async def _odd(self, event: sse.Event) -> bytes:
        """What is left of an event without data in whose bytes some reader might find some."""
        if event.raw.lstrip(b"\r\n").startswith(b":"):
            # A comment keeps a stream alive, and may come as often as it likes.
            self._visit.deps.metrics.count("dropped", "odd_lines")
        else:
            await self._drop("odd_lines")
        return sse.rewritten(event, event.data)

    async def _message(self, message: ServerMessage) -> bytes | None:
        if message.kind == "response":
            return await self._response(message)
        if message.kind == "request":
            return await self._asked(message)
        return await self._notified(message)

    async def _drop(self, reason: str) -> bytes:
        """It goes no further, so no reader holds its server back: too much of it in a minute ends the stream."""
        visit = self._visit
        visit.deps.metrics.count("dropped", reason)
        if self._dropped.another(visit.deps.clock.monotonic()) > visit.deps.limits.dropped_a_minute:
            visit.deps.metrics.count("dropped", "flood")
            await self._note("server.says_too_much", {})
            raise Unusable("too much of what it says is dropped")
        return b""

    # --- responses ----------------------------------------------------------------------------------------------------

    async def _response(self, message: ServerMessage) -> bytes | None:
        request = self._answered_by(message)
        if request is None:
            await self._drop("foreign_response")
            return None
        treated = message
        if self._request is None:
            take, treated = request.replayed(message), await self._guarded(message, request)
        else:
            take = request.take
        data = treated.raw if take is None else await take(treated)
        if self._request is not None:
            self.answer, self.passed = message, data
        elif request.late is not None and not request.late.done():
            request.late.set_result((message, data))
        return data

    async def _guarded(self, message: ServerMessage, request: Request) -> ServerMessage:
        """An answer on a later stream, with everything done to it that was ever to be done under its id."""
        session = self._visit.session
        guard = session.guards.of(key_of(message.id)) if session is not None and message.id is not None else None
        if guard is None or guard == request.guard:
            return message
        treated, request.treated = await treated_by(self._visit, message, guard)
        return treated

    def _answered_by(self, message: ServerMessage) -> Request | None:
        """The request that this answers: the POST's own, or on a later stream any of the session's."""
        if message.id is None:
            return None
        if self._request is not None:
            ours = self._id is not None and key_of(message.id) == key_of(self._id)
            return self._request if ours and self.answer is None else None
        session = self._visit.session
        found = session.asked(message.id) if session is not None else None
        if found is None or session is None or not found.sent:
            # What was denied or still waits for its approval has no answer, whatever a server says.
            return None
        if session.reopened and found.late is None:
            # What was asked under this id before this process knew the session may have had to be masked.
            return None
        return found

    # --- requests -----------------------------------------------------------------------------------------------------

    async def _asked(self, message: ServerMessage) -> bytes | None:
        await self._count(1, leaves_rows=message.treatment(self._protocol) != "passed")
        if self._protocol == MODERN:
            await self._drop_asked(message)
            return None
        if await server_requests.may_pass(self._visit, message, self._protocol, self._row_id):
            return message.raw
        return None

    async def _count(self, more: int, leaves_rows: bool = True) -> None:
        """So many questions more. Each leaves a row, and is answered: too many end the stream, with one row for all."""
        limits = self._visit.deps.limits
        if leaves_rows:
            self._questions += more
        within = self._pace.another(self._visit.deps.clock.monotonic(), more)
        if self._questions <= limits.questions and within <= limits.questions_a_minute:
            return
        self._visit.deps.metrics.count("dropped", "question_flood")
        if within - more <= limits.questions_a_minute:
            await self._note("server.asks_too_much", {})
        raise Unusable("it asks too much")

    async def _drop_asked(self, message: ServerMessage) -> None:
        """At this revision servers ask in results only; the specification forbids this."""
        await self._drop("server_request")
        if self._questions > NOTED:
            return
        method = message.method if server_requests.NEEDS.get(message.method or "") else "other"
        await self._note("server.request_dropped", {"method": method})

    async def _note(self, kind: str, detail: Mapping[str, Any]) -> None:
        visit = self._visit
        told = {"server": visit.server.name, **detail, "parent": self._row_id}
        try:
            await visit.deps.recorder.event(kind, visit.caller.subject.id, told)
        except AuditUnavailable:
            visit.deps.metrics.count("failures", "event")

    # --- notifications ------------------------------------------------------------------------------------------------

    async def _notified(self, message: ServerMessage) -> bytes | None:
        treatment = message.treatment(self._protocol)
        if treatment == "denied":
            await self._drop("notification")
            return None
        if questions.folded(message.params):
            await self._drop("folded_member")
            return None
        if message.method == LIST_CHANGED:
            self._visit.deps.tools.changed(self._visit.server.name)
        if message.method in OF_TASKS and (_ends_in_a_question(message) or not await self._may_know_task(message)):
            await self._drop("task_update")
            return None
        if message.method == CANCELLED and self._visit.session is not None:
            self._visit.session.settle(_id(message.params.get("requestId")))
        if treatment == "filtered" and not await self._may_know(message):
            await self._drop("resource_update")
            return None
        return message.raw

    async def _may_know_task(self, message: ServerMessage) -> bool:
        """Whether it is the caller's own task, and asks nothing that may not be asked."""
        visit, id, asked = self._visit, message.params.get("taskId"), message.params.get("inputRequests")
        task = visit.task(id) if type(id) is str else None
        if task is None or (task.guarded and "result" in message.params):
            return False
        if asked is None:
            return True
        if type(asked) is not dict:
            return False
        digest = asked_digest(asked)
        if not task.was_shown(digest, visit.deps.limits.rounds):
            await self._count(len(asked))
            entries = asked.values()
            if await server_requests.first_refused(visit, entries, self._capabilities, self._protocol, self._row_id):
                return False
            task.shown.add(digest)
        return True

    async def _may_know(self, message: ServerMessage) -> bool:
        """Whether policy would let the caller subscribe to the resource that has changed."""
        uri = message.params.get("uri")
        if type(uri) is not str:
            return False
        visit = self._visit
        method, asked = "resources/subscribe", dict[str, Json](uri=uri)
        if self._protocol == MODERN:
            # As the stream was judged that it comes on.
            method, asked = "subscriptions/listen", {"notifications": {"resourceSubscriptions": [uri]}}
        call = Call(visit.server.name, method, uri, asked, b"", b"", self._protocol)
        labels = visit.deps.labels(visit.caller)
        try:
            decision = visit.frozen() or await visit.deps.engine.decide(visit.question(call, labels=labels))
        except Exception:
            visit.deps.metrics.count("failures", "decide")
            return False
        return decision.enforced is not Effect.DENY


def _ends_in_a_question(message: ServerMessage) -> bool:
    """Whether what it tells of a task holds a result that asks for input, as no task's may."""
    inner = message.params.get("result")
    return type(inner) is dict and server_requests.asks(inner)


def _id(value: object) -> Id | None:
    return value if type(value) is int or type(value) is str else None
