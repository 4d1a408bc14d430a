"""`/approvals` and `/waivers`: listing, reading, voting, withdrawing, revoking.

Must not know who may vote, nor what can be waived (`policylayer/approvals`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from policylayer.api.problem import CODES, Problem
from policylayer.api.route import Asked
from policylayer.approvals.rows import CURSOR
from policylayer.approvals.waivers import USES, Similar
from policylayer.config.values import duration
from policylayer.core.errors import ApprovalError
from policylayer.identity.person import Person, Role

PAGE: Final = 100
WITHHELD: Final = {"arguments": None, "input": None, "arguments_complete": False}
"""What a person who may not decide does not see: these are kept as the agent sent them, not redacted."""


async def listing(asked: Asked) -> Any:
    """`GET /approvals`."""
    query = asked.query
    found, following = await asked.services.approvals.list(
        query.get("state"), query.get("limit", PAGE), _place(query.get("cursor"))
    )
    return {"items": [_seen(each, asked.person) for each in found], "next": following}


def _place(cursor: str | None) -> str | None:
    """A cursor as pages of approvals and waivers give it; any other is refused, not read as page one."""
    if cursor is None or CURSOR.fullmatch(cursor):
        return cursor
    raise Problem("bad_cursor", "the cursor is not one that a page gave")


async def one(asked: Asked) -> Any:
    """`GET /approvals/{id}`."""
    try:
        return _seen(await asked.services.approvals.get(asked.path["id"]), asked.person)
    except ApprovalError as error:
        raise _problem(error) from None


async def approve(asked: Asked) -> Any:
    """`POST /approvals/{id}/approve`."""
    return await _vote(asked, "approve")


async def deny(asked: Asked) -> Any:
    """`POST /approvals/{id}/deny`."""
    return await _vote(asked, "deny")


async def withdraw(asked: Asked) -> Any:
    """`POST /approvals/{id}/withdraw`."""
    try:
        return await asked.services.approvals.withdraw(asked.path["id"], asked.person, asked.body.get("note"))
    except ApprovalError as error:
        raise _problem(error) from None


async def waivers(asked: Asked) -> Any:
    """`GET /waivers`."""
    query = asked.query
    found, following = await asked.services.approvals.waivers(query.get("limit", PAGE), _place(query.get("cursor")))
    return {"items": found, "next": following}


async def revoke_waiver(asked: Asked) -> Any:
    """`POST /waivers/{id}/revoke`."""
    try:
        return await asked.services.approvals.revoke_waiver(asked.path["id"], asked.person)
    except ApprovalError as error:
        raise _problem(error) from None


async def _vote(asked: Asked, decision: Literal["approve", "deny"]) -> Any:
    similar = _similar(asked.body["similar"]) if "similar" in asked.body else None
    vote = asked.services.approvals.vote
    try:
        return await vote(asked.path["id"], asked.person, decision, asked.body.get("note"), similar)
    except ApprovalError as error:
        raise _problem(error) from None


def _similar(body: Mapping[str, Any]) -> Similar:
    """What is wished of similar calls. Without `same` they are to be equal in all arguments: the most careful wish."""
    seconds = duration(body["for"])
    if seconds is None:
        raise Problem("waiver", "`similar.for` is not a duration", extra={"help": "write it like `15m` or `1h`"})
    same = tuple(body["same"]) if "same" in body else None
    return Similar(seconds, int(body.get("uses", USES)), same)


def _seen(approval: dict[str, Any], person: Person) -> dict[str, Any]:
    return approval if person.role.covers(Role.APPROVER) else {**approval, **WITHHELD}


def _problem(error: ApprovalError) -> Problem:
    code = error.reason if error.reason in CODES else "refused"
    said = {"state": error.state, "help": error.help}
    return Problem(code, error.message, extra={name: value for name, value in said.items() if value})
