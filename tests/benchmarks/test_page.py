"""docs/performance.md: its parts are there, and its numbers are those of the run that is committed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks import figures, full, report

pytestmark = pytest.mark.shows("speed.3")
DOCS = Path(__file__).resolve().parents[2] / "docs"
FOLDER = DOCS / "performance"
PAGE = (DOCS / "performance.md").read_text()
RESULTS: dict[str, Any] = json.loads((FOLDER / "results.json").read_text())


@pytest.mark.parametrize(
    "heading",
    ["Method", "Results", "Where each microsecond goes", "What helped", "What was tried and did not help"],
)
def test_it_has_its_parts(heading: str) -> None:
    body = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert len(body.split()) > 20, heading


def test_its_tables_are_those_of_the_run() -> None:
    assert report.included(PAGE, "results") == report.markdown(RESULTS).strip()
    assert (FOLDER / "results.md").read_text() == report.markdown(RESULTS)


def test_its_numbers_can_be_found_in_the_table() -> None:
    """By hand, past the program that writes it."""
    row = next(
        line for line in report.included(PAGE, "results").splitlines() if line.startswith("| 100 rules, SQLite |")
    )
    cells = [cell.strip() for cell in row.split("|")[2:]]
    cell = RESULTS["table"][figures.HEADLINE]["64"]
    assert cells[2] == f"{cell['rates']:,.0f}"
    assert cells[6] == f"{cell['cpu']:.0f}"


def test_every_target_has_a_line() -> None:
    table = "\n".join(figures.table(figures.figures(RESULTS)))
    assert table in PAGE
    for what in ("share of nginx", "durable before forward", "fdatasync", "memory under load", "errors"):
        assert what in table


def test_the_full_run_is_there_too() -> None:
    found = full.kept(FOLDER)
    assert set(found) == set(full.TABLES)
    assert report.included(PAGE, "full") == full.markdown(found).strip()
    for axis in ("rules", "principals", "servers", "sessions", "pending approvals", "rows in the log"):
        assert axis in found["growth"]["found"]


def test_its_charts_exist_and_show_every_row() -> None:
    charts = re.findall(r"!\[[^\]]+\]\((performance/\w+\.svg)\)", PAGE)
    assert charts == ["performance/chart.svg", "performance/growth.svg"]
    bars = (DOCS / charts[0]).read_text()
    assert bars == report.bars(RESULTS)
    assert all(f">{name}<" in bars for name in RESULTS["table"] if name != "direct")
    assert "polyline" in (DOCS / charts[1]).read_text()


def test_programs_that_it_names_are_there() -> None:
    for name in re.findall(r"python -m benchmarks\.(\w+)", PAGE):
        assert (DOCS.parent / "benchmarks" / f"{name}.py").exists(), name
    for name in re.findall(r"`make (\w[\w-]*)`", PAGE):
        assert f"\n{name}:" in (DOCS.parent / "Makefile").read_text(), name
