"""Pure: from a message to what policy judges, in both directions.

Must not know who calls, nor what a task belongs to: a call on `tasks/*` has the task's id as its target, and whoever
keeps tasks puts the call in its place that the task came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from policylayer.core.call import Call, Json
from policylayer.core.canonical import digest
from policylayer.wire.message import Message
from policylayer.wire.methods import target_of

_OWN_ARGUMENTS: Final = frozenset({"tools/call", "prompts/get"})
_NOT_DIGESTED: Final = frozenset({"_meta", "requestState"})
_NOT_ARGUMENTS: Final = frozenset({"_meta", "requestState", "inputResponses"})


def call_of(message: Message, server: str) -> Call:
    """The call of a judged request to `server`. Of `subscriptions/listen`, the first of `calls_of`."""
    return calls_of(message, server)[0]


def calls_of(message: Message, server: str) -> tuple[Call, ...]:
    """The calls that a judged request stands for, each to be judged; the request is as good as the worst.

    One, but for `subscriptions/listen`: one for each resource it names, in their order.
    """
    if message.method is None:
        raise ValueError("a response is not a call")
    call = _call(server, message.method, message.params, message.protocol, message.plain)
    if message.method != "subscriptions/listen" or message.treatment != "judged":
        return (call,)
    wanted = message.params["notifications"].get("resourceSubscriptions", ())
    return tuple(replace(call, target=uri) for uri in dict.fromkeys(wanted)) or (call,)


def call_of_server_request(method: str, params: Mapping[str, Any] | None, server: str, protocol: str) -> Call:
    """The call of what a server asks the client: `sampling/createMessage`, `elicitation/create`, `roots/list`.

    Also of one entry of a modern result's `inputRequests`.
    """
    return _call(server, method, params or {}, protocol)


def _call(server: str, method: str, params: Mapping[str, Any], protocol: str, plain: bool = False) -> Call:
    digested = {name: value for name, value in params.items() if name not in _NOT_DIGESTED}
    if method in _OWN_ARGUMENTS:
        # Absent, null and empty arguments are the same call.
        arguments: dict[str, Json] = params.get("arguments") or {}
        digested["arguments"] = arguments
    else:
        arguments = {name: value for name, value in params.items() if name not in _NOT_ARGUMENTS}
    whole = digest({"method": method, "params": digested}, plain)
    responses = digested.pop("inputResponses", None)
    return Call(
        server=server,
        method=method,
        target=target_of(method, params),
        arguments=arguments,
        digest=whole,
        asked_digest=whole if responses is None else digest({"method": method, "params": digested}, plain),
        protocol=protocol,
        input=responses if type(responses) is dict else {},
    )
