"""Pure: what agents send - bytes and headers to one `Message`, or why they are refused.

The ladder, first failure wins: strict JSON, envelope, `_meta`, agreement of the era, the method's params, routing
headers. It ends in a message whose `raw` bytes may be forwarded as they are: they say nothing but what was judged.

Must not know who sends (`identity/`), what policy says, or whether a session waits for a response.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from policylayer.core import strict_json
from policylayer.core.immutable import immutable
from policylayer.wire import era, methods, params
from policylayer.wire.envelope import Envelope, open_envelope
from policylayer.wire.fields import Headers
from policylayer.wire.limits import DEFAULT, Limits
from policylayer.wire.methods import Entry, Era, Kind, Treatment
from policylayer.wire.mirrors import check_routing
from policylayer.wire.rejection import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, Id, Rejection

_NOTHING: Final[Mapping[str, Any]] = {}


@immutable
class Message:
    """One message of an agent, as sent in `raw`.

    `protocol` is the revision it speaks. `params`, `meta` are `{}` where there are none. `target` is what it asks for,
    where its method has one. `progress_token` is an id by which progress may be told. `client_capabilities` and
    `client` (a name that nobody vouches for) are known of modern requests and of `initialize`. Responses have no method
    but a `result` or an `error`. `plain` says that it surely holds no number but short integers.
    """

    kind: Kind
    era: Era
    protocol: str
    id: Id | None
    method: str | None
    params: Mapping[str, Any]
    meta: Mapping[str, Any]
    raw: bytes
    treatment: Treatment
    target: str | None = None
    progress_token: Id | None = None
    client_capabilities: Mapping[str, Any] | None = None
    client: str | None = None
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    plain: bool = False

    @property
    def arguments(self) -> Mapping[str, Any]:
        """`params.arguments`; absent and null are no arguments."""
        arguments = self.params.get("arguments")
        return arguments if type(arguments) is dict else _NOTHING


def decode(body: bytes, headers: Headers, limits: Limits = DEFAULT) -> Message | Rejection:
    """The message of a POST's body and headers, or why it is refused."""
    plain = strict_json.is_plain(body, limits.depth)
    value = strict_json.parse(body, limits, plain)
    if isinstance(value, strict_json.Fault):
        return _unreadable(value)
    envelope = open_envelope(value, limits)
    if isinstance(envelope, Rejection):
        return envelope
    fault = params.check_meta(envelope.params, len(body), limits)
    if fault is not None:
        return Rejection(400, INVALID_PARAMS, *fault, envelope.id)
    meta = envelope.params.get("_meta", _NOTHING)
    protocol = era.agree(headers, meta, envelope.kind, envelope.id)
    if isinstance(protocol, Rejection):
        return protocol
    refused = _out_of_place(envelope, protocol)
    if refused is not None:
        return refused
    entry = methods.entry(protocol, envelope.method or "", envelope.kind)
    if entry is not None:
        fault = params.check_members(entry, envelope.params, limits)
        if fault is not None:
            return Rejection(400, INVALID_PARAMS, *fault, envelope.id)
    message = _message(envelope, protocol, entry, meta, body, plain)
    return check_routing(message, headers) or message


def _unreadable(fault: strict_json.Fault) -> Rejection:
    if fault is strict_json.SIZE:
        return Rejection(413, INVALID_REQUEST, fault.reason, fault.message)
    return Rejection(400, PARSE_ERROR if fault.parse else INVALID_REQUEST, fault.reason, fault.message)


def _out_of_place(envelope: Envelope, protocol: str) -> Rejection | None:
    """Refuse messages that their kind or era has no room for."""
    if envelope.kind == "response" and protocol == methods.MODERN:
        return Rejection(400, INVALID_REQUEST, "response", "responses are not sent at this revision", envelope.id)
    if envelope.kind == "notification" and methods.is_request(envelope.method or ""):
        return Rejection(400, INVALID_REQUEST, "notification", "a request must have an id")
    return None


def _message(
    envelope: Envelope, protocol: str, entry: Entry | None, meta: Mapping[str, Any], raw: bytes, plain: bool
) -> Message:
    method = envelope.method
    if method == "initialize":
        capabilities, info = envelope.params.get("capabilities"), envelope.params.get("clientInfo")
    else:
        capabilities, info = meta.get(era.CAPABILITIES), meta.get(era.CLIENT)
    name = info.get("name") if type(info) is dict else None
    if envelope.kind == "response":
        treatment: Treatment = "passed"
    else:
        treatment = "denied" if entry is None else entry.treatment
    return Message(
        kind=envelope.kind,
        era=methods.era_of(protocol),
        protocol=protocol,
        id=envelope.id,
        method=method,
        params=envelope.params,
        meta=meta,
        raw=raw,
        treatment=treatment,
        target=None if method is None else methods.target_of(method, envelope.params),
        progress_token=meta.get("progressToken"),
        client_capabilities=capabilities if type(capabilities) is dict else None,
        client=name[:128] if type(name) is str else None,
        result=envelope.result,
        error=envelope.error,
        plain=plain,
    )
