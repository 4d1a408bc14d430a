"""Targets and floors: what is said of a figure, and of one that cannot be had."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import figures
from benchmarks.figures import Figure

pytestmark = pytest.mark.shows("speed.2")


@pytest.mark.parametrize(("found", "verdict"), [(0.31, "target held"), (0.12, "floor held"), (0.119, "floor not held")])
def test_more_is_better(found: float, verdict: str) -> None:
    each = Figure("share", 0.30, 0.12, found, unit="%")
    assert each.verdict == verdict
    assert each.missed == (verdict == "floor not held")


@pytest.mark.parametrize(("found", "verdict"), [(70, "target held"), (99, "floor held"), (101, "floor not held")])
def test_less_is_better(found: float, verdict: str) -> None:
    assert Figure("memory", 75, 100, found, at_most=True, unit=" MiB").verdict == verdict


def test_what_is_missing_is_said_and_is_no_miss() -> None:
    each = Figure("share", 0.30, 0.12, None, why="nginx: `nginx` is not installed")
    assert each.verdict == "not measured: nginx: `nginx` is not installed"
    assert not each.missed


def results(**more: Any) -> dict[str, Any]:
    cell = {"rates": 100.0, "cpu": 50.0, "errors": 0}
    row = dict.fromkeys(("1", "16", "64", "256"), cell)
    one = {"p50_us": 10.0, "errors": 0}
    names = [name for name in figures.ROWS if name != "nginx"]
    return {
        "table": dict.fromkeys(names, row),
        "one_caller": dict.fromkeys(names, one),
        "handshake": dict.fromkeys(names, cell),
        "open_loop": {name: {"50%": one} for name in names},
        "pss_mib": {figures.HEADLINE: 60.0},
        "fdatasync_us": 300.0,
        "skipped": {"nginx": "`nginx` is not installed"},
        "decide": {"100": {"known": 5.0}},
        **more,
    }


def test_without_nginx_only_its_ratios_are_missing() -> None:
    made = figures.figures(results())
    without = [each for each in made if each.why == "nginx: `nginx` is not installed" and each.found is None]
    assert {each.what.partition(":")[0] for each in without} >= {"SQLite, 64 callers"}
    assert len(without) == 3
    assert "not measured: nginx" in "\n".join(figures.table(made))


def test_errors_of_every_measurement_count() -> None:
    assert figures.errors(results()) == 0
    bad = {"p50_us": 1.0, "errors": 2}
    assert figures.errors(results(one_caller={"direct": bad})) == 2
    assert figures.errors(results(open_loop={"direct": {"50%": bad, "80%": bad}})) == 4
