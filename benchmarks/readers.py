"""Memory and speed of what reads a whole log: `audit verify`, and `audit export` in each format.

    python -m benchmarks.readers [--rows 1000000] [--postgres URL]

Fills a SQLite file (or, with `--postgres`, an empty database), runs each command as a process of its own, and prints
rows a second (starting included) and the most memory it had. Then the same with a quarter of the rows: memory is flat
where both had as much.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.filling import fill
from policylayer.keys import Keys

ROOT = Path(__file__).resolve().parents[1]
POLICY = (
    'policy: all\napplies_to: {principals: "*", servers: "*"}\nrules:\n  - {id: all, methods: ["*"], effect: allow}\n'
)
COMMANDS: Mapping[str, Sequence[str]] = {
    "verify": ("audit", "verify"),
    "export jsonl": ("audit", "export", "--format", "jsonl", "-o", "out"),
    "export csv": ("audit", "export", "--format", "csv", "-o", "out"),
    "export parquet": ("audit", "export", "--format", "parquet", "-o", "out"),
}

WATCH = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""
"""A small process between: what the kernel tells of a child begins with the size of whoever started it."""


@dataclass(frozen=True, slots=True)
class Used:
    """What a command took: seconds, and the most KiB it had in memory."""

    seconds: float
    peak_kib: int
    said: str


def prepare(folder: Path, rows: int, database: str | None = None) -> Path:
    """A folder with a configuration over a filled log."""
    (folder / "policies").mkdir(parents=True)
    (folder / "policies" / "all.yaml").write_text(POLICY)
    url = database or f"sqlite:///{folder / 'policylayer.db'}"
    config = f'database: "{url}"\nservers: {{a: {{url: "http://127.0.0.1:1/mcp"}}}}\n'
    (folder / "policylayer.yaml").write_text(config)
    fill(url, Keys.load((folder / "policylayer.key",), None, create=True), rows)
    return folder


def used(folder: Path, command: Sequence[str]) -> Used:
    """Run a command of `policylayer` there. Raises where it fails."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-SEc", WATCH, sys.executable, "-m", "policylayer", *command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return Used(time.monotonic() - begun, int(done.stderr.rpartition("peak ")[2]), done.stdout)


def main() -> None:
    """All commands, on a quarter and on the whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--postgres", help="an empty database to fill and read, of the whole number only")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="policylayer-readers-") as folder:
        print(f"{'':16}{'rows':>10}{'seconds':>10}{'rows/s':>10}{'peak MiB':>10}")
        for rows in (given.rows,) if given.postgres else (given.rows // 4, given.rows):
            there = prepare(Path(folder) / str(rows), rows, given.postgres)
            for name, command in COMMANDS.items():
                found = used(there, command)
                speed, peak = rows / found.seconds, found.peak_kib / 1024
                print(f"{name:16}{rows:10}{found.seconds:10.1f}{speed:10.0f}{peak:10.0f}", flush=True)


if __name__ == "__main__":
    main()
