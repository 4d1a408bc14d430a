"""The API over a real database, asked as an ASGI app: one token per role, and a fake of what only `serve` has."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

from policylayer.api.endpoint import PREFIX, Api
from policylayer.api.health import Health
from policylayer.api.services import Facts, Part, Services
from policylayer.api.table import ROUTES
from policylayer.backstage import Backstage
from policylayer.config import load
from policylayer.core.call import Question, Subject
from policylayer.identity import grants, tokens
from policylayer.identity.person import Role
from policylayer.policy.explain_shown import Told
from policylayer.policy.load import load as load_policies
from policylayer.policy.recorded import Facts as FactsOf
from policylayer.policy.recorded import Kept
from policylayer.revisions.active import Active

CONFIG = """\
servers:
  shop: {url: "http://127.0.0.1:1/mcp"}
"""


class People:
    """Who belongs where, for voting."""

    def groups_of(self, subject: Subject, now: datetime) -> frozenset[str]:
        return frozenset({"group:leads"}) if subject.id == "user:approver" else frozenset()

    def owner_of(self, principal: str, /) -> str | None:
        return None


POLICY = b"""\
policy: p
applies_to: {principals: ["*"], servers: [shop]}
rules:
  - {id: small, tools: [refund], when: {args.amount: {lte: 50}}, effect: allow}
  - {id: large, tools: [refund], when: {args.amount: {gt: 5000}}, effect: deny, reason: Too much.}
"""


class FakePolicies:
    """The active revision, as a test sets it."""

    def __init__(self) -> None:
        self.reloads = 0
        policy_set = load_policies({"p.yaml": POLICY}).policy_set
        assert policy_set is not None
        self.active = Active(policy_set)

    async def explain(self, question: Question) -> Told:
        return await self.active.explain(question)

    async def explain_recorded(self, row: Kept, facts: FactsOf) -> Told:
        return await self.active.explain_recorded(row, facts)

    def opens(self, principal: str, server: str, now: datetime) -> bool:
        return self.active.opens(principal, server, now)

    def principals(self) -> frozenset[str]:
        return frozenset({"user:ada"})

    def status(self) -> dict[str, Any]:
        return {"revision": "sha256:00", "activated_at": "2026-11-23T10:00:00.000Z", "refused": []}

    async def reload(self) -> dict[str, Any]:
        self.reloads += 1
        return self.status()


@dataclass(slots=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(slots=True)
class Rig:
    """Asks."""

    services: Services
    backstage: Backstage
    policies: FakePolicies
    tokens: dict[str, str]
    parts: list[Part] = field(default_factory=list)

    async def ask(
        self,
        method: str,
        path: str,
        role: str | None = "admin",
        *,
        query: Mapping[str, str] | str | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        ip: str | None = "127.0.0.1",
        prefix: str = PREFIX,
    ) -> Answer:
        """One request; `role` picks the token, a `Bearer …` is sent as it is, None sends none."""
        fields = {"host": "127.0.0.1", **(headers or {})}
        if role is not None:
            fields["authorization"] = role if " " in role else f"Bearer {self.tokens[role]}"
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else orjson.dumps(body)
            fields.setdefault("content-type", "application/json")
        asked = query if isinstance(query, str) else urlencode(query or {})
        scope = {
            "type": "http",
            "method": method,
            "path": prefix + path,
            "query_string": asked.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in fields.items()],
            "client": (ip, 5) if ip else None,
        }
        app = Api(self.services, ROUTES) if prefix else Health(self.services)
        return await call(app, scope, data)


async def call(app: Any, scope: dict[str, Any], data: bytes) -> Answer:
    """One ASGI request."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": data, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *parts = sent
    headers = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], headers, b"".join(part["body"] for part in parts))


@contextlib.asynccontextmanager
async def api(folder: Path) -> AsyncIterator[Rig]:
    """A rig on a fresh database in `folder`."""
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policylayer.yaml").write_text(CONFIG)
    backstage = Backstage(load(folder / "policylayer.yaml", {}), "tests", People)
    await backstage.start()
    await backstage.authenticator.start()
    policies = FakePolicies()
    rig = Rig(services_of(backstage, policies), backstage, policies, await _tokens(backstage))
    rig.services = services_of(backstage, policies, rig.parts)
    try:
        yield rig
    finally:
        await backstage.authenticator.close()
        await backstage.close()


def services_of(backstage: Backstage, policies: FakePolicies, parts: list[Part] | None = None) -> Services:
    """The services over a backstage."""
    return Services(
        store=backstage.store,
        clock=backstage.clock,
        authenticator=backstage.authenticator,
        approvals=backstage.approvals,
        freezing=backstage.freezing,
        policies=policies,
        facts=Facts("0.0.0", "http://127.0.0.1:8080", frozenset({"shop"})),
        parts=lambda: parts or [],
    )


async def _tokens(backstage: Backstage) -> dict[str, str]:
    def work(connection: Any) -> dict[str, str]:
        made = {str(role): tokens.create(connection, backstage.clock, f"user:{role}", role)[1] for role in Role}
        made["agent"] = grants.create(connection, backstage.clock, "bot", "agent:bot", ["shop"])[1]
        return made

    return await backstage.store.write(work, topics=("grants",))
