"""Pure: an access request as people and programs write it (JSON) to the question that policy is asked.

The words are those of policy tests: `principal`, `for`, `server`, one of `tool`, `prompt`, `resource`, `method`, then
`arguments` (`params` of a method), `input`, `at`, `labels`, `approved`, `ip`, `client`, `protocol`, `risk`, `traits`.
Must not know who may ask. What an API's body may hold is said once, in `SCHEMA`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from policylayer.core.call import Call, Json, Question, ServerFacts, Subject
from policylayer.policy import addresses, resources
from policylayer.policy.directory import as_group
from policylayer.policy.parse_selection import RISKS
from policylayer.policy.recorded import PROTOCOL
from policylayer.policy.selectors import PROMPTS, TOOLS
from policylayer.policy.times import YEARS, in_years

NAME: Final[dict[str, Any]] = {"type": "string", "minLength": 1, "maxLength": 4096}
OBJECT: Final[dict[str, Any]] = {"type": "object"}
WHO: Final[dict[str, Any]] = {
    "anyOf": [
        NAME,
        {
            "type": "object",
            "properties": {
                "id": NAME,
                "groups": {"type": "array", "items": NAME},
                "attributes": OBJECT,
            },
            "required": ["id"],
            "additionalProperties": False,
        },
    ]
}
NAMES: Final[dict[str, Any]] = {"type": "array", "items": NAME, "maxItems": 1000}

SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "principal": WHO,
        "for": WHO,
        "server": NAME,
        "tool": NAME,
        "prompt": NAME,
        "resource": NAME,
        "method": NAME,
        "arguments": OBJECT,
        "params": OBJECT,
        "input": OBJECT,
        "at": {"type": "string", "format": "date-time"},
        "labels": NAMES,
        "approved": NAMES,
        "ip": NAME,
        "client": NAME,
        "protocol": NAME,
        "risk": NAME,
        "traits": NAMES,
        "annotations": OBJECT,
        "cwd": NAME,
    },
    "required": ["principal", "server"],
    "additionalProperties": False,
}
CALLED: Final = ("tool", "prompt", "resource", "method")


class BadRequest(ValueError):
    """What is wrong with an access request, for whoever wrote it."""


def question_of(request: Mapping[str, Any], server: ServerFacts | None, now: datetime) -> Question:
    """The question. `server` is what the configuration says of it, `now` the time where the request says none."""
    named = [key for key in CALLED if key in request]
    if len(named) != 1:
        raise BadRequest(f"one of {', '.join(CALLED)} must be given, and only one")
    if "for" in request and _subject(request["for"]).id == _subject(request["principal"]).id:
        raise BadRequest("nobody acts for themselves: leave `for` out")
    if request.get("risk", RISKS[0]) not in RISKS:
        raise BadRequest(f"`risk` is one of {', '.join(RISKS)}")
    if "ip" in request and addresses.read(request["ip"]) is None:
        raise BadRequest("`ip` is not an address like `203.0.113.7`")
    facts = server or ServerFacts(request["server"], cwd=request.get("cwd"))
    return Question(
        call=_call(request, named[0]),
        subject=_subject(request["principal"]),
        server=facts,
        now=_at(request.get("at"), now),
        on_behalf_of=_subject(request["for"]) if "for" in request else None,
        approved=frozenset(request.get("approved", ())),
        labels=frozenset(request.get("labels", ())),
        annotations=request.get("annotations"),
        risk=request.get("risk"),
        traits=frozenset(request["traits"]) if "traits" in request else None,
        ip=request.get("ip"),
        client=request.get("client"),
    )


def _subject(written: Any) -> Subject:
    if isinstance(written, str):
        return Subject(written)
    groups = frozenset(map(as_group, written.get("groups", ())))
    return Subject(written["id"], groups, written.get("attributes", {}))


def _call(request: Mapping[str, Any], named: str) -> Call:
    name = request[named]
    arguments: dict[str, Json] = dict(request.get("params" if named == "method" else "arguments", {}))
    if named == "method":
        uri = arguments.get("uri")
        target = uri if name in resources.METHODS and isinstance(uri, str) else None
        method = name
    elif named == "resource":
        method, target = "resources/read", name
        arguments.setdefault("uri", name)
    else:
        method, target = (TOOLS if named == "tool" else PROMPTS), name
    protocol = request.get("protocol", PROTOCOL)
    return Call(request["server"], method, target, arguments, b"", b"", protocol, request.get("input", {}))


def _at(written: str | None, now: datetime) -> datetime:
    if written is None:
        return now
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        raise BadRequest("`at` is not a moment like `2027-01-31T12:00:00Z`") from None
    if at.tzinfo is None:
        raise BadRequest("`at` needs its offset from UTC, as in `2027-01-31T12:00:00Z`")
    if not in_years(at):
        raise BadRequest(f"`at` is not in {YEARS}")
    return at
