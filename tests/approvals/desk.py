"""What approval tests share: people, calls, rules, and a desk to hold calls at. Must not contain tests."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from policylayer.approvals.approvals import Approvals
from policylayer.approvals.opening import Opening
from policylayer.core.call import Call, Caller, Grant, Json, Subject
from policylayer.core.canonical import digest
from policylayer.core.decision import Decision, Effect, HoldRule, ReasonCode, RuleRef
from policylayer.identity.person import Person, Role
from policylayer.keys import Keys
from policylayer.store.rows import Row
from policylayer.store.sqlite import SqliteStore
from policylayer.store.store import Limits, Program
from tests.support.hand_clock import HandClock

KEYS = Keys([bytes(range(32))])
PATIENT = Program("test", limits=Limits(waiting=100_000, patience=120))
"""Tests are not about a slow machine."""


@dataclass
class People:
    """A directory that tests change as they like."""

    groups: dict[str, set[str]] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)

    def groups_of(self, subject: Subject, now: datetime) -> frozenset[str]:
        return frozenset(f"group:{name}" for name, members in self.groups.items() if subject.id in members)

    def owner_of(self, principal: str, /) -> str | None:
        return self.owners.get(principal)


def hold(name: str = "hold", *approvers: str, **more: Any) -> HoldRule:
    """A hold rule of the policy `p`."""
    return HoldRule(RuleRef("p", name, "p.yaml", 1), approvers, **more)


def held(*rules: HoldRule) -> Decision:
    """A decision that holds for these rules."""
    return Decision(
        Effect.REQUIRE_APPROVAL, ReasonCode.RULE, Effect.REQUIRE_APPROVAL, "sha256:0", holds=rules or (hold(),)
    )


def call(tool: str = "refund", server: str = "shop", **arguments: Json) -> Call:
    """A tools/call."""
    asked = digest({"method": "tools/call", "params": {"name": tool, "arguments": arguments}})
    return Call(server, "tools/call", tool, arguments, asked, asked, "2025-11-25")


def caller(principal: str = "agent:bot", grant: str | None = "g1", for_: str | None = None) -> Caller:
    """An agent with a grant."""
    given = Grant(grant, grant, frozenset({"shop"})) if grant else None
    return Caller(Subject(principal), Subject(for_) if for_ else None, given)


def person(name: str, role: Role = Role.APPROVER) -> Person:
    """Someone with a token."""
    return Person(name, role, f"token-of-{name}")


@dataclass
class Bench:
    """An `Approvals` over a real store, with its clock and people."""

    approvals: Approvals
    store: SqliteStore
    clock: HandClock
    people: People
    path: Path

    async def hold(self, what: Call | None = None, who: Caller | None = None, *rules: HoldRule, **more: Any) -> str:
        """Hold a call, as the transaction of its row does; the approval's id."""
        opening = Opening(who or caller(), what or call(), held(*rules), self.clock.new_id(), **more)
        return await self.store.record(lambda conn, add: self.approvals.open_or_join(conn, add, opening))

    async def consume(self, approval_id: str) -> bool:
        """Use an approval up, as the transaction of a release does."""
        record_id = self.clock.new_id()
        return await self.store.record(lambda conn, add: self.approvals.consume(conn, add, approval_id, record_id))

    async def state(self, approval_id: str) -> str:
        """As the API tells it."""
        return str((await self.approvals.get(approval_id))["state"])

    async def events(self, approval_id: str | None = None) -> list[str]:
        """The types of all events so far, or of those of one approval."""
        query = "SELECT reason_code, detail FROM records WHERE kind = 'event' ORDER BY seq"
        rows = await self.store.read(lambda conn: conn.exec_driver_sql(query).all())
        told = [(type, orjson.loads(detail or "{}")) for type, detail in rows]
        return [
            type for type, detail in told if type != "chain.opened" and approval_id in (None, detail.get("approval_id"))
        ]

    def alter(self, statement: str, *values: object) -> None:
        """Change the database past the program, as someone with the file does."""
        connection = sqlite3.connect(self.path, timeout=5, isolation_level=None)
        try:
            assert connection.execute(statement, values).rowcount > 0
        finally:
            connection.close()


def make_event(clock: HandClock) -> Any:
    """Makes event rows."""

    def make(type: str, actor: str, detail: Mapping[str, Any]) -> Row:
        told = orjson.dumps(detail).decode()
        now = clock.time_us()
        return Row(id=clock.new_id(), kind="event", time_us=now, reason_code=type, principal=actor, detail=told)

    return make


def names(rules: Iterable[HoldRule]) -> frozenset[str]:
    """The rules' names."""
    return frozenset(rule.ref.name for rule in rules)
