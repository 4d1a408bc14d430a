"""Pure: what servers send - bytes to one `ServerMessage`, or why it is not one.

Numbers may have any form and members nobody knows are let through, since the bytes are relayed as they are; duplicate
keys, members that fold to the protocol's, bad ids and anything that is not exactly one message are refused.

Must not know which request a response answers, nor the server (`upstream/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from policylayer.core import strict_json
from policylayer.core.immutable import immutable
from policylayer.core.text import fold, folds
from policylayer.wire import methods
from policylayer.wire.envelope import open_envelope
from policylayer.wire.limits import SERVER, Limits
from policylayer.wire.methods import Kind, Treatment
from policylayer.wire.rejection import INVALID_REQUEST, PARSE_ERROR, Id, Rejection


@immutable
class ServerMessage:
    """One message of a server, as sent in `raw`. An error's id may be None: the server could not read the request's."""

    kind: Kind
    id: Id | None
    method: str | None
    params: Mapping[str, Any]
    raw: bytes
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None

    def treatment(self, protocol: str) -> Treatment:
        """What is done with it at this revision."""
        return methods.treatment(protocol, self.method, self.kind, "server")

    @property
    def result_type(self) -> str | None:
        """`complete`, `input_required`, `task` or another; None where this is no result or the type is no string."""
        if self.result is None:
            return None
        said = self.result.get("resultType", "complete")
        return said if type(said) is str else None

    @property
    def input_requests(self) -> Mapping[str, Any] | None:
        """What a result asks the client, by key; None where it asks nothing. An entry may have any form."""
        asked = None if self.result is None else self.result.get("inputRequests")
        return asked if type(asked) is dict else None

    @property
    def is_error(self) -> bool:
        """Whether it is an error, or a result that says of itself that the tool failed."""
        return self.error is not None or (self.result is not None and self.result.get("isError") is True)

    def succeeded(self, method: str) -> bool:
        """Whether this is the end of such a request, and nothing in it says that it failed."""
        result = self.result
        if result is None or self.is_error or self.result_type != "complete":
            return False
        if method == "tasks/get":
            inner = result.get("result")
            return result.get("status") == "completed" and type(inner) is dict and inner.get("isError") is not True
        # A handshake server answers with the task that it has begun, without saying of which type its result is.
        return method == "tasks/result" or (not method.startswith("tasks/") and type(result.get("task")) is not dict)


_USUAL = frozenset(
    (
        *(
            "resultType",
            "inputRequests",
            "requestState",
            "isError",
            "_meta",
            "content",
            "structuredContent",
            "nextCursor",
        ),
        *("ttlMs", "cacheScope", "tools", "prompts", "resources", "resourceTemplates", "contents", "messages"),
    )
)
"""Members of results, none of which is like one that the proxy acts on, or is that one."""

_ACTED_ON: Final = frozenset(
    (
        *("resultType", "inputRequests", "requestState", "isError", "_meta", "content", "structuredContent"),
        *("contents", "messages", "task", "taskId", "status", "result"),
    )
)
_FOLDED: Final = folds(_ACTED_ON)


def decode(raw: bytes, limits: Limits = SERVER) -> ServerMessage | Rejection:
    """The message in `raw`, or why there is none."""
    value = strict_json.parse_lenient(raw, limits)
    if isinstance(value, strict_json.Fault):
        return Rejection(502, PARSE_ERROR if value.parse else INVALID_REQUEST, value.reason, value.message)
    envelope = open_envelope(value, limits, strict=False)
    if isinstance(envelope, Rejection):
        return Rejection(502, envelope.code, envelope.reason, envelope.message, envelope.id)
    if envelope.result is not None and _disguised(envelope.result):
        return Rejection(502, INVALID_REQUEST, "folded_member", "a result has a disguised member", envelope.id)
    return ServerMessage(
        kind=envelope.kind,
        id=envelope.id,
        method=envelope.method,
        params=envelope.params,
        raw=raw,
        result=envelope.result,
        error=envelope.error,
    )


def _disguised(result: Mapping[str, Any]) -> bool:
    """Whether a careless client would read a member as one that the proxy acts on."""
    if result.keys() <= _USUAL:
        return False
    return any(name not in _ACTED_ON and len(name) < 64 and fold(name) in _FOLDED for name in result)
