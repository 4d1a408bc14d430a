"""`audit export` and `audit tail`: everything once, in order, also what comes while someone reads."""

from __future__ import annotations

import asyncio
import csv
import io
import sqlite3
from collections.abc import Iterable
from contextlib import closing, redirect_stdout
from pathlib import Path
from types import NoneType

import orjson
import pytest

from policylayer.audit.verify import Problem, Report
from policylayer.cli import audit_pages
from policylayer.cli.audit_keeping import _tell
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
    write(home, [decided("before", age_us=3_600_000_000)])
    with Command("audit", "tail", "--json", "--since", "10m", cwd=home) as tail:
        write(home, [decided("new")])
        assert "new" in tail.line("new")
        assert "before" not in tail.output()


def test_what_has_no_end_has_no_format_that_needs_one(run: Runner) -> None:
    for more in (["--format", "parquet", "-o", "x"], ["--until", "1h"]):
        done = run("audit", "export", "--follow", *more)
        assert (done.code, "`--follow` has no end" in done.err) == (2, True)


@pytest.mark.shows("audit.1")
def test_what_was_done_is_a_word_and_a_filter(run: Runner, home: Path) -> None:
    """A person's refusal is no policy's deny: `--effect` misses it, `--enforced` does not."""
    refused = decided("a", "require_approval")._replace(enforced="deny", reason_code="approval_denied")
    observed = decided("b", "deny")._replace(enforced="allow")
    write(home, [refused, observed, decided("c", "require_approval")._replace(enforced="require_approval")])
    told = run("audit", "query").out
    assert "require_approval (denied)" in told
    assert "deny (allowed)" in told
    assert run("audit", "query", "--effect", "deny", "--json").lines[0]["target"] == "b"
    assert [each["target"] for each in run("audit", "query", "--enforced", "deny", "--json").lines] == ["a"]
    assert [each["target"] for each in run("audit", "export", "--enforced", "allow").lines] == ["b"]


@pytest.mark.shows("audit.1")
def test_verify_counts_what_lists_and_exports_have(run: Runner, home: Path) -> None:
    write(home, [decided("a"), decided("b")])
    events = len(run("audit", "export", "--events").lines)
    told = run("audit", "verify", "--json").json
    assert told["kinds"] == {"decision": 2, "event": events}
    assert told["rows"] == sum(told["kinds"].values())
    assert "2 decisions, " in run("audit", "verify").out


@pytest.mark.shows("audit.5")
@pytest.mark.parametrize(
    "change",
    [
        "target = CAST(target AS BLOB)",
        "target = CAST(x'ff41' AS TEXT)",
        "link = 4000000000000",
        "id = x'ff', kind = x'ff', seq = x'ff'",
        "chain = CAST(x'ff41' AS TEXT)",
    ],
)
def test_verify_names_a_row_that_no_writer_wrote(run: Runner, home: Path, change: str) -> None:
    write(home, [decided("a"), decided("b"), decided("c")])
    with closing(sqlite3.connect(home / "policylayer.db", isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER records_no_update")
        connection.execute(f"UPDATE records SET {change} WHERE target = 'b'")
    done = run("audit", "verify", "--json")
    assert done.code == 1
    assert "changed" in {problem["what"] for problem in done.json["problems"]}
    assert all(type(problem["seq"]) in (int, NoneType) for problem in done.json["problems"])
    done = run("audit", "verify")
    assert (done.code, "changed: the row is not what was written here" in done.out) == (1, True)


def test_verify_counts_one_as_one() -> None:
    report = Report(rows=1, chains=1, checkpoints=1, found=1, problems=[Problem("missing_chain", "gone", "c")])
    with redirect_stdout(io.StringIO()) as out:
        _tell(report, json=False)
    assert out.getvalue() == "missing_chain: gone (chain c)\n1 problem: 1 row in 1 chain, 1 checkpoint.\n"


@pytest.mark.parametrize("command", ["query", "tail", "export"])
@pytest.mark.parametrize("option", ["--effect", "--enforced"])
def test_an_effect_that_there_is_not(run: Runner, command: str, option: str) -> None:
    done = run("audit", command, option, "bogus")
    assert done.code == 2
    assert f"'{option}': 'bogus' is not one of 'allow', 'deny', 'require_approval'" in done.err


def test_events_have_no_effect(run: Runner) -> None:
    for more in (["--effect", "deny"], ["--format", "csv"], ["--follow"]):
        assert run("audit", "export", "--events", *more).code == 2
    assert run("audit", "export", "--type", "reload").code == 2
