"""The JSON Schemas of what the API takes and gives: one source for checking bodies and for OpenAPI.

Must not know routes. Answers are open (members may be added); bodies are closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from policylayer.api.problem import CODES
from policylayer.approvals.waivers import MOST_USES, USES
from policylayer.core.approval import State
from policylayer.core.decision import Effect, ReasonCode
from policylayer.identity.person import Role
from policylayer.policy.asked import SCHEMA as ACCESS_REQUEST

Schema = dict[str, Any]

STRING: Final[Schema] = {"type": "string"}
NAME: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 200}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
PRINCIPAL: Final[Schema] = {"type": "string", "pattern": r"^[a-z][a-z0-9_-]{0,31}:[^\s:*][^\s*]{0,200}$"}
ROLE: Final[Schema] = {"enum": [str(role) for role in Role]}
NOTE: Final[Schema] = {"type": "string", "maxLength": 2000}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    return {"type": "object", "properties": {**required, **optional}, "required": sorted(required)}


def _closed(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    return {**_object(required, **optional), "additionalProperties": False}


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _page(name: str) -> Schema:
    return _object({"items": _list(_ref(name)), "next": _or_null(STRING)})


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


EFFECT: Final[Schema] = {"enum": [str(effect) for effect in Effect]}
OUTCOMES: Final[Schema] = {"enum": ["true", "false", "missing", "wrong", "unknown"]}
RULE: Final = _object({"policy": STRING, "rule": STRING, "file": STRING, "line": COUNT})
OUTCOME: Final = _object({"state": STRING, "at": TIME, "latency_us": _or_null(COUNT)})
SERVERS: Final[Schema] = {"type": "array", "items": NAME, "minItems": 1, "maxItems": 100, "uniqueItems": True}

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Problem": _object(
        {"type": STRING, "title": STRING, "status": COUNT, "code": {"enum": sorted(CODES)}, "detail": STRING},
        state={"enum": [str(state) for state in State]},
        help=STRING,
    ),
    "Decision": _object(
        {
            "id": STRING,
            "kind": STRING,
            "parent": _or_null(STRING),
            "time": TIME,
            "principal": _or_null(STRING),
            "for": _or_null(STRING),
            "grant": _or_null(STRING),
            "server": _or_null(STRING),
            "method": _or_null(STRING),
            "target": _or_null(STRING),
            "effect": _or_null({"enum": [str(effect) for effect in Effect]}),
            "enforced": _or_null({"enum": [str(effect) for effect in Effect]}),
            "would": _or_null({"enum": [str(effect) for effect in Effect]}),
            "reason_code": _or_null({"anyOf": [{"enum": [str(code) for code in ReasonCode]}, STRING]}),
            "told": _or_null({"enum": [str(code) for code in ReasonCode]}),
            "reason": _or_null(STRING),
            "rules": _list(RULE),
            "revision": _or_null(STRING),
            "arguments": {},
            "digest": _or_null(STRING),
            "approval_id": _or_null(STRING),
            "outcome": _or_null(OUTCOME),
            "latency_us": _or_null(COUNT),
        }
    ),
    "Decisions": _page("Decision"),
    "Event": _object({"id": STRING, "time": TIME, "type": STRING, "actor": _or_null(STRING), "detail": {}}),
    "Events": _page("Event"),
    "Count": {
        "type": "object",
        "properties": {
            "key": _or_null(STRING),
            "count": COUNT,
            "time": TIME,
            "counts": {"type": "object", "additionalProperties": COUNT},
        },
        "anyOf": [{"required": ["key", "count"]}, {"required": ["time", "counts"]}],
    },
    "Stats": {**_page("Count"), "properties": {**_page("Count")["properties"], "since": _or_null(TIME)}},
    "Vote": _object(
        {"principal": STRING, "decision": {"enum": ["approve", "deny"]}, "note": _or_null(STRING)}, at=TIME
    ),
    "Waiver": _object(
        {
            "id": STRING,
            "approval_id": STRING,
            "rule": STRING,
            "principal": STRING,
            "for": _or_null(STRING),
            "server": STRING,
            "method": STRING,
            "target": _or_null(STRING),
            "same": _list(STRING),
            "exact": {"type": "boolean"},
            "uses_left": COUNT,
            "created_at": TIME,
            "created_by": STRING,
            "expires_at": TIME,
            "revoked_at": _or_null(TIME),
            "revoked_by": _or_null(STRING),
        }
    ),
    "Waivers": _page("Waiver"),
    "Approval": _object(
        {
            "id": STRING,
            "state": {"enum": [str(state) for state in State]},
            "created_at": TIME,
            "expires_at": TIME,
            "principal": STRING,
            "server": STRING,
            "method": STRING,
            "target": _or_null(STRING),
            "arguments": {},
            "digest": STRING,
            "rules": _list(RULE),
            "approvers": _list(STRING),
            "quorum": COUNT,
            "votes": _list(_ref("Vote")),
            "waivers": _list(_ref("Waiver")),
            "waiters": COUNT,
        }
    ),
    "Approvals": _page("Approval"),
    "AccessRequest": ACCESS_REQUEST,
    "Condition": _object({"what": STRING, "written": STRING, "outcome": OUTCOMES}, parts=_list(_ref("Condition"))),
    "ConsideredRule": _object(
        {
            "policy": STRING,
            "rule": STRING,
            "file": STRING,
            "line": COUNT,
            "effect": _or_null(EFFECT),
            "observed": {"type": "boolean"},
            "outcome": OUTCOMES,
            "fields": _list(STRING),
            "concerns": {"type": "boolean"},
            "decided": {"type": "boolean"},
            "parts": _list(_ref("Condition")),
        }
    ),
    "Change": _object(
        {
            "effect": EFFECT,
            "own": {"type": "boolean"},
            "steps": _list(_object({"field": STRING, "now": {}, "rule": STRING, "says": STRING}, to={})),
        }
    ),
    "Explanation": _object(
        {
            "revision": STRING,
            "question": {"type": "object"},
            "decision": {"type": "object"},
            "rules": _list(_ref("ConsideredRule")),
            "change": _or_null(_ref("Change")),
            "own_change": _or_null(_ref("Change")),
        },
        possible=_list(EFFECT),
        not_known=_list(STRING),
        inside=_list(
            _object(
                {
                    "question": {"type": "object"},
                    "decision": {"type": "object"},
                    "rules": _list(_ref("ConsideredRule")),
                },
                possible=_list(EFFECT),
                not_known=_list(STRING),
            )
        ),
        recorded={"type": "object"},
        rego=_list({"type": "object"}),
    ),
    "Ballot": _closed({}, note=NOTE),
    "Approving": _closed({}, note=NOTE, similar=_ref("Similar")),
    "Similar": _closed(
        {"for": {**NAME, "description": "`15m`, `1h`; at most 24 hours"}},
        uses={"type": "integer", "minimum": 1, "maximum": MOST_USES, "default": USES},
        same={
            **_list(STRING),
            "maxItems": 200,
            "uniqueItems": True,
            "description": "arguments that must be equal; left out: all of them, and no others",
        },
    ),
    "Policy": _object(
        {
            "revision": _or_null(STRING),
            "activated_at": _or_null(TIME),
            "refused": _list(_object({"revision": _or_null(STRING), "diagnostics": _list(_ref("Diagnostic"))})),
        },
        commit=_or_null(STRING),
        restart=_list(STRING),
    ),
    "Diagnostic": _object(
        {
            "file": STRING,
            "line": COUNT,
            "column": COUNT,
            "severity": {"enum": ["error", "warning"]},
            "code": STRING,
            "message": STRING,
            "help": STRING,
        }
    ),
    "Grant": _object(
        {
            "id": STRING,
            "name": STRING,
            "principal": STRING,
            "servers": _list(STRING),
            "created_at": TIME,
            "expires_at": _or_null(TIME),
        },
        token=STRING,
        revoked_at=_or_null(TIME),
        unopened=_list(STRING),
        observed=_list(STRING),
    ),
    "Grants": _page("Grant"),
    "NewGrant": _closed({"name": NAME, "principal": PRINCIPAL, "servers": SERVERS}, expires_at=_or_null(TIME)),
    "Rotation": _closed({}, overlap_seconds={"type": "integer", "minimum": 0, "maximum": 7 * 86400}),
    "Token": _object(
        {
            "id": STRING,
            "principal": STRING,
            "role": ROLE,
            "created_at": TIME,
            "expires_at": _or_null(TIME),
        },
        token=STRING,
        revoked_at=_or_null(TIME),
    ),
    "Tokens": _page("Token"),
    "NewToken": _closed({"principal": PRINCIPAL, "role": ROLE}, expires_at=_or_null(TIME)),
    "Me": _object({"principal": STRING, "role": ROLE, "token_id": STRING}),
    "Freeze": _object(
        {
            "id": STRING,
            "scope": {"enum": ["all", "principal", "server"]},
            "name": _or_null(STRING),
            "reason": STRING,
            "created_at": TIME,
            "created_by": _or_null(STRING),
        },
        warning=STRING,
    ),
    "Freezes": _page("Freeze"),
    "NewFreeze": {
        **_closed(
            {"scope": {"enum": ["all", "principal", "server"]}, "reason": {**NAME, "maxLength": 500}},
            name=NAME,
        ),
        **{"if": {"properties": {"scope": {"const": "all"}}}, "then": {"not": {"required": ["name"]}}},
        "else": {"required": ["name"]},
    },
    "Thaw": {
        **_closed({"scope": {"enum": ["all", "principal", "server"]}}, name=NAME),
        **{"if": {"properties": {"scope": {"const": "all"}}}, "then": {"not": {"required": ["name"]}}},
        "else": {"required": ["name"]},
    },
    "Thawed": _object({"thawed": _list(_ref("Freeze"))}),
    "OpenApi": {"type": "object"},
}


def standalone(name: str) -> Schema:
    """One schema with all that it refers to, for a validator."""
    return {**SCHEMAS[name], "components": {"schemas": dict(SCHEMAS)}}
