"""Decision logs of any size, made quickly: decisions and their outcomes as traffic would leave them, in a good chain.

    python -m benchmarks.filling DATABASE --rows 1000000 [--key FILE]

For measuring and testing what reads a log (`readers.py`, `pages.py`). Goes past the store, which would make each batch
durable; must not be used on a log that anyone needs.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

from policylayer.clock import Clock, uuid7
from policylayer.keys import Keys
from policylayer.store import schema
from policylayer.store.opening import check_key, open_chain
from policylayer.store.rows import COLUMNS, Place, Row
from policylayer.store.session import create_file
from policylayer.store.store import Program

BATCH = 10_000
PRINCIPALS = [f"agent:team-{number % 7}-{number}" for number in range(60)]
SERVERS = ["shop", "files", "search", "warehouse", "mail", "git", "calendar", "web"]
TARGETS = [
    f"{verb}_{noun}" for verb in ("get", "list", "create", "update", "delete") for noun in "abcdefghijklmnopqrst"
]
RULES = [
    f'[{{"policy":"team-{number % 9}","rule":"rule-{number}","file":"team-{number % 9}.yaml","line":{number}}}]'
    for number in range(120)
]
REVISION = "sha256:" + "5e" * 32
SPREAD_US = 30 * 86_400_000_000
"""How far back the oldest row is, however many there are."""


class Then(Clock):
    """The clock as it was when the log began, for its opening."""

    def time_us(self) -> int:
        return super().time_us() - SPREAD_US - 1_000_000

    def new_id(self) -> str:
        return uuid7(self.time_us() * 4, f"{random.getrandbits(62):016x}")


def rows(count: int, until_us: int, seed: int = 7) -> Iterator[Row]:
    """So many rows, oldest first."""
    rng = random.Random(seed)
    step = SPREAD_US // max(count, 1)
    for number in range(0, count, 2):
        at = until_us - SPREAD_US + number * step
        yield from _pair(number, at, rng)


def _pair(number: int, at: int, rng: random.Random) -> Iterator[Row]:
    row_id = uuid7(at * 4, f"{number:016x}")
    denied, held = rng.random() < 0.05, rng.random() < 0.01
    effect = "deny" if denied else "require_approval" if held else "allow"
    yield Row(
        id=row_id,
        kind="decision",
        time_us=at,
        principal=PRINCIPALS[min(int(rng.expovariate(0.12)), 59)],
        grant_id="0198c0de-0000-7000-8000-000000000001",
        server=SERVERS[min(int(rng.expovariate(0.6)), 7)],
        method="tools/call" if rng.random() < 0.97 else "resources/read",
        target=TARGETS[rng.randrange(len(TARGETS))],
        effect=effect,
        enforced=effect,
        reason_code="rule" if rng.random() < 0.98 else "not_applicable",
        reason="rule allows it" if effect == "allow" else "refunds over 500 need a person",
        rules=RULES[min(int(rng.expovariate(0.05)), 119)],
        revision=REVISION,
        arguments=f'{{"order":"{number:012}","amount":{rng.randrange(90_000)},"note":"{"customer asked " * 8}"}}',
        arguments_mode="redacted",
        digest=f"{rng.getrandbits(256):064x}",
        protocol="2025-11-25",
        client="an agent 1.0",
        ip="10.1.2.3",
        decide_us=rng.randrange(50, 400),
    )
    yield Row(
        id=uuid7(at * 4 + 2, f"{number + 1:016x}"),
        kind="outcome",
        time_us=at + 1500,
        parent=row_id,
        state="never_sent" if effect != "allow" else "executed",
        record_us=900,
        upstream_us=rng.randrange(500, 90_000),
        size=800,
        is_error=0,
        result_digest=f"{rng.getrandbits(256):064x}",
    )


def sealed(place: Place, count: int, until_us: int) -> Iterator[list[tuple[Any, ...]]]:
    """The same as they are stored, in batches."""
    made = (place.seal(row) for row in rows(count, until_us))
    while batch := list(islice(made, BATCH)):
        yield batch


def fill_sqlite(path: Path, keys: Keys, count: int) -> None:
    """A new file with so many rows in one chain."""
    create_file(path)
    clock, raw = Clock(), sqlite3.connect(path, isolation_level=None)
    engine = create_engine("sqlite://", creator=lambda: raw)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA synchronous = OFF")
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        schema.prepare(connection)
        check_key(connection, keys)
        place, event = open_chain(connection, keys, Then(), Program("filling"))
        statement = f"INSERT INTO records ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
        raw.execute(statement, place.seal(event))
        for batch in sealed(place, count, clock.time_us()):
            raw.executemany(statement, batch)
        connection.exec_driver_sql("COMMIT")
    engine.dispose()
    raw.close()


async def fill_postgres(url: str, keys: Keys, count: int) -> None:
    """A new database with so many rows in one chain."""
    from policylayer.store.backend import writing_engine
    from policylayer.store.partitions import ensure

    clock, engine = Clock(), writing_engine(url)
    async with engine.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        await raw.execute("SET statement_timeout = 0; SET synchronous_commit = off")
        await raw.execute("BEGIN")

        def begin(sync: Any) -> tuple[Place, Row]:
            schema.prepare(sync)
            check_key(sync, keys)
            ensure(sync, clock.time_us() - SPREAD_US)
            return open_chain(sync, keys, Then(), Program("filling"))

        place, event = await connection.run_sync(begin)
        await raw.copy_records_to_table("records", records=[place.seal(event)], columns=COLUMNS)
        for batch in sealed(place, count, clock.time_us()):
            await raw.copy_records_to_table("records", records=batch, columns=COLUMNS)
        await raw.execute("COMMIT")
        await raw.execute("VACUUM ANALYZE records")
    await engine.dispose()


def fill(url: str, keys: Keys, count: int) -> float:
    """Fill the empty database at `url`; how long it took."""
    begun = time.monotonic()
    if url.startswith("sqlite:"):
        fill_sqlite(Path(url.removeprefix("sqlite:///")), keys, count)
    else:
        asyncio.run(fill_postgres(url, keys, count))
    return time.monotonic() - begun


def main() -> None:
    """Fill one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--key", type=Path, default=Path("policylayer.key"))
    given = parser.parse_args()
    keys = Keys.load((given.key,), None, create=True)
    print(f"{given.rows} rows in {fill(given.database, keys, given.rows):.1f} s")


if __name__ == "__main__":
    main()
