"""`make bench-full`: the headline run at length; workloads, peers, growth, starting, several cores; and the floors.

    python -m benchmarks.full [--only headline,workloads,peers,growth,start,cores,floors] [--rounds 5] [--seconds 1]
                              [--rows 1000000] [--most N] [--peers NAME;...] [--axes NAME;...] [--to FOLDER]

No limit of time. Each section's results replace those that `full.json` has of it, so that one can be run again alone;
`full.md`, `growth.svg` and the page's part are written anew after each. `--rows` caps the rows of the log that grows
(10,000,000 take about 15 minutes and 12 GB), `--most` all sizes, for trying. The exit code is 1 where a floor is not
held.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import chart, cores, figures, growth, idle, report, rivals, run, workloads
from benchmarks.growing import AXES
from benchmarks.machine import machine, sentence
from benchmarks.peers import PEERS

SECTIONS = ("headline", "workloads", "peers", "growth", "start", "cores", "floors")
TITLES = {
    "workloads": "Workloads",
    "peers": "Peers",
    "growth": "Growth",
    "start": "Starting and idling",
    "cores": "Several cores",
}
TABLES: dict[str, Callable[[Any], list[str]]] = {
    "workloads": workloads.table,
    "peers": rivals.table,
    "growth": growth.table,
    "start": idle.table,
    "cores": cores.table,
}


def section(name: str, folder: Path, given: argparse.Namespace) -> Any:
    """Measure one."""
    folder.mkdir()
    if name == "workloads":
        return workloads.measure(folder, given.rounds, given.seconds)
    if name == "peers":
        return rivals.measure(folder, given.rounds, given.seconds, given.peers)
    if name == "growth":
        return growth.measure(folder, given.rounds, given.seconds, given.most, given.rows, given.axes)
    if name == "start":
        return idle.measure(folder, times=given.rounds, seconds=min(30.0, given.seconds * 30))
    return cores.measure(folder, given.rounds, given.seconds)


def kept(folder: Path) -> dict[str, Any]:
    """What there is already."""
    file = folder / "full.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def markdown(found: dict[str, Any]) -> str:
    """All sections that there are."""
    lines: list[str] = []
    for name in TABLES:
        if name in found:
            each = found[name]
            lines += [f"### {TITLES[name]}", ""]
            lines += [f"Measured on {sentence(each['machine'], versions=False)}.", each["how"], ""]
            lines += [*TABLES[name](each["found"]), ""]
    lines += ["### Targets of the full run", "", *figures.table(all_figures(found)), ""] if found else []
    return "\n".join(lines)


def all_figures(found: dict[str, Any]) -> list[figures.Figure]:
    """Of all sections but the headline."""
    made: list[figures.Figure] = []
    for name, of in (("peers", rivals.figures), ("start", idle.figures), ("cores", cores.figures)):
        made += of(found[name]["found"]) if name in found else []
    for axis, grown in (found["growth"]["found"] if "growth" in found else {}).items():
        if not grown["touches"]:
            what = f"cost of a call as {axis} grow, dearest against fewest"
            made.append(figures.Figure(what, growth.FLAT, growth.FLAT, growth.worst(grown), at_most=True, unit="x"))
    return made


def write(found: dict[str, Any], folder: Path) -> None:
    """All files, and the page beside the folder where there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    told = markdown(found)
    (folder / "full.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / "full.md").write_text(told)
    if "growth" in found:
        lines = growth.series(found["growth"]["found"])
        (folder / "growth.svg").write_text(chart.lines("CPU per call as things grow, per cent of the fewest", lines))
    report.include(folder.with_suffix(".md"), "full", told)


def floors(folder: Path) -> int:
    """How many floors are not held, of both runs; each is said."""
    headline = folder / "results.json"
    made = figures.figures(json.loads(headline.read_text())) if headline.exists() else []
    missed = [each for each in (*made, *all_figures(kept(folder))) if each.missed]
    for each in missed:
        found = "" if each.found is None else each.shown(each.found)
        print(f"floor not held: {each.what}: {found}, floor {each.shown(each.floor)}", file=sys.stderr)
    return len(missed)


def options(arguments: list[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names: Callable[[str], tuple[str, ...]] = lambda text: tuple(filter(None, text.split(",")))  # noqa: E731
    parser.add_argument("--only", type=names, default=SECTIONS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--most", type=int, default=10**9)
    parser.add_argument("--peers", type=lambda text: tuple(text.split(";")), default=tuple(PEERS), help="by `;`")
    parser.add_argument("--axes", type=lambda text: tuple(text.split(";")), default=tuple(AXES), help="by `;`")
    parser.add_argument("--to", type=Path, default=run.FOLDER)
    given = parser.parse_args(arguments)
    for what, known, asked in (
        ("section", SECTIONS, given.only),
        ("axis", AXES, given.axes),
        ("peer", PEERS, given.peers),
    ):
        if unknown := [each for each in asked if each not in known]:
            parser.error(f"no {what} is called `{unknown[0]}`; there are: {', '.join(known)}")
    return given


def main(arguments: list[str] | None = None) -> int:
    """All sections that were asked for."""
    given = options(arguments)
    status = 0
    if "headline" in given.only:
        status = run.main(["--rounds", str(given.rounds), "--seconds", str(given.seconds), "--to", str(given.to)])
    with tempfile.TemporaryDirectory(prefix="policylayer-full-") as temporary:
        for name in (each for each in given.only if each in TABLES):
            begun, before = time.monotonic(), machine()
            print(f"{TITLES[name]}:", file=sys.stderr, flush=True)
            found = section(name, Path(temporary) / name, given)
            how = f"{given.rounds} alternating rounds of {given.seconds} s; took {time.monotonic() - begun:.0f} s."
            write({**kept(given.to), name: {"machine": before, "how": how, "found": found}}, given.to)
            print("\n".join(["", *TABLES[name](found), ""]), flush=True)
    if "floors" in given.only:
        status = int(floors(given.to) > 0) or status
    return status


if __name__ == "__main__":
    sys.exit(main())
