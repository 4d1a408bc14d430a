"""Runs requests through the route table: find the route, establish who asks, check what is asked, answer in JSON.

A plain ASGI app. Who may not is told so before anything of the request is read; what a handler does not expect is a
`Problem`, and a failure of ours is a 500 without a word of why. Must not know any resource (`table.py` and beyond).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

import orjson
import structlog
from starlette.types import Receive, Scope, Send

from policylayer.api import reading
from policylayer.api.problem import CONTENT_TYPE, Problem
from policylayer.api.route import Asked, Route
from policylayer.api.services import Services
from policylayer.core.errors import AuditUnavailable
from policylayer.identity.person import Person

Answer: TypeAlias = "tuple[int, Mapping[str, str], bytes]"

PREFIX: Final = "/api/v1"
HEADERS: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
RETRY: Final = {"retry-after": "1"}


class Api:
    """The ASGI app below `/api/v1`."""

    def __init__(self, services: Services, routes: Iterable[Route]) -> None:
        self._services = services
        self._routes = [(route.pattern(), route) for route in routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        status, headers, body = await self.answer(scope, receive)
        fields = {**HEADERS, **headers, "content-length": str(len(body))}
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": status, "headers": encoded})
        await send({"type": "http.response.body", "body": body})

    async def answer(self, scope: Scope, receive: Receive) -> Answer:
        """Status, headers and body; never raises but for cancellation."""
        try:
            return await self._answer(scope, receive)
        except Problem as problem:
            return problem_answer(problem)
        except AuditUnavailable:
            return problem_answer(Problem("unavailable", "the database does not answer", headers=RETRY))
        except Exception:
            structlog.get_logger().exception("api failed", path=scope["path"])
            return problem_answer(Problem("internal", "this failed; the log says why"))

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        headers = reading.Fields.of(scope["headers"])
        person = await self._person(headers, peer(scope))
        route, path = self._find(scope["method"], scope["path"].removeprefix(PREFIX))
        _authorise(person, route)
        query = reading.query(scope["query_string"], route.query)
        body = await reading.body(receive, headers, route.body)
        if route.body is not None:
            # It may have been long in coming, and the token revoked meanwhile.
            person = await self._person(headers, peer(scope))
            _authorise(person, route)
        value = await route.handler(Asked(self._services, person, path, query, body))
        return route.status, {"content-type": "application/json"}, orjson.dumps(value)

    async def ask(
        self, person: Person, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Any:
        """The same for a caller within the process: the value, or a `Problem`."""
        route, found = self._find(method, path)
        _authorise(person, route)
        values = reading.query(urlencode(query or {}).encode(), route.query)
        checked = {} if route.body is None else reading.check(body or {}, route.body)
        return await route.handler(Asked(self._services, person, found, values, checked))

    async def _person(self, headers: reading.Fields, ip: str | None) -> Person:
        authorization = headers.one("authorization")
        person = await self._services.authenticator.person(authorization, ip)
        if person is not None:
            return person
        if authorization is not None and self._services.authenticator.throttled(ip):
            raise Problem("too_many_attempts", "too many tokens that nobody holds", headers={"retry-after": "5"})
        raise Problem("unauthenticated", "a person's token is needed", headers={"www-authenticate": "Bearer"})

    def _find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        allowed = []
        for pattern, route in self._routes:
            found = pattern.fullmatch(path)
            if found is None:
                continue
            if route.method == method:
                return route, found.groupdict()
            allowed.append(route.method)
        if allowed:
            headers = {"allow": ", ".join(sorted(allowed))}
            raise Problem("method_not_allowed", "this path has other methods", headers=headers)
        raise Problem("not_found", "there is nothing at this path")


def _authorise(person: Person, route: Route) -> None:
    if not person.role.covers(route.role):
        challenge = {"www-authenticate": 'Bearer error="insufficient_scope"'}
        raise Problem("insufficient_role", f"this needs the role `{route.role}`", headers=challenge)


def peer(scope: Scope) -> str | None:
    """The address that asks: of the connection, or as a trusted front says (`app.py` has put it there)."""
    client = scope.get("client")
    return client[0] if client else None


def problem_answer(problem: Problem) -> Answer:
    """A problem as an answer."""
    return problem.status, {"content-type": CONTENT_TYPE, **problem.headers}, problem.body()


def json_answer(value: Any, status: int = 200) -> Answer:
    """A value as an answer."""
    return status, {"content-type": "application/json"}, orjson.dumps(value)
