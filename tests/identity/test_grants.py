"""Grants and people's tokens as rows."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection

from policylayer.core.errors import IdentityError
from policylayer.identity import grants, tokens
from policylayer.identity.kept import Row
from policylayer.identity.person import Role
from policylayer.store.sqlite import SqliteStore
from tests.support.hand_clock import HandClock

pytestmark = pytest.mark.anyio

DAY = 86_400


def create(conn: Connection, clock: HandClock, name: str = "bot", **more: object) -> tuple[Row, str]:
    return grants.create(conn, clock, name, "agent:bot", ["shop", "files"], **more)  # type: ignore[arg-type]


async def test_a_grant_is_shown_as_the_interface_says(store: SqliteStore, clock: HandClock) -> None:
    until = clock.time_us() + DAY * 1_000_000
    row, token = await store.write(partial(create, clock=clock, expires_us=until, by="user:root"))
    shown = grants.view(row)
    assert (shown["name"], shown["principal"], shown["servers"]) == ("bot", "agent:bot", ["files", "shop"])
    assert shown["expires_at"] == "2026-11-24T12:00:00.000Z"
    assert shown["prefix"] == token[:12]
    assert token not in str(shown)


@pytest.mark.shows("proxy.5")
async def test_auth_04_at_rest_there_is_only_a_hash_and_a_prefix(
    store: SqliteStore, clock: HandClock, path: Path
) -> None:
    _, token = await store.write(partial(create, clock=clock))
    _, other = await store.write(partial(tokens.create, clock=clock, principal="user:a", role=Role.ADMIN))
    await store.write(partial(grants.rotate, clock=clock, grant_id="bot", overlap_s=60))
    await store.close()
    kept = b"".join(file.read_bytes() for file in path.parent.iterdir())
    for text in (token, other):
        assert text[13:].encode() not in kept
        assert text[4:12].encode() in kept


@pytest.mark.parametrize(
    ("name", "principal", "servers"),
    [
        ("", "agent:x", ["a"]),
        (" x", "agent:x", ["a"]),
        ("x\n", "agent:x", ["a"]),
        ("x" * 101, "agent:x", ["a"]),
        ("x", "x", ["a"]),
        ("x", "group:x", ["a"]),
        ("x", "agent:", ["a"]),
        ("x", "agent:x y", ["a"]),
        ("x", "agent:x", []),
        ("x", "agent:x", [""]),
    ],
)
async def test_what_makes_no_sense_is_refused(
    store: SqliteStore, clock: HandClock, name: str, principal: str, servers: list[str]
) -> None:
    with pytest.raises(IdentityError):
        await store.write(partial(grants.create, clock=clock, name=name, principal=principal, servers=servers))


async def test_an_expiry_that_has_passed_is_refused(store: SqliteStore, clock: HandClock) -> None:
    with pytest.raises(IdentityError, match="past"):
        await store.write(partial(create, clock=clock, expires_us=clock.time_us()))


async def test_a_name_is_taken_until_its_grant_is_revoked(store: SqliteStore, clock: HandClock) -> None:
    row, _ = await store.write(partial(create, clock=clock))
    with pytest.raises(IdentityError, match="exists"):
        await store.write(partial(create, clock=clock))
    assert await store.write(partial(grants.revoke, clock=clock, grant_id=row["id"], by="user:root"))
    assert await store.write(partial(grants.revoke, clock=clock, grant_id=row["id"])) is None
    assert await store.write(partial(grants.revoke, clock=clock, grant_id="nobody")) is None
    again, _ = await store.write(partial(create, clock=clock))
    assert [each["id"] for each in (await store.read(grants.page))[0]] == [again["id"]]
    everyone, _ = await store.read(partial(grants.page, revoked=True))
    assert [grants.view(each)["revoked_by"] for each in everyone] == ["user:root", None]


async def test_rotating_keeps_the_grant_and_changes_its_token(store: SqliteStore, clock: HandClock) -> None:
    row, token = await store.write(partial(create, clock=clock))
    turned, fresh = await store.write(partial(grants.rotate, clock=clock, grant_id="bot", overlap_s=60))
    assert turned["id"] == row["id"]
    assert token != fresh
    found = await store.read(partial(grants.by_prefix, prefixes=[token[4:12], fresh[4:12], "zzzzzzzz"]))
    assert {prefix: each["id"] for prefix, each in found.items()} == {
        token[4:12]: row["id"],
        fresh[4:12]: row["id"],
    }
    assert grants.view(turned)["previous_until"] == "2026-11-23T12:01:00.000Z"
    turned, _ = await store.write(partial(grants.rotate, clock=clock, grant_id="bot"))
    assert (turned["previous_prefix"], turned["previous_hash"], turned["previous_until_us"]) == (None, None, None)


async def test_what_is_over_cannot_be_rotated(store: SqliteStore, clock: HandClock) -> None:
    until = clock.time_us() + 1_000_000
    await store.write(partial(create, clock=clock, expires_us=until))
    with pytest.raises(IdentityError, match="overlap"):
        await store.write(partial(grants.rotate, clock=clock, grant_id="bot", overlap_s=8 * DAY))
    clock.advance(1)
    for name in ("bot", "nobody"):
        with pytest.raises(IdentityError, match="no such"):
            await store.write(partial(grants.rotate, clock=clock, grant_id=name))


async def test_a_persons_token_has_a_role(store: SqliteStore, clock: HandClock) -> None:
    row, _ = await store.write(
        partial(tokens.create, clock=clock, principal="user:alice", role=Role.APPROVER, by="user:root")
    )
    shown = tokens.view((await store.read(tokens.page))[0][0])
    assert (shown["role"], shown["principal"], shown["expires_at"]) == ("approver", "user:alice", None)
    await store.write(partial(tokens.revoke, clock=clock, token_id=row["id"], by="user:root"))
    assert await store.read(tokens.page) == ([], None)
    assert len((await store.read(partial(tokens.page, revoked=True)))[0]) == 1


def test_each_role_may_all_that_those_before_it_may() -> None:
    assert [[role.covers(needed) for needed in Role] for role in Role] == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
        [True, True, True, True],
    ]
