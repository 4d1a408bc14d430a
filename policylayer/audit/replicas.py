"""Which replicas serve from this database, and which policy revision each runs, as the log and its chains tell.

For `Store.read`. A replica that died is told of until another has settled what it left. A pruning may take the event
that tells of one that runs on; it then tells the same anew (`retold`). Must not know who asks.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Mapping
from typing import Any, Final

import orjson
from sqlalchemy import Connection, select

from policylayer.core.immutable import immutable
from policylayer.processes import ended
from policylayer.store.tables import chains, equals, is_event, records

ACTIVATED: Final = "policy_activated"
STILL_ACTIVE: Final = "policy_still_active"
"""The events' types; the second is a pruning's, and says what the first one said."""

LOOKED: Final = 1000
"""So many of the newest activations are looked through."""


@immutable
class Activation:
    """What a process last said of its policies; `chain` and `seq` are where. `detail` is as the event has it."""

    id: str
    chain: str
    seq: int
    since_us: int
    detail: Mapping[str, Any]


def own_name() -> dict[str, Any]:
    """How this process is told apart, for the event's detail; the same that opens its chain."""
    return {"host": platform.node(), "pid": os.getpid()}


def serving(connection: Connection) -> list[str]:
    """`HOST:PID` of each process that serves, but those that are known to have ended."""
    found = connection.execute(_serving().add_columns(chains.c.life))
    return [f"{host}:{pid}" for host, pid, life in found if not ended(life, host, pid)]


def revisions(connection: Connection) -> dict[str, str | None]:
    """`HOST:PID` of each process that serves, to its revision."""
    names = _names(connection)
    activations = newest(connection, names)
    return {name: activations[name].detail.get("revision") if name in activations else None for name in names}


def newest(connection: Connection, names: Collection[str]) -> dict[str, Activation]:
    """What each of these processes last said, by its name; nothing of one that said nothing."""
    columns = (records.c.id, records.c.chain, records.c.seq, records.c.time_us, records.c.detail)
    query = select(*columns).where(is_event(), *equals("reason_code", ACTIVATED, STILL_ACTIVE))
    found: dict[str, Activation] = {}
    for row in connection.execute(query.order_by(records.c.id.desc()).limit(LOOKED)):
        if len(found) == len(set(names)):
            break
        detail = orjson.loads(row.detail)
        name = f"{detail.get('host')}:{detail.get('pid')}"
        if name in names and name not in found:
            since_us = detail.get("since_us", row.time_us)
            found[name] = Activation(row.id, row.chain, row.seq, since_us, detail)
    return found


def retold(connection: Connection, cuts: Mapping[str, tuple[int, str]]) -> list[dict[str, Any]]:
    """The details of what is to be told anew where these chains lose their rows up to those numbers.

    Of a process that runs for longer than rows are kept, nothing would say any more what it runs.
    """
    said = newest(connection, _names(connection)).values()
    gone = [each for each in said if each.chain in cuts and each.seq <= cuts[each.chain][0]]
    return [{**each.detail, "since_us": each.since_us} for each in gone]


def _names(connection: Connection) -> set[str]:
    return {f"{host}:{pid}" for host, pid in connection.execute(_serving())}


def _serving() -> Any:
    return select(chains.c.host, chains.c.pid).where(chains.c.program == "serve", chains.c.closed_us.is_(None))
