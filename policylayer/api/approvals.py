"""`/approvals`: listing, reading, voting, withdrawing. Must not know who may vote (`policylayer/approvals`)."""

from __future__ import annotations

from typing import Any, Final, Literal

from policylayer.api.problem import CODES, Problem
from policylayer.api.route import Asked
from policylayer.core.errors import ApprovalError
from policylayer.identity.person import Person, Role

PAGE: Final = 100
WITHHELD: Final = {"arguments": None, "input": None, "arguments_complete": False}
"""What a person who may not decide does not see: these are kept as the agent sent them, not redacted."""


async def listing(asked: Asked) -> Any:
    """`GET /approvals`."""
    query = asked.query
    found, following = await asked.services.approvals.list(
        query.get("state"), query.get("limit", PAGE), query.get("cursor")
    )
    return {"items": [_seen(each, asked.person) for each in found], "next": following}


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


async def _vote(asked: Asked, decision: Literal["approve", "deny"]) -> Any:
    try:
        return await asked.services.approvals.vote(asked.path["id"], asked.person, decision, asked.body.get("note"))
    except ApprovalError as error:
        raise _problem(error) from None


def _seen(approval: dict[str, Any], person: Person) -> dict[str, Any]:
    return approval if person.role.covers(Role.APPROVER) else {**approval, **WITHHELD}


def _problem(error: ApprovalError) -> Problem:
    code = error.reason if error.reason in CODES else "refused"
    said = {"state": error.state, "help": error.help}
    return Problem(code, error.message, extra={name: value for name, value in said.items() if value})
