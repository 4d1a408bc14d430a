"""Instructions per call, counted by valgrind: the same on a quiet machine and a busy one.

`python -m benchmarks.instructions` counts two runs of one script (`inside.py`: 100 rules, a SQLite file, 16 callers, a
server in memory) that differ only in their number of calls; their difference over the number is what one call costs.
Compares with the committed figure (`instructions.json`, by Python version), or writes it with `--write`;
`--stages` counts the parts by leaving them out. Needs `valgrind`.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FIGURES = Path(__file__).with_name("instructions.json")
CALLERS = 16
FEW, MANY = 64, 224
TOLERANCE = 0.20
STAGES = {
    "everything": "",
    "without the decision log": "log",
    "without policy and the log": "policy,log",
}


def python() -> str:
    """Which figure is this interpreter's."""
    return f"{platform.python_implementation()} {'.'.join(platform.python_version_tuple()[:2])} {platform.machine()}"


def missing() -> str | None:
    """Why nothing can be counted here, or None."""
    return None if shutil.which("valgrind") else "needs valgrind"


def too_many(counted: int, kept: int) -> bool:
    """Whether a call costs more than the committed figure allows."""
    return counted > kept * (1 + TOLERANCE)


def count(calls: int, without: str = "") -> int:
    """The instructions of a whole run with so many calls."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "counted"
        # Cachegrind without its caches is the cheapest of valgrind's tools that counts.
        tool = ["valgrind", "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={out}"]
        command = [*tool, sys.executable, "-m", "benchmarks.instructions", "--script", str(calls), without]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr[-2000:])
        summary = next(line for line in out.read_text().splitlines() if line.startswith("summary:"))
        return int(summary.split()[1])


def per_call(without: str = "") -> int:
    """What one call costs."""
    with ThreadPoolExecutor(2) as threads:
        few, many = threads.map(lambda calls: count(calls, without), (FEW, MANY))
    return (many - few) // (MANY - FEW)


async def script(calls: int, without: str) -> None:
    """What is counted."""
    from benchmarks.inside import inside

    with tempfile.TemporaryDirectory() as folder:
        async with inside(Path(folder)) as proxy:
            proxy.without(*filter(None, without.split(",")))
            await proxy.run(CALLERS * 2, CALLERS)
            await proxy.run(calls, CALLERS)


def main(arguments: list[str]) -> int:
    """Count, and compare or write."""
    if arguments[:1] == ["--script"]:
        import uvloop

        uvloop.run(script(int(arguments[1]), arguments[2]))
        return 0
    if (why := missing()) is not None:
        print(f"skipped: {why}")
        return 0
    if arguments == ["--stages"]:
        for name, without in STAGES.items():
            print(f"{name:30} {per_call(without):>12,}")
        return 0
    counted, kept = per_call(), json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    print(f"{counted:,} instructions a call; committed: {kept.get(python(), 'none')}")
    if arguments == ["--write"]:
        FIGURES.write_text(json.dumps({**kept, python(): counted}, indent=2) + "\n")
        return 0
    return int(too_many(counted, kept.get(python(), counted)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
