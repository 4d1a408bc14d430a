"""Who may speak at all: everything about a request that is checked before its body is read.

In this order: Host and Origin, the HTTP method, the encodings, exactly one credential, whose it is, and whether that
opens this server. Each refusal is recorded and says nothing about what exists. Must not know messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from policylayer.core.call import Caller
from policylayer.core.errors import AuditUnavailable
from policylayer.core.immutable import immutable
from policylayer.identity.authenticator import opens
from policylayer.proxy.client_ip import client_ip
from policylayer.proxy.downstream import Downstream
from policylayer.proxy.ports import Deps
from policylayer.proxy.visit import Visit
from policylayer.wire import replies
from policylayer.wire.fields import Headers
from policylayer.wire.rejection import INVALID_REQUEST
from policylayer.wire.replies import Reply

ALLOWED: Final = "GET, POST, DELETE"
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_QUALITY: Final = re.compile(r";\s*q=0(\.0{0,3})?\s*(;|$)")


@immutable
class Refused:
    """A request that goes no further: what it is told, and why, for the record."""

    reply: Reply
    reason: str


def refused(status: int, reason: str, text: str, *headers: tuple[str, str]) -> Refused:
    """A refusal with a JSON-RPC error that answers to no id."""
    reply = replies.error(None, INVALID_REQUEST, text, status=status)
    return Refused(Reply(reply.status, (*reply.headers, *headers), reply.body), reason)


NOT_FOUND: Final = refused(404, "server", "Not found")


async def admit(deps: Deps, scope: Mapping[str, Any], down: Downstream, server: str) -> Visit | None:
    """The visit of a request that may speak to `server`; None where it was refused, and told so."""
    headers = Headers.of(scope["headers"])
    peer = scope.get("client")
    ip = client_ip(peer[0] if peer else None, headers.get_all("x-forwarded-for"), deps.behind_proxy)
    fault = _unfit(deps, scope["method"], headers)
    caller: Caller | None = None
    authorization = _authorization(scope)
    if fault is None:
        try:
            caller = await deps.authenticator.agent(authorization, ip)
        except AuditUnavailable as error:
            await down.reply(replies.unavailable(None, error.code))
            return None
        fault = _unknown(deps, caller, server)
    if fault is not None or caller is None:
        await refuse(deps, down, fault or NOT_FOUND, ip=ip, caller=caller, server=server)
        return None
    upstream = deps.upstreams.get(server)
    assert upstream is not None
    streams = accepts(headers, "text/event-stream")
    return Visit(deps, caller, deps.servers[server], upstream, headers, down, authorization, ip, streams=streams)


async def refuse(
    deps: Deps,
    down: Downstream,
    refused: Refused,
    *,
    ip: str | None = None,
    caller: Caller | None = None,
    server: str | None = None,
    body_sha256: bytes | None = None,
    length: int = 0,
) -> None:
    """Record a refusal, and tell it."""
    deps.metrics.count("refused", reason=refused.reason)
    known = server if server in deps.servers else None
    await deps.recorder.rejected(refused.reason, body_sha256, length, caller, ip, known)
    await down.reply(refused.reply)


# --- the ladder -------------------------------------------------------------------------------------------------------


def _unfit(deps: Deps, method: str, headers: Headers) -> Refused | None:
    return (
        _foreign(deps, headers)
        or _method(method)
        or (_encodings(headers) if method == "POST" else _stream_only(method, headers))
        or _credentials(headers)
    )


def _foreign(deps: Deps, headers: Headers) -> Refused | None:
    host = headers.get("host")
    if headers.repeated("host") or not deps.hosts.host_allowed(host):
        return refused(421, "host", "Misdirected request")
    origin = headers.get("origin")
    if origin is not None and (headers.repeated("origin") or not deps.hosts.origin_allowed(origin, host)):
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


def _authorization(scope: Mapping[str, Any]) -> bytes | None:
    return next((value.strip() for name, value in scope["headers"] if name == b"authorization"), None)


def _unknown(deps: Deps, caller: Caller | None, server: str) -> Refused | None:
    if caller is None:
        named = server if _NAME.fullmatch(server) else ""
        return Refused(replies.unauthenticated(deps.metadata_url(named)), "unauthenticated")
    known = server in deps.servers and deps.upstreams.get(server) is not None
    return None if known and opens(caller, server) else NOT_FOUND
