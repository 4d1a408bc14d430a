"""Pure: the method table - what each method of each revision is, and what is done with it.

Data first: every method the specification or its tasks extension defines, by direction and kind, with the revisions it
exists in, its treatment, the member of its params that names its target, and the members its params may have. What is
not in the table is denied.

Must not know how a message is decoded (`message`) or judged (`core.mediate`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final, Literal, TypeAlias

from policylayer.core.immutable import immutable
from policylayer.core.text import folds

Treatment: TypeAlias = Literal["judged", "filtered", "passed", "denied"]
Kind: TypeAlias = Literal["request", "notification", "response"]
Place: TypeAlias = Literal["request", "notification", "response", "input"]
Sender: TypeAlias = Literal["client", "server"]
Era: TypeAlias = Literal["handshake", "modern"]

MODERN: Final = "2026-07-28"
"""The revision without a handshake: every request says its own version and capabilities."""

HANDSHAKE: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""The revisions that begin with `initialize`, oldest first."""

ASSUMED: Final = "2025-03-26"
"""What a request without a version header speaks."""

_ALL: Final = (*HANDSHAKE, MODERN)
_NOV: Final = ("2025-11-25",)
_SINCE_JUN: Final = ("2025-06-18", "2025-11-25")
_NEW: Final = (MODERN,)
_TASKS: Final = (*_NOV, MODERN)


@immutable
class Method:
    """One row of the table. `target` is the member of params that names what is asked for.

    `members` are the members that params may have, each with its revisions; `_meta` is always one. Other members are
    refused where the method is judged, and relayed where it is not, unless they fold to one of these or answer a
    server's question.
    """

    name: str
    treatment: Treatment
    revisions: tuple[str, ...] = _ALL
    target: str | None = None
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


_ROUNDS: Final = {"inputResponses": _NEW, "requestState": _NEW}
_PAGE: Final = {"cursor": _ALL}

CLIENT_REQUESTS: Final = (
    Method(
        "initialize", "passed", HANDSHAKE, None, dict.fromkeys(("protocolVersion", "capabilities", "clientInfo"), _ALL)
    ),
    Method("server/discover", "passed", _NEW),
    Method("ping", "passed", HANDSHAKE),
    Method("logging/setLevel", "passed", HANDSHAKE, None, {"level": _ALL}),
    Method("tools/list", "filtered", _ALL, None, _PAGE),
    Method("prompts/list", "filtered", _ALL, None, _PAGE),
    Method("resources/list", "filtered", _ALL, None, _PAGE),
    Method("resources/templates/list", "filtered", _ALL, None, _PAGE),
    Method("tools/call", "judged", _ALL, "name", {"name": _ALL, "arguments": _ALL, "task": _TASKS, **_ROUNDS}),
    Method("prompts/get", "judged", _ALL, "name", {"name": _ALL, "arguments": _ALL, **_ROUNDS}),
    Method("resources/read", "judged", _ALL, "uri", {"uri": _ALL, **_ROUNDS}),
    Method("resources/subscribe", "judged", HANDSHAKE, "uri", {"uri": _ALL}),
    Method("resources/unsubscribe", "passed", HANDSHAKE, "uri", {"uri": _ALL}),
    Method("completion/complete", "judged", _ALL, None, dict.fromkeys(("ref", "argument", "context"), _ALL)),
    Method("subscriptions/listen", "judged", _NEW, None, {"notifications": _ALL}),
    Method("tasks/get", "judged", _TASKS, "taskId", {"taskId": _ALL}),
    Method("tasks/result", "judged", _NOV, "taskId", {"taskId": _ALL}),
    Method("tasks/cancel", "judged", _TASKS, "taskId", {"taskId": _ALL}),
    Method("tasks/update", "judged", _NEW, "taskId", {"taskId": _ALL, "inputResponses": _ALL}),
    Method("tasks/list", "judged", _NOV, None, _PAGE),
)

CLIENT_NOTIFICATIONS: Final = (
    Method("notifications/initialized", "passed", HANDSHAKE),
    Method("notifications/cancelled", "passed", _ALL, None, {"requestId": _ALL, "reason": _ALL}),
    Method("notifications/progress", "passed", HANDSHAKE, None, {"progressToken": _ALL}),
    Method("notifications/roots/list_changed", "passed", HANDSHAKE),
    Method("notifications/tasks/status", "passed", _NOV, None, {"taskId": _ALL}),
)

SERVER_REQUESTS: Final = (
    Method("ping", "passed", HANDSHAKE),
    Method("sampling/createMessage", "judged", HANDSHAKE),
    Method("elicitation/create", "judged", _SINCE_JUN),
    Method("roots/list", "judged", HANDSHAKE),
)

INPUT_REQUESTS: Final = (
    Method("sampling/createMessage", "judged", _NEW),
    Method("elicitation/create", "judged", _NEW),
    Method("roots/list", "judged", _NEW),
)
"""What a modern server asks within a result, as `inputRequests`; it sends no requests of its own."""

SERVER_NOTIFICATIONS: Final = (
    Method("notifications/cancelled", "passed"),
    Method("notifications/message", "passed"),
    Method("notifications/progress", "passed"),
    Method("notifications/tools/list_changed", "passed"),
    Method("notifications/prompts/list_changed", "passed"),
    Method("notifications/resources/list_changed", "passed"),
    Method("notifications/resources/updated", "filtered", _ALL, "uri", {"uri": _ALL}),
    Method("notifications/elicitation/complete", "passed", _NOV),
    Method("notifications/tasks/status", "passed", _NOV),
    Method("notifications/tasks", "passed", _NEW),
    Method("notifications/subscriptions/acknowledged", "passed", _NEW),
)


@immutable
class Entry:
    """One method at one revision: `members` are those its params may have, `folded` what they fold to.

    `needed` are those that must be there.
    """

    method: str
    treatment: Treatment
    target: str | None
    members: frozenset[str]
    folded: Mapping[str, str]
    needed: tuple[str, ...]


_REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    "initialize": ("protocolVersion",),
    "completion/complete": ("ref", "argument"),
    "subscriptions/listen": ("notifications",),
    "tasks/update": ("inputResponses",),
}
"""What must be there besides the target."""


_Table: TypeAlias = dict[tuple[str, str], Entry]


def _by_revision(methods: tuple[Method, ...]) -> _Table:
    table: _Table = {}
    for row in methods:
        for revision in row.revisions:
            members = frozenset({"_meta", *(name for name, known in row.members.items() if revision in known)})
            needed = (*((row.target,) if row.target else ()), *_REQUIRED.get(row.name, ()))
            entry = Entry(row.name, row.treatment, row.target, members, folds(members), needed)
            table[(revision, row.name)] = entry
    return table


_TABLES: Final[dict[tuple[Sender, Place], _Table]] = {
    ("client", "request"): _by_revision(CLIENT_REQUESTS),
    ("client", "notification"): _by_revision(CLIENT_NOTIFICATIONS),
    ("server", "request"): _by_revision(SERVER_REQUESTS),
    ("server", "notification"): _by_revision(SERVER_NOTIFICATIONS),
    ("server", "input"): _by_revision(INPUT_REQUESTS),
}

_REQUEST_NAMES: Final = frozenset(row.name for row in CLIENT_REQUESTS)

ROUTED: Final = frozenset(
    {"tools/call", "prompts/get", "resources/read", "tasks/get", "tasks/update", "tasks/cancel"},
)
"""The methods whose target a modern request repeats in `Mcp-Name`."""


def entry(protocol: str, method: str, kind: Place, sender: Sender = "client") -> Entry | None:
    """The table's row, or None for what is not in it."""
    table = _TABLES.get((sender, kind))
    return None if table is None else table.get((protocol, method))


def treatment(protocol: str, method: str | None, kind: Place, sender: Sender = "client") -> Treatment:
    """What is done with a message (`input`: with one entry of a result's `inputRequests`).

    Responses are passed where a request of the session waits for them, which only the session knows.
    """
    if kind == "response":
        return "passed"
    found = entry(protocol, method or "", kind, sender)
    return "denied" if found is None else found.treatment


def is_request(method: str) -> bool:
    """Whether `method` is a request of some revision, so that a message without an id may not carry it."""
    return method in _REQUEST_NAMES


def era_of(protocol: str) -> Era:
    """The era of a known revision."""
    return "modern" if protocol == MODERN else "handshake"


def target_of(method: str, params: Mapping[str, Any]) -> str | None:
    """What a request asks for, as sent: a tool, a prompt, a URI, a task; None for methods without one.

    `subscriptions/listen` may ask for several: see `calls.calls_of`.
    """
    if method == "completion/complete":
        ref = params.get("ref")
        named = (ref.get("name") if ref.get("type") == "ref/prompt" else ref.get("uri")) if type(ref) is dict else None
    else:
        member = _TARGETS.get(method)
        named = None if member is None else params.get(member)
    return named if type(named) is str else None


_TARGETS: Final = {
    row.name: row.target
    for rows in (CLIENT_REQUESTS, CLIENT_NOTIFICATIONS, SERVER_REQUESTS, SERVER_NOTIFICATIONS)
    for row in rows
    if row.target is not None
}
