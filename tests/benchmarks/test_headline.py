"""`make bench`, with one round of a moment: every row that this machine allows, every column and ratio. Not timed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import figures, report, run
from benchmarks.fleet import no_nginx, no_postgres

pytestmark = [pytest.mark.slow, pytest.mark.shows("speed.1")]
PAGE = "# Page\n\n<!-- results: written by the benchmarks -->\nold\n<!-- end of results -->\n\n## Method\n"
CELL = ("rates", "cpu", "apart", "p50", "p99")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bench") / "performance"
    made.with_suffix(".md").write_text(PAGE)
    status = run.main(["--rounds", "1", "--seconds", "0.05", "--latency", "0.1", "--to", str(made)])
    assert status == 0, (made / "results.md").read_text()
    return made


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


def test_every_row_is_there_or_says_why_not(results: dict[str, Any]) -> None:
    absent = {"nginx": no_nginx(), figures.POSTGRES: no_postgres()}
    for name in figures.ROWS:
        if absent.get(name):
            assert results["skipped"][name] == absent[name]
        else:
            assert name in results["table"], results["skipped"]
    assert set(results["table"]) | set(results["skipped"]) == set(figures.ROWS)


def test_every_cell_is_filled_in(results: dict[str, Any]) -> None:
    for name, row in results["table"].items():
        assert list(row) == ["1", "16", "64", "256"]
        for cell in (*row.values(), results["handshake"][name]):
            assert all(isinstance(cell[what], float) for what in CELL)
            assert cell["rates"] > 0
            assert cell["p99"] >= cell["p50"] > 0
            assert cell["errors"] == 0, cell["example"]
        assert results["one_caller"][name]["p50_us"] > 0
        assert list(results["open_loop"][name]) == ["50%", "80%"]
        assert name == "direct" or results["pss_mib"][name] > 1


def test_a_call_of_ours_costs_cpu_and_its_database_is_apart(results: dict[str, Any]) -> None:
    assert sum(cell["cpu"] for cell in results["table"][figures.HEADLINE].values()) > 0
    assert all(cell["apart"] == 0 for cell in results["table"][figures.HEADLINE].values())
    if figures.POSTGRES in results["table"]:
        assert sum(cell["apart"] for cell in results["table"][figures.POSTGRES].values()) > 0


def test_every_ratio_is_there_or_says_what_it_needs(results: dict[str, Any]) -> None:
    made = figures.figures(results)
    assert len(made) == 9
    for each in made:
        # A round of a moment may cost less CPU than the system's accounting can tell.
        assert each.found is not None or "nginx" in each.what or "CPU-second" in each.what
    assert made[-1].what == "errors"
    assert made[-1].found == 0


def test_it_says_what_it_ran_on_and_how_long_the_disk_takes(results: dict[str, Any]) -> None:
    assert results["machine"]["versions"]["uvicorn"][0].isdigit()
    assert results["machine"]["cores"] >= 1
    assert results["fdatasync_us"] > 0
    assert results["took_s"] > 0


@pytest.mark.shows("policy.6", "rego.5", "audit.6")
def test_decisions_and_group_commit_are_printed_with_it(folder: Path, results: dict[str, Any]) -> None:
    told = (folder / "results.md").read_text()
    assert list(results["decide"]) == ["1", "100", "1000"]
    assert "| 1,000 |" in told
    assert "above YAML" in told
    assert "times one row a commit" in told
    assert not any(text.startswith("failed") for text in results["said"].values())


def test_it_writes_files_and_the_page(folder: Path, results: dict[str, Any]) -> None:
    told = (folder / "results.md").read_text()
    assert told == report.markdown(results)
    assert (folder / "chart.svg").read_text().startswith("<svg")
    page = folder.with_suffix(".md").read_text()
    assert report.included(page, "results") == told.strip()
    assert page.startswith("# Page")
    assert page.endswith("## Method\n")
