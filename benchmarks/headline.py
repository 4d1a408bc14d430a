"""`make bench`: the proxy beside nothing, nginx and bare relays, in one alternating run; ratios, not promises.

Each round measures every target once at each number of callers; medians of the rounds are printed as Markdown. CPU is
that of the target's process tree by the system's accounting. Every answer is checked; an error is printed, and fails.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.ours import ours
from benchmarks.targets import PYTHON, SERVER_CORE, Target, announcing, bare, direct, nginx, process

CALLERS = (1, 16, 64)
ROUNDS = int(os.environ.get("ROUNDS", "5"))
SECONDS = float(os.environ.get("SECONDS", "1.5"))


def targets(stack: ExitStack, upstream: int, folder: Path) -> list[Target]:
    """Everything that can be started here."""
    found = [stack.enter_context(direct(upstream))]
    if shutil.which("nginx"):
        found.append(stack.enter_context(nginx(upstream, folder / "nginx")))
    else:
        print("nginx: left out (not installed)")
    found.append(stack.enter_context(bare("httptools", upstream)))
    found.append(stack.enter_context(bare("asgi", upstream)))
    found.append(stack.enter_context(ours("policylayer, 100 rules, SQLite", folder / "ours", upstream)))
    return found


def ask(load: subprocess.Popen[bytes], target: Target, callers: int) -> dict[str, Any]:
    """One measurement, with the target's CPU."""
    assert load.stdin is not None
    assert load.stdout is not None
    job = {"host": "127.0.0.1", "port": target.port, "path": target.path, "token": target.token, "callers": callers}
    before = target.cpu_seconds()
    load.stdin.write((json.dumps({**job, "seconds": SECONDS, "warm": 0.0}) + "\n").encode())
    load.stdin.flush()
    found: dict[str, Any] = json.loads(load.stdout.readline())
    found["cpu_us"] = (target.cpu_seconds() - before) / max(found["calls"], 1) * 1e6
    return found


def main() -> int:
    """Measure and print; 1 where an answer was wrong."""
    results: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        upstream, _ = stack.enter_context(announcing("benchmarks.upstream", SERVER_CORE))
        found = targets(stack, upstream, folder)
        command = [PYTHON, "-m", "benchmarks.load"]
        load = stack.enter_context(process(command, SERVER_CORE, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        for _ in range(ROUNDS):
            for callers in CALLERS:
                for target in found:
                    results[target.name, callers].append(ask(load, target, callers))
        memory = {target.name: target.pss_mib() for target in found if target.roots}
        report([target.name for target in found], results, memory)
    errors = [(key, one["example"]) for key, ones in results.items() for one in ones if one["errors"]]
    for (name, callers), example in errors[:5]:
        print(f"wrong answers from {name} at {callers} callers: {example}")
    return 1 if errors else 0


def report(names: list[str], results: dict[tuple[str, int], list[dict[str, Any]]], memory: dict[str, float]) -> None:
    """The table, and the shares of nginx."""

    def median(name: str, callers: int, what: str) -> float:
        return statistics.median(one[what] for one in results[name, callers])

    print(f"\n{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {ROUNDS} rounds\n")
    print("| target | " + " | ".join(f"calls/s at {c} | CPU us at {c}" for c in CALLERS) + " | p50 us at 1 | PSS MiB |")
    print("|---" * (2 * len(CALLERS) + 3) + "|")
    for name in names:
        cells = [f"{median(name, c, 'per_second'):.0f} | {median(name, c, 'cpu_us'):.0f}" for c in CALLERS]
        p50, pss = median(name, 1, "p50_us"), memory.get(name)
        print(f"| {name} | " + " | ".join(cells) + f" | {p50:.0f} | {'' if pss is None else f'{pss:.0f}'} |")
    if "nginx" in names:
        share = median("nginx", 64, "cpu_us") / median(names[-1], 64, "cpu_us")
        print(f"\n{names[-1]}: {share:.0%} of nginx's calls per CPU-second at 64 callers")


if __name__ == "__main__":
    sys.exit(main())
