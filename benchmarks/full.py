"""`make bench-full`: the headline table at length, then other workloads, then growth in rules and size of body.

Every cell is the CPU of the proxy's process tree for one call at 16 callers, beside nginx's for the same bytes, the
middle of some alternating rounds. No limit of time. Writes `full.json` and `full.md`; floors are checked by `floors`.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import report, run
from benchmarks.ours import ours
from benchmarks.targets import SERVER_CORE, Target, announcing, nginx

ROUNDS = 5
SECONDS = 1.0
CALLERS = 16
WORKLOADS: dict[str, dict[str, Any]] = {
    "1 KB call": {},
    "100 KB answer": {"tool": "large"},
    "100 KB arguments": {"padding": 100_000},
    "an SSE answer of 20 events": {"tool": "events"},
    "tools/list of 200, filtered": {"method": "tools/list"},
}
RULES = (2, 10, 100, 1_000, 10_000)
SIZES = (1_000, 4_000, 16_000, 64_000)


def cost(load: run.Load, target: Target, **job: Any) -> float:
    """CPU of one call, in microseconds. Raises where an answer was wrong."""
    before = target.cpu_seconds()
    found = load.measure(target, CALLERS, SECONDS, **job)
    if found["errors"]:
        raise RuntimeError(f"{target.name}: {found['example']}")
    return (target.cpu_seconds() - before) / max(found["calls"], 1) * 1e6


def alternating(load: run.Load, targets: list[Target], **job: Any) -> list[float]:
    """The middle cost of each target."""
    for target in targets:
        load.measure(target, CALLERS, 0.3, **job)
    taken = [[cost(load, target, **job) for target in targets] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*taken, strict=True)]


def main() -> int:
    """All tables."""
    folder = Path(__file__).resolve().parents[1] / "docs" / "performance"
    status = run.main()
    with ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="policylayer-bench-")))
        upstream, _ = stack.enter_context(announcing("benchmarks.upstream", SERVER_CORE))
        load = run.Load(stack)
        relay = stack.enter_context(nginx(upstream, temporary / "nginx"))
        proxy = stack.enter_context(ours("100 rules", temporary / "ours", upstream))
        workloads = {name: alternating(load, [relay, proxy], **job) for name, job in WORKLOADS.items()}
        sizes = {str(size): alternating(load, [relay, proxy], padding=size) for size in SIZES}
        rules: dict[str, list[float]] = {}
        for count in RULES:
            with ours(f"{count} rules", temporary / f"rules{count}", upstream, rules=count) as grown:
                rules[str(count)] = alternating(load, [relay, grown])
    tables = {"workload": workloads, "bytes of arguments": sizes, "rules": rules}
    (folder / "full.json").write_text(json.dumps({"machine": report.machine(), **tables}, indent=1) + "\n")
    (folder / "full.md").write_text("\n".join(line for name, rows in tables.items() for line in _table(name, rows)))
    return status or floors(folder)


def floors(folder: Path) -> int:
    """Whether every floor of the headline table is held; the ratios that may be at most so much are the last four."""
    missed = 0
    for what, _, floor, found in report.figures(json.loads((folder / "results.json").read_text())):
        limit = float(floor.removesuffix(" %")) / (100 if "%" in floor else 1)
        at_most = "against nginx" in what or "fdatasync" in what or "memory" in what
        if found is not None and (found > limit if at_most else found < limit):
            print(f"below the floor: {what}: {found:.2f}, floor {floor}", file=sys.stderr)
            missed += 1
    return int(missed > 0)


def _table(name: str, rows: dict[str, list[float]]) -> list[str]:
    head = [f"| {name} | nginx, CPU us | proxy, CPU us |", "|---|---:|---:|"]
    return [*head, *(f"| {row} | {relay:.0f} | {ours_:.0f} |" for row, (relay, ours_) in rows.items()), ""]


if __name__ == "__main__":
    sys.exit(main())
