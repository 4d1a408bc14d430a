"""Several cores: one `serve` against two replicas of it on one PostgreSQL, with callers split between them.

A section of `make bench-full` (`full.py`). Nothing is pinned. What two can give depends on how many cores are left
beside callers, server and database, so that is measured too, and said: where two are not free, the ratio says nothing
of the program. Must not know how replicas are put behind one address (docs/operations.md).
"""

from __future__ import annotations

import os
import shutil
import statistics
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from benchmarks.fleet import no_postgres
from benchmarks.ours import ours
from benchmarks.run import Load
from benchmarks.targets import Target, announcing

CALLERS = 64
ENOUGH = 1.8
"""Cores that must be left for two replicas to show what they can."""


def measure(folder: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """The section's results; only `skipped` where there is no PostgreSQL."""
    if (why := no_postgres()) is not None:
        return {"skipped": why}
    from tests.support import postgres

    with ExitStack() as stack:
        upstream, server_pid = stack.enter_context(announcing("benchmarks.upstream", None))
        cluster = stack.enter_context(postgres.server(in_memory=False))
        assert cluster.process is not None
        url = cluster.database()
        replicas = [stack.enter_context(_replica(number, folder, upstream, url)) for number in (0, 1)]
        loads = [Load(stack, None) for _ in replicas]
        others = Target("others", 0, roots=[server_pid, cluster.process.pid, *(load.pid for load in loads)])
        for load, target in zip(loads, replicas, strict=True):
            load.measure(target, CALLERS, min(seconds, 0.5))
        taken: dict[int, list[dict[str, float]]] = {1: [], 2: []}
        for number in range(rounds):
            for count in (1, 2) if number % 2 == 0 else (2, 1):
                taken[count].append(_round(loads[:count], replicas[:count], others, seconds))
    middle = {
        str(count): {name: statistics.median(each[name] for each in rounds_) for name in rounds_[0]}
        for count, rounds_ in taken.items()
    }
    return {"cores": os.cpu_count(), "replicas": middle}


def _replica(number: int, folder: Path, upstream: int, url: str) -> Any:
    """The first makes the key that the second gets a copy of."""
    if number:
        (folder / "replica1").mkdir(parents=True)
        shutil.copy(folder / "replica0" / "policylayer.key", folder / "replica1" / "policylayer.key")
    name = f"replica{number}"
    return ours(name, folder / name, upstream, database=url, core=None, grant_name=name)


def _round(loads: list[Load], targets: list[Target], others: Target, seconds: float) -> dict[str, float]:
    """One round by all callers, shared out evenly."""
    before = sum(target.cpu_seconds() for target in targets)
    beside = others.cpu_seconds()
    for load, target in zip(loads, targets, strict=True):
        load.begin(target, CALLERS // len(targets), seconds)
    found = [load.end() for load in loads]
    cpu = sum(target.cpu_seconds() for target in targets) - before
    calls = sum(each["calls"] for each in found)
    return {
        "rates": sum(each["per_second"] for each in found),
        "calls_per_cpu_s": calls / cpu if cpu else 0.0,
        "cores_of_others": (others.cpu_seconds() - beside) / seconds,
        "errors": float(sum(each["errors"] for each in found)),
    }


def left(found: dict[str, Any]) -> float:
    """Cores that callers, server and database left while two replicas ran."""
    return float(found["cores"] - found["replicas"]["2"]["cores_of_others"])


def figures(found: dict[str, Any]) -> list[Figure]:
    """What two give, where there is room for two."""
    what = "calls/s of two replicas on one PostgreSQL, against one"
    if "skipped" in found:
        return [Figure(what, 1.7, 1.7, None, unit="x", why=found["skipped"])]
    if left(found) < ENOUGH:
        why = f"needs 2 free cores; callers, server and database left {left(found):.1f} of {found['cores']}"
        return [Figure(what, 1.7, 1.7, None, unit="x", why=why)]
    ratio = found["replicas"]["2"]["rates"] / found["replicas"]["1"]["rates"]
    return [Figure(what, 1.7, 1.7, ratio, unit="x")]


def table(found: dict[str, Any]) -> list[str]:
    """As Markdown."""
    if "skipped" in found:
        return [f"Two replicas: skipped: {found['skipped']}."]
    lines = [
        "| `serve` on one PostgreSQL, 64 callers | calls/s | calls per CPU second | errors |",
        "|---|---:|---:|---:|",
    ]
    for count, row in found["replicas"].items():
        lines.append(f"| {count} | {row['rates']:,.0f} | {row['calls_per_cpu_s']:,.0f} | {row['errors']:.0f} |")
    one, two = found["replicas"]["1"], found["replicas"]["2"]
    said = (
        f"Two give {two['rates'] / one['rates']:.2f} times the calls/s of one, at "
        f"{two['calls_per_cpu_s'] / (one['calls_per_cpu_s'] or 1):.2f} times its calls per CPU second. "
        f"The machine has {found['cores']} cores; callers, server and database left {left(found):.1f} of them."
    )
    return [*lines, "", said]
