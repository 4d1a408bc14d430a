"""Grants and tokens through the API: made once, shown once, rotated, revoked, and all of it recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from policylayer.store.tables import records
from tests.api.rig import Rig, api

pytestmark = pytest.mark.anyio


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with api(tmp_path) as made:
        yield made


async def events(rig: Rig) -> list[tuple[str, str, str]]:
    def read(connection: Any) -> list[tuple[str, str, str]]:
        query = select(records.c.reason_code, records.c.principal, records.c.detail).where(records.c.kind == "event")
        return [tuple(row) for row in connection.execute(query.order_by(records.c.id)) if row[0] != "chain.opened"]

    return await rig.backstage.store.read(read)


async def test_a_grant_from_its_making_to_its_end(rig: Rig) -> None:
    asked = {"name": "support bot", "principal": "agent:support", "servers": ["shop"]}
    made = await rig.ask("POST", "/grants", body=asked)
    assert made.status == 201
    token = made.json["token"]
    assert {key: made.json[key] for key in asked} == asked
    assert made.json["expires_at"] is None

    authenticator = rig.backstage.authenticator
    caller = await authenticator.agent(f"Bearer {token}".encode(), "127.0.0.1")
    assert caller is not None
    assert caller.subject.id == "agent:support"

    listed = (await rig.ask("GET", "/grants", "operator")).json["items"]
    assert "token" not in listed[-1]
    assert {each["name"] for each in listed} == {"bot", "support bot"}

    rotated = await rig.ask("POST", f"/grants/{made.json['id']}/rotate", body={})
    assert rotated.json["token"] != token
    assert await authenticator.agent(f"Bearer {token}".encode(), "127.0.0.1") is None
    assert await authenticator.agent(f"Bearer {rotated.json['token']}".encode(), "127.0.0.1") is not None

    assert (await rig.ask("DELETE", f"/grants/{made.json['id']}", "operator")).json["revoked_by"] == "user:operator"
    assert await authenticator.agent(f"Bearer {rotated.json['token']}".encode(), "127.0.0.1") is None
    assert (await rig.ask("DELETE", f"/grants/{made.json['id']}")).status == 404
    assert (await rig.ask("POST", f"/grants/{made.json['id']}/rotate", body={})).json["code"] == "refused"
    assert len((await rig.ask("GET", "/grants")).json["items"]) == 1
    assert len((await rig.ask("GET", "/grants", query={"revoked": "true"})).json["items"]) == 2

    told = await events(rig)
    assert [(type, actor) for type, actor, _ in told] == [
        ("grant.created", "user:admin"),
        ("grant.rotated", "user:admin"),
        ("grant.revoked", "user:operator"),
    ]
    assert not any(
        secret.split("_", 2)[2] in detail for _, _, detail in told for secret in (token, rotated.json["token"])
    )


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"name": "bot"}, 409, "exists"),
        ({"servers": ["nowhere"]}, 422, "refused"),
        ({"servers": []}, 400, "bad_body"),
        ({"principal": "support"}, 400, "bad_body"),
        ({"principal": "group:support"}, 422, "refused"),
        ({"name": " "}, 422, "refused"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, 422, "refused"),
        ({"expires_at": "2027-01-01T00:00:00"}, 400, "bad_body"),
        ({"expires_at": "soon"}, 400, "bad_body"),
        ({"role": "admin"}, 400, "bad_body"),
    ],
)
async def test_what_no_grant_can_be(rig: Rig, change: dict[str, Any], status: int, code: str) -> None:
    body = {"name": "x", "principal": "agent:x", "servers": ["shop"], **change}
    answer = await rig.ask("POST", "/grants", body=body)
    assert (answer.status, answer.json["code"]) == (status, code)


@pytest.mark.parametrize("path", ["/grants", "/tokens"])
async def test_lists_have_pages(rig: Rig, path: str) -> None:
    for number in range(3):
        body = {"principal": f"user:p{number}"}
        body |= {"role": "viewer"} if path == "/tokens" else {"name": f"n{number}", "servers": ["shop"]}
        await rig.ask("POST", path, body=body)
    whole = (await rig.ask("GET", path)).json
    assert whole["next"] is None
    found, page = [], {"next": None}
    while not found or page["next"]:
        query = {"limit": "2", **({"cursor": page["next"]} if page["next"] else {})}
        page = (await rig.ask("GET", path, query=query)).json
        found += page["items"]
        assert len(page["items"]) <= 2
    assert found == whole["items"]
    bad = await rig.ask("GET", path, query={"cursor": "zzz"})
    assert (bad.status, bad.json["code"]) == (400, "bad_cursor")


async def test_no_expiry_may_be_written_as_it_is_shown(rig: Rig) -> None:
    grant = {"name": "x", "principal": "agent:x", "servers": ["shop"], "expires_at": None}
    token = {"principal": "user:x", "role": "viewer", "expires_at": None}
    for path, body in (("/grants", grant), ("/tokens", token)):
        made = await rig.ask("POST", path, body=body)
        assert (made.status, made.json["expires_at"]) == (201, None)


@pytest.mark.parametrize("principal", ["agent:bot", "agent:bot:2"])
async def test_a_token_is_a_persons(rig: Rig, principal: str) -> None:
    refused = await rig.ask("POST", "/tokens", body={"principal": principal, "role": "approver"})
    assert (refused.status, refused.json["code"]) == (422, "refused")
    assert "people" in refused.json["detail"]
    assert "grant create" in refused.json["help"]


async def test_a_token_and_its_expiry(rig: Rig) -> None:
    expires = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = {"principal": "user:zoe", "role": "approver", "expires_at": expires}
    made = await rig.ask("POST", "/tokens", body=body)
    assert made.status == 201
    whoami = await rig.ask("GET", "/me", f"Bearer {made.json['token']}")
    assert whoami.json == {"principal": "user:zoe", "role": "approver", "token_id": made.json["id"]}
    assert (await rig.ask("DELETE", f"/tokens/{made.json['id']}")).json["revoked_by"] == "user:admin"
    assert (await rig.ask("GET", "/me", f"Bearer {made.json['token']}")).status == 401
    assert len((await rig.ask("GET", "/tokens")).json["items"]) == 4


async def test_guessing_is_slowed_down(rig: Rig) -> None:
    nobody = "Bearer plt_aaaaaaaa_" + "A" * 43
    answers = [await rig.ask("GET", "/me", nobody, ip="10.1.1.1") for _ in range(40)]
    assert {answer.status for answer in answers} == {401, 429}
    assert answers[-1].headers["retry-after"] == "5"
    assert (await rig.ask("GET", "/me", "viewer", ip="10.1.1.2")).status == 200
