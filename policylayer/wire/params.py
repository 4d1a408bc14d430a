"""Pure: the params of the methods in the table - their members, and the form of those that the proxy reads.

Where a method is judged, unknown members are refused: a server might read one that policy did not. Everywhere, a member
that folds to a known one is refused. Arguments themselves are the tool's own and are not looked into.

Must not know how a message is judged, nor repeat to the sender what it sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import orjson

from policylayer.core.text import fold, folds, is_address, is_name
from policylayer.wire import era
from policylayer.wire.envelope import is_id
from policylayer.wire.limits import Limits
from policylayer.wire.methods import Entry

Fault: TypeAlias = tuple[str, str]
"""A reason and what the sender is told."""

_MOST_MEMBERS: Final = 64

_META: Final = frozenset(
    {
        "progressToken",
        "traceparent",
        "tracestate",
        "baggage",
        "io.modelcontextprotocol/related-task",
        "io.modelcontextprotocol/subscriptionId",
        era.VERSION,
        era.CAPABILITIES,
        era.CLIENT,
        era.LOG_LEVEL,
    }
)
_FOLDED_META: Final = folds(_META)

_TRACE: Final = {"traceparent": 256, "tracestate": 2048, "baggage": 8192}
"""Trace context goes to every log on the way: text, and no more of it than its specification allows."""

_REFS: Final = {"ref/prompt": frozenset({"type", "name", "title"}), "ref/resource": frozenset({"type", "uri"})}
_NESTED: Final = {"argument": frozenset({"name", "value"}), "context": frozenset({"arguments"})}
_ROUNDS: Final = folds(("inputResponses", "requestState"))
"""Answers to what a server asked: only where a server may ask, and what it asked was judged."""

_FLAGS: Final = frozenset({"toolsListChanged", "promptsListChanged", "resourcesListChanged"})
_WATCHED: Final = frozenset({"resourceSubscriptions", "taskIds"})


def check_members(entry: Entry, params: Mapping[str, Any], limits: Limits) -> Fault | None:
    """What is wrong with a known method's params, `_meta` aside."""
    fault = _names(entry, params)
    if fault is not None:
        return fault
    for name, value in params.items():
        form = _FORMS.get(name)
        if form is not None and name in entry.members and not form(value, limits):
            return name, f"{name} is missing or not in its form"
    for needed in entry.needed:
        if needed not in params:
            return needed, f"{needed} is missing or not in its form"
    return None


def check_meta(params: Mapping[str, Any], raw_size: int, limits: Limits) -> Fault | None:
    """What is wrong with `_meta`, if there is one."""
    meta = params.get("_meta")
    if meta is None and "_meta" not in params:
        return None
    if type(meta) is not dict:
        return "meta", "_meta must be an object"
    # Only a message that is larger than the cap can hold a `_meta` that is.
    if raw_size > limits.meta and len(orjson.dumps(meta)) > limits.meta:
        return "meta_size", "_meta is too large"
    if not meta.keys() <= _META:
        for name in meta:
            if name not in _META and fold(name) in _FOLDED_META:
                return "folded_member", "a member of _meta is written almost like one of the protocol"
    if "progressToken" in meta and not is_id(meta["progressToken"], limits):
        return "progress_token", "the progress token must be a string or an integer"
    for name, longest in _TRACE.items():
        if name in meta and (type(meta[name]) is not str or len(meta[name]) > longest):
            return "trace", "the trace context is not in its form"
    return None


def _names(entry: Entry, params: Mapping[str, Any]) -> Fault | None:
    if params.keys() <= entry.members:
        return None
    if len(params) > _MOST_MEMBERS:
        return "members", "params have too many members"
    for name in params:
        if name not in entry.members:
            if fold(name) in entry.folded:
                return "folded_member", "a member of params is written almost like one of the protocol"
            if entry.treatment == "judged" or fold(name) in _ROUNDS:
                return "unknown_member", "a member of params is not one of the method"
    return None


def _is_ref(value: object, limits: Limits) -> bool:
    if type(value) is not dict:
        return False
    kind = value.get("type")
    members = _REFS.get(kind) if type(kind) is str else None
    if members is None or not members.issuperset(value):
        return False
    if kind == "ref/resource":
        return is_address(value.get("uri"), limits.uri)
    return is_name(value.get("name"), limits.name)


def _is_filter(value: object, limits: Limits) -> bool:
    """Whether `value` says what a listen stream is to carry."""
    if type(value) is not dict:
        return False
    for name, wanted in value.items():
        if name in _FLAGS:
            if type(wanted) is not bool:
                return False
        elif name not in _WATCHED or not _are_addresses(wanted, limits):
            return False
    return True


def _are_addresses(value: object, limits: Limits) -> bool:
    if type(value) is not list or len(value) > limits.resources:
        return False
    return all(is_address(item, limits.uri) for item in value)


def _nested(member: str) -> Callable[[object, Limits], bool]:
    members = _NESTED[member]
    return lambda value, _: type(value) is dict and members.issuperset(value)


_FORMS: Final[dict[str, Callable[[object, Limits], bool]]] = {
    "name": lambda value, limits: is_name(value, limits.name),
    "uri": lambda value, limits: is_address(value, limits.uri),
    "taskId": lambda value, limits: is_address(value, limits.id),
    "cursor": lambda value, limits: type(value) is str and len(value) <= limits.uri,
    "arguments": lambda value, _: value is None or type(value) is dict,
    "inputResponses": lambda value, _: type(value) is dict,
    "requestState": lambda value, _: type(value) is str,
    "task": lambda value, _: type(value) is dict,
    "protocolVersion": lambda value, limits: is_name(value, limits.name),
    "capabilities": lambda value, _: type(value) is dict,
    "level": lambda value, limits: is_name(value, limits.name),
    "ref": _is_ref,
    "argument": _nested("argument"),
    "context": _nested("context"),
    "notifications": _is_filter,
}
"""The form of each member that the proxy reads, wherever a method has it."""
