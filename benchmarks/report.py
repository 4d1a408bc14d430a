"""The results of a headline run as JSON, Markdown and a chart, and in docs/performance.md between its markers.

Must not know how anything was measured (`run.py`) nor what it should have been (`figures.py`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import chart, decide, figures
from benchmarks.machine import sentence


def write(results: dict[str, Any], folder: Path) -> None:
    """All three files, and the page beside the folder where there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    told = markdown(results)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "results.md").write_text(told)
    (folder / "chart.svg").write_text(bars(results))
    include(folder.with_suffix(".md"), "results", told)


def include(page: Path, name: str, text: str) -> None:
    """Put a text between the page's markers of that name. A page without them is left alone."""
    if not page.exists():
        return
    begin, end = f"<!-- {name}: written by the benchmarks -->", f"<!-- end of {name} -->"
    before, found, rest = page.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if found and ended:
        page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}")


def included(page: str, name: str) -> str:
    """What stands between the markers."""
    _, _, rest = page.partition(f"<!-- {name}: written by the benchmarks -->")
    return rest.partition(f"<!-- end of {name} -->")[0].strip()


def markdown(results: dict[str, Any]) -> str:
    """The tables."""
    lines = [
        f"Measured on {sentence(results['machine'])}.",
        f"{results['rounds']} alternating rounds of {results['seconds']} s.",
        "",
        *_throughput(results),
        "",
        *_latency(results),
        "",
        f"A bare write of 4 KiB and fdatasync in the same run: {results['fdatasync_us']:.0f} us.",
        "",
        *figures.table(figures.figures(results)),
        "",
        *decide.table(results["decide"]),
        "",
    ]
    lines += [f"Skipped: {name}: {why}." for name, why in results["skipped"].items()]
    for title, text in results["said"].items():
        lines += ["", f"{title}:", "", *(f"    {line}".rstrip() for line in text.rstrip().splitlines())]
    return "\n".join([*lines, "", f"Errors: {figures.errors(results)}.", ""])


def _throughput(results: dict[str, Any]) -> list[str]:
    rows = results["table"]
    callers = list(next(iter(rows.values())))
    heads = [f"calls/s at {each}" for each in callers] + [f"CPU us a call at {each}" for each in callers]
    heads += ["2025-11-25, at 16: calls/s", "CPU us", "PSS MiB", "errors"]
    lines = ["| | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    for name, row in rows.items():
        older, pss = results["handshake"][name], results["pss_mib"].get(name)
        cells = [f"{row[each]['rates']:,.0f}" for each in callers] + [_cpu(row[each]) for each in callers]
        cells += [f"{older['rates']:,.0f}", _cpu(older), "" if pss is None else f"{pss:.0f}"]
        cells += [str(sum(row[each]["errors"] for each in callers) + older["errors"])]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _cpu(cell: dict[str, Any]) -> str:
    apart = f" + {cell['apart']:.0f}" if cell["apart"] > 0.5 else ""
    return f"{cell['cpu']:.0f}{apart}" if cell["cpu"] else ""


def _latency(results: dict[str, Any]) -> list[str]:
    one = results["one_caller"]
    lines = [
        "| | added p50 at 1, us | added p99 at 1, us | open loop 50 %: p50, p99 us | 80 %: p50, p99 us |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, cell in one.items():
        added = [f"{cell[what] - one['direct'][what]:,.0f}" for what in ("p50_us", "p99_us")]
        added = [f"({cell['p50_us']:,.0f})", f"({cell['p99_us']:,.0f})"] if name == "direct" else added
        loops = [f"{each['p50_us']:,.0f}, {each['p99_us']:,.0f}" for each in results["open_loop"][name].values()]
        lines.append(f"| {name} | " + " | ".join([*added, *loops]) + " |")
    return lines


def bars(results: dict[str, Any]) -> str:
    """CPU per call at 64 callers; a database server's on top."""
    at = "64" if "64" in next(iter(results["table"].values())) else list(next(iter(results["table"].values())))[-1]
    rows = [(name, row[at]["cpu"], row[at]["apart"]) for name, row in results["table"].items() if name != "direct"]
    return chart.bars(f"CPU per call at {at} callers, us (a database server's in light)", rows)
