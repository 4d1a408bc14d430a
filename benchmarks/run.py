"""`make bench`: what the proxy costs beside nothing, nginx and bare relays, in one alternating run of under 10 minutes.

    python -m benchmarks.run [--rounds 5] [--seconds 0.8] [--callers 1,16,64,256] [--latency 15] [--to FOLDER]

Every target is started once and stays (`fleet.py`); rounds go from target to target, so that what disturbs the machine
disturbs all. CPU is the process tree's own, from the system's accounting. Answers are checked one by one; an error is
a failure of the run. Afterwards, with nothing else running: what a decision costs, by files and by Rego, and what
group commit gives. Writes `results.json`, `results.md` and `chart.svg` (`report.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import decide, report
from benchmarks.figures import errors
from benchmarks.fleet import fleet
from benchmarks.handshake import open_sessions
from benchmarks.machine import machine
from benchmarks.targets import PYTHON, SERVER_CORE, Target, process
from benchmarks.wire import HANDSHAKE

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "performance"
CALLERS = (1, 16, 64, 256)
OLDER_AT = 16
"""How many callers measure the handshake era."""
FREE_SESSION = "bench-session"
"""What the server gives to whoever asks, and nobody else checks: for targets that look at nothing."""
LOOPS = (0.5, 0.8)
"""Of its capacity: what each target gets in an open loop."""
SAID = {
    "What a decision costs with Rego (`python -m benchmarks.rego`)": ["benchmarks.rego"],
    "What group commit gives (`python -m benchmarks.commits`)": ["benchmarks.commits"],
}


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

    def __init__(self, stack: ExitStack, core: int | None = SERVER_CORE) -> None:
        command = [PYTHON, "-m", "benchmarks.load"]
        self._child = stack.enter_context(process(command, core, stdin=subprocess.PIPE, stdout=subprocess.PIPE))

    @property
    def pid(self) -> int:
        """Its process."""
        return self._child.pid

    def measure(self, target: Target, callers: int, seconds: float, **more: Any) -> dict[str, Any]:
        """One measurement."""
        self.begin(target, callers, seconds, **more)
        found: dict[str, Any] = self.end()
        return found

    def begin(self, target: Target, callers: int, seconds: float, **more: Any) -> None:
        """Ask for one, and do not wait for it."""
        self._ask({**job(target), "callers": callers, "seconds": seconds, "warm": 0.0, **more})

    def in_turn(self, targets: list[Target], seconds: float) -> list[dict[str, Any]]:
        """The latency of each target, with one caller that goes from one to the next."""
        self._ask([{**job(target), "seconds": seconds} for target in targets])
        found: list[dict[str, Any]] = self.end()
        return found

    def _ask(self, asked: Any) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(asked).encode() + b"\n")
        self._child.stdin.flush()

    def end(self) -> Any:
        """The result of what was asked for."""
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError("the calling process ended")
        return json.loads(line)


def job(target: Target) -> dict[str, Any]:
    """Where to call."""
    return {"host": "127.0.0.1", "port": target.port, "path": target.path, "token": target.token, "tool": target.tool}


def older(target: Target) -> dict[str, Any]:
    """What makes a job one of the handshake era."""
    return {"era": HANDSHAKE, "sessions": target.sessions}


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


def add(cell: Cell, load: Load, target: Target, callers: int, seconds: float, **more: Any) -> None:
    """One more round of a cell."""
    cpu, apart = target.cpu_seconds(), target.cpu_apart()
    found = load.measure(target, callers, seconds, **more)
    calls = max(found["calls"], 1)
    cell.cpu.append((target.cpu_seconds() - cpu) / calls * 1e6)
    cell.apart.append((target.cpu_apart() - apart) / calls * 1e6)
    cell.rates.append(found["per_second"])
    cell.p50.append(found["p50_us"])
    cell.p99.append(found["p99_us"])
    cell.errors += found["errors"]
    cell.example = cell.example or found["example"]


@dataclass
class Plan:
    """How long and how often."""

    rounds: int
    seconds: float
    callers: tuple[int, ...]
    latency: float


Table = dict[str, dict[int, Cell]]


def rounds(load: Load, targets: list[Target], plan: Plan) -> tuple[Table, dict[str, Cell]]:
    """The table, and the column of the handshake era: each round goes through all targets at each number of callers."""
    table = {target.name: {callers: Cell() for callers in plan.callers} for target in targets}
    handshake = {target.name: Cell() for target in targets}
    for number in range(plan.rounds):
        order = targets if number % 2 == 0 else targets[::-1]
        for callers in plan.callers:
            for target in order:
                load.measure(target, callers, min(0.1, plan.seconds))
                add(table[target.name][callers], load, target, callers, plan.seconds)
        for target in order:
            load.measure(target, OLDER_AT, min(0.1, plan.seconds), **older(target))
            add(handshake[target.name], load, target, OLDER_AT, plan.seconds, **older(target))
    return table, handshake


def open_loop(load: Load, targets: list[Target], table: Table, seconds: float) -> dict[str, Any]:
    """At half and at four fifths of what each took at 64 callers."""
    told: dict[str, Any] = {}
    for target in targets:
        row = table[target.name]
        callers = 64 if 64 in row else max(row)
        capacity = statistics.median(row[callers].rates)
        told[target.name] = {}
        for share in LOOPS:
            found = load.measure(target, callers, seconds, rate=max(capacity * share, 1.0))
            told[target.name][f"{share:.0%}"] = {
                name: found[name] for name in ("p50_us", "p99_us", "errors", "example")
            }
    return told


def said(plan: Plan) -> dict[str, str]:
    """What the other programs of the headline print, each in a process of its own; short rounds make them short."""
    short = plan.seconds < 0.5
    more = {"benchmarks.rego": ["--rounds", "50"], "benchmarks.commits": ["--seconds", "0.05", "--rounds", "1"]}
    found = {}
    for title, command in SAID.items():
        whole = [PYTHON, "-m", *command, *(more[command[0]] if short else [])]
        done = subprocess.run(whole, capture_output=True, text=True, cwd=ROOT, check=False)
        found[title] = done.stdout if done.returncode == 0 else f"failed: {done.stderr[-500:]}"
    return found


def headline(plan: Plan) -> dict[str, Any]:
    """All results."""
    before = machine()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="policylayer-bench-")))
        sync = fdatasync_us(folder)
        targets, skipped = fleet(stack, folder)
        load = Load(stack)
        for target in targets:
            load.measure(target, 16, min(0.5, plan.seconds))
            target.sessions = open_sessions(target, OLDER_AT) if target.token else [FREE_SESSION]
        one_caller = load.in_turn(targets, plan.latency)
        table, handshake = rounds(load, targets, plan)
        results = {
            "machine": before,
            **asdict(plan),
            "table": {name: {str(at): cell.told() for at, cell in row.items()} for name, row in table.items()},
            "handshake": {name: cell.told() for name, cell in handshake.items()},
            "one_caller": {target.name: found for target, found in zip(targets, one_caller, strict=True)},
            "open_loop": open_loop(load, targets, table, min(1.5, plan.seconds * 2)),
            "pss_mib": {target.name: target.pss_mib() for target in targets if target.roots},
            "fdatasync_us": statistics.median([sync, fdatasync_us(folder)]),
            "skipped": skipped,
        }
    results["decide"] = decide.measure(2_000 if plan.seconds >= 0.5 else 100)
    results["said"] = said(plan)
    return results


def examples(results: dict[str, Any]) -> list[str]:
    """One wrong answer of each target that gave any."""
    found = []
    for name, row in results["table"].items():
        cells = [*row.values(), results["handshake"][name], results["one_caller"][name]]
        cells += results["open_loop"][name].values()
        found += [f"{name}: {cell['example']}" for cell in cells if cell["errors"]][:1]
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.8, help="of each round, at each number of callers")
    parser.add_argument("--callers", default=",".join(map(str, CALLERS)))
    parser.add_argument("--latency", type=float, default=15.0, help="seconds of interleaved calls by one caller")
    parser.add_argument("--to", type=Path, default=FOLDER)
    given = parser.parse_args(arguments)
    callers = tuple(sorted(map(int, given.callers.split(","))))
    begun = time.monotonic()
    results = headline(Plan(given.rounds, given.seconds, callers, given.latency))
    results["took_s"] = round(time.monotonic() - begun)
    report.write(results, given.to)
    print((given.to / "results.md").read_text())
    for example in examples(results):
        print(f"wrong answer: {example}", file=sys.stderr)
    print(f"took {results['took_s']} s; written to {given.to}")
    return 1 if errors(results) else 0


if __name__ == "__main__":
    sys.exit(main())
