"""`make bench`: what the proxy costs beside nothing, nginx and bare relays, in one alternating run.

Every target is started once and stays; rounds go from target to target, so that what disturbs the machine disturbs all.
CPU is the process tree's own, from the system's accounting. Answers are checked one by one; an error is a failure of
the run. Writes `docs/performance/results.json`, `results.md` and `chart.svg` (`report.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.ours import ours
from benchmarks.targets import PYTHON, SERVER_CORE, Target, announcing, bare, direct, nginx, process

CALLERS = (1, 16, 64, 256)
HEADLINE = "100 rules, SQLite"


@dataclass
class Cell:
    """One target at one number of callers, over all rounds."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    apart: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    errors: int = 0
    example: str = ""

    def told(self) -> dict[str, Any]:
        """Medians."""
        middle = {name: statistics.median(getattr(self, name)) for name in ("rates", "cpu", "apart", "p50", "p99")}
        return {**middle, "errors": self.errors, "example": self.example}


class Load:
    """The calling process."""

    def __init__(self, stack: ExitStack) -> None:
        command = [PYTHON, "-m", "benchmarks.load"]
        self._child = stack.enter_context(process(command, SERVER_CORE, stdin=subprocess.PIPE, stdout=subprocess.PIPE))

    def measure(self, target: Target, callers: int, seconds: float, **more: Any) -> dict[str, Any]:
        """One measurement."""
        job = {"host": "127.0.0.1", "port": target.port, "path": target.path, "token": target.token}
        line = json.dumps({**job, "callers": callers, "seconds": seconds, "warm": 0.0, **more})
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(line.encode() + b"\n")
        self._child.stdin.flush()
        found: dict[str, Any] = json.loads(self._child.stdout.readline())
        return found


def fdatasync_us(folder: Path, times: int = 200) -> float:
    """The middle time of a bare write of 4 KiB and fdatasync, where the databases are."""
    handle = os.open(folder / "sync", os.O_RDWR | os.O_CREAT)
    taken = []
    for at in range(times):
        begun = time.perf_counter()
        os.pwrite(handle, b"x" * 4096, at * 4096)
        os.fdatasync(handle)
        taken.append((time.perf_counter() - begun) * 1e6)
    os.close(handle)
    return statistics.median(taken)


def start(stack: ExitStack, folder: Path) -> tuple[list[Target], dict[str, str]]:
    """All targets that this machine has, and why the others are skipped."""
    upstream, _ = stack.enter_context(announcing("benchmarks.upstream", SERVER_CORE))
    targets = [stack.enter_context(direct(upstream))]
    skipped: dict[str, str] = {}

    def add(name: str, make: Callable[[], Any], needs: str | None = None) -> None:
        if needs is not None and shutil.which(needs) is None:
            skipped[name] = f"`{needs}` is not installed"
            return
        try:
            targets.append(stack.enter_context(make()))
        except (RuntimeError, subprocess.CalledProcessError) as error:
            skipped[name] = str(error)[-300:]

    add("nginx", lambda: nginx(upstream, folder / "nginx"), "nginx")
    for kind in ("httptools", "asgi"):
        add(f"bare {kind} relay", lambda kind=kind: bare(kind, upstream))
    add("relay only", lambda: ours("relay only", folder / "relay", upstream, without="policy,log"))
    add("100 rules, no log", lambda: ours("100 rules, no log", folder / "rules", upstream, without="log"))
    add(HEADLINE, lambda: ours(HEADLINE, folder / "sqlite", upstream))
    add("100 rules, SQLite, Rego", lambda: ours("100 rules, SQLite, Rego", folder / "rego", upstream, rego=True))
    postgres(stack, folder, upstream, targets, skipped)
    return targets, skipped


def postgres(stack: ExitStack, folder: Path, upstream: int, targets: list[Target], skipped: dict[str, str]) -> None:
    """The row with a PostgreSQL server, whose CPU is shown apart."""
    name = "100 rules, PostgreSQL"
    if shutil.which("postgres") is None and not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        skipped[name] = "`postgres` is not installed"
        return
    from tests.support.postgres import server

    cluster = stack.enter_context(server())
    try:
        target = stack.enter_context(ours(name, folder / "postgres", upstream, database=cluster.database()))
    except (RuntimeError, subprocess.CalledProcessError) as error:
        skipped[name] = str(error)[-300:]
        return
    assert cluster.process is not None
    target.apart = [cluster.process.pid]
    targets.append(target)


def rounds(load: Load, targets: list[Target], count: int, seconds: float) -> dict[str, dict[int, Cell]]:
    """The table: each round goes through all targets at each number of callers."""
    table = {target.name: {callers: Cell() for callers in CALLERS} for target in targets}
    for number in range(count):
        for callers in CALLERS:
            for target in targets if number % 2 == 0 else reversed(targets):
                load.measure(target, callers, 0.1)
                cpu, apart = target.cpu_seconds(), target.cpu_apart()
                found = load.measure(target, callers, seconds)
                calls = max(found["calls"], 1)
                cell = table[target.name][callers]
                cell.cpu.append((target.cpu_seconds() - cpu) / calls * 1e6)
                cell.apart.append((target.cpu_apart() - apart) / calls * 1e6)
                cell.rates.append(found["per_second"])
                cell.p50.append(found["p50_us"])
                cell.p99.append(found["p99_us"])
                cell.errors += found["errors"]
                cell.example = cell.example or found["example"]
    return table


def open_loop(load: Load, targets: list[Target], table: dict[str, dict[int, Cell]]) -> dict[str, Any]:
    """At half and at four fifths of what each took at 64 callers."""
    told: dict[str, Any] = {}
    for target in targets:
        capacity = statistics.median(table[target.name][64].rates)
        told[target.name] = {}
        for share in (0.5, 0.8):
            found = load.measure(target, 64, 1.5, rate=max(capacity * share, 1.0))
            told[target.name][f"{share:.0%}"] = {name: found[name] for name in ("p50_us", "p99_us", "errors")}
    return told


def main() -> int:
    """Run, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.8)
    parser.add_argument("--to", type=Path, default=Path(__file__).resolve().parents[1] / "docs" / "performance")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="policylayer-bench-")))
        sync = fdatasync_us(folder)
        targets, skipped = start(stack, folder)
        load = Load(stack)
        for target in targets:
            load.measure(target, 16, 0.5)
        table = rounds(load, targets, given.rounds, given.seconds)
        results = {
            "machine": report.machine(),
            "rounds": given.rounds,
            "seconds": given.seconds,
            "fdatasync_us": statistics.median([sync, fdatasync_us(folder)]),
            "table": {
                name: {str(callers): cell.told() for callers, cell in row.items()} for name, row in table.items()
            },
            "open_loop": open_loop(load, targets, table),
            "pss_mib": {target.name: target.pss_mib() for target in targets if target.roots},
            "skipped": skipped,
        }
    report.write(results, given.to)
    print((given.to / "results.md").read_text())
    errors = sum(cell["errors"] for row in results["table"].values() for cell in row.values())
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
