"""Sends what was let through and sees its answer to the agent, whatever happens: the Forward of `perform.py`.

The bytes sent are those that were judged. The agent gets exactly one answer: the server's, or a word on how it failed.
When the agent goes away, a modern call is cancelled at the server; a handshake call goes on, since there only
`notifications/cancelled` cancels: after that the server has a moment to answer all the same. Must not know policy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import structlog

from policylayer.core.commands import Forward, Outcome, OutcomeState
from policylayer.core.errors import AuditUnavailable, UpstreamError
from policylayer.proxy.faults import INTERNAL, Unusable, outcome_of, reply_of
from policylayer.proxy.relay import Relay, SessionOver
from policylayer.proxy.sessions import Request
from policylayer.proxy.streams import OpenStream, TooManyStreams
from policylayer.proxy.visit import Visit
from policylayer.upstream.interface import Answer, Unsent
from policylayer.wire import replies
from policylayer.wire.headers import outgoing
from policylayer.wire.message import Message
from policylayer.wire.rejection import INVALID_REQUEST

ANSWERED: Final = frozenset({OutcomeState.EXECUTED, OutcomeState.UPSTREAM_REFUSED, OutcomeState.NEVER_SENT})
"""After these nothing more is to come of a request; after all others its answer may still."""

WITHHELD: Final = "the call was sent, and may have run; its answer is withheld: it is not known to be allowed any more"


class Forwarding:
    """One request on its way to the server and back.

    `endless`: its answer is a stream that lasts as long as its client; `allowed` says whether a long answer may go on;
    `on_head` is told of an answer that begins.
    """

    __slots__ = (
        "_cancelled",
        "_cancelling",
        "_is_cut",
        "_let_go",
        "_message",
        "_raw",
        "_request",
        "_revoked",
        "_schema",
        "_stream",
        "_task",
        "_visit",
        "allowed",
        "endless",
        "on_head",
    )

    def __init__(self, visit: Visit, message: Message, request: Request, raw: bytes, schema: object = None) -> None:
        self._visit = visit
        self._message = message
        self._request = request
        self._raw = raw
        self._schema = schema
        self.endless = False
        self.allowed: Callable[[], Awaitable[bool]] = visit.allowed
        self.on_head: Callable[[Answer], None] | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._stream: OpenStream | None = None
        self._is_cut = self._revoked = self._let_go = self._cancelled = False

    async def __call__(self, command: Forward | None = None) -> Outcome:
        """Send, relay, and say how it ended. Raises nothing."""
        visit, row_id = self._visit, command.row_id if command else None
        begun = visit.deps.clock.monotonic()
        if command is not None and command.decision.obligations.earn:
            # What it earns counts from when it is recorded; the agent's next call may depend on it.
            visit.down.hold_back = True
        try:
            outcome = await self._within(row_id)
        except (UpstreamError, Unusable) as error:
            await visit.down.reply(reply_of(self._message.id, error, row_id))
            outcome = outcome_of(error)
        except SessionOver:
            outcome = await self._session_over()
        except AuditUnavailable as error:
            await visit.down.reply(replies.unavailable(self._message.id, error.code))
            outcome = Outcome(OutcomeState.UNKNOWN, error.message)
        except Exception:
            visit.deps.metrics.count("failures", "relay")
            structlog.get_logger().error("an answer could not be relayed", exc_info=True)
            await visit.down.reply(replies.upstream_failed(self._message.id, INTERNAL))
            outcome = Outcome(OutcomeState.UNKNOWN, INTERNAL)
        visit.answered = outcome.state in ANSWERED
        if outcome.state is OutcomeState.NEVER_SENT:
            self._request.sent = False
        return outcome.after(int((visit.deps.clock.monotonic() - begun) * 1e6))

    async def _within(self, row_id: str | None) -> Outcome:
        """Exchange, until answered, or until the agent leaves or loses its right to the answer."""
        down, modern = self._visit.down, self._message.era == "modern"
        if modern and down.gone:
            return Outcome(OutcomeState.NEVER_SENT, "the client went away")
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        sent = True
        undo = down.when_gone(self._cut) if modern else None
        try:
            if self.endless:
                self._stay_open()
            else:
                down.when_long(self._stay_open)
            fields = outgoing(self._message, self._visit.headers, self._schema)
            self._request.sent = True
            self._request.give_up = self._give_up
            answer = await self._visit.send(fields, self._raw, self.endless)
            try:
                if self.on_head is not None:
                    self.on_head(answer)
                return await Relay(self._visit, self._message, self._request, row_id, self.endless).run(answer)
            finally:
                answer.close()
        except asyncio.CancelledError as cut:
            if not self._is_cut or task.uncancel() > self._cancelling:
                raise
            sent = not isinstance(cut, Unsent)
        finally:
            self._task = self._request.give_up = None
            self._close()
            if undo is not None:
                undo()
        outcome = await self._was_cut(modern, row_id, sent)
        return outcome if sent else replace(outcome, state=OutcomeState.NEVER_SENT)

    async def _was_cut(self, modern: bool, row_id: str | None, sent: bool) -> Outcome:
        if self._revoked:
            words = WITHHELD if sent and not self.endless else "this is no longer allowed"
            told = replies.error(self._message.id, replies.DENIED, words, {"decision_id": row_id})
            await self._visit.down.reply(told)
            return Outcome(OutcomeState.CANCELLED if modern else OutcomeState.UNKNOWN, "it was no longer allowed")
        if self._let_go:
            down = self._visit.down
            await (down.end() if down.begun else down.reply(replies.unavailable(self._message.id, "overloaded")))
            return Outcome(OutcomeState.EXECUTED, "the proxy ended")
        if self._cancelled:
            # Who cancels a request is not answered.
            await self._visit.down.reply(replies.ACCEPTED)
            return Outcome(OutcomeState.CANCELLED, "its client cancelled it")
        if self.endless:
            return Outcome(OutcomeState.EXECUTED, "the client ended the stream")
        return Outcome(OutcomeState.CANCELLED, "the client went away")

    # --- what takes long ----------------------------------------------------------------------------------------------

    def _stay_open(self) -> None:
        """Its right to be open is looked after from now on. A stream that stays open is no work."""
        if self._task is None:
            return
        deps = self._visit.deps
        visit = self._visit
        stream = OpenStream(visit.owner, visit.down, self.allowed, self._revoke, self._leave_it, not self.endless)
        try:
            deps.streams.enter(stream, capped=self.endless)
        except TooManyStreams:
            raise Unusable("too many streams", "too many streams are open", OutcomeState.NEVER_SENT) from None
        self._stream = stream
        if self.endless:
            deps.load.leave(self._visit.owner)

    def _close(self) -> None:
        if self._stream is not None:
            self._visit.deps.streams.leave(self._stream, capped=self.endless)
            self._stream = None
            if self.endless:
                self._visit.deps.load.enter(self._visit.owner)

    def _revoke(self) -> None:
        self._revoked = True
        self._cut()

    def _leave_it(self) -> None:
        """The program ends: the stream does as if the server had ended it."""
        self._let_go = True
        self._cut()

    def _give_up(self) -> None:
        """Its client has cancelled it by a notification."""
        if not self._cancelled:
            self._cancelled = True
            asyncio.get_running_loop().call_later(self._visit.deps.limits.cancelled, self._cut)

    def _cut(self) -> None:
        if self._task is not None and not self._is_cut:
            self._is_cut = True
            self._task.cancel()

    async def _session_over(self) -> Outcome:
        visit = self._visit
        if visit.session is not None:
            visit.deps.sessions.forget(visit.session)
        await visit.down.reply(session_not_found(self._message))
        return Outcome(OutcomeState.UPSTREAM_REFUSED, "the server does not know the session")


def session_not_found(message: Message | None) -> replies.Reply:
    """The same for a session that is unknown, over, or someone else's."""
    return replies.error(message.id if message else None, INVALID_REQUEST, "Session not found", status=404)
