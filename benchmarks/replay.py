"""What a replay costs: `python -m benchmarks.replay [ROWS]` runs the command over so many recorded decisions.

Prints rows a second of CPU (the command's own, start included and apart) and the most memory it held, for ROWS and for
a tenth of them: memory must not grow with rows. Exit code 1 below the floor of 20,000 rows a second. Rows are of many
kinds (`tests/support/many.py`); each is decided again by a changed set.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.many import AFTER, BEFORE, write

ROWS = 100_000
FLOOR = 20_000
CONFIG = """\
servers:
  stripe: {url: "http://127.0.0.1:1/mcp"}
  files: {url: "http://127.0.0.1:1/mcp", cwd: /srv/data}
  new: {url: "http://127.0.0.1:1/mcp", mode: observe}
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run: rows, CPU in seconds, the largest resident set in MiB."""

    rows: int
    cpu: float
    memory: float


def prepare(folder: Path, rows: int) -> None:
    """A proxy's folder with so many decisions."""
    (folder / "policylayer.yaml").write_text(CONFIG)
    for name, files in (("policies", BEFORE), ("changed", AFTER)):
        (folder / name).mkdir()
        for file, text in files.items():
            (folder / name / file).write_text(text)
    write(folder / "policylayer.db", rows)


def measured(folder: Path, *options: str) -> Cost:
    """One run of the command."""
    command = [sys.executable, "-m", "policylayer", "replay", "--policies", "changed", "-c", "policylayer.yaml"]
    command += ["--since", "2020-01-01T00:00:00Z", "--json", *options]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    with (folder / "report.json").open("wb") as out:
        child = subprocess.Popen(command, cwd=folder, stdout=out, env=environment)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"the replay ended with {child.returncode}")
    report = json.loads((folder / "report.json").read_bytes())
    return Cost(report["rows"], used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def main() -> int:
    """The table."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory(prefix="policylayer-replay-") as temporary:
        folder = Path(temporary)
        prepare(folder, rows)
        start = measured(folder, "--limit", "1")
        costs = [measured(folder, "--limit", str(rows // 10)), measured(folder)]
    print(f"{'rows':>10} {'CPU s':>8} {'rows/s of CPU':>14} {'without start':>14} {'MiB at most':>12}")
    for cost in costs:
        whole, alone = cost.rows / cost.cpu, cost.rows / max(cost.cpu - start.cpu, 1e-9)
        print(f"{cost.rows:>10,} {cost.cpu:>8.2f} {whole:>14,.0f} {alone:>14,.0f} {cost.memory:>12.0f}")
    print(f"start: {start.cpu:.2f} s of CPU, {start.memory:.0f} MiB")
    return 0 if costs[-1].rows / (costs[-1].cpu - start.cpu) >= FLOOR else 1


if __name__ == "__main__":
    sys.exit(main())
