"""How late it is for all processes that share the counters: each notes its time, and takes over a later one.

Only a help where clocks differ; within one process `steady.py` suffices. Must not know counters.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, select, update

from policylayer.store.once import insert_new
from policylayer.store.tables import meta

NAME: Final = "limits.now_us"


def seen(conn: Connection) -> int:
    """The latest time that was noted."""
    return int(conn.scalar(select(meta.c.value).where(meta.c.name == NAME)) or 0)


def note(conn: Connection, now_us: int) -> int:
    """Note this time, unless a later one stands; the later of them."""
    if conn.execute(insert_new(conn, meta).values(name=NAME, value=str(now_us))).rowcount:
        return now_us
    latest = int(conn.scalar(select(meta.c.value).where(meta.c.name == NAME).with_for_update()) or 0)
    if now_us > latest:
        conn.execute(update(meta).where(meta.c.name == NAME).values(value=str(now_us)))
    return max(latest, now_us)
