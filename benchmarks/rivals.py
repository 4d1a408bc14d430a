"""The proxy with everything on beside its peers, at 16 callers in the handshake era, which all of them speak.

A section of `make bench-full` (`full.py`). Rounds alternate; every answer is checked. A peer that is missing, or gives
wrong answers, has its reason in the table. Must not know how peers are installed or started (`peers.py`).
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, ratio
from benchmarks.handshake import open_sessions
from benchmarks.machine import machine
from benchmarks.ours import ours
from benchmarks.peers import PEERS, TOOLS, Absent, peer, pinned
from benchmarks.run import OLDER_AT, Cell, Load, add, older
from benchmarks.targets import SERVER_CORE, Target, announcing

OURS = "policylayer: 100 rules, SQLite"
TIMES = {"fastmcp's proxy": (60, 40), "mcp-proxy": (40, 20), "ContextForge": (150, 100)}
"""How many times a peer's calls/s ours should be: target and floor."""


def measure(folder: Path, rounds: int, seconds: float, only: tuple[str, ...] = tuple(PEERS)) -> dict[str, Any]:
    """The section's results."""
    skipped: dict[str, str] = {}
    with ExitStack() as stack:
        upstream, _ = stack.enter_context(announcing("benchmarks.upstream", SERVER_CORE, str(TOOLS)))
        proxy = stack.enter_context(ours(OURS, folder / "ours", upstream))
        proxy.sessions = open_sessions(proxy, OLDER_AT)
        targets = [proxy]
        for number, name in enumerate(only):
            try:
                targets.append(stack.enter_context(peer(name, upstream, folder / f"peer{number}")))
            except Absent as why:
                skipped[name] = str(why)
        load = Load(stack)
        cells = _rounds(load, targets, rounds, seconds)
        pss = {target.name: target.pss_mib() for target in targets}
    return {
        "machine": machine(),
        "versions": {name: peer["version"] for name, peer in pinned().items()},
        "rows": {name: {**cell.told(), "pss_mib": pss[name]} for name, cell in cells.items()},
        "skipped": skipped,
    }


def _rounds(load: Load, targets: list[Target], rounds: int, seconds: float) -> dict[str, Cell]:
    cells = {target.name: Cell() for target in targets}
    for target in targets:
        load.measure(target, OLDER_AT, max(seconds, 0.5), **older(target))
    for number in range(rounds):
        for target in targets if number % 2 == 0 else targets[::-1]:
            add(cells[target.name], load, target, OLDER_AT, seconds, **older(target))
    return cells


def figures(found: dict[str, Any]) -> list[Figure]:
    """How many times a peer's calls/s ours are."""
    rows, skipped = found["rows"], found["skipped"]
    return [
        Figure(
            f"calls/s at 16 with everything on, against {name}", target, floor,
            ratio(rows[OURS]["rates"], rows[name]["rates"] if name in rows and not rows[name]["errors"] else None),
            unit="x", digits=1,
            why=skipped.get(name) or ("it gave wrong answers" if name in rows else "not asked for"),
        )
        for name, (target, floor) in TIMES.items()
    ]  # fmt: skip


def table(found: dict[str, Any]) -> list[str]:
    """As Markdown."""
    lines = ["| at 16 callers, 2025-11-25 | version | calls/s | CPU us a call | p50 us | PSS MiB | errors | ours is |"]
    lines += ["|---|---|---:|---:|---:|---:|---:|---:|"]
    rate = found["rows"][OURS]["rates"]
    for name, row in found["rows"].items():
        version = found["versions"].get(name.partition(",")[0], "")
        times = "" if name == OURS or not row["rates"] else f"{rate / row['rates']:.1f}x"
        cells = [version, f"{row['rates']:,.0f}", f"{row['cpu']:,.0f}", f"{row['p50']:,.0f}"]
        lines.append(f"| {name} | " + " | ".join([*cells, f"{row['pss_mib']:.0f}", str(row["errors"]), times]) + " |")
    return [*lines, *(f"| {name} | skipped: {why} | | | | | | |" for name, why in found["skipped"].items())]
