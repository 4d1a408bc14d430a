"""`/mcp/{server}`: the plain ASGI app that agents speak to, from the first byte to the last.

A POST is admitted, read, decoded, bound to its session, and handed on: to `judged.py` or `passed.py`. GET and DELETE
concern a handshake session. Nothing is built from the request's own URL or Host. Must not know policy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from hashlib import sha256
from typing import Any, Final

import structlog

from policylayer.core.errors import AuditUnavailable
from policylayer.proxy import aside, judged, judging, passed, rounds, saying, session_streams
from policylayer.proxy.admission import admit, refuse, unauthenticated
from policylayer.proxy.downstream import Downstream, Gone, Overfull, Oversize, Receive, Send
from policylayer.proxy.fitness import Refused, refused
from policylayer.proxy.forwarding import session_not_found
from policylayer.proxy.passed import end_at_server
from policylayer.proxy.ports import Deps
from policylayer.proxy.sessions import Session
from policylayer.proxy.visit import SESSION_HEADER, Visit
from policylayer.tasks import keep_on, spawn
from policylayer.wire import era, replies
from policylayer.wire.calls import call_of
from policylayer.wire.message import Message, decode
from policylayer.wire.methods import MODERN
from policylayer.wire.mirrors import PARAM, check_params, mismatch
from policylayer.wire.rejection import INVALID_PARAMS, INVALID_REQUEST, Rejection
from policylayer.wire.replies import Reply

SWEEP: Final = 30.0
"""Seconds between looks for sessions that nothing uses."""


class McpEndpoint:
    """The app. `start` before the first request, `release` when there is to be no other, `close` after the last."""

    def __init__(self, deps: Deps, prefix: str = "/mcp/") -> None:
        self.deps = deps
        self._prefix = prefix
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to look after open streams and idle sessions."""
        self.deps.streams.start()
        self._sweeper = spawn(keep_on(self._sweep, "idle sessions cannot be ended"), "idle sessions")

    def release(self) -> None:
        """Let go of streams that would stay open; what is left are answers under way."""
        self.deps.streams.release()

    async def close(self) -> None:
        """End all streams."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self.deps.streams.close()

    async def _sweep(self) -> None:
        await asyncio.sleep(SWEEP)
        for session in self.deps.sessions.sweep():
            upstream = self.deps.upstreams.get(session.server)
            if upstream is not None:
                spawn(end_at_server(upstream, session), "end idle session")

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """One HTTP request."""
        down = Downstream(receive, send, self.deps.patience, self.deps.load)
        path: str = scope["path"]
        server = path[len(self._prefix) :] if path.startswith(self._prefix) else ""
        try:
            visit = await admit(self.deps, scope, down, server)
            if visit is None:
                return
            down.whose = visit.caller.subject.id
            if self.deps.traces is not None:
                await self.deps.traces.follow(visit, scope["method"], self._admitted)
            elif scope["method"] == "POST":
                await self._counted(visit)
            else:
                await self._of_session(visit, scope["method"])
        except Exception:
            # Whatever fails here has let nothing through; the agent learns no more than that.
            self.deps.metrics.count("failures", "endpoint")
            structlog.get_logger().error("a request failed", exc_info=True)
            await down.reply(replies.unavailable(None, "engine_error"))
        finally:
            try:
                if down.unread:
                    await down.read()
            finally:
                down.close()
                saying.over()

    async def _admitted(self, visit: Visit, method: str) -> None:
        await (self._counted(visit) if method == "POST" else self._of_session(visit, method))

    # --- GET and DELETE -----------------------------------------------------------------------------------------------

    async def _of_session(self, visit: Visit, method: str) -> None:
        protocol = era.version_of(visit.headers)
        if isinstance(protocol, Rejection):
            await self._reject(visit, protocol, None)
        elif protocol == MODERN:
            await self._refuse(visit, refused(405, "method", "at this revision there is only POST", ("Allow", "POST")))
        elif method == "GET" and visit.frozen() is not None:
            await visit.down.reply(replies.error(None, replies.DENIED, "frozen by an operator", status=403))
        elif await self._bind(visit, None):
            with visit.session.in_use() if visit.session else nullcontext():
                if method == "GET":
                    await session_streams.SessionStream(visit, protocol).run()
                else:
                    await session_streams.delete(visit)

    async def _bind(self, visit: Visit, message: Message | None) -> bool:
        """Find the session that the request names; False where it was told that there is none."""
        ids = visit.headers.get_all(SESSION_HEADER)
        if not ids:
            return True
        visit.session = self._find(visit, ids)
        if visit.session is None:
            await self._refuse(visit, Refused(session_not_found(message), "session"))
            return False
        visit.client = visit.session.client
        return True

    def _find(self, visit: Visit, ids: tuple[str, ...]) -> Session | None:
        protocol = era.version_of(visit.headers)
        if len(ids) != 1 or isinstance(protocol, Rejection):
            return None
        return self.deps.sessions.find(ids[0], visit.caller, visit.server.name, protocol)

    # --- POST ---------------------------------------------------------------------------------------------------------

    async def _counted(self, visit: Visit) -> None:
        load, owner = self.deps.load, visit.owner
        if load.full(owner):
            self.deps.metrics.count("refused", "load")
            await visit.down.reply(replies.unavailable(None, "overloaded"))
            return
        load.enter(owner)
        try:
            await self._post(visit)
        finally:
            load.leave(owner)

    async def _post(self, visit: Visit) -> None:
        body = await self._body(visit)
        if body is None:
            return
        message = await aside.read(len(body), decode, body, visit.headers, self.deps.limits.message)
        if not await self._still_known(visit, body):
            return
        if isinstance(message, Rejection):
            await self._reject(visit, message, body)
            return
        if visit.trace is not None:
            visit.trace.read(message)
        visit.client = message.client
        if message.era == "handshake" and message.method != "initialize" and not await self._bind(visit, message):
            return
        self.deps.metrics.count("requests", message.treatment, message.kind)
        if visit.session is None:
            await self._message(visit, message)
            return
        with visit.session.in_use():
            await self._in_session(visit, message, visit.session)

    async def _still_known(self, visit: Visit, body: bytes) -> bool:
        """Whether the credential is still good now that the body is here and read; where not, that was told."""
        try:
            if await visit.still_known():
                return True
        except AuditUnavailable as error:
            await visit.down.reply(replies.unavailable(None, error.code))
            return False
        await self._refuse(visit, unauthenticated(self.deps, visit.server.name), body)
        return False

    async def _in_session(self, visit: Visit, message: Message, session: Session) -> None:
        if message.kind != "request" or message.id is None:
            await self._message(visit, message)
            return
        with session.asking(message.id, lambda: visit.answered) as fresh:
            if fresh:
                await self._message(visit, message)
            else:
                await self._reject(visit, _in_use(message), message.raw)
        if len(session.unanswered) > self.deps.limits.remembered:
            self.deps.sessions.forget(session)

    async def _body(self, visit: Visit) -> bytes | None:
        """The body; None where there was none to go on with, which was told."""
        limits = self.deps.limits
        try:
            return await visit.down.body(visit.length, limits.message.size, limits.body_timeout)
        except Oversize:
            await self._refuse(visit, refused(413, "size", "the message is too large", ("Connection", "close")))
        except TimeoutError:
            await self._refuse(visit, refused(408, "slow_body", "the message took too long", ("Connection", "close")))
        except Overfull:
            self.deps.metrics.count("refused", "held")
            overloaded = replies.unavailable(None, "overloaded")
            closing = (*overloaded.headers, ("Connection", "close"))
            await visit.down.reply(Reply(overloaded.status, closing, overloaded.body))
        except Gone:
            pass
        return None

    async def _message(self, visit: Visit, message: Message) -> None:
        if passed.names_anothers_task(visit, message):
            await self._reject(visit, _no_such_task(message), message.raw)
        elif message.method == judged.LISTENING and not visit.streams:
            await self._refuse(visit, refused(406, "accept", "Accept must admit text/event-stream"), message.raw)
        elif message.kind == "request":
            if message.treatment in ("judged", "filtered"):
                await self._judged(visit, message)
            else:
                await self._unjudged(visit, message)
        elif message.kind == "notification":
            await passed.notification(visit, message)
        elif not await passed.response(visit, message):
            await self._refuse(visit, refused(400, "response", "nothing was asked with this id"), message.raw)

    async def _unjudged(self, visit: Visit, message: Message) -> None:
        if message.treatment == "passed":
            await passed.request(visit, message)
        else:
            denial = visit.frozen() or judging.unknown_method(visit)
            await judged.deny(visit, message, denial, call_of(message, visit.server.name))

    async def _judged(self, visit: Visit, message: Message) -> None:
        schema = None
        if message.era == "modern" and message.method == "tools/call" and visit.frozen() is None:
            schema = await self._schema(visit, message)
        if isinstance(schema, Rejection):
            await self._reject(visit, schema, message.raw)
            return
        tried = rounds.attempt(visit, message)
        if isinstance(tried, Rejection):
            await self._reject(visit, tried, message.raw)
            return
        await judged.handle(visit, tried, schema)

    async def _schema(self, visit: Visit, message: Message) -> object | Rejection:
        """The tool's schema, by which its arguments are repeated in headers; a rejection where those differ."""
        tools, headers = self.deps.tools, visit.headers
        tool = tools.find(visit.server.name, message.target)
        if tool is None:
            tool = await tools.known(visit.upstream, visit.process_owner, message.target or "")
        if tool is not None:
            return check_params(message, headers, tool.schema) or tool.schema if tool.schema else None
        if tools.unsure(visit.server.name) and any(name.startswith(PARAM) for name in headers):
            return mismatch("the tool's x-mcp-header annotations are not known", message.id)
        return None

    # --- refusals -----------------------------------------------------------------------------------------------------

    async def _reject(self, visit: Visit, rejection: Rejection, body: bytes | None) -> None:
        await self._refuse(visit, Refused(replies.rejected(rejection), rejection.reason), body)

    async def _refuse(self, visit: Visit, what: Refused, body: bytes | None = None) -> None:
        await refuse(
            self.deps,
            visit.down,
            what,
            ip=visit.ip,
            caller=visit.caller,
            server=visit.server.name,
            body_sha256=None if body is None else sha256(body).digest(),
            length=_length(visit, body),
        )


def _in_use(message: Message) -> Rejection:
    return Rejection(400, INVALID_REQUEST, "id_in_use", "a request with this id has not been answered", message.id)


def _no_such_task(message: Message) -> Rejection:
    return Rejection(400, INVALID_PARAMS, "related_task", "no such task", message.id)


def _length(visit: Visit, body: bytes | None) -> int:
    if body is not None:
        return len(body)
    said = visit.length or ""
    return int(said) if said.isdigit() and len(said) <= 15 else 0
