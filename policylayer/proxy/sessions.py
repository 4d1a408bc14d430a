"""Handshake sessions: our own ids over the servers', each bound to one caller and one server.

A session is opened where a server opens one and forgotten where it forgets it; the server's own id never reaches the
agent, or only sealed: what the agent sends back is a ticket that any replica can open (docs/decisions/0007), so a
session goes on where its process has ended. A ticket that is unknown, over, another caller's or another server's is one
and the same "not found". Must not know messages' meaning or HTTP.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import orjson

from policylayer.core.call import Caller
from policylayer.keys import Keys, text, untext
from policylayer.proxy.guards import Guard, Guards
from policylayer.proxy.limits import Limits
from policylayer.proxy.pace import Pace
from policylayer.wire.rejection import Id
from policylayer.wire.server_messages import ServerMessage

Key: TypeAlias = "tuple[type, Id]"
Owner: TypeAlias = tuple[str, str, str]
Take: TypeAlias = Callable[[ServerMessage], Awaitable[bytes]]

PURPOSE: Final = b"session"
OLDEST: Final = "2025-03-26"
"""What is spoken where a client does not say."""

LONGEST_SAID: Final = 512
LONGEST_TICKET: Final = 4096


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
    the request is forwarded, `give_up` the wait for its answer after it was. `sent`: the server may have it, so it may
    be answered. `late` waits for an answer that comes on another stream, and what the agent got of it, or for None,
    where its session is over before; `guard` is what is to be done to it, and `treated` says what was; `told_ours`: it
    held the proxy's own credential. `lists` are the filters of lists that were ever asked for under this id, by the
    member that holds their items: an id used again lifts none of them.
    """

    method: str
    take: Take | None = None
    lists: dict[str, Take] = field(default_factory=dict)
    cancel: Callable[[], None] | None = None
    give_up: Callable[[], None] | None = None
    late: asyncio.Future[tuple[ServerMessage, bytes] | None] | None = None
    guard: Guard | None = None
    treated: tuple[str, ...] = ()
    told_ours: bool = False
    sent: bool = False

    def replayed(self, message: ServerMessage) -> Take | None:
        """What to make of an answer that comes on another stream."""
        result = message.result or {}
        return next((take for member, take in self.lists.items() if member in result), self.take)


@dataclass(slots=True)
class Session:
    """One session; `id` names it in the log, `ticket` is what the agent sends.

    `outstanding` are requests of the server that the agent has been shown and not answered; `unanswered` are the
    agent's own, as far as it is known that the server is not done with them, each with whose it is (`asking`); `guards`
    is what is to be done to answers; `pace` is how often its server asks.
    `reopened`: it was opened elsewhere, or before this process began, and what was asked in it there is not known.
    """

    id: str
    ticket: str
    server: str
    owner: Owner
    upstream_id: str
    protocol: str
    client: str | None
    capabilities: Mapping[str, Any]
    used_at: float
    outstanding: dict[Key, str] = field(default_factory=dict)
    unanswered: dict[Key, Callable[[], bool]] = field(default_factory=dict)
    requests: OrderedDict[Key, Request] = field(default_factory=OrderedDict)
    guards: Guards = field(default_factory=Guards)
    pace: Pace = field(default_factory=Pace)
    reopened: bool = False
    busy: int = 0

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """For as long as one of its messages is under way: it is not idle."""
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1

    @contextmanager
    def asking(self, id: Id, answered: Callable[[], bool]) -> Iterator[bool]:
        """For as long as a request of the agent is under way, and, unless `answered`, from then on; False where one of
        this id is already.

        Servers tell requests apart by their ids alone. With two of one id the answer to the first may come as that to
        the second: without the masks that were the first's, and earning what only the second could.
        """
        key = key_of(id)
        if key in self.unanswered:
            yield False
            return
        self.unanswered[key] = answered
        try:
            yield True
        finally:
            # After `done` the next of this id may be under way.
            if answered() and self.unanswered.get(key) is answered:
                del self.unanswered[key]

    def done(self, id: Id) -> None:
        """The server has answered: the id is free, though the answer's exchange may go on for a while."""
        self.unanswered.pop(key_of(id), None)

    def remember(self, id: Id, request: Request, most: int) -> None:
        """Keep a request, and forget the oldest over `most`."""
        before = self.requests.get(key_of(id))
        if before is not None and before.lists:
            request.lists = {**before.lists, **request.lists}
        self.requests[key_of(id)] = request
        self.requests.move_to_end(key_of(id))
        while len(self.requests) > most:
            self.requests.popitem(last=False)

    def answered_whole(self, id: Id, request: Request) -> None:
        """Forget a request whose answer was no stream, or that was not sent: on no later one will it come again.
        Filters are kept for the next request with this id, under which a server might still send the list."""
        if self.requests.get(key_of(id)) is request and not request.lists:
            del self.requests[key_of(id)]

    def asked(self, id: Id | None) -> Request | None:
        """The request that an answer with this id belongs to."""
        return None if id is None else self.requests.get(key_of(id))

    def under_way(self, id: Id) -> bool:
        """Whether the server may have a request with this id that it has not answered; of a session that was opened
        elsewhere, what was asked there is not known."""
        asked = self.asked(id)
        return self.reopened or (asked is not None and asked.sent and key_of(id) in self.unanswered)

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
    """Those that this process has seen, by their tickets. `shared`: other replicas may be using them too."""

    def __init__(
        self, monotonic: Callable[[], float], limits: Limits, keys: Keys | None = None, shared: bool = False
    ) -> None:
        self._monotonic = monotonic
        self._limits = limits
        self._keys = keys
        self._shared = shared
        self._sessions: dict[str, Session] = {}
        self._over: OrderedDict[str, None] = OrderedDict()

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
        id, owner = secrets.token_urlsafe(24), owner_of(caller)
        ticket = self._seal(id, server, owner, upstream_id, client, capabilities)
        return self._keep(Session(id, ticket, server, owner, upstream_id, protocol, client, capabilities, 0.0))

    def find(self, ticket: str, caller: Caller, server: str, protocol: str = OLDEST) -> Session | None:
        """The caller's session on this server, or None. `protocol` is what is spoken in one opened elsewhere."""
        session = self._sessions.get(ticket) or self._opened(ticket, protocol)
        if session is None or session.owner != owner_of(caller) or session.server != server:
            return None
        if ticket not in self._sessions:
            return self._admit(session)
        if self._is_idle(session):
            self.forget(session)
            return None
        session.used_at = self._monotonic()
        return session

    def _keep(self, session: Session) -> Session:
        session.used_at = self._monotonic()
        self._sessions[session.ticket] = session
        return session

    def _admit(self, session: Session) -> Session | None:
        """One that another process opened, or this one before it was started anew."""
        try:
            self.make_room(session.owner)
        except TooManySessions:
            return None
        session.reopened = True
        return self._keep(session)

    # --- tickets ------------------------------------------------------------------------------------------------------

    def _seal(
        self,
        id: str,
        server: str,
        owner: Owner,
        upstream_id: str,
        client: str | None,
        capabilities: Mapping[str, Any],
    ) -> str:
        if self._keys is None:
            return id
        said = orjson.dumps([client, capabilities])
        # What a client says of itself is kept only where it is short: the ticket travels in a header.
        own = [client, capabilities] if len(said) <= LONGEST_SAID else [None, {}]
        return text(self._keys.seal(orjson.dumps([id, server, owner, upstream_id, *own]), PURPOSE))

    def _opened(self, ticket: str, protocol: str) -> Session | None:
        """The session that a ticket tells of, unless it is over."""
        sealed = untext(ticket) if self._keys is not None and len(ticket) <= LONGEST_TICKET else None
        plain = self._keys.open(sealed, PURPOSE) if sealed is not None and self._keys is not None else None
        if plain is None:
            return None
        id, server, owner, upstream_id, client, capabilities = orjson.loads(plain)
        if id in self._over:
            return None
        grant, principal, user = owner
        return Session(id, ticket, server, (grant, principal, user), upstream_id, protocol, client, capabilities, 0.0)

    def forget(self, session: Session) -> None:
        """It is over, as far as this process knows: its ticket opens nothing here any more."""
        self._drop(session)
        self._over[session.id] = None
        while len(self._over) > self._limits.sessions:
            self._over.popitem(last=False)

    def _drop(self, session: Session) -> None:
        self._sessions.pop(session.ticket, None)
        for request in session.requests.values():
            if request.late is not None and not request.late.done():
                # A result, since a cancellation could not be told from that of whoever waits.
                request.late.set_result(None)

    def sweep(self) -> list[Session]:
        """Forget those that nothing used for long; returns them, so that their servers can be told.

        Where other replicas may be using them they are only dropped here, and their end is the server's to say.
        """
        idle = [session for session in self._sessions.values() if self._is_idle(session)]
        for session in idle:
            (self._drop if self._shared else self.forget)(session)
        return [] if self._shared else idle

    def _is_idle(self, session: Session) -> bool:
        return not session.busy and session.used_at + self._limits.session_idle <= self._monotonic()
