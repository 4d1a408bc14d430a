"""The API's description, OpenAPI 3.1, made from the route table.

Must not know any route: what it says is what routing and checking do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from policylayer.api.problem import CODES, CONTENT_TYPE
from policylayer.api.route import Parameter, Route
from policylayer.api.schemas import SCHEMAS

ALWAYS: Final = ("bad_request", "unauthenticated", "too_many_attempts", "internal", "unavailable", "bad_host")
"""What every route can answer."""


def document(routes: Iterable[Route], version: str, prefix: str) -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(f"{prefix}{route.path}", {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "policylayer", "version": version},
        "paths": paths,
        "components": {
            "schemas": dict(SCHEMAS),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def problems_of(route: Route) -> set[str]:
    """Every code that a route can answer."""
    codes = {*ALWAYS, *route.problems, "insufficient_role", "bad_parameter"}
    if route.body is not None:
        codes |= {"bad_body", "too_large", "unsupported_media_type"}
    if route.parameters:
        codes.add("not_found")
    return codes


def _operation(route: Route) -> dict[str, Any]:
    statuses = sorted({CODES[code] for code in problems_of(route)})
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.about,
        "x-role": str(route.role),
        "parameters": [*map(_in_path, route.parameters), *map(_in_query, route.query)],
        "responses": {
            str(route.status): {"description": "done", "content": _json(route.answer)},
            **{str(status): _problem(status, problems_of(route)) for status in statuses},
        },
    }
    if route.body is not None:
        required = bool(SCHEMAS[route.body].get("required"))
        operation["requestBody"] = {"required": required, "content": _json(route.body)}
    return operation


def _in_path(name: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$"}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(parameter: Parameter) -> dict[str, Any]:
    schema = dict(parameter.schema)
    return {"name": parameter.name, "in": "query", "description": parameter.about, "schema": schema}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _problem(status: int, codes: Iterable[str]) -> dict[str, Any]:
    named = ", ".join(sorted(code for code in codes if CODES[code] == status))
    return {"description": named, "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
