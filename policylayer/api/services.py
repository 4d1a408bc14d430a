"""What the API's handlers work with: the parts of the running service, as the composition root made them.

Must not know HTTP beyond an Authorization header. The same services are behind the command line's `-c FILE`, where the
parts that only a running proxy has answer that there is none.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection, text

from policylayer import freezes
from policylayer.api.probing import Probing
from policylayer.approvals.approvals import Approvals
from policylayer.clock import Clock
from policylayer.core.call import Question, ServerFacts
from policylayer.core.errors import AuditUnavailable
from policylayer.core.immutable import immutable
from policylayer.identity.authenticator import Authenticator
from policylayer.policy.explain_shown import Told
from policylayer.policy.recorded import Facts as FactsOf
from policylayer.policy.recorded import Kept
from policylayer.store.store import Add, Store

T = TypeVar("T")

PATIENCE: Final = 1.5
"""Seconds that the database gets to show that it is there."""

BROWSING: Final = 2
"""Looks into the log at once, which may take seconds each: fewer than there are readers, since calls need some too."""


@immutable
class Facts:
    """What does not change while the service runs. `base_url` is the public one, or where it listens; `known` is what
    policy may read of each server; `local_principal` is whose requests without a credential are."""

    version: str
    base_url: str
    servers: frozenset[str]
    known: Mapping[str, ServerFacts] = field(default_factory=dict)
    issuers: tuple[str, ...] = ()
    behind_proxy: bool = False
    local_principal: str | None = None


@immutable
class Part:
    """One part that must be well for the service to be ready; `detail` is for those who may know."""

    name: str
    ready: bool
    detail: Mapping[str, Any] = field(default_factory=dict)


class Policies(Protocol):
    """The active policy set, as people ask about it."""

    def status(self) -> dict[str, Any]:
        """`{revision, activated_at, refused}`."""

    def opens(self, principal: str, server: str, now: datetime) -> bool:
        """Whether something may let this principal's own calls to this server through."""

    def principals(self) -> frozenset[str]:
        """Those that principals.yaml names."""

    async def reload(self) -> dict[str, Any]:
        """Read the source again, wait until that is active or refused, and say how it stands."""

    async def explain(self, question: Question) -> Told:
        """Why a call gets its decision, and what would change it."""

    async def explain_recorded(self, row: Kept, facts: FactsOf) -> Told:
        """The same of a recorded call, as far as it is known."""


class Times(Protocol):
    """How often something took how long, by class, and the sum of all."""

    @property
    def classes(self) -> Sequence[int]:
        """Counts by class; the last one is open."""

    @property
    def total(self) -> float:
        """Seconds."""


@dataclass(slots=True)
class Services:
    """The parts. `parts` are those that `/readyz` asks beside the database; `counts` and `times` are for `/metrics`.

    `replicas` reads which revision each replica runs, where there may be several.
    """

    store: Store
    clock: Clock
    authenticator: Authenticator
    approvals: Approvals
    freezing: freezes.Desk
    policies: Policies
    facts: Facts
    parts: Callable[[], Sequence[Part]] = field(default=lambda: ())
    counts: Callable[[], Counter[Any]] = field(default=Counter)
    times: Callable[[], Mapping[str, Times]] = field(default=dict)
    replicas: Callable[[Connection], Mapping[str, str | None]] = field(default=lambda _connection: {})
    _browsing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(BROWSING))
    _probing: Probing = field(init=False)

    def __post_init__(self) -> None:
        self._probing = Probing(self.store, self.clock)

    async def browse(self, fn: Callable[[Connection], T]) -> T:
        """`store.read` for what may look at much of the log: these wait for each other, never a call for them."""
        async with self._browsing:
            return await self.store.read(fn)

    async def readiness(self) -> list[Part]:
        """Every part, the database asked now whether it can be read, and lately whether it can be written."""
        try:
            async with asyncio.timeout(PATIENCE):
                revisions = await self.store.read(self._look)
            writable = self._probing.writable()
            database = Part("database", writable, {"dialect": self.store.dialect, "writable": writable})
        except (AuditUnavailable, TimeoutError):
            database, revisions = Part("database", False, {"dialect": self.store.dialect}), {}
        told = {"revisions": revisions, "mixed": len(set(revisions.values())) > 1}
        return [database, *([Part("replicas", True, told)] if revisions else []), *self.parts()]

    def _look(self, connection: Connection) -> Mapping[str, str | None]:
        connection.execute(text("SELECT 1"))
        return self.replicas(connection)

    async def change(
        self, fn: Callable[[Connection, Add], Any], type: str, actor: str, detail: Callable[[Any], Mapping[str, Any]]
    ) -> Any:
        """Change grants or tokens, with the event that says who did, in one transaction."""

        def work(connection: Connection, add: Add) -> Any:
            value = fn(connection, add)
            if value is not None:
                add(self.freezing.make_event(type, actor, detail(value)))
            return value

        return await self.store.record(work, topics=("grants", "approvals"))
