"""What a request's head alone says: whether it is fit to be looked at, which credential it shows, what travels on.

A pure function of the head and the configuration, so it is worked out once for the heads that the HTTP server remembers
(`serve/head.py`). In this order: Host and Origin, the HTTP method, the encodings, exactly one credential. Must not know
whose the credential is (`admission.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from policylayer.core.immutable import immutable
from policylayer.proxy.hosts import Hosts
from policylayer.wire import replies
from policylayer.wire.fields import Headers
from policylayer.wire.rejection import INVALID_REQUEST
from policylayer.wire.replies import Reply

ALLOWED: Final = "GET, POST, DELETE"
HEAD: Final = "policylayer.head"
"""The key under which a scope holds a head that is remembered; other servers' scopes hold none."""

_QUALITY: Final = re.compile(r";\s*q=0(\.0{0,3})?\s*(;|$)")


@immutable
class Refused:
    """A request that goes no further: what it is told, and why, for the record."""

    reply: Reply
    reason: str


@immutable
class Fitness:
    """What was found. `fault` is why the request goes no further; `streams`: its sender reads streams of events.

    Of a head that is remembered, `headers` are without the length of the body.
    """

    headers: Headers
    fault: Refused | None
    authorization: bytes | None
    streams: bool
    forwarded: tuple[str, ...]


def declared_length(scope: Mapping[str, Any]) -> str | None:
    """What a request says of the length of its body; the HTTP server puts it last."""
    for name, value in reversed(scope["headers"]):
        if name == b"content-length":
            length: bytes = value
            return length.decode("latin-1").strip()
    return None


def refused(status: int, reason: str, text: str, *headers: tuple[str, str]) -> Refused:
    """A refusal with a JSON-RPC error that answers to no id."""
    reply = replies.error(None, INVALID_REQUEST, text, status=status)
    return Refused(Reply(reply.status, (*reply.headers, *headers), reply.body), reason)


def fitness_of(hosts: Hosts, scope: Mapping[str, Any]) -> Fitness:
    """What the head of a scope says."""
    head = scope.get(HEAD)
    if head is not None and head.found is not None:
        found: Fitness = head.found
        return found
    fields: Iterable[tuple[bytes, bytes]] = scope["headers"] if head is None else head.fields
    headers = Headers.of(fields)
    made = Fitness(
        headers,
        _fault(hosts, scope["method"], headers),
        next((value.strip() for name, value in fields if name == b"authorization"), None),
        accepts(headers, "text/event-stream"),
        headers.get_all("x-forwarded-for"),
    )
    if head is not None:
        head.found = made
    return made


# --- the ladder -------------------------------------------------------------------------------------------------------


def _fault(hosts: Hosts, method: str, headers: Headers) -> Refused | None:
    return (
        _foreign(hosts, headers)
        or _method(method)
        or (_encodings(headers) if method == "POST" else _stream_only(method, headers))
        or _credentials(headers)
    )


def _foreign(hosts: Hosts, headers: Headers) -> Refused | None:
    host = headers.get("host")
    if headers.repeated("host") or not hosts.host_allowed(host):
        return refused(421, "host", "Misdirected request")
    origin = headers.get("origin")
    if origin is not None and (headers.repeated("origin") or not hosts.origin_allowed(origin, host)):
        return refused(403, "origin", "Origin not allowed")
    return None


def _method(method: str) -> Refused | None:
    if method in ("POST", "GET", "DELETE"):
        return None
    return refused(405, "method", "Method not allowed", ("Allow", ALLOWED))


def _encodings(headers: Headers) -> Refused | None:
    for encoding in headers.get_all("content-encoding"):
        if encoding.lower() != "identity":
            return refused(415, "content_encoding", "Content-Encoding is not supported")
    kind = headers.get("content-type") or ""
    if headers.repeated("content-type") or kind.partition(";")[0].strip().lower() != "application/json":
        return refused(415, "content_type", "Content-Type must be application/json")
    if not accepts(headers, "application/json"):
        return refused(406, "accept", "Accept must admit application/json")
    return None


def _stream_only(method: str, headers: Headers) -> Refused | None:
    if method == "GET" and not accepts(headers, "text/event-stream"):
        return refused(406, "accept", "Accept must admit text/event-stream")
    return None


def accepts(headers: Headers, kind: str) -> bool:
    """Whether the sender takes this media type. No Accept at all takes anything; `q=0` takes nothing."""
    return "accept" not in headers or _accept(headers.get_all("accept"), kind)


@lru_cache(maxsize=64)
def _accept(values: tuple[str, ...], kind: str) -> bool:
    wanted = {"*/*", f"{kind.partition('/')[0]}/*", kind}
    ranges = [part.strip().lower() for value in values for part in value.split(",")]
    return any(part.partition(";")[0].strip() in wanted and not _QUALITY.search(part) for part in ranges)


def _credentials(headers: Headers) -> Refused | None:
    shown = headers.get_all("authorization")
    if len(shown) > 1 or any("," in value for value in shown):
        return refused(400, "credentials", "exactly one credential is needed")
    return None
