"""Which replicas serve from this database, and which policy revision each runs, as the log and its chains tell.

For `Store.read`. A replica that died is told of until another has settled what it left. Must not know who asks.
"""

from __future__ import annotations

import os
import platform
from typing import Any, Final

import orjson
from sqlalchemy import Connection, select

from policylayer.store.tables import chains, equals, is_event, records

ACTIVATED: Final = "policy_activated"
"""The event's type."""

LOOKED: Final = 1000
"""So many of the newest activations are looked through."""


def own_name() -> dict[str, Any]:
    """How this process is told apart, for the event's detail; the same that opens its chain."""
    return {"host": platform.node(), "pid": os.getpid()}


def revisions(connection: Connection) -> dict[str, str | None]:
    """`HOST:PID` of each process that serves, to its revision."""
    serving = select(chains.c.host, chains.c.pid).where(chains.c.program == "serve", chains.c.closed_us.is_(None))
    found: dict[str, str | None] = {f"{host}:{pid}": None for host, pid in connection.execute(serving)}
    newest = (
        select(records.c.detail)
        .where(is_event(), *equals("reason_code", ACTIVATED))
        .order_by(records.c.id.desc())
        .limit(LOOKED)
    )
    for text in connection.scalars(newest):
        if all(found.values()):
            break
        detail = orjson.loads(text)
        name = f"{detail.get('host')}:{detail.get('pid')}"
        if name in found and found[name] is None:
            found[name] = detail.get("revision")
    return found
