"""People's tokens as rows: created with a text that is shown once, listed, revoked.

A token carries a role and a principal; groups come from the active policy set. Must not know what a role may do
(`person.py` orders them, `api/` says which route needs which).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection

from policylayer.clock import Clock
from policylayer.core.errors import IdentityError
from policylayer.core.instants import when
from policylayer.identity import kept
from policylayer.identity.credential import Sort
from policylayer.identity.kept import Row
from policylayer.identity.person import Role
from policylayer.store.tables import tokens


def create(
    conn: Connection,
    clock: Clock,
    principal: str,
    role: Role,
    expires_us: int | None = None,
    by: str | None = None,
) -> tuple[Row, str]:
    """A new token's row, and its text: the only time that anyone sees it."""
    now = clock.time_us()
    kept.check_principal(principal)
    # Who holds a token may approve what agents ask: an agent that held one would be its own person.
    if principal.startswith("agent:"):
        raise IdentityError(
            "tokens are for people, and this principal is an agent", "agents get grants: `policylayer grant create`"
        )
    kept.check_expiry(expires_us, now)
    values: dict[str, Any] = {
        "id": clock.new_id(),
        "principal": principal,
        "role": str(role),
        "created_us": now,
        "created_by": by,
        "expires_us": expires_us,
    }
    minted = kept.add(conn, tokens, Sort.PERSON, values)
    row = kept.get(conn, tokens, values["id"])
    if minted is None or row is None:
        raise IdentityError("no free prefix was found", "try again")
    return row, minted.token


def revoke(conn: Connection, clock: Clock, token_id: str, by: str | None = None) -> Row | None:
    """End a token; None where there is none that stands."""
    return kept.revoke(conn, tokens, token_id, by, clock.time_us())


def page(
    conn: Connection, *, revoked: bool = False, limit: int = kept.MOST, cursor: str | None = None
) -> tuple[list[Row], str | None]:
    """A page of them, the oldest first, and where the next one begins; `revoked`: those too."""
    return kept.page(conn, tokens, revoked=revoked, limit=limit, cursor=cursor)


def by_prefix(conn: Connection, prefixes: Collection[str]) -> dict[str, Row]:
    """The tokens that have one of these prefixes."""
    return kept.by_prefix(conn, tokens, prefixes, "prefix")


def view(row: Row) -> dict[str, Any]:
    """The JSON of a token; its text is added only by whoever has just made it."""
    return {
        "id": row["id"],
        "principal": row["principal"],
        "role": row["role"],
        "prefix": f"{Sort.PERSON}_{row['prefix']}",
        "created_at": when(row["created_us"]),
        "created_by": row["created_by"],
        "expires_at": when(row["expires_us"]),
        "last_used_at": when(row["used_us"]),
        "revoked_at": when(row["revoked_us"]),
        "revoked_by": row["revoked_by"],
    }
