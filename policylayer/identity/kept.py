"""What grants and people's tokens have in common as rows: minting, finding by prefix, checking, revoking.

Must not know what either opens. All functions are synchronous, over the connection of their caller's transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Table, select, update

from policylayer.core.errors import IdentityError
from policylayer.core.principals import fault
from policylayer.identity.credential import Minted, Presented, Sort, mint
from policylayer.store.once import insert_new

Row: TypeAlias = Mapping[str, Any]

MOST: Final = 10_000
"""Rows on one page, where no fewer are asked for: whoever asks for no pages has them all, but for the very largest."""

_ATTEMPTS: Final = 5
_NOBODY: Final = bytes(32)


def check_principal(principal: str) -> None:
    """Refuse what is no principal's name."""
    if (found := fault(principal)) is not None:
        raise IdentityError(*found)


def check_expiry(expires_us: int | None, now_us: int) -> None:
    """Refuse an expiry that has passed."""
    if expires_us is not None and expires_us <= now_us:
        raise IdentityError("the expiry lies in the past")


def add(conn: Connection, table: Table, sort: Sort, values: Mapping[str, Any]) -> Minted | None:
    """Insert a row with a fresh credential; None where one of the table's other unique columns is taken."""
    for _ in range(_ATTEMPTS):
        minted = mint(sort)
        row = {**values, "prefix": minted.prefix, "token_hash": minted.hash}
        if conn.execute(insert_new(conn, table).values(row)).rowcount == 1:
            return minted
    return None


def holder(row: Row | None, shown: Presented, now_us: int) -> int | None:
    """Until when the credential shown is this row's, or None. Compared in constant time, also with nobody's."""
    kept = row["token_hash"] if row is not None else _NOBODY
    matches = shown.matches(kept)
    if row is None or row["revoked_us"] is not None:
        return None
    until = _FOREVER if row["expires_us"] is None else row["expires_us"]
    if not matches and row.get("previous_hash") is not None:
        matches = shown.matches(row["previous_hash"])
        until = min(until, row["previous_until_us"])
    return until if matches and now_us < until else None


_FOREVER: Final = 2**62


def revoke(conn: Connection, table: Table, row_id: str, by: str | None, now_us: int) -> Row | None:
    """Revoke, once; the row, or None where there is none that stands."""
    change = (
        update(table).where(table.c.id == row_id, table.c.revoked_us.is_(None)).values(revoked_us=now_us, revoked_by=by)
    )
    return get(conn, table, row_id) if conn.execute(change).rowcount == 1 else None


def get(conn: Connection, table: Table, row_id: str) -> Row | None:
    """One row by its id."""
    found = conn.execute(select(table).where(table.c.id == row_id)).one_or_none()
    return None if found is None else found._asdict()


def page(
    conn: Connection, table: Table, *, revoked: bool, limit: int, cursor: str | None
) -> tuple[list[Row], str | None]:
    """A page, the oldest first; and where the next one begins. `revoked`: those too."""
    limit = max(1, min(limit, MOST))
    query = select(table).order_by(table.c.id).limit(limit + 1)
    query = query if revoked else query.where(table.c.revoked_us.is_(None))
    query = query if cursor is None else query.where(table.c.id > cursor)
    found: list[Row] = [row._asdict() for row in conn.execute(query)]
    return found[:limit], found[limit - 1]["id"] if len(found) > limit else None


def used(conn: Connection, table: Table, at: Mapping[str, int]) -> None:
    """Note when rows were last used; never back."""
    for row_id, used_us in at.items():
        later = (table.c.used_us.is_(None)) | (table.c.used_us < used_us)
        conn.execute(update(table).where(table.c.id == row_id, later).values(used_us=used_us))


def by_prefix(conn: Connection, table: Table, prefixes: Collection[str], *columns: str) -> dict[str, Row]:
    """The rows that these prefixes name, looked up by the index of each of the columns."""
    found: dict[str, Row] = {}
    for name in columns:
        query = select(table).where(table.c[name].in_(prefixes))
        found |= {row._asdict()[name]: row._asdict() for row in conn.execute(query)}
    return found
