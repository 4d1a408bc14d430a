"""GET and DELETE of a handshake session: the stream on which a server speaks on its own, and the session's end.

The stream is sifted like any other; with `Last-Event-ID` it also brings answers whose POST was cut, which are filtered
as they would have been there. It stays open for as long as its caller may have it. Must not know policy.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import structlog

from policylayer.core.commands import OutcomeState
from policylayer.core.errors import UpstreamError
from policylayer.proxy.events import events_of
from policylayer.proxy.faults import Unusable, reply_of
from policylayer.proxy.forwarding import session_not_found
from policylayer.proxy.relay import EVENTS
from policylayer.proxy.sift import Sift
from policylayer.proxy.streams import OpenStream, TooManyStreams
from policylayer.proxy.visit import Visit
from policylayer.upstream.interface import Answer, Exchange
from policylayer.wire import replies
from policylayer.wire.headers import forwardable
from policylayer.wire.rejection import INVALID_REQUEST
from policylayer.wire.replies import Reply


class SessionStream:
    """One GET."""

    def __init__(self, visit: Visit, protocol: str) -> None:
        self._visit = visit
        self._protocol = protocol
        self._scope: asyncio.Timeout | None = None

    async def run(self) -> None:
        """Open the stream at the server and relay it until either side, or an operator, ends it."""
        visit = self._visit
        try:
            async with asyncio.timeout(None) as scope:
                self._scope = scope
                undo = visit.down.when_gone(self._stop)
                try:
                    with visit.deps.streams.opened(OpenStream(visit.owner, visit.down, visit.allowed, self._stop)):
                        await self._exchange()
                finally:
                    undo()
        except TooManyStreams:
            await visit.down.reply(_too_many())
        except TimeoutError:
            if not scope.expired():
                raise
        except (UpstreamError, Unusable) as error:
            await self._failed(error)
        except Exception:
            visit.deps.metrics.count("failures", "stream")
            structlog.get_logger().error("a stream could not be relayed", exc_info=True)
            await self._failed(Unusable("internal", state=OutcomeState.UNKNOWN))
        await self._close()

    async def _exchange(self) -> None:
        visit = self._visit
        headers = visit.server_headers([("Accept", EVENTS), *forwardable(visit.headers)])
        answer = await visit.upstream.exchange(Exchange("GET", headers, owner=visit.process_owner, endless=True))
        try:
            if answer.status == 200 and answer.content_type == EVENTS:
                await self._relay(answer)
            else:
                await visit.down.reply(refused(visit, answer))
        finally:
            answer.close()

    async def _relay(self, answer: Answer) -> None:
        visit = self._visit
        sift = Sift(visit, visit.spoken(self._protocol))
        await visit.down.begin()
        async with aclosing(events_of(answer, visit.deps.limits.event)) as stream:
            async for events in stream:
                await visit.down.event(b"".join([await sift.event(event) for event in events]))

    async def _failed(self, error: UpstreamError | Unusable) -> None:
        """Before the stream has begun this is an answer; afterwards the stream just ends, as a lost one would."""
        if not self._visit.down.begun:
            failed = reply_of(None, error)
            status = 502 if failed.status == 200 else failed.status
            await self._visit.down.reply(Reply(status, failed.headers, failed.body))

    async def _close(self) -> None:
        down = self._visit.down
        if down.begun:
            await down.end()
        else:
            # Stopped before anything came: whoever is still there is told to try again.
            await down.reply(replies.unavailable(None, "frozen" if self._visit.frozen() else "rejected"))

    def _stop(self) -> None:
        if self._scope is not None and self._scope.when() is None:
            self._scope.reschedule(0)


async def delete(visit: Visit) -> None:
    """End a session, here and at its server."""
    headers = visit.server_headers(forwardable(visit.headers))
    try:
        answer = await visit.upstream.exchange(Exchange("DELETE", headers, owner=visit.process_owner))
    except UpstreamError as error:
        failed = reply_of(None, error)
        await visit.down.reply(Reply(502, failed.headers, failed.body))
        return
    try:
        if 200 <= answer.status < 300:
            _forget(visit)
            await visit.down.reply(Reply(answer.status, (), b""))
        else:
            await visit.down.reply(refused(visit, answer))
    finally:
        answer.close()


def refused(visit: Visit, answer: Answer) -> Reply:
    """The server's no to a GET or DELETE, in our words."""
    status = answer.status
    if status == 404 and visit.session is not None:
        _forget(visit)
        return session_not_found(None)
    if status == 405:
        said = replies.error(None, INVALID_REQUEST, "the server does not offer this", status=405)
        return Reply(said.status, (*said.headers, ("Allow", "POST, GET, DELETE")), said.body)
    if status in (400, 404, 406, 409):
        return replies.error(None, INVALID_REQUEST, "the server refused this", status=status)
    failed = replies.upstream_failed(None, "it refused this")
    return Reply(502, failed.headers, failed.body)


def _forget(visit: Visit) -> None:
    if visit.session is not None:
        visit.deps.sessions.forget(visit.session)


def _too_many() -> Reply:
    said = replies.error(None, INVALID_REQUEST, "too many streams are open", status=503)
    return Reply(said.status, (*said.headers, ("Retry-After", "10")), said.body)
