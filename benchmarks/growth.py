"""What a call costs as things grow: rules, principals, servers, sessions, approvals, rows, tools, and the call itself.

A section of `make bench-full` (`full.py`). For each thing (`growing.py`) a proxy of every size runs, and rounds
alternate between them. Where a call does not touch what grows, its CPU must be flat within 15 %: the least of its
rounds, since whatever disturbs a machine makes a call dearer, never cheaper. Must not know how a proxy gets so many of
anything.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.growing import AXES, Axis
from benchmarks.run import Cell, Load, add
from benchmarks.targets import SERVER_CORE, announcing

CALLERS = 16
FLAT = 1.15
SHORTER = 2
"""Rounds are so many times shorter and more than those of other sections: the least of them is to be a quiet one."""
ROW_BYTES = 1_200
"""What a row takes on the disk, with its indexes."""


def measure(
    folder: Path, rounds: int, seconds: float, most: int, rows: int, only: tuple[str, ...] = tuple(AXES)
) -> dict[str, Any]:
    """CPU of a call, in microseconds, by thing and size. `most` caps all sizes; `rows` those of the log."""
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        upstream, _ = stack.enter_context(announcing("benchmarks.upstream", SERVER_CORE))
        load = Load(stack)
        for number, name in enumerate(only):
            cap = min(most, rows) if name == "rows in the log" else most
            print(f"growth: {name}", file=sys.stderr, flush=True)
            found[name] = _axis(load, AXES[name], folder / f"axis{number}", upstream, rounds, seconds, cap)
    return found


def _axis(load: Load, axis: Axis, folder: Path, upstream: int, rounds: int, seconds: float, cap: int) -> dict[str, Any]:
    folder.mkdir(parents=True)
    skipped: dict[str, str] = {}
    try:
        with ExitStack() as stack:
            started = {}
            for size in (size for size in axis.sizes if size <= cap or size == axis.sizes[0]):
                if axis is AXES["rows in the log"] and size * ROW_BYTES > shutil.disk_usage(folder).free * 0.8:
                    skipped[str(size)] = "the disk has no room for so many"
                    continue
                started[size] = stack.enter_context(axis.started(folder / str(size), upstream, size))
            cells = {size: Cell() for size in started}
            for target, job in started.values():
                load.measure(target, CALLERS, min(seconds, 0.5), **job)
            for number in range(rounds * SHORTER):
                for size, (target, job) in list(started.items())[:: 1 if number % 2 == 0 else -1]:
                    add(cells[size], load, target, CALLERS, seconds / SHORTER, **job)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sizes = {str(size): {**cell.told(), "least": min(cell.cpu)} for size, cell in cells.items()}
    return {"touches": axis.touches, "sizes": sizes, "skipped": skipped}


def worst(found: dict[str, Any]) -> float | None:
    """How many times the smallest size's cost the dearest is; None where only one size was measured."""
    costs = [cell["least"] for cell in found["sizes"].values()]
    return max(costs) / costs[0] if len(costs) > 1 and costs[0] else None


def verdict(found: dict[str, Any]) -> str:
    """In words."""
    times = worst(found)
    if errors := sum(cell["errors"] for cell in found["sizes"].values()):
        return f"{errors} wrong answers"
    if times is None:
        return "one size only"
    if found["touches"]:
        return f"grows: {found['touches']}"
    return f"flat within 15 % ({times - 1:+.0%})" if times <= FLAT else f"NOT FLAT ({times - 1:+.0%})"


def table(found: dict[str, Any]) -> list[str]:
    """As Markdown: one line for each thing."""
    lines = ["| CPU us a call at 16 callers, the least of its rounds | by size | |", "|---|---|---|"]
    for name, axis in found.items():
        cells = [f"{int(size):,}: {cell['least']:.0f}" for size, cell in axis["sizes"].items()]
        cells += [f"{int(size):,}: skipped, {why}" for size, why in axis["skipped"].items()]
        lines.append(f"| {name} | {'; '.join(cells)} | {verdict(axis)} |")
    return lines


def series(found: dict[str, Any]) -> dict[str, dict[float, float]]:
    """What the chart shows: how many times the smallest size's cost each is, in per cent."""
    shown: dict[str, dict[float, float]] = {}
    for name, axis in found.items():
        base = next(iter(axis["sizes"].values()))["least"] or 1.0
        if not axis["touches"]:
            shown[name] = {float(size): cell["least"] / base * 100 for size, cell in axis["sizes"].items()}
    return shown
