"""Grants as rows: created with a token that is shown once, listed, rotated with or without an overlap, revoked.

A grant keeps its id for life: what it has touched and what it holds open stay its own when its token changes. Must not
know who may do this (`api/`). Its approvals are ended by `approvals`, in the same transaction, by whoever revokes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import orjson
from sqlalchemy import Connection, select, update

from policylayer.clock import Clock
from policylayer.core.errors import IdentityError
from policylayer.core.instants import when
from policylayer.identity import kept
from policylayer.identity.credential import Sort, mint
from policylayer.identity.kept import Row
from policylayer.store.tables import grants

NAME_LIMIT: Final = 100
LONGEST_OVERLAP: Final = 7 * 86_400


def create(
    conn: Connection,
    clock: Clock,
    name: str,
    principal: str,
    servers: Collection[str],
    expires_us: int | None = None,
    by: str | None = None,
) -> tuple[Row, str]:
    """A new grant, and its token: the only time that anyone sees it."""
    now = clock.time_us()
    kept.check_principal(principal)
    kept.check_expiry(expires_us, now)
    _check(name, servers)
    values: dict[str, Any] = {
        "id": clock.new_id(),
        "name": name,
        "principal": principal,
        "servers": orjson.dumps(sorted(set(servers))).decode(),
        "created_us": now,
        "created_by": by,
        "expires_us": expires_us,
    }
    minted = kept.add(conn, grants, Sort.GRANT, values)
    if minted is None:
        raise IdentityError(f"a grant named `{name}` exists", "revoke or rotate it, or choose another name")
    return _need(conn, values["id"]), minted.token


def rotate(conn: Connection, clock: Clock, grant_id: str, overlap_s: int = 0) -> tuple[Row, str]:
    """A new token for a grant; the one before it is good for `overlap_s` more seconds."""
    now = clock.time_us()
    row = find(conn, grant_id)
    if row is None or row["revoked_us"] is not None or _over(row, now):
        raise IdentityError("there is no such grant, or it is over", "create another")
    if not 0 <= overlap_s <= LONGEST_OVERLAP:
        raise IdentityError("the overlap is at most 7 days")
    minted = mint(Sort.GRANT)
    before = (row["prefix"], row["token_hash"], now + overlap_s * 1_000_000) if overlap_s else (None, None, None)
    previous = dict(zip(("previous_prefix", "previous_hash", "previous_until_us"), before, strict=True))
    change = (
        update(grants)
        .where(grants.c.id == row["id"], grants.c.token_hash == row["token_hash"], grants.c.revoked_us.is_(None))
        .values(prefix=minted.prefix, token_hash=minted.hash, **previous)
    )
    if conn.execute(change).rowcount != 1:
        raise IdentityError("the grant was changed at the same time", "look again, then rotate")
    return _need(conn, row["id"]), minted.token


def revoke(conn: Connection, clock: Clock, grant_id: str, by: str | None = None) -> Row | None:
    """End a grant, named by id or by name; None where there is none that stands."""
    row = find(conn, grant_id)
    return None if row is None else kept.revoke(conn, grants, row["id"], by, clock.time_us())


def find(conn: Connection, named: str) -> Row | None:
    """A grant by its id, or one that is not revoked by its name."""
    by_name = select(grants).where(grants.c.name == named, grants.c.revoked_us.is_(None))
    found = kept.get(conn, grants, named)
    if found is None:
        row = conn.execute(by_name).one_or_none()
        found = None if row is None else row._asdict()
    return found


def page(
    conn: Connection, *, revoked: bool = False, limit: int = kept.MOST, cursor: str | None = None
) -> tuple[list[Row], str | None]:
    """A page of them, the oldest first, and where the next one begins; `revoked`: those too."""
    return kept.page(conn, grants, revoked=revoked, limit=limit, cursor=cursor)


def principals(conn: Connection) -> frozenset[str]:
    """Whose the grants are that are not revoked."""
    query = select(grants.c.principal).where(grants.c.revoked_us.is_(None)).distinct()
    return frozenset(row[0] for row in conn.execute(query))


def by_prefix(conn: Connection, prefixes: Collection[str]) -> dict[str, Row]:
    """The grants whose token, or the one before it, has one of these prefixes."""
    return kept.by_prefix(conn, grants, prefixes, "previous_prefix", "prefix")


def view(row: Row) -> dict[str, Any]:
    """The JSON of a grant; a token is added only by whoever has just made it."""
    return {
        "id": row["id"],
        "name": row["name"],
        "principal": row["principal"],
        "servers": orjson.loads(row["servers"]),
        "prefix": f"{Sort.GRANT}_{row['prefix']}",
        "created_at": when(row["created_us"]),
        "created_by": row["created_by"],
        "expires_at": when(row["expires_us"]),
        "last_used_at": when(row["used_us"]),
        "revoked_at": when(row["revoked_us"]),
        "revoked_by": row["revoked_by"],
        "previous_until": when(row["previous_until_us"]),
    }


def _check(name: str, servers: Collection[str]) -> None:
    if not 0 < len(name) <= NAME_LIMIT or not name.isprintable() or name != name.strip():
        raise IdentityError(f"a grant's name has 1 to {NAME_LIMIT} printable characters")
    if not servers or not all(server.isascii() and server.isprintable() and server.strip() for server in servers):
        raise IdentityError("a grant names the servers that it opens", "name at least one")


def _over(row: Row, now_us: int) -> bool:
    return row["expires_us"] is not None and row["expires_us"] <= now_us


def _need(conn: Connection, grant_id: str) -> Row:
    row = kept.get(conn, grants, grant_id)
    assert row is not None
    return row
