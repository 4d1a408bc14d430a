"""Sends what was let through and sees its answer to the agent, whatever happens: the Forward of `perform.py`.

The bytes sent are those that were judged. The agent gets exactly one answer: the server's, or a word on how it failed.
When the agent goes away, a modern call is cancelled at the server; a handshake call goes on, since there only
`notifications/cancelled` cancels. Must not know policy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import structlog

from policylayer.core.commands import Forward, Outcome, OutcomeState
from policylayer.core.errors import AuditUnavailable, UpstreamError
from policylayer.proxy.faults import INTERNAL, Unusable, outcome_of, reply_of
from policylayer.proxy.relay import Relay, SessionOver
from policylayer.proxy.sessions import Request
from policylayer.proxy.streams import OpenStream, TooManyStreams
from policylayer.proxy.visit import Visit
from policylayer.upstream.interface import Answer
from policylayer.wire import replies
from policylayer.wire.headers import outgoing
from policylayer.wire.message import Message
from policylayer.wire.rejection import INVALID_REQUEST


class Forwarding:
    """One request on its way to the server and back."""

    def __init__(
        self,
        visit: Visit,
        message: Message,
        request: Request,
        raw: bytes,
        *,
        schema: object = None,
        endless: bool = False,
        allowed: Callable[[], Awaitable[bool]] | None = None,
        on_head: Callable[[Answer], None] | None = None,
    ) -> None:
        self._visit = visit
        self._message = message
        self._request = request
        self._raw = raw
        self._schema = schema
        self._endless = endless
        self._allowed = allowed or visit.allowed
        self._on_head = on_head
        self._scope: asyncio.Timeout | None = None
        self._revoked = False

    async def __call__(self, command: Forward | None = None) -> Outcome:
        """Send, relay, and say how it ended. Raises nothing."""
        clock = self._visit.deps.clock
        begun = clock.monotonic()
        if command is not None and command.decision.obligations.earn:
            # What it earns counts from when it is recorded; the agent's next call may depend on it.
            self._visit.down.hold_back = True
        try:
            outcome = await self._within(command.row_id if command else None)
        except (UpstreamError, Unusable) as error:
            await self._visit.down.reply(reply_of(self._message.id, error, command.row_id if command else None))
            outcome = outcome_of(error)
        except SessionOver:
            outcome = await self._session_over()
        except AuditUnavailable as error:
            await self._visit.down.reply(replies.unavailable(self._message.id, error.code))
            outcome = Outcome(OutcomeState.UNKNOWN, error.message)
        except Exception:
            self._visit.deps.metrics.count("failures", place="relay")
            structlog.get_logger().error("an answer could not be relayed", exc_info=True)
            await self._visit.down.reply(replies.upstream_failed(self._message.id, INTERNAL))
            outcome = Outcome(OutcomeState.UNKNOWN, INTERNAL)
        return replace(outcome, upstream_us=int((clock.monotonic() - begun) * 1e6))

    async def _within(self, row_id: str | None) -> Outcome:
        """Exchange, until answered, or until the agent leaves or loses its right to the answer."""
        down, modern = self._visit.down, self._message.era == "modern"
        try:
            async with asyncio.timeout(None) as scope:
                self._scope = scope
                undo = down.when_gone(self._cut) if modern else None
                try:
                    with self._visit.deps.streams.opened(self._open_stream(), capped=self._endless), self._load():
                        return await self._exchange(row_id)
                finally:
                    if undo is not None:
                        undo()
        except TooManyStreams:
            raise Unusable("too many streams", "too many streams are open", OutcomeState.NEVER_SENT) from None
        except TimeoutError:
            if not scope.expired():
                raise
        if self._revoked:
            await down.reply(replies.error(self._message.id, replies.DENIED, "this is no longer allowed"))
            return Outcome(OutcomeState.CANCELLED if modern else OutcomeState.UNKNOWN, "it was no longer allowed")
        if self._endless:
            return Outcome(OutcomeState.EXECUTED, "the client ended the stream")
        return Outcome(OutcomeState.CANCELLED, "the client went away")

    async def _exchange(self, row_id: str | None) -> Outcome:
        visit = self._visit
        fields = outgoing(self._message, visit.headers, self._schema)
        answer = await visit.send(fields, self._raw, self._endless)
        try:
            if self._on_head is not None:
                self._on_head(answer)
            return await Relay(visit, self._message, self._request, row_id, self._endless).run(answer)
        finally:
            await answer.close()

    def _open_stream(self) -> OpenStream:
        return OpenStream(self._visit.owner, self._visit.down, self._allowed, self._revoke)

    def _load(self) -> AbstractContextManager[None]:
        """A stream that stays open is no work."""
        return self._visit.deps.load.left() if self._endless else nullcontext()

    def _revoke(self) -> None:
        self._revoked = True
        self._cut()

    def _cut(self) -> None:
        if self._scope is not None and self._scope.when() is None:
            self._scope.reschedule(0)

    async def _session_over(self) -> Outcome:
        visit = self._visit
        if visit.session is not None:
            visit.deps.sessions.forget(visit.session)
        await visit.down.reply(session_not_found(self._message))
        return Outcome(OutcomeState.UPSTREAM_REFUSED, "the server does not know the session")


def session_not_found(message: Message | None) -> replies.Reply:
    """The same for a session that is unknown, over, or someone else's."""
    return replies.error(message.id if message else None, INVALID_REQUEST, "Session not found", status=404)
