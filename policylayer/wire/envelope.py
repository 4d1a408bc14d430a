"""Pure: the JSON-RPC envelope - one object that is exactly one request, notification or response.

Refuses what two readers could take for two different messages: arrays, members besides the protocol's, members that a
careless reader would take for one of those, and ids that do not survive every reader.

Must not know methods' params (`params`) nor protocol revisions (`era`).
"""

from __future__ import annotations

from typing import Any, Final, TypeGuard

from policylayer.core.call import Json
from policylayer.core.immutable import immutable
from policylayer.core.text import fold, folds, is_name
from policylayer.wire.limits import Limits
from policylayer.wire.methods import Kind
from policylayer.wire.rejection import INVALID_REQUEST, Id, Rejection

_MEMBERS: Final = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})
_FOLDED: Final = folds(_MEMBERS)
_ERROR_MEMBERS: Final = frozenset({"code", "message", "data"})
_MOST_ID: Final = 2**53 - 1
"""Beyond it two ids are one to whoever reads numbers as JavaScript does, and one gets the other's answer."""


@immutable
class Envelope:
    """An envelope that holds. `method` is None for responses; `params` of a message without any is `{}`."""

    kind: Kind
    id: Id | None
    method: str | None
    params: dict[str, Any]
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


def open_envelope(value: Json, limits: Limits, strict: bool = True) -> Envelope | Rejection:
    """The envelope of a decoded body. Not `strict`: members that no reader knows are let through."""
    if type(value) is not dict:
        return _refused("batch" if type(value) is list else "envelope", "the body must be one JSON-RPC object", None)
    id = value.get("id")
    known_id = id if is_id(id, limits) else None
    fault = _members(value, strict) or _version(value, known_id)
    if fault is not None:
        return _refused(*fault, known_id)
    if "method" not in value:
        return _response(value, known_id)
    if "result" in value or "error" in value:
        return _refused("request_and_response", "a message is a request or a response, not both", known_id)
    return _request(value, known_id, limits)


def is_id(id: object, limits: Limits) -> TypeGuard[Id]:
    """Whether `id` may identify a request: a string, not empty and not long, or an integer that every reader holds."""
    if type(id) is str:
        return 0 < len(id) <= limits.id and (id.isascii() or len(id.encode()) <= limits.id)
    return type(id) is int and -_MOST_ID <= id <= _MOST_ID


def _members(value: dict[str, Any], strict: bool) -> tuple[str, str] | None:
    if value.keys() <= _MEMBERS:
        return None
    for name in value:
        if name not in _MEMBERS:
            if fold(name) in _FOLDED:
                return "folded_member", "a member is written almost like one of the protocol"
            if strict:
                return "unknown_member", "a member is not one of the protocol"
    return None


def _version(value: dict[str, Any], known_id: Id | None) -> tuple[str, str] | None:
    if value.get("jsonrpc") != "2.0":
        return "jsonrpc", "jsonrpc must be 2.0"
    if "id" in value and known_id is None:
        return "id", "the id must be a string or an integer"
    return None


def _request(value: dict[str, Any], id: Id | None, limits: Limits) -> Envelope | Rejection:
    method = value["method"]
    if not is_name(method, limits.name):
        return _refused("method", "the method must be a name", id)
    params = value.get("params")
    if params is not None and type(params) is not dict:
        return _refused("params", "params must be an object", id)
    return Envelope("notification" if id is None else "request", id, method, {} if params is None else params)


def _response(value: dict[str, Any], id: Id | None) -> Envelope | Rejection:
    if ("result" in value) == ("error" in value) or "params" in value:
        return _refused("envelope", "the body must be a request, a notification or a response", id)
    if "result" in value:
        result = value["result"]
        if id is None or type(result) is not dict:
            return _refused("response", "a response must have an id and an object as its result", id)
        return Envelope("response", id, None, {}, result=result)
    error = value["error"]
    if not _is_error(error):
        return _refused("response", "an error must have an integer code and a message", id)
    return Envelope("response", id, None, {}, error=error)


def _is_error(error: object) -> bool:
    if type(error) is not dict or type(error.get("code")) is not int or type(error.get("message")) is not str:
        return False
    return not any(name not in _ERROR_MEMBERS and fold(name) in _ERROR_MEMBERS for name in error)


def _refused(reason: str, message: str, id: Id | None) -> Rejection:
    return Rejection(400, INVALID_REQUEST, reason, message, id)
