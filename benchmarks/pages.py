"""How long the database works for a page of the decision log, by the filters people use.

    python -m benchmarks.pages [--rows 1000000] [--database URL]

Fills a database (a SQLite file, or with `--database` an empty PostgreSQL), reads each page three times and prints the
middle: of PostgreSQL what EXPLAIN ANALYZE tells of all of a page's statements, planning included; of SQLite the time
they take. `over` marks what takes longer than 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event

from benchmarks.filling import PRINCIPALS, SPREAD_US, fill
from policylayer.audit import queries, stats
from policylayer.audit.queries import Filters
from policylayer.keys import Keys

KEYS = Keys([bytes(range(32))])
LIMIT_MS = 50.0
DAY = 86_400_000_000
Read = Callable[[Connection], Any]


def reads(now_us: int) -> dict[str, Read]:
    """What is read, by name. The log covers the thirty days before `now_us`."""

    def page(**filters: Any) -> Read:
        return partial(queries.decisions, filters=Filters(**filters), limit=100)

    middle = queries.first_id(now_us - SPREAD_US // 2)
    return {
        "the newest": page(),
        "the newest, from the middle on": partial(queries.decisions, limit=100, cursor=middle),
        "export, from the middle on": partial(queries.oldest_first, filters=Filters(), limit=500, after=middle),
        "a busy principal": page(principal=PRINCIPALS[0]),
        "a quiet principal": page(principal=PRINCIPALS[55]),
        "nobody": page(principal="agent:nobody"),
        "a server": page(server="web"),
        "a tool": page(target="delete_t"),
        "denied": page(effect="deny"),
        "held": page(effect="require_approval"),
        "not applicable": page(reason_code="not_applicable"),
        "another method": page(method="resources/read"),
        "one day": page(since=now_us - 9 * DAY, until=now_us - 8 * DAY),
        "denied on one day": page(effect="deny", since=now_us - 9 * DAY, until=now_us - 8 * DAY),
        "a quiet principal, denied": page(principal=PRINCIPALS[55], effect="deny"),
        "a busy principal, a tool": page(principal=PRINCIPALS[0], target="delete_t"),
        "a quiet principal, a quiet server": page(principal=PRINCIPALS[55], server="web"),
        "a tool, held": page(target="delete_t", effect="require_approval"),
        "a rule that decides much": page(rule="team-0/rule-0"),
        "a rule that decides little": page(rule="team-2/rule-110"),
        "a rule that decides nothing": page(rule="team-2/rule-999"),
        "a text in many": page(q="delete"),
        "a text in one": page(q="000000000002"),
        "a text in none": page(q="nowhere to be found"),
        "a text in none, a tool": page(q="nowhere to be found", target="delete_t"),
        "events": partial(queries.events, limit=100),
        "counts by effect, one day": partial(stats.counts, by="effect", filters=Filters(since=now_us - DAY)),
        "counts by rule, one day": partial(stats.counts, by="rule", filters=Filters(since=now_us - DAY)),
        "counts by time, one day": partial(stats.series, step_us=DAY // 24, filters=Filters(since=now_us - DAY)),
    }


@contextmanager
def statements(connection: Connection) -> Iterator[list[tuple[str, Any]]]:
    """What is executed meanwhile."""
    seen: list[tuple[str, Any]] = []

    def before(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", before)
    try:
        yield seen
    finally:
        event.remove(connection, "before_cursor_execute", before)


def explained_ms(connection: Connection, read: Read) -> float:
    """What PostgreSQL says that it took."""
    with statements(connection) as seen:
        read(connection)
    taken = 0.0
    for statement, parameters in seen:
        plan = connection.exec_driver_sql(
            f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}", parameters
        ).scalar()
        taken += plan[0]["Execution Time"] + plan[0]["Planning Time"]
    return taken


def taken_ms(connection: Connection, read: Read) -> float:
    """What it took, here."""
    begun = time.perf_counter()
    read(connection)
    return (time.perf_counter() - begun) * 1e3


def measure(connection: Connection, took: Callable[[Connection, Read], float]) -> dict[str, float]:
    """The middle of three, of each."""
    now_us = time.time_ns() // 1000
    found = {name: [took(connection, read) for _ in range(3)] for name, read in reads(now_us).items()}
    return {name: statistics.median(each) for name, each in found.items()}


def sqlite(rows: int, folder: Path) -> dict[str, float]:
    """Of a new file."""
    path = folder / "log.db"
    print(f"SQLite: {rows} rows in {fill(f'sqlite:///{path}', KEYS, rows):.0f} s")
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        found = measure(connection, taken_ms)
    engine.dispose()
    return found


async def postgres(url: str) -> dict[str, float]:
    """Of a filled database, as a reader of ours connects to it."""
    from policylayer.store.backend import reading_engine

    engine = reading_engine(url, 1)
    async with engine.connect() as connection:
        await connection.exec_driver_sql("SET statement_timeout = 0")
        found = await connection.run_sync(measure, explained_ms)
    await engine.dispose()
    return found


def table(columns: dict[str, dict[str, float]]) -> str:
    """As it is printed."""
    lines = [" " * 36 + "".join(f"{name:>14}" for name in columns)]
    for name in next(iter(columns.values())):
        cells = [found[name] for found in columns.values()]
        mark = "  over" if max(cells) > LIMIT_MS else ""
        lines.append(f"{name:36}" + "".join(f"{cell:11.1f} ms" for cell in cells) + mark)
    return "\n".join(lines)


def main() -> None:
    """Fill and read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", help="an empty PostgreSQL database to fill, instead of SQLite and one of its own")
    parser.add_argument("--filled", action="store_true", help="the database is filled already")
    parser.add_argument("--folder", type=Path, help="where there is room for databases")
    given = parser.parse_args()
    columns: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        if given.database is None:
            columns["SQLite"] = sqlite(given.rows, Path(folder))
        elif not given.filled:
            print(f"PostgreSQL: {given.rows} rows in {fill(given.database, KEYS, given.rows):.0f} s")
        if given.database is not None:
            columns["PostgreSQL"] = asyncio.run(postgres(given.database))
        print(table(columns))


if __name__ == "__main__":
    main()
