"""`audit export` and `audit tail`: everything once, in order, also what comes while someone reads."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Iterable
from pathlib import Path

import orjson
import pytest

from policylayer.cli import audit_pages
from policylayer.clock import Clock
from policylayer.keys import Keys
from policylayer.store.rows import Row
from policylayer.store.sqlite import SqliteStore
from policylayer.store.store import Program
from tests.cli.program import Command
from tests.cli.runner import Runner

CLOCK = Clock()


def decided(target: str, effect: str = "allow", age_us: int = 0) -> Row:
    """A decision's row."""
    now = CLOCK.time_us() - age_us
    return Row(id=CLOCK.new_id(), kind="decision", time_us=now, target=target, effect=effect, enforced=effect)


def write(home: Path, rows: Iterable[Row]) -> None:
    """Write them beside whoever reads."""

    async def go() -> None:
        keys = Keys.load((home / "policylayer.key",), None, create=True)
        store = SqliteStore(home / "policylayer.db", keys, CLOCK, Program("policylayer test"))
        await store.start()
        await store.append(tuple(rows))
        await store.close()

    asyncio.run(go())


def test_everything_is_exported_once_in_order(run: Runner, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_pages, "PAGE", 7)
    rows = [decided(f"get_{number}", "deny" if number % 5 else "allow") for number in range(30)]
    write(home, rows)
    assert [each["id"] for each in run("audit", "export").lines] == [row.id for row in rows]
    denied = [each["target"] for each in run("audit", "export", "--effect", "deny").lines]
    assert denied == [row.target for row in rows if row.effect == "deny"]
    table = list(csv.DictReader(io.StringIO(run("audit", "export", "--format", "csv").out)))
    assert [each["target"] for each in table] == [row.target for row in rows]
    assert [each["id"] for each in run("audit", "query", "--json", "--limit", "10").lines] == [
        row.id for row in rows[:-11:-1]
    ]


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_an_export_that_follows_gives_what_is_there_and_what_comes(run: Runner, home: Path, format: str) -> None:
    before = [decided("before-1"), decided("before-2", "deny")]
    write(home, before)
    with Command("audit", "export", "--follow", "--format", format, cwd=home) as export:
        export.line("before-2")
        write(home, [decided("after-1")])
        export.line("after-1")
        write(home, [decided("after-2"), decided("after-3")])
        export.line("after-3")
        # The command has nothing more to say, and ends as any other that is interrupted.
        export.interrupt()
        assert export.process.wait(20) == 130
        assert "Traceback" not in export.output()
        if format == "jsonl":
            told = [orjson.loads(line)["target"] for line in export.lines]
        else:
            told = [row["target"] for row in csv.DictReader(export.lines)]
    assert told == ["before-1", "before-2", "after-1", "after-2", "after-3"]


def test_tail_begins_now(run: Runner, home: Path) -> None:
    write(home, [decided("old", age_us=3_600_000_000)])
    with Command("audit", "tail", "--json", "--since", "10m", cwd=home) as tail:
        write(home, [decided("new")])
        assert "new" in tail.line("new")
        assert "old" not in tail.output()


def test_what_has_no_end_has_no_format_that_needs_one(run: Runner) -> None:
    for more in (["--format", "parquet", "-o", "x"], ["--until", "1h"]):
        done = run("audit", "export", "--follow", *more)
        assert (done.code, "`--follow` has no end" in done.err) == (2, True)
