"""The targets and floors of the headline run, and what was measured of each. Pure: from results to verdicts.

Ratios are of one run. Where a row is missing that a ratio needs, it says why. Must not know how anything was measured
(`run.py`) nor where it is shown (`report.py`). Those of peers, starting and idling are `full.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

HEADLINE = "100 rules, SQLite"
POSTGRES = "100 rules, PostgreSQL"
REGO = "100 rules, SQLite, Rego"
NO_LOG = "100 rules, no log"
RELAY = "relay only"
ROWS = ("direct", "nginx", "bare httptools relay", "bare asgi relay", RELAY, NO_LOG, HEADLINE, POSTGRES, REGO)
"""Every row that the headline table may have."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table of targets. `at_most`: less is better; `unit` follows each number."""

    what: str
    target: float
    floor: float
    found: float | None
    at_most: bool = False
    unit: str = ""
    digits: int = 2
    why: str = "a row is missing"

    def shown(self, value: float) -> str:
        """A number of it."""
        return f"{value:.0%}" if self.unit == "%" else f"{value:,.{self.digits}f}{self.unit}"

    def reaches(self, limit: float) -> bool:
        """Whether what was found is as good as this."""
        return self.found is not None and (self.found <= limit if self.at_most else self.found >= limit)

    @property
    def verdict(self) -> str:
        """In words."""
        if self.found is None:
            return f"not measured: {self.why}"
        if self.reaches(self.target):
            return "target held"
        return "floor held" if self.reaches(self.floor) else "floor not held"

    @property
    def missed(self) -> bool:
        """Whether it is worse than its floor."""
        return self.found is not None and not self.reaches(self.floor)


def table(figures: list[Figure]) -> list[str]:
    """As Markdown."""
    lines = ["| | target | floor | measured | |", "|---|---:|---:|---:|---|"]
    for each in figures:
        found = "" if each.found is None else each.shown(each.found)
        limits = f"{each.shown(each.target)} | {each.shown(each.floor)}"
        lines.append(f"| {each.what} | {limits} | {found} | {each.verdict} |")
    return lines


def ratio(over: float | None, under: float | None) -> float | None:
    """A quotient of what was measured."""
    return over / under if over is not None and under else None


@dataclass(frozen=True, slots=True)
class Run:
    """Results of a run, by name."""

    results: dict[str, Any]

    def cell(self, name: str, callers: int, what: str) -> float | None:
        """Of the table."""
        found = self.results["table"].get(name, {}).get(str(callers), {}).get(what)
        return None if found is None else float(found)

    def added(self, name: str) -> float | None:
        """What a target adds to the median at one caller."""
        one = self.results["one_caller"]
        return one[name]["p50_us"] - one["direct"]["p50_us"] if name in one else None

    def missing(self, *names: str) -> str:
        """Why a ratio of these rows cannot be had."""
        skipped = self.results["skipped"]
        return "; ".join(f"{name}: {skipped[name]}" for name in names if name in skipped) or "no such number of callers"


def figures(results: dict[str, Any]) -> list[Figure]:
    """All of the headline run."""
    run = Run(results)
    return [*_shares(run), *_durable(run), *_latency(run), *_others(run)]


def _shares(run: Run) -> list[Figure]:
    nginx = run.cell("nginx", 64, "cpu")

    def share(what: str, name: str, floor: float) -> Figure:
        found = ratio(nginx, run.cell(name, 64, "cpu"))
        return Figure(what, 0.30, floor, found, unit="%", why=run.missing("nginx", name))

    return [
        share("SQLite, 64 callers: share of nginx's calls per CPU-second", HEADLINE, 0.12),
        share("PostgreSQL with synchronous commit, the same", POSTGRES, 0.13),
    ]


def _durable(run: Run) -> list[Figure]:
    return [
        Figure(
            f"durable before forward against no log, calls/s at {callers}", target, floor,
            ratio(run.cell(HEADLINE, callers, "rates"), run.cell(NO_LOG, callers, "rates")),
            why=run.missing(HEADLINE, NO_LOG),
        )
        for callers, target, floor in ((64, 0.95, 0.80), (16, 0.75, 0.60))
    ]  # fmt: skip


def _latency(run: Run) -> list[Figure]:
    no_log, durable = run.added(NO_LOG), run.added(HEADLINE)
    between = durable - no_log if durable is not None and no_log is not None else None
    return [
        Figure(
            "p50 that policy without a log adds at one caller, against nginx's", 1.7, 2.5,
            ratio(no_log, run.added("nginx")), at_most=True, unit="x", why=run.missing("nginx", NO_LOG),
        ),
        Figure(
            "what durability adds to p50 at one caller, against a bare fdatasync", 1.6, 2.5,
            ratio(between, run.results["fdatasync_us"]), at_most=True, unit="x", why=run.missing(HEADLINE, NO_LOG),
        ),
    ]  # fmt: skip


def _others(run: Run) -> list[Figure]:
    memory = run.results["pss_mib"].get(HEADLINE)
    decide = run.results["decide"].get("100", {}).get("known")
    return [
        Figure("memory under load, PSS", 75, 100, memory, at_most=True, unit=" MiB", digits=0),
        Figure("deciding a 1 KB call by 100 rules", 20, 20, decide, at_most=True, unit=" us", digits=1),
        Figure("errors", 0, 0, float(errors(run.results)), at_most=True, digits=0),
    ]


def errors(results: dict[str, Any]) -> int:
    """Wrong answers, of all measurements."""
    cells = [cell for row in results["table"].values() for cell in row.values()]
    cells += results["one_caller"].values()
    cells += results["handshake"].values()
    cells += [each for loops in results["open_loop"].values() for each in loops.values()]
    return sum(cell["errors"] for cell in cells)
