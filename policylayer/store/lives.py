"""Which replicas of a PostgreSQL database live, as the others see it: whose rows may be settled, and whose may not.

A replica that lives holds two kinds of locks: its own, on the connection that listens and is opened anew whenever it is
lost, and one for each chain, on the connection that writes it. The server lets go of them when a connection ends, so
one restart of it frees all locks of all replicas at once, each of which comes back in a second. So whoever holds none
is taken for dead only after a while; at once where it ran among the processes that we see, and is not there any more.

Must not know what is then done (`audit/left_open.py`), nor how rows are written (`lane.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, select, text

from policylayer.processes import ended
from policylayer.store.backend import lock_number
from policylayer.store.tables import chains

GRACE: Final = 30.0
"""Seconds without any lock after which a replica is dead."""

FREE: Final = text("SELECT pg_try_advisory_xact_lock(:number)")


class Lives:
    """What this replica has seen of the others'."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._free_since: dict[str, float] = {}

    def abandoned(self, connection: Connection, own: tuple[str, ...]) -> tuple[str, ...]:
        """The chains of `serve` that are not closed, and whose replica is dead; none of `own`."""
        query = select(chains.c.id, chains.c.life, chains.c.host, chains.c.pid).where(
            chains.c.program == "serve", chains.c.closed_us.is_(None), chains.c.id.not_in(own)
        )
        now, before = self._monotonic(), self._free_since
        self._free_since = {}
        found = []
        for chain, life, host, pid in connection.execute(query.order_by(chains.c.id)):
            if not _free(connection, chain, life):
                continue
            since = self._free_since[chain] = before.get(chain, now)
            if now - since >= GRACE or ended(life, host, pid):
                found.append(chain)
        return tuple(found)


def claim(connection: Connection, chain: str) -> bool:
    """Whether nobody holds a chain or its replica's life, which is then ours until the transaction ends."""
    life = connection.scalar(select(chains.c.life).where(chains.c.id == chain))
    return life is not None and _free(connection, chain, life)


def _free(connection: Connection, *names: str) -> bool:
    return all(connection.scalar(FREE, {"number": lock_number(name)}) for name in names)
