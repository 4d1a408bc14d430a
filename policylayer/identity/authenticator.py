"""Who presents a credential: an agent with a grant, the local principal, or a person with a token.

The counterpart of the endpoint's and the API's check that there is exactly one Authorization header. A grant is never a
person and a person's token never a grant: they differ in their first letters. Must not know what either may do.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from functools import partial
from typing import Final

import orjson
import structlog
from sqlalchemy import Connection, Table

from policylayer.clock import Clock
from policylayer.core.call import Caller, Grant, Subject
from policylayer.core.errors import AuditUnavailable
from policylayer.identity import grants, kept, tokens
from policylayer.identity.credential import Sort, presented
from policylayer.identity.kept import Row
from policylayer.identity.known import Kind, Known
from policylayer.identity.person import Person, Role
from policylayer.identity.throttle import Throttle
from policylayer.store import tables
from policylayer.store.store import Store
from policylayer.tasks import beat, keep_on, spawn

POLL: Final = 0.4
"""Seconds between checks of what is known, while it is used."""

IDLE: Final = 1.0
"""The same while nothing is known."""

NOTE_USE: Final = 60.0
"""Seconds between writes of when grants and tokens were last used."""


class Authenticator:
    """Turns the value of an Authorization header into who it is, or None."""

    def __init__(self, store: Store, clock: Clock, local_principal: str | None = None) -> None:
        self._store = store
        self._clock = clock
        self._local = Caller(Subject(local_principal)) if local_principal else None
        self._throttle = Throttle(clock)
        self._grants = Known(store, clock, self._throttle, Kind(grants.by_prefix, _caller))
        self._people = Known(store, clock, self._throttle, Kind(tokens.by_prefix, _person))
        self._noted = 0.0
        self._unsubscribe: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen for changes of grants and tokens."""
        self._unsubscribe = self._store.subscribe("grants", self._forget)
        self._noted = self._clock.monotonic()
        # Nothing is believed for longer than `known.FRESH`, so a failure needs no more than a word.
        self._task = spawn(keep_on(self._tick, "grants cannot be checked", POLL), "identity-check")

    async def close(self) -> None:
        """Stop listening, and write down the last uses."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            try:
                await self._note_use()
            except AuditUnavailable as error:
                # A few times of last use are no reason to end badly.
                structlog.get_logger().warning("last uses could not be noted", error=error.message)

    async def agent(self, authorization: bytes | None, ip: str | None = None) -> Caller | None:
        """The caller of an MCP request. A credential that is nobody's never falls back to the local principal."""
        if authorization is None:
            return self._local if _is_loopback(ip) else None
        shown = presented(authorization, Sort.GRANT)
        return None if shown is None else await self._grants.find(shown, ip)

    async def person(self, authorization: bytes | None, ip: str | None = None) -> Person | None:
        """The person of an API request."""
        shown = presented(authorization, Sort.PERSON) if authorization is not None else None
        return None if shown is None else await self._people.find(shown, ip)

    def throttled(self, ip: str | None) -> bool:
        """Whether this source has tried too many credentials that nobody holds, so that new ones are not looked at."""
        return self._throttle.blocked(ip)

    def _forget(self) -> None:
        self._grants.forget()
        self._people.forget()

    async def _tick(self) -> None:
        await beat(POLL if self._grants.any or self._people.any else IDLE)
        await self._grants.check(POLL)
        await self._people.check(POLL)
        if self._clock.monotonic() - self._noted >= NOTE_USE:
            self._noted = self._clock.monotonic()
            await self._note_use()

    async def _note_use(self) -> None:
        """Write when grants and tokens were last used: now and then, never for each call."""
        for known, table in ((self._grants, tables.grants), (self._people, tables.tokens)):
            at, known.used = known.used, {}
            if at:
                await self._store.write(partial(_used, table=table, at=at))


def opens(caller: Caller, server: str) -> bool:
    """Whether the caller's grant names that server; the local principal has none, and every server is open to it."""
    return caller.grant is None or server in caller.grant.servers


def _used(conn: Connection, *, table: Table, at: dict[str, int]) -> None:
    kept.used(conn, table, at)


def _caller(row: Row) -> Caller:
    servers = frozenset(orjson.loads(row["servers"]))
    return Caller(Subject(row["principal"]), grant=Grant(row["id"], row["name"], servers))


def _person(row: Row) -> Person:
    return Person(row["principal"], Role(row["role"]), row["id"])


def _is_loopback(ip: str | None) -> bool:
    """Where no address is known (a socket of the machine's own), it is. A name is none."""
    if ip is None:
        return True
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
