"""A server that is a command, with the face of Streamable HTTP: sessions, JSON or SSE answers, a GET stream.

Handshake era: `initialize` starts a process and mints an `mcp-session-id`; DELETE, idleness or its own death end both.
2026-07-28: one process per owner, started when first needed. Must not know policy; what a message means is seen only as
far as `glance.py` goes.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Final

from policylayer.core.errors import NotSent, TimedOut, UpstreamError
from policylayer.core.shares import Shares
from policylayer.tasks import spawn
from policylayer.upstream.conversation import Conversation, next_message
from policylayer.upstream.faces import NO_HEADERS, Plain, Stream
from policylayer.upstream.glance import Glance, glance
from policylayer.upstream.interface import Answer, Exchange, Overloaded
from policylayer.upstream.settings import StdioServer

MODERN: Final = "2026-07-28"

STATUS: Final = {-32700: 400, -32600: 400, -32602: 400, -32020: 400, -32021: 400, -32022: 400, -32601: 404}
"""The HTTP status of a JSON-RPC error, at 2026-07-28."""


class StdioUpstream:
    """One configured command and its processes."""

    def __init__(self, settings: StdioServer) -> None:
        self._settings = settings
        self._sessions: dict[str, Conversation] = {}
        self._owners: dict[str, asyncio.Task[Conversation | UpstreamError]] = {}
        self._alive: dict[Conversation, str] = {}
        self._shares = Shares(settings.max_processes)
        self._closed = False

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._settings.name

    @property
    def processes(self) -> int:
        """How many run or are being started."""
        return self._shares.held

    async def exchange(self, exchange: Exchange) -> Answer:
        """Say it to the process it belongs to, which is started if need be."""
        headers = {name.lower(): value for name, value in exchange.headers}
        modern = headers.get("mcp-protocol-version", "") >= MODERN
        if modern and exchange.verb != "POST":
            return Plain.error(405, None, -32600, "at this revision there is only POST")
        said = glance(exchange.body) if exchange.verb == "POST" else None
        if exchange.verb == "POST" and said is None:
            return Plain.error(400, None, -32600, "not a message")
        if modern:
            assert said is not None
            return await self._say(await self._of_owner(exchange.owner), said, exchange)
        session = headers.get("mcp-session-id")
        if session is None:
            return await self._without_session(said, exchange)
        conversation = self._sessions.get(session)
        if conversation is None or not conversation.running:
            return Plain.error(404, said.id if said else None, -32600, "the session is over")
        return await self._in_session(conversation, session, said, exchange)

    async def close(self) -> None:
        """End all processes."""
        self._closed = True
        for task in self._owners.values():
            task.cancel()
        await asyncio.gather(*(conversation.stop() for conversation in list(self._alive)))

    # --- sessions and owners ------------------------------------------------------------------------------------------

    async def _without_session(self, said: Glance | None, exchange: Exchange) -> Answer:
        if said is None or said.method != "initialize" or said.kind != "request":
            return Plain.error(400, said.id if said else None, -32600, "there is no session: send initialize first")
        conversation = await self._for_session(exchange.owner)
        session = secrets.token_urlsafe(24)
        self._sessions[session] = conversation
        try:
            return await self._say(conversation, said, exchange, {"mcp-session-id": session})
        except BaseException:
            self._sessions.pop(session, None)
            spawn(conversation.stop(), f"end failed session {self.name}")
            raise

    async def _in_session(
        self, conversation: Conversation, session: str, said: Glance | None, exchange: Exchange
    ) -> Answer:
        if exchange.verb == "DELETE":
            self._sessions.pop(session, None)
            spawn(conversation.stop(), f"end session {self.name}")
            return Plain(200)
        if exchange.verb == "GET":
            if conversation.listening:
                return Plain.error(409, None, -32600, "the stream of this session is already open")
            mailbox = conversation.listen()
            return Stream(self.name, mailbox, lambda: conversation.hush(mailbox))
        assert said is not None
        return await self._say(conversation, said, exchange)

    async def _for_session(self, owner: str) -> Conversation:
        """A process for a new session: one on which its owner's probe of the other era just failed, or a new one."""
        probed = self._of(owner)
        if probed is not None and probed.fresh and not probed.busy:
            del self._owners[owner]
            probed.shared = False
            return probed
        return await self._start(owner, shared=False)

    async def _of_owner(self, owner: str) -> Conversation:
        """The owner's process; callers that come while it is being started share the start."""
        task = self._owners.get(owner)
        if task is None or (task.done() and self._of(owner) is None):
            task = self._owners[owner] = spawn(self._try_to_start(owner), f"start {self.name}")
        started = await asyncio.shield(task)
        if isinstance(started, UpstreamError):
            raise started
        return started

    def _of(self, owner: str) -> Conversation | None:
        """The process that runs for an owner now."""
        task = self._owners.get(owner)
        if task is None or not task.done() or task.cancelled():
            return None
        started = task.result()
        return started if isinstance(started, Conversation) and started.running else None

    async def _try_to_start(self, owner: str) -> Conversation | UpstreamError:
        """The failure is a value: each that waits raises it, and it is no fault of the task's."""
        try:
            return await self._start(owner, shared=True)
        except UpstreamError as error:
            return error

    async def _start(self, owner: str, shared: bool) -> Conversation:
        if self._closed:
            raise NotSent("the proxy is shutting down")
        if not self._shares.room(owner):
            raise Overloaded(
                f"server `{self.name}` has as many processes as it may ({self._settings.max_processes})",
                "end sessions that are not used, or raise its max_processes",
            )
        conversation = Conversation(self._settings, shared, self._ended)
        # Before it starts: it may end before we hear that it has.
        self._alive[conversation] = owner
        self._shares.take(owner)
        try:
            await conversation.start()
        except BaseException:
            self._gone(conversation)
            raise
        return conversation

    def _gone(self, conversation: Conversation) -> None:
        if (owner := self._alive.pop(conversation, None)) is not None:
            self._shares.give_back(owner)

    def _ended(self, conversation: Conversation) -> None:
        self._gone(conversation)
        for session in [id for id, one in self._sessions.items() if one is conversation]:
            del self._sessions[session]
        for owner, task in list(self._owners.items()):
            if task.done() and not task.cancelled() and task.result() is conversation:
                del self._owners[owner]

    # --- one message --------------------------------------------------------------------------------------------------

    async def _say(
        self, conversation: Conversation, said: Glance, exchange: Exchange, extra: Mapping[str, str] = NO_HEADERS
    ) -> Answer:
        """Send it; JSON where the response comes first, a stream where something else does."""
        limits = self._settings.limits
        seconds = limits.timeout if exchange.timeout is None else min(exchange.timeout, limits.timeout)
        deadline = asyncio.get_running_loop().time() + seconds
        if conversation.shared and said.method == "notifications/cancelled":
            # Its sender's id may be another's here. At this revision, leaving is the cancel.
            return Plain(202)
        if said.kind != "request" or said.id is None:
            await conversation.tell(exchange.body, deadline)
            return Plain(202)
        if conversation.is_open(said.id):
            return Plain.error(400, said.id, -32600, "a request with this id is under way")
        ticket = await conversation.ask(exchange.body, said, exchange.endless, deadline)
        until = None if exchange.endless else deadline
        try:
            first = await next_message(ticket, until, self.name)
        except TimedOut:
            conversation.drop(ticket, "it took too long")
            raise
        except BaseException:
            conversation.drop(ticket, "nobody waits for it", cancel=conversation.shared)
            raise
        if first is not None and first is ticket.answer:
            status = STATUS.get(ticket.error_code or 0, 200) if conversation.shared else 200
            return Plain(status, {"content-type": "application/json", **extra}, first)
        leave = partial(conversation.drop, ticket, "nobody waits for it", conversation.shared)
        return Stream(self.name, ticket.mailbox, leave, until, first, extra)
