"""Starting and idling: how soon `serve` is ready, how long `check` takes, and what a proxy costs that nobody calls.

    python -m benchmarks.idle [--rules 500] [--times 5] [--seconds 30]

`serve` is started over a database that is there (what a restart takes) and over none (the first start, which makes its
tables); ready is when it says where it listens. Idle is its time on a processor over some seconds, after a few of
settling, and its PSS. Must not know calls.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from benchmarks.figures import table as figures_table
from benchmarks.ours import ROOT, policies, write_config
from benchmarks.targets import PYTHON, Target, process

SETTLED = 8.0
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@contextmanager
def serving(config: Path) -> Iterator[tuple[float, Target]]:
    """A running `serve`, and the seconds until it was ready."""
    command = [PYTHON, "-m", "policylayer", "serve", "-c", str(config)]
    begun = time.monotonic()
    with (
        (config.parent / "log").open("wb") as log,
        process(command, None, stdout=subprocess.PIPE, stderr=log, cwd=config.parent, env=ENVIRONMENT) as child,
    ):
        assert child.stdout is not None
        if b"listening on" not in child.stdout.readline():
            raise RuntimeError(f"the proxy did not start: {(config.parent / 'log').read_text()[-2000:]}")
        yield time.monotonic() - begun, Target("idle", 0, roots=[child.pid])


def check_seconds(folder: Path) -> float:
    """How long `check` takes, whole."""
    begun = time.monotonic()
    command = [PYTHON, "-m", "policylayer", "check", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, cwd=folder, check=False)
    if done.returncode:
        raise RuntimeError(f"check failed: {done.stdout}{done.stderr}")
    return time.monotonic() - begun


def idle(target: Target, seconds: float) -> tuple[float, float]:
    """Share of a core, and MiB."""
    time.sleep(min(SETTLED, seconds))
    before, begun = target.running_seconds(), time.monotonic()
    time.sleep(seconds)
    share = (target.running_seconds() - before) / (time.monotonic() - begun)
    return share, target.pss_mib()


def measure(folder: Path, rules: int = 500, times: int = 5, seconds: float = 30.0) -> dict[str, Any]:
    """All of it: the middle of so many starts."""
    first, again, checks = [], [], []
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        # A server that is there and does not answer: a start must not wait for it.
        for number in range(times):
            made = folder / str(number)
            policies(made / "policies", rules)
            config = write_config(made, nobody.getsockname()[1], "sqlite:///policylayer.db")
            with serving(config) as (took, _):
                first.append(took)
            with serving(config) as (took, _):
                again.append(took)
            checks.append(check_seconds(made / "policies"))
        with serving(config) as (_, target):
            share, mib = idle(target, seconds)
    return {
        "rules": rules,
        "ready_first_s": statistics.median(first),
        "ready_s": statistics.median(again),
        "check_s": statistics.median(checks),
        "idle_cpu": share,
        "idle_seconds": seconds,
        "idle_pss_mib": mib,
    }


def figures(found: dict[str, Any]) -> list[Figure]:
    """With what they should be."""
    rules = found["rules"]

    def at_most(what: str, limit: float, value: float, unit: str, digits: int = 2) -> Figure:
        return Figure(what, limit, limit, value, at_most=True, unit=unit, digits=digits)

    return [
        at_most(f"`serve` ready with {rules} rules", 1.5, found["ready_s"], " s"),
        at_most(f"`serve` ready with {rules} rules, the first time", 1.5, found["ready_first_s"], " s"),
        at_most(f"`check` of {rules} rules", 0.4, found["check_s"], " s"),
        at_most("idle CPU, per cent of a core", 0.2, found["idle_cpu"] * 100, "", 2),
        at_most("idle memory, PSS", 70, found["idle_pss_mib"], " MiB", 0),
    ]


def table(found: dict[str, Any]) -> list[str]:
    """As Markdown."""
    return figures_table(figures(found))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=int, default=500)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="policylayer-idle-") as folder:
        print("\n".join(table(measure(Path(folder), given.rules, given.times, given.seconds))))


if __name__ == "__main__":
    main()
