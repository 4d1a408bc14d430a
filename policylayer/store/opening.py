"""What a writer does before its first row: see that the key is the database's, and open its chain.

A chain opens with an event that carries the heads of all chains it can see, but those that an earlier opening already
carried as they are: so a chain cut short or missing whole is found by what others say of it. Functions over a
SQLAlchemy connection, for both databases. How a link is made is in `core/chain.py`.
"""

from __future__ import annotations

import os
import platform
from typing import Any, Final

import orjson
from sqlalchemy import Connection, insert, select, text, update

from policylayer.clock import Clock
from policylayer.core.errors import ConfigError
from policylayer.keys import Keys
from policylayer.store.rows import Place, Row, event_row
from policylayer.store.store import Program
from policylayer.store.tables import chains, equals, meta, records

OPENED: Final = "chain.opened"
"""The event's type."""

ANY: Final = "hop.chain IS NOT NULL"

# Distinct chains by hopping from one to the next in the index, not by reading all of it.
_HOPS: Final = (
    "WITH RECURSIVE hop(chain) AS ("
    " SELECT min(chain) FROM records"
    " UNION ALL SELECT (SELECT min(chain) FROM records WHERE records.chain > hop.chain) FROM hop"
    " WHERE {wanted})"
)
_HEADS: Final = _HOPS + (
    " SELECT records.chain, records.seq, records.link FROM hop JOIN records ON records.chain = hop.chain"
    " AND records.seq = (SELECT max(seq) FROM records WHERE records.chain = hop.chain)"
    " WHERE {wanted}"
)
CHAINS: Final = text((_HOPS + " SELECT chain FROM hop WHERE {wanted} ORDER BY chain").format(wanted=ANY))
HEADS: Final = text(_HEADS.format(wanted=ANY))
HEADS_UPTO: Final = text(_HEADS.format(wanted="hop.chain <= :upto"))


def check_key(connection: Connection, keys: Keys) -> None:
    """Remember the key in a fresh database; refuse one that was begun with a key we do not hold."""
    known = connection.scalar(select(meta.c.value).where(meta.c.name == "key"))
    if known is None:
        connection.execute(insert(meta).values(name="key", value=keys.fingerprint))
    elif not keys.knows(known):
        raise ConfigError(
            "the key is not the one this database was begun with",
            "restore the key file, or list the old key after the new one",
        )
    elif known != keys.fingerprint:
        connection.execute(update(meta).where(meta.c.name == "key").values(value=keys.fingerprint))


def heads(connection: Connection, upto: str | None = None) -> dict[str, tuple[int, str]]:
    """The last row of every chain, or of those up to an id: its number and link. A damaged one tells nothing: what was
    told of its chain before stands, and `audit verify` names it."""
    found = connection.execute(HEADS) if upto is None else connection.execute(HEADS_UPTO, {"upto": upto})
    return {
        chain: (seq, link.hex())
        for chain, seq, link in found
        if type(chain) is str and type(seq) is int and type(link) is bytes
    }


def present_chains(connection: Connection) -> list[Any]:
    """Every chain that has rows, in order: its id as it is stored, whatever that is."""
    return list(connection.scalars(CHAINS))


def open_chain(connection: Connection, keys: Keys, clock: Clock, program: Program) -> tuple[Place, Row]:
    """A new chain: where its writer stands, and the event that is its first row."""
    place = Place(clock.new_id(), keys.chain, keys.fingerprint)
    now = clock.time_us()
    host, pid = platform.node(), os.getpid()
    connection.execute(
        insert(chains).values(
            id=place.chain,
            program=program.name,
            version=program.version,
            host=host,
            pid=pid,
            life=program.life,
            opened_us=now,
        )
    )
    told = _told(connection)
    detail = {
        "program": program.name,
        "version": program.version,
        "host": host,
        "pid": pid,
        "heads": {chain: head for chain, head in heads(connection).items() if told.get(chain) != head},
    }
    event = event_row(clock.new_id(), now, OPENED, None, detail)
    return place, event


def unclosed(connection: Connection, own: tuple[str, ...]) -> tuple[str, ...]:
    """The chains of `serve` processes that are not closed, but our own."""
    query = select(chains.c.id).where(chains.c.program == "serve", chains.c.closed_us.is_(None))
    return tuple(connection.scalars(query.where(chains.c.id.not_in(own)).order_by(chains.c.id)))


def _told(connection: Connection) -> dict[str, tuple[int, str]]:
    """The heads that earlier openings carry, the latest of each chain."""
    told: dict[str, tuple[int, str]] = {}
    query = select(records.c.detail).where(*equals("reason_code", OPENED)).order_by(records.c.id)
    for (detail,) in connection.execute(query):
        try:
            told |= {chain: (seq, link) for chain, (seq, link) in orjson.loads(detail)["heads"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # Its row was changed, which `audit verify` finds; nobody is kept from writing by it.
    return told
