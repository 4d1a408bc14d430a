"""The results of a run as JSON, Markdown and a chart. Must not know how anything was measured (`run.py`)."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HEADLINE = "100 rules, SQLite"
PACKAGES = ("uvicorn", "httptools", "uvloop", "aiohttp", "orjson", "SQLAlchemy", "asyncpg")


def machine() -> dict[str, Any]:
    """What it ran on."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
        "versions": versions,
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def write(results: dict[str, Any], folder: Path) -> None:
    """All three files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "results.md").write_text(markdown(results))
    (folder / "chart.svg").write_text(chart(results))


def markdown(results: dict[str, Any]) -> str:
    """The tables."""
    table = results["table"]
    callers = list(next(iter(table.values())))
    made = results["machine"]
    lines = [
        f"Measured on {made['cores']} cores ({made['cpu']}), {made['system']}, Python {made['python']}; 1-minute load "
        f"at its end {made['load_before']:.1f}; {results['rounds']} rounds of {results['seconds']} s.",
        "",
        "| | "
        + " | ".join(f"calls/s at {each}" for each in callers)
        + " | "
        + " | ".join(f"CPU us a call at {each}" for each in callers)
        + " | PSS MiB |",
        "|---|" + "---:|" * (2 * len(callers) + 1),
    ]
    for name, row in table.items():
        rates = " | ".join(f"{row[each]['rates']:,.0f}" for each in callers)
        cpu = " | ".join(_cpu(row[each]) for each in callers)
        pss = results["pss_mib"].get(name)
        lines.append(f"| {name} | {rates} | {cpu} | {'' if pss is None else f'{pss:.0f}'} |")
    lines += ["", *_latency(results), "", *_targets(results)]
    if results["skipped"]:
        lines += ["", *(f"Skipped: {name}: {why}." for name, why in results["skipped"].items())]
    errors = sum(cell["errors"] for row in table.values() for cell in row.values())
    return "\n".join([*lines, "", f"Errors: {errors}.", ""])


def _cpu(cell: dict[str, Any]) -> str:
    apart = f" + {cell['apart']:.0f}" if cell["apart"] > 0.5 else ""
    return f"{cell['cpu']:.0f}{apart}" if cell["cpu"] else ""


def _latency(results: dict[str, Any]) -> list[str]:
    table, bare = results["table"], results["table"]["direct"]["1"]
    lines = [
        "| | added p50 at 1, us | added p99 at 1, us | open loop 50 %: p50, p99 us | 80 %: p50, p99 us |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, row in table.items():
        loops = [
            f"{each['p50_us']:,.0f}, {each['p99_us']:,.0f}" for each in results["open_loop"].get(name, {}).values()
        ]
        one = row["1"]
        added = f"{one['p50'] - bare['p50']:,.0f} | {one['p99'] - bare['p99']:,.0f}"
        lines.append(f"| {name} | {added} | {' | '.join(loops)} |")
    return [*lines, "", f"A bare write of 4 KiB and fdatasync: {results['fdatasync_us']:.0f} us."]


def figures(results: dict[str, Any]) -> list[tuple[str, str, str, float | None]]:
    """Each target of ours: what, target, floor, measured (None where it cannot be had)."""
    table = results["table"]

    def cell(name: str, callers: int, what: str) -> float | None:
        found = table.get(name, {}).get(str(callers), {}).get(what)
        return None if found is None else float(found)

    def ratio(over: float | None, under: float | None) -> float | None:
        return over / under if over is not None and under else None

    nginx, bare = cell("nginx", 64, "cpu"), cell("direct", 1, "p50") or 0.0
    no_log = cell("100 rules, no log", 1, "p50")
    durable = cell(HEADLINE, 1, "p50")
    proxied = cell("nginx", 1, "p50")
    return [
        (
            "SQLite, 64 callers: share of nginx's calls per CPU-second", "30 %", "12 %",
            ratio(nginx, cell(HEADLINE, 64, "cpu")),
        ),
        ("PostgreSQL, the same", "30 %", "13 %", ratio(nginx, cell("100 rules, PostgreSQL", 64, "cpu"))),
        *(
            (f"durable against no log, calls/s at {each}", target, floor,
             ratio(cell(HEADLINE, each, "rates"), cell("100 rules, no log", each, "rates")))
            for each, target, floor in ((64, "0.95", "0.80"), (16, "0.75", "0.60"))
        ),
        ("added p50 without log against nginx's", "1.7", "2.5",
         ratio(no_log - bare if no_log else None, proxied - bare if proxied else None)),
        ("what durability adds to p50, against a bare fdatasync", "1.6", "2.5",
         ratio(durable - no_log if durable and no_log else None, results["fdatasync_us"])),
        ("memory under load, MiB", "75", "100", results["pss_mib"].get(HEADLINE)),
    ]  # fmt: skip


def _targets(results: dict[str, Any]) -> list[str]:
    lines = ["| | target | floor | measured |", "|---|---:|---:|---:|"]
    for what, target, floor, found in figures(results):
        shown = "not measured" if found is None else f"{found:.0%}" if "%" in target else f"{found:.2f}"
        lines.append(f"| {what} | {target} | {floor} | {shown} |")
    return lines


def chart(results: dict[str, Any]) -> str:
    """CPU per call at 64 callers, as bars."""
    rows = [(name, row["64"]["cpu"]) for name, row in results["table"].items() if row["64"]["cpu"]]
    most = max((value for _, value in rows), default=1.0)
    height = 40 + 28 * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{height}" font-family="sans-serif" '
        'font-size="13" role="img" aria-label="CPU per call at 64 callers">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        '<text x="8" y="20" font-weight="bold">CPU per call at 64 callers, us</text>',
    ]
    for at, (name, value) in enumerate(rows):
        y = 34 + 28 * at
        width = value / most * 420
        parts.append(f'<text x="8" y="{y + 15}">{name}</text>')
        parts.append(f'<rect x="200" y="{y}" width="{width:.0f}" height="20" fill="#3b6ea5"/>')
        parts.append(f'<text x="{206 + width:.0f}" y="{y + 15}">{value:.0f}</text>')
    return "\n".join([*parts, "</svg>", ""])
