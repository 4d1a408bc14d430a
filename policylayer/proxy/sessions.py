"""Handshake sessions: our own ids over the servers', each bound to one caller and one server.

A session is opened where a server opens one and forgotten where it forgets it; the server's own id never reaches the
agent. An id that is unknown, over, another caller's or another server's is one and the same "not found". Must not know
messages' meaning or HTTP.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from policylayer.core.call import Caller
from policylayer.proxy.limits import Limits
from policylayer.wire.rejection import Id
from policylayer.wire.server_messages import ServerMessage

Key: TypeAlias = "tuple[type, Id]"
Owner: TypeAlias = tuple[str, str, str]
Take: TypeAlias = Callable[[ServerMessage], Awaitable[bytes]]


def key_of(id: Id) -> Key:
    """JSON-RPC ids are equal only if their types are: `1` is not `"1"`."""
    return type(id), id


def owner_of(caller: Caller) -> Owner:
    """Who a session, a task or a process belongs to: the grant, its principal, and the user acted for."""
    user = caller.on_behalf_of
    return caller.grant.id if caller.grant else "", caller.subject.id, user.id if user else ""


@dataclass(slots=True, eq=False)
class Request:
    """One of the agent's requests, for as long as its answer may come: to its POST, or replayed on a later stream.

    `take` makes of the server's answer what the agent gets (None: the same bytes). `cancel` ends a wait of ours before
    the request is forwarded. `late` waits for an answer that comes on another stream. `lists` are the filters of lists
    that were ever asked for under this id, by the member that holds their items: an id used again lifts none of them.
    """

    method: str
    take: Take | None = None
    lists: dict[str, Take] = field(default_factory=dict)
    cancel: Callable[[], None] | None = None
    late: asyncio.Future[ServerMessage] | None = None

    def replayed(self, message: ServerMessage) -> Take | None:
        """What to make of an answer that comes on another stream."""
        result = message.result or {}
        return next((take for member, take in self.lists.items() if member in result), self.take)


@dataclass(slots=True)
class Session:
    """One session. `outstanding` are requests of the server that the agent has been shown and not answered."""

    id: str
    server: str
    owner: Owner
    upstream_id: str
    protocol: str
    client: str | None
    capabilities: Mapping[str, Any]
    used_at: float
    outstanding: dict[Key, str] = field(default_factory=dict)
    requests: OrderedDict[Key, Request] = field(default_factory=OrderedDict)
    busy: int = 0

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """For as long as one of its messages is under way: it is not idle."""
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1

    def remember(self, id: Id, request: Request, most: int) -> None:
        """Keep a request, and forget the oldest over `most`."""
        before = self.requests.get(key_of(id))
        if before is not None and before.lists:
            request.lists = {**before.lists, **request.lists}
        self.requests[key_of(id)] = request
        self.requests.move_to_end(key_of(id))
        while len(self.requests) > most:
            self.requests.popitem(last=False)

    def asked(self, id: Id | None) -> Request | None:
        """The request that an answer with this id belongs to."""
        return None if id is None else self.requests.get(key_of(id))

    def show(self, id: Id, method: str, most: int) -> bool:
        """The agent is about to be asked; False where it is asked too much at one time."""
        if len(self.outstanding) >= most:
            return False
        self.outstanding[key_of(id)] = method
        return True

    def settle(self, id: Id | None) -> bool:
        """The agent answers; whether it was asked."""
        return id is not None and self.outstanding.pop(key_of(id), None) is not None


class TooManySessions(Exception):
    """No further session can be opened now."""


class Sessions:
    """All of them, in this process."""

    def __init__(self, monotonic: Callable[[], float], limits: Limits) -> None:
        self._monotonic = monotonic
        self._limits = limits
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def make_room(self, owner: Owner) -> None:
        """Forget idle sessions where there are too many. Raises `TooManySessions`."""
        if self._room(owner):
            return
        self.sweep()
        if not self._room(owner):
            raise TooManySessions

    def _room(self, owner: Owner) -> bool:
        if len(self._sessions) >= self._limits.sessions:
            return False
        if len(self._sessions) < self._limits.sessions_per_owner:
            return True
        return sum(one.owner == owner for one in self._sessions.values()) < self._limits.sessions_per_owner

    def open(
        self,
        caller: Caller,
        server: str,
        upstream_id: str,
        protocol: str,
        client: str | None,
        capabilities: Mapping[str, Any],
    ) -> Session:
        """A new session, with an id of 192 random bits."""
        session = Session(
            secrets.token_urlsafe(24),
            server,
            owner_of(caller),
            upstream_id,
            protocol,
            client,
            capabilities,
            self._monotonic(),
        )
        self._sessions[session.id] = session
        return session

    def find(self, id: str, caller: Caller, server: str) -> Session | None:
        """The caller's session on this server, or None."""
        session = self._sessions.get(id)
        if session is None or session.owner != owner_of(caller) or session.server != server:
            return None
        if self._is_idle(session):
            self.forget(session)
            return None
        session.used_at = self._monotonic()
        return session

    def forget(self, session: Session) -> None:
        """It is over."""
        self._sessions.pop(session.id, None)
        for request in session.requests.values():
            if request.late is not None and not request.late.done():
                request.late.cancel()

    def sweep(self) -> list[Session]:
        """Forget those that nothing used for long; returns them, so that their servers can be told."""
        idle = [session for session in self._sessions.values() if self._is_idle(session)]
        for session in idle:
            self.forget(session)
        return idle

    def _is_idle(self, session: Session) -> bool:
        return not session.busy and session.used_at + self._limits.session_idle <= self._monotonic()
