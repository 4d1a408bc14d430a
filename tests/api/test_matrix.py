"""Every route of the table for every role, made from the table itself: who may, who may not, and in which shape."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import jsonschema_rs
import pytest

from policylayer.api.openapi import document
from policylayer.api.problem import CODES
from policylayer.api.route import Route
from policylayer.api.schemas import SCHEMAS, standalone
from policylayer.api.table import PREFIX, ROUTES
from policylayer.identity.person import Role
from tests.api.rig import Rig, api

pytestmark = [pytest.mark.anyio, pytest.mark.shows("proxy.5")]
ROLES = [None, "agent", *map(str, Role)]
NOBODY = "Bearer plt_aaaaaaaa_" + "A" * 43


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with api(tmp_path) as made:
        yield made


def path_of(route: Route) -> str:
    return re.sub(r"\{\w+\}", "0199e0c2-7a31-7cc2-9d55-2b8a6f1f6f0e", route.path)


async def test_every_route_for_every_role(rig: Rig) -> None:
    for route in ROUTES:
        for role in ROLES:
            answer = await rig.ask(route.method, path_of(route), role, body={} if route.body else None)
            where = f"{route.method} {route.path} as {role}"
            if role in (None, "agent"):
                assert (answer.status, answer.json["code"]) == (401, "unauthenticated"), where
                assert answer.headers["www-authenticate"] == "Bearer", where
            elif not Role(role).covers(route.role):
                assert (answer.status, answer.json["code"]) == (403, "insufficient_role"), where
                assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope"', where
            else:
                assert answer.status not in (401, 405, 500), where
                assert answer.status == route.status or answer.json["code"] in CODES, where


async def test_every_answer_is_as_described(rig: Rig) -> None:
    described = document(ROUTES, "0", PREFIX)["paths"]
    for route in ROUTES:
        answer = await rig.ask(route.method, path_of(route), body={} if route.body else None)
        responses = described[PREFIX + route.path][route.method.lower()]["responses"]
        assert str(answer.status) in responses, (route, answer.status, answer.json)
        name = route.answer if answer.status == route.status else "Problem"
        jsonschema_rs.validate(standalone(name), answer.json)


async def test_every_error_has_one_shape_and_says_nothing_of_the_input(rig: Rig) -> None:
    cases = [
        await rig.ask("GET", "/decisions", None),
        await rig.ask("GET", "/decisions", NOBODY),
        await rig.ask("GET", "/decisions", "viewer", query="limit=CANARY"),
        await rig.ask("GET", "/decisions", "viewer", query="CANARY=1"),
        await rig.ask("GET", "/decisions", "viewer", query="limit=1&limit=2"),
        await rig.ask("GET", "/decisions", "viewer", query={"q": "a\0b"}),
        await rig.ask("GET", "/decisions", "viewer", query="q=%ff"),
        await rig.ask("GET", "/decisions", "viewer", query="cursor=CANARY"),
        await rig.ask("GET", "/decisions", "viewer", query={"since": "CANARY"}),
        await rig.ask("GET", "/decisions", "viewer", query={"q": "x" * 9000}),
        await rig.ask("GET", "/nothing/CANARY", "admin"),
        await rig.ask("PUT", "/decisions", "admin"),
        await rig.ask("POST", "/approvals/x/approve", "approver", body={"similar": {"for": "CANARY"}}),
        await rig.ask("POST", "/approvals/x/approve", "approver", body={"similar": {"CANARY": "1h"}}),
        await rig.ask("POST", "/waivers/CANARY/revoke"),
        await rig.ask("POST", "/grants", body=b'{"name": "CANARY", "name": "x"}'),
        await rig.ask("POST", "/grants", body=b"CANARY"),
        await rig.ask("POST", "/grants", body={"CANARY": 1}),
        await rig.ask("POST", "/grants", body=b'"' + b"x" * 70_000 + b'"'),
        await rig.ask("POST", "/grants", body={}, headers={"content-type": "text/plain"}),
    ]
    for answer in cases:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"
        jsonschema_rs.validate(standalone("Problem"), answer.json)
        assert b"CANARY" not in answer.body
        assert b"Traceback" not in answer.body
        assert CODES[answer.json["code"]] == answer.status == answer.json["status"]


async def test_two_credentials_are_none(rig: Rig) -> None:
    token = rig.tokens["admin"].encode()
    from policylayer.api.endpoint import Api
    from tests.api.rig import call

    scope = {
        "type": "http",
        "method": "GET",
        "path": PREFIX + "/policy",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer " + token), (b"authorization", b"Bearer x")],
        "client": ("127.0.0.1", 1),
    }
    answer = await call(Api(rig.services, ROUTES), scope, b"")
    assert (answer.status, answer.json["code"]) == (400, "bad_request")


async def test_methods_of_a_path_are_told(rig: Rig) -> None:
    answer = await rig.ask("PATCH", "/grants")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST")


def test_the_description_names_every_route_and_schema() -> None:
    described = document(ROUTES, "0", PREFIX)
    assert described["openapi"] == "3.1.0"
    operations = [each["operationId"] for path in described["paths"].values() for each in path.values()]
    assert len(operations) == len(set(operations)) == len(ROUTES)
    assert {route.answer for route in ROUTES} | {route.body for route in ROUTES if route.body} <= set(SCHEMAS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one(name: str) -> None:
    assert jsonschema_rs.Draft202012Validator(standalone(name)) is not None
