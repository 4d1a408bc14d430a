"""Freezes: an operator's immediate stop of a principal, a server, or everything, outside policy.

They stand in the database, so they survive restarts and reach every replica; each process holds the ones in force in
memory, one for each thing that is frozen, renewed when the store tells of a change, because every call asks. What is
frozen already gets no second row, however often it is frozen; where two replicas made one each at the same moment,
either stops it and thawing ends both. Must not know who may freeze (`api/`) nor what is done about a frozen call
(`proxy/`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import Connection, Select, func, insert, select, update

from policylayer.clock import Clock
from policylayer.core.immutable import immutable
from policylayer.core.instants import when
from policylayer.store.followed import Followed
from policylayer.store.rows import Row, storable
from policylayer.store.store import Add, Store
from policylayer.store.tables import freezes

Scope = Literal["all", "principal", "server"]

MakeEvent: TypeAlias = Callable[[str, str, Mapping[str, Any]], Row]
"""Makes an event's row: its type, who did it, what there is to say."""

MOST: Final = 500
"""Freezes on one page."""


@immutable
class Freeze:
    """One freeze; `name` is the principal's or server's, None for all."""

    id: str
    scope: Scope
    name: str | None
    reason: str
    created_us: int
    created_by: str | None
    thawed_us: int | None = None
    thawed_by: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As the API and the command line show it."""
        return {
            "id": self.id,
            "scope": self.scope,
            "name": self.name,
            "reason": self.reason,
            "created_at": when(self.created_us),
            "created_by": self.created_by,
            "thawed_at": when(self.thawed_us),
            "thawed_by": self.thawed_by,
        }


@immutable
class Desk:
    """What freezing needs besides its words: the store, the clock, how an event's row is made, and what else ends.

    `ending` runs in the freeze's transaction (approvals that it concerns are cancelled there).
    """

    store: Store
    clock: Clock
    make_event: MakeEvent
    ending: Callable[[Connection, Add, str, str | None, str], object]


async def freeze(desk: Desk, scope: Scope, name: str | None, reason: str, actor: str) -> Freeze:
    """Freeze, in one transaction with its event; what is frozen already stays so, and that freeze is the answer.

    Durable when it returns; in force within a second everywhere.
    """
    made = Freeze(desk.clock.new_id(), scope, name, storable(reason), desk.clock.time_us(), actor)

    def work(connection: Connection, add: Add) -> Freeze:
        standing = next(iter(_standing(connection, scope, name)), None)
        if standing is None:
            row = {column: value for column, value in _fields(made).items() if value is not None}
            connection.execute(insert(freezes).values(**row))
            add(desk.make_event("freeze", actor, _detail(made)))
        # Also where it stood already: a replica that had not heard of it may have let a call ask for approval since.
        desk.ending(connection, add, scope, name, actor)
        return standing or made

    return await desk.store.record(work, topics=("freezes", "approvals"))


async def thaw(desk: Desk, scope: Scope, name: str | None, actor: str) -> list[Freeze]:
    """End every freeze in force of exactly that scope and name; returns those ended."""

    def work(connection: Connection, add: Add) -> list[Freeze]:
        found = _standing(connection, scope, name)
        ended = {"thawed_us": desk.clock.time_us(), "thawed_by": actor}
        for each in found:
            connection.execute(update(freezes).where(freezes.c.id == each.id).values(**ended))
            add(desk.make_event("thaw", actor, _detail(each)))
        return [Freeze(**{**_fields(each), **ended}) for each in found]

    return await desk.store.record(work, topics=("freezes",))


def in_force(connection: Connection) -> list[Freeze]:
    """For each thing that is frozen, the freeze that stood first. All of them: one left out would stop nothing."""
    first = select(func.min(freezes.c.id)).where(freezes.c.thawed_us.is_(None))
    return _rows(connection, select(freezes).where(freezes.c.id.in_(first.group_by(freezes.c.scope, freezes.c.name))))


def page(connection: Connection, *, limit: int = MOST, cursor: str | None = None) -> tuple[list[Freeze], str | None]:
    """A page of the freezes in force, the newest first; and where the next one begins."""
    limit = max(1, min(limit, MOST))
    query = _in_force().order_by(freezes.c.id.desc()).limit(limit + 1)
    found = _rows(connection, query if cursor is None else query.where(freezes.c.id < cursor))
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def _standing(connection: Connection, scope: Scope, name: str | None) -> list[Freeze]:
    """Those in force of exactly that scope and name, the first of them first; locked, so that freezing waits for a
    thaw that is under way and is not answered with what is just ending."""
    named = _in_force().where(freezes.c.scope == scope, freezes.c.name == name)
    return _rows(connection, named.order_by(freezes.c.id).with_for_update())


def _in_force() -> Select[Any]:
    return select(freezes).where(freezes.c.thawed_us.is_(None))


def _rows(connection: Connection, query: Select[Any]) -> list[Freeze]:
    return [Freeze(**row._asdict()) for row in connection.execute(query)]


def _fields(freeze: Freeze) -> dict[str, Any]:
    return {each.name: getattr(freeze, each.name) for each in fields(freeze)}


def _detail(freeze: Freeze) -> dict[str, Any]:
    return {"freeze": freeze.id, "scope": freeze.scope, "name": freeze.name, "reason": freeze.reason}


class Freezes:
    """The freezes in force, in memory. `start` before the first call; `followed` says whether they are up to date."""

    def __init__(self, store: Store) -> None:
        self._all: Freeze | None = None
        self._named: dict[tuple[str, str], Freeze] = {}
        self._listeners: list[Callable[[], None]] = []
        self.followed = Followed(store, "freezes", in_force, self._take)

    async def start(self) -> None:
        """Read them, and follow changes."""
        await self.followed.start()

    async def close(self) -> None:
        """Stop following."""
        await self.followed.close()

    def frozen(self, principals: Iterable[str], server: str) -> Freeze | None:
        """The freeze that stops a call of these principals to this server, or None."""
        if self._all is not None:
            return self._all
        if not self._named:
            return None
        keys = [("server", server), *(("principal", principal) for principal in principals)]
        return next((self._named[key] for key in keys if key in self._named), None)

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call `callback` after every change: open streams are judged again."""
        self._listeners.append(callback)

    def _take(self, found: list[Freeze]) -> None:
        self._all = next((each for each in found if each.scope == "all"), None)
        self._named = {(each.scope, each.name): each for each in found if each.name is not None}
        for callback in tuple(self._listeners):
            callback()
