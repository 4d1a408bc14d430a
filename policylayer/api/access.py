"""`/grants` and `/tokens`: the credentials of agents and of people. A token's text is in one answer only: the first.

Must not know how credentials are kept (`identity/`). Each change is one transaction with the event that says who made
it; what a revoked grant holds open ends in the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection

from policylayer.api.problem import GRANTS, NO_GRANT, NO_TOKEN, TOKENS, Problem
from policylayer.api.reading import row_id
from policylayer.api.route import Asked
from policylayer.core.errors import IdentityError, PolicyLayerError
from policylayer.identity import grants, tokens
from policylayer.identity.kept import MOST, Row
from policylayer.identity.person import Role
from policylayer.store.store import Add


async def list_grants(asked: Asked) -> Any:
    """`GET /grants`."""
    rows, following = await asked.services.store.read(partial(grants.page, **_which(asked)))
    return {"items": [grants.view(row) for row in rows], "next": following}


async def create_grant(asked: Asked) -> Any:
    """`POST /grants`."""
    body, actor, clock = asked.body, asked.person.principal, asked.services.clock
    unknown = sorted(set(body["servers"]) - asked.services.facts.servers)
    if unknown:
        known = ", ".join(f"`{name}`" for name in sorted(asked.services.facts.servers)) or "none"
        help = f"those that are: {known}; agents' paths are /mcp/NAME"
        named = ", ".join(f"`{name}`" for name in unknown)
        raise Problem("refused", f"not among the configured servers: {named}", extra={"help": help})
    expires = _expiry(body)

    def work(conn: Connection, add: Add) -> tuple[Row, str]:
        if grants.find(conn, body["name"]) is not None:
            help = "revoke or rotate it, or choose another name"
            raise Problem("exists", "a grant of that name exists", extra={"help": help})
        return grants.create(conn, clock, body["name"], body["principal"], body["servers"], expires, actor)

    # Asked before the grant stands: what is only a hint must not be able to lose its token.
    unopened = _unopened(asked)
    made = await _made(asked, work, "grant.created", grants.view)
    facts = asked.services.facts.known
    observed = [name for name in made["servers"] if name in facts and facts[name].mode == "observe"]
    return {**made, "unopened": unopened, "observed": observed}


async def rotate_grant(asked: Asked) -> Any:
    """`POST /grants/{id}/rotate`."""
    overlap = asked.body.get("overlap_seconds", 0)
    named, clock = asked.path["id"], asked.services.clock

    def work(conn: Connection, add: Add) -> tuple[Row, str] | None:
        return None if grants.find(conn, named) is None else grants.rotate(conn, clock, named, overlap)

    return await _made(asked, work, "grant.rotated", grants.view)


async def revoke_grant(asked: Asked) -> Any:
    """`DELETE /grants/{id}`."""
    named, actor, services = asked.path["id"], asked.person.principal, asked.services

    def work(conn: Connection, add: Add) -> Row | None:
        row = grants.revoke(conn, services.clock, named, actor)
        if row is not None:
            services.approvals.cancel_for_grant(conn, add, row["id"], actor)
        return row

    return grants.view(await _ended(asked, work, "grant.revoked", NO_GRANT, GRANTS))


async def list_tokens(asked: Asked) -> Any:
    """`GET /tokens`."""
    rows, following = await asked.services.store.read(partial(tokens.page, **_which(asked)))
    return {"items": [tokens.view(row) for row in rows], "next": following}


async def create_token(asked: Asked) -> Any:
    """`POST /tokens`."""
    body, actor, clock = asked.body, asked.person.principal, asked.services.clock
    expires = _expiry(body)

    def work(conn: Connection, add: Add) -> tuple[Row, str]:
        return tokens.create(conn, clock, body["principal"], Role(body["role"]), expires, actor)

    return await _made(asked, work, "token.created", tokens.view)


async def revoke_token(asked: Asked) -> Any:
    """`DELETE /tokens/{id}`."""
    named, actor, clock = asked.path["id"], asked.person.principal, asked.services.clock

    def work(conn: Connection, add: Add) -> Row | None:
        return tokens.revoke(conn, clock, named, actor)

    return tokens.view(await _ended(asked, work, "token.revoked", NO_TOKEN, TOKENS))


def _unopened(asked: Asked) -> list[str]:
    """Servers that no rule opens to the principal; none where the policies cannot be read, which is told elsewhere."""
    body, opens, now = asked.body, asked.services.policies.opens, asked.services.clock.now()
    try:
        return [name for name in sorted(set(body["servers"])) if not opens(body["principal"], name, now)]
    except (PolicyLayerError, OSError):
        return []


def _which(asked: Asked) -> dict[str, Any]:
    """Which page of grants or tokens is asked for."""
    query = asked.query
    return {
        "revoked": query.get("revoked") == "true",
        "limit": query.get("limit", MOST),
        "cursor": row_id(query.get("cursor")),
    }


async def whoami(asked: Asked) -> Any:
    """`GET /me`."""
    person = asked.person
    return {"principal": person.principal, "role": str(person.role), "token_id": person.token_id}


async def _made(
    asked: Asked,
    work: Callable[[Connection, Add], tuple[Row, str] | None],
    type: str,
    view: Callable[[Row], dict[str, Any]],
) -> dict[str, Any]:
    """What was made, with its token."""

    def detail(made: tuple[Row, str]) -> Mapping[str, Any]:
        return _detail(made[0])

    try:
        made = await asked.services.change(work, type, asked.person.principal, detail)
    except IdentityError as error:
        raise Problem("refused", error.message, extra={"help": error.help} if error.help else None) from None
    if made is None:
        # Only what is made anew of something can find it missing: a grant's token.
        raise Problem("not_found", NO_GRANT, extra={"help": GRANTS})
    row, token = made
    return {**view(row), "token": token}


async def _ended(
    asked: Asked, work: Callable[[Connection, Add], Row | None], type: str, none: str, listing: str
) -> Row:
    row: Row | None = await asked.services.change(work, type, asked.person.principal, _detail)
    if row is None:
        raise Problem("not_found", none, extra={"help": listing})
    return row


def _detail(row: Row) -> Mapping[str, Any]:
    """What an event says of a grant or token: never its hash."""
    said = ("id", "name", "principal", "servers", "role", "prefix")
    return {name: row[name] for name in said if name in row}


def _expiry(body: Mapping[str, Any]) -> int | None:
    text = body.get("expires_at")
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Problem("bad_body", "`expires_at` must be an instant like `2027-01-31T12:00:00Z`") from None
    if at.tzinfo is None or at.year > 9000:
        raise Problem("bad_body", "`expires_at` needs an offset or `Z`")
    return int(at.timestamp() * 1_000_000)
