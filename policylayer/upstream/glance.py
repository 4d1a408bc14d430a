"""Pure: the little that carrying a message over stdio needs to know of it: kind, id, tokens.

No judgement: what the agent sent was judged before it came here (`wire/`), what a server sent is judged after.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import orjson

from policylayer.core.immutable import immutable

SUBSCRIPTION: Final = "io.modelcontextprotocol/subscriptionId"

Id: TypeAlias = "int | str"


@immutable
class Glance:
    """`token` is a request's own progress token, or the one a progress notification names."""

    kind: Literal["request", "notification", "response"]
    id: Id | None = None
    method: str = ""
    token: Id | None = None
    subscription: Id | None = None
    error_code: int | None = None


def glance(raw: bytes) -> Glance | None:
    """What `raw` is, or None where it is no JSON-RPC message."""
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(message, dict):
        return None
    id = _id(message.get("id"))
    method = message.get("method")
    if isinstance(method, str):
        return _called(method, id, _object(message.get("params")))
    if id is None and "error" not in message:
        return None
    return _answered(id, message)


def _called(method: str, id: Id | None, params: dict[str, Any]) -> Glance:
    meta = _object(params.get("_meta"))
    token = params.get("progressToken") if method == "notifications/progress" else meta.get("progressToken")
    kind: Literal["request", "notification"] = "notification" if id is None else "request"
    return Glance(kind, id, method, token=_id(token), subscription=_id(meta.get(SUBSCRIPTION)))


def _answered(id: Id | None, message: dict[str, Any]) -> Glance:
    meta = _object(_object(message.get("result")).get("_meta"))
    code = _object(message.get("error")).get("code")
    return Glance(
        "response",
        id,
        subscription=_id(meta.get(SUBSCRIPTION)),
        error_code=code if isinstance(code, int) else None,
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _id(value: Any) -> Id | None:
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None
