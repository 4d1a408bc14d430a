"""Who may speak at all: everything about a request that is checked before its body is read.

First what its head alone says (`fitness.py`), then whose its credential is, and whether that opens this server. Each
refusal is recorded and says nothing about what exists. Must not know messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from policylayer.core.call import Caller
from policylayer.core.errors import AuditUnavailable
from policylayer.identity.authenticator import opens
from policylayer.proxy.client_ip import client_ip
from policylayer.proxy.downstream import Downstream
from policylayer.proxy.fitness import Refused, declared_length, fitness_of, refused
from policylayer.proxy.ports import Deps
from policylayer.proxy.visit import Visit
from policylayer.wire import replies

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
NOT_FOUND: Final = refused(404, "server", "Not found")


async def admit(deps: Deps, scope: Mapping[str, Any], down: Downstream, server: str) -> Visit | None:
    """The visit of a request that may speak to `server`; None where it was refused, and told so."""
    fit = fitness_of(deps.hosts, scope)
    peer = scope.get("client")
    ip = client_ip(peer[0] if peer else None, fit.forwarded, deps.behind_proxy)
    fault, caller = fit.fault, None
    asked_at = deps.clock.monotonic()
    if fault is None:
        try:
            caller = await deps.authenticator.agent(fit.authorization, ip)
            if deps.current.stale:
                await deps.current.refresh()
        except AuditUnavailable as error:
            await down.reply(replies.unavailable(None, error.code))
            return None
        fault = _unknown(deps, caller, server)
    if fault is not None or caller is None:
        await refuse(deps, down, fault or NOT_FOUND, ip=ip, caller=caller, server=server)
        return None
    upstream = deps.upstreams.get(server)
    assert upstream is not None
    length = declared_length(scope)
    facts = deps.servers[server]
    visit = Visit(deps, caller, facts, upstream, fit.headers, down, fit.authorization, ip, length, fit.streams)
    visit.asked_at = asked_at
    down.streams = fit.streams
    return visit


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
    deps.metrics.count("refused", refused.reason)
    known = server if server in deps.servers else None
    await deps.recorder.rejected(refused.reason, body_sha256, length, caller, ip, known)
    await down.reply(refused.reply)


def unauthenticated(deps: Deps, server: str) -> Refused:
    """What all are told whose credential is nobody's, whatever server they name."""
    named = server if _NAME.fullmatch(server) else ""
    return Refused(replies.unauthenticated(deps.metadata_url(named)), "unauthenticated")


def _unknown(deps: Deps, caller: Caller | None, server: str) -> Refused | None:
    if caller is None:
        return unauthenticated(deps, server)
    known = server in deps.servers and deps.upstreams.get(server) is not None
    return None if known and opens(caller, server) else NOT_FOUND
