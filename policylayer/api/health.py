"""`/healthz` (the process is up), `/readyz` (it may serve), `/metrics`, and OAuth's protected resource metadata.

Asked by machines without a credential, so they say little: anyone may read states, but only this machine and people's
tokens get names and numbers. Must not know how a part finds out how it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from policylayer.api.endpoint import HEADERS, Answer, json_answer, peer, problem_answer
from policylayer.api.exposition import exposition
from policylayer.api.problem import Problem
from policylayer.api.reading import Fields
from policylayer.api.services import Services
from policylayer.core.errors import AuditUnavailable

FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
RESOURCE: Final = "/.well-known/oauth-protected-resource"
_RESOURCE: Final = re.compile(rf"{re.escape(RESOURCE)}/mcp/([A-Za-z0-9][A-Za-z0-9._-]{{0,63}})")


class Health:
    """A plain ASGI app for these paths."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            status, headers, body = await self._answer(scope)
        except Problem as problem:
            status, headers, body = problem_answer(problem)
        fields = {**HEADERS, **headers, "content-length": str(len(body))}
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": status, "headers": encoded})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, scope: Scope) -> Answer:
        if scope["method"] not in ("GET", "HEAD"):
            raise Problem("method_not_allowed", "this path is for reading", headers={"allow": "GET, HEAD"})
        path = scope["path"]
        if path == "/healthz":
            return json_answer({"status": "up"})
        if path == "/readyz":
            return await self._ready(scope)
        if path == "/metrics":
            return await self._metrics(scope)
        if (found := _RESOURCE.fullmatch(path)) is not None:
            return json_answer(self._resource(found[1]))
        raise Problem("not_found", "there is nothing at this path")

    async def _ready(self, scope: Scope) -> Answer:
        parts = await self._services.readiness()
        ready = all(part.ready for part in parts)
        trusted = await self._trusted(scope)
        report: dict[str, Any] = {"status": "ready" if ready else "not_ready"}
        report["parts"] = {part.name: {"ready": part.ready, **(part.detail if trusted else {})} for part in parts}
        return json_answer(report, 200 if ready else 503)

    async def _metrics(self, scope: Scope) -> Answer:
        if not await self._trusted(scope):
            headers = {"www-authenticate": "Bearer"}
            raise Problem("unauthenticated", "metrics are for this machine, or with a person's token", headers=headers)
        return 200, {"content-type": METRICS_TYPE}, exposition(self._services).encode()

    async def _trusted(self, scope: Scope) -> bool:
        """Asked from this machine, not through a front, or with a person's token."""
        headers = Fields.of(scope["headers"])
        authorization = headers.one("authorization")
        if authorization is not None:
            return await self._is_person(authorization, peer(scope))
        return _is_loopback(scope) and not headers.has(*FORWARDED) and not self._services.facts.behind_proxy

    async def _is_person(self, authorization: bytes, ip: str | None) -> bool:
        """Whether it is a person's token. Who cannot be checked, since the database is away, is a stranger."""
        try:
            return await self._services.authenticator.person(authorization, ip) is not None
        except AuditUnavailable:
            return False

    def _resource(self, server: str) -> Mapping[str, Any]:
        """RFC 9728. The resource is the configured one, never what the request says it is."""
        facts = self._services.facts
        if server not in facts.servers:
            raise Problem("not_found", "there is nothing at this path")
        issuers = {"authorization_servers": list(facts.issuers)} if facts.issuers else {}
        return {
            "resource": f"{facts.base_url}/mcp/{server}",
            "resource_name": f"policylayer: {server}",
            "bearer_methods_supported": ["header"],
            **issuers,
        }


def _is_loopback(scope: Scope) -> bool:
    try:
        address = ip_address(peer(scope) or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
