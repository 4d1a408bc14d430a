"""What stands before every path but the agents': Host, Origin, the caller's address; and which app has which path.

A plain ASGI app. Agents' requests go on untouched: their endpoint checks all of this itself, and records it. Must not
know any path below its prefixes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from policylayer.api.endpoint import HEADERS, problem_answer
from policylayer.api.problem import Problem
from policylayer.proxy.client_ip import Network, client_ip
from policylayer.proxy.hosts import Hosts

AGENTS: Final = "/mcp/"
PROBES: Final = ("/healthz", "/readyz")
"""Asked by machines that name us by whatever address they have: answered, as a stranger is."""


NAMELESS: Final = Problem("not_found", "agents connect to `/mcp/SERVER`: the name of a server in the configuration")


SLASHED: Final = Problem("not_found", "agents connect to `/mcp/SERVER`, without a slash at its end")


class Front:
    """Routes by prefix; the empty prefix is everything else."""

    def __init__(
        self, agents: ASGIApp, apps: Mapping[str, ASGIApp], hosts: Hosts, behind_proxy: tuple[Network, ...] = ()
    ) -> None:
        self._agents = agents
        self._apps = sorted(apps.items(), key=lambda entry: -len(entry[0]))
        self._hosts = hosts
        self._behind_proxy = behind_proxy

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """One request."""
        path: str = scope["path"]
        if path.startswith(AGENTS) and not path.endswith("/"):
            return self._agents(scope, receive, send)
        return self._other(path, scope, receive, send)

    async def _other(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) or (SLASHED if path.startswith(AGENTS) else None)
        refusal = refusal or (NAMELESS if path == AGENTS.rstrip("/") else None)
        if refusal is not None and path not in PROBES:
            await _answer(refusal, send)
            return
        app = next(app for prefix, app in self._apps if path.startswith(prefix))
        await app({**scope, "client": self._client(scope) if refusal is None else None}, receive, send)

    def _refusal(self, scope: Scope) -> Problem | None:
        host, origin = _only(scope, b"host"), _only(scope, b"origin")
        if host is None or not self._hosts.host_allowed(host):
            return Problem("bad_host", "this host is not served here")
        if origin is None or (origin and not self._hosts.origin_allowed(origin, host)):
            return Problem("bad_origin", "pages of this origin may not ask")
        return None

    def _client(self, scope: Scope) -> tuple[str, int] | None:
        peer = scope.get("client")
        if not peer or not self._behind_proxy:
            return peer
        forwarded = tuple(value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for")
        address = client_ip(peer[0], forwarded, self._behind_proxy)
        return (address, 0) if address else None


def _only(scope: Scope, name: bytes) -> str | None:
    """The value of a header, empty where it is absent, None where it is repeated."""
    values = [value for key, value in scope["headers"] if key == name]
    return None if len(values) > 1 else values[0].decode("latin-1") if values else ""


async def _answer(problem: Problem, send: Send) -> None:
    status, headers, body = problem_answer(problem)
    fields: dict[str, Any] = {**HEADERS, **headers, "content-length": str(len(body))}
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
