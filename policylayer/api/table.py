"""All routes of the API. Routing, authorisation, OpenAPI and the tests are made from this table.

Must not know how a request is run (`endpoint.py`). One resource per file beside this one.
"""

from __future__ import annotations

from typing import Any, Final

from policylayer.api import access, approvals, decisions, explain, freezing, policy, stats
from policylayer.api.openapi import document
from policylayer.api.route import Asked, Parameter, Route
from policylayer.core.approval import State
from policylayer.core.decision import Effect, ReasonCode
from policylayer.identity.person import Role

PREFIX: Final = "/api/v1"

LIMIT: Final = Parameter("limit", "at most this many, up to 500", {"type": "integer", "minimum": 1, "maximum": 500})
CURSOR: Final = Parameter("cursor", "the `next` of the page before")
AFTER: Final = Parameter("after", "an id: oldest first, from behind it")
REVOKED: Final = Parameter("revoked", "`true`: revoked ones too", {"enum": ["true", "false"]})
SINCE: Final = Parameter("since", "an instant; from then on", {"type": "string", "format": "date-time"})
UNTIL: Final = Parameter("until", "an instant; before it", {"type": "string", "format": "date-time"})

FILTERS: Final = (
    Parameter("principal", "who called"),
    Parameter("server", "a server's name"),
    Parameter("method", "an MCP method"),
    Parameter("target", "a tool, prompt or resource"),
    Parameter("effect", "what policy said", {"enum": [*map(str, Effect)]}),
    Parameter("enforced", "what was done, by people too", {"enum": [*map(str, Effect)]}),
    Parameter("reason_code", "why it was so decided, or how its hold ended", {"enum": [*map(str, ReasonCode)]}),
    Parameter("rule", "`policy/rule`"),
    SINCE,
    UNTIL,
    Parameter("q", "a text within target, reason, rules or kept arguments"),
)


async def _description(asked: Asked) -> Any:
    return document(ROUTES, asked.services.facts.version, PREFIX)


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "GET",
        "/decisions",
        Role.VIEWER,
        "listDecisions",
        "The decision log, newest first",
        decisions.listing,
        "Decisions",
        query=(*FILTERS, LIMIT, CURSOR, AFTER),
        problems=("bad_cursor",),
    ),
    Route(
        "GET",
        "/events",
        Role.VIEWER,
        "listEvents",
        "What happened besides calls, newest first",
        decisions.events,
        "Events",
        query=(
            Parameter("type", "an event's type; with a final `.`, all that begin so"),
            SINCE,
            UNTIL,
            LIMIT,
            CURSOR,
            AFTER,
        ),
        problems=("bad_cursor",),
    ),
    Route(
        "GET",
        "/decisions/{id}",
        Role.VIEWER,
        "getDecision",
        "One row of the decision log",
        decisions.one,
        "Decision",
    ),
    Route(
        "GET",
        "/decisions/{id}/explain",
        Role.VIEWER,
        "explainDecision",
        "Why a recorded call gets its decision by the policies as they are, and what would change it",
        explain.of_decision,
        "Explanation",
        problems=("not_decided",),
    ),
    Route(
        "POST",
        "/explain",
        Role.VIEWER,
        "explain",
        "Why a call would get its decision, and what would change it",
        explain.of_request,
        "Explanation",
        body="AccessRequest",
    ),
    Route(
        "GET",
        "/stats",
        Role.VIEWER,
        "getStats",
        "Counts over the decision log",
        stats.count,
        "Stats",
        query=(
            Parameter("by", "what is counted; `time`: effects over time", {"enum": [*stats.BY]}),
            Parameter("step", "seconds of one step of time", {"type": "integer", "minimum": 1, "maximum": 366 * 86400}),
            *FILTERS,
            LIMIT,
        ),
    ),
    Route(
        "GET",
        "/approvals",
        Role.VIEWER,
        "listApprovals",
        "Approvals, newest first",
        approvals.listing,
        "Approvals",
        query=(Parameter("state", "as it is now", {"enum": [*map(str, State)]}), LIMIT, CURSOR),
        problems=("bad_cursor",),
    ),
    Route("GET", "/approvals/{id}", Role.VIEWER, "getApproval", "One approval", approvals.one, "Approval"),
    *(
        Route(
            "POST",
            f"/approvals/{{id}}/{verb}",
            role,
            f"{verb}Approval",
            about,
            handler,
            "Approval",
            body=body,
            problems=problems,
        )
        for verb, role, about, handler, body, problems in (
            (
                "approve",
                Role.APPROVER,
                "Vote for a held call, and allow `similar` ones for a while",
                approvals.approve,
                "Approving",
                ("self_approval", "not_an_approver", "state", "note_required", "waiver", "refused"),
            ),
            (
                "deny",
                Role.APPROVER,
                "Vote against a held call",
                approvals.deny,
                "Ballot",
                ("self_approval", "not_an_approver", "state", "note_required", "refused"),
            ),
            ("withdraw", Role.OPERATOR, "End an approval without a vote", approvals.withdraw, "Ballot", ("state",)),
        )
    ),
    Route(
        "GET",
        "/waivers",
        Role.VIEWER,
        "listWaivers",
        "The waivers that still cover something, the one that ends first on top",
        approvals.waivers,
        "Waivers",
        query=(LIMIT, CURSOR),
        problems=("bad_cursor",),
    ),
    Route(
        "POST",
        "/waivers/{id}/revoke",
        Role.APPROVER,
        "revokeWaiver",
        "End a waiver",
        approvals.revoke_waiver,
        "Waiver",
        problems=("not_an_approver",),
    ),
    Route(
        "GET", "/policy", Role.VIEWER, "getPolicy", "The active revision, and what was refused", policy.status, "Policy"
    ),
    Route(
        "POST", "/reload", Role.OPERATOR, "reload", "Read the policies again, and wait for it", policy.reload, "Policy"
    ),
    Route("GET", "/me", Role.VIEWER, "whoAmI", "Whose token this is", access.whoami, "Me"),
    Route(
        "GET",
        "/grants",
        Role.OPERATOR,
        "listGrants",
        "Grants, oldest first",
        access.list_grants,
        "Grants",
        query=(REVOKED, LIMIT, CURSOR),
        problems=("bad_cursor",),
    ),
    Route(
        "POST",
        "/grants",
        Role.ADMIN,
        "createGrant",
        "A new grant; the answer is the only one with its token",
        access.create_grant,
        "Grant",
        status=201,
        body="NewGrant",
        problems=("exists", "refused"),
    ),
    Route(
        "POST",
        "/grants/{id}/rotate",
        Role.ADMIN,
        "rotateGrant",
        "A new token for a grant",
        access.rotate_grant,
        "Grant",
        body="Rotation",
        problems=("refused",),
    ),
    Route("DELETE", "/grants/{id}", Role.OPERATOR, "revokeGrant", "End a grant", access.revoke_grant, "Grant"),
    Route(
        "GET",
        "/tokens",
        Role.ADMIN,
        "listTokens",
        "People's tokens, oldest first",
        access.list_tokens,
        "Tokens",
        query=(REVOKED, LIMIT, CURSOR),
        problems=("bad_cursor",),
    ),
    Route(
        "POST",
        "/tokens",
        Role.ADMIN,
        "createToken",
        "A new token; the answer is the only one with its text",
        access.create_token,
        "Token",
        status=201,
        body="NewToken",
        problems=("refused",),
    ),
    Route("DELETE", "/tokens/{id}", Role.ADMIN, "revokeToken", "End a token", access.revoke_token, "Token"),
    Route(
        "GET",
        "/freezes",
        Role.VIEWER,
        "listFreezes",
        "Freezes in force, newest first",
        freezing.listing,
        "Freezes",
        query=(LIMIT, CURSOR),
        problems=("bad_cursor",),
    ),
    Route(
        "POST",
        "/freezes",
        Role.OPERATOR,
        "freeze",
        "Stop a principal, a server, or all, at once",
        freezing.freeze,
        "Freeze",
        status=201,
        body="NewFreeze",
        problems=("refused",),
    ),
    Route(
        "POST",
        "/thaw",
        Role.OPERATOR,
        "thaw",
        "End a freeze",
        freezing.thaw,
        "Thawed",
        body="Thaw",
        problems=("not_found",),
    ),
    Route("GET", "/openapi.json", Role.VIEWER, "getOpenApi", "This description", _description, "OpenApi"),
)
