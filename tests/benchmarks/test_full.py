"""`make bench-full`: what it says of growth, peers, starting and replicas; and that a section runs and is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import chart, cores, full, growth, idle, peers, rivals
from benchmarks.figures import Figure


def grown(*costs: float, touches: str = "", errors: int = 0) -> dict[str, Any]:
    cells = {str(10**at): {"least": cost, "errors": errors} for at, cost in enumerate(costs)}
    return {"touches": touches, "sizes": cells, "skipped": {}}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (grown(100, 90, 114), "flat within 15 % (+14%)"),
        (grown(100, 116, 100), "NOT FLAT (+16%)"),
        (grown(100, 400, touches="each is read"), "grows: each is read"),
        (grown(100), "one size only"),
        (grown(100, 100, errors=1), "2 wrong answers"),
    ],
)
def test_growth_is_judged(found: dict[str, Any], said: str) -> None:
    assert growth.verdict(found) == said


def test_a_cost_that_grows_is_below_a_floor() -> None:
    section = {"growth": {"found": {"rules": grown(100, 150), "bytes": grown(100, 900, touches="read")}}}
    made = full.all_figures(section)
    assert [(each.what.split()[5], each.missed) for each in made] == [("rules", True)]


def test_a_line_of_a_chart_goes_through_its_points() -> None:
    svg = chart.lines("Growth", {"rules": {1: 100, 10: 100, 100: 50}})
    assert 'points="60,50 270,50 480,195"' in svg


def row(rate: float, errors: int = 0) -> dict[str, Any]:
    return {"rates": rate, "cpu": 1.0, "p50": 1.0, "pss_mib": 1.0, "errors": errors, "example": ""}


def test_peers_are_compared_or_their_reason_is_said() -> None:
    found = {
        "versions": {},
        "rows": {rivals.OURS: row(2000), "fastmcp's proxy": row(40), "mcp-proxy": row(10, errors=3)},
        "skipped": {"ContextForge": "needs Python 3.12, which is not installed"},
    }
    made: list[Figure] = rivals.figures(found)
    assert [each.verdict for each in made] == [
        "floor held",
        "not measured: it gave wrong answers",
        "not measured: needs Python 3.12, which is not installed",
    ]
    assert "| 50.0x |" in "\n".join(rivals.table(found))


def test_a_peer_whose_python_is_missing_is_skipped_with_one_reason() -> None:
    with pytest.raises(peers.Absent, match=r"needs Python 3\.99"):
        peers.python_for("3.99")


def test_peers_are_pinned() -> None:
    pinned = peers.pinned()
    assert set(pinned) == set(rivals.TIMES)
    assert all(set(each) == {"package", "version", "python"} for each in pinned.values())


@pytest.mark.parametrize(("others", "said"), [(1.5, "left 0.5 of 2"), (0.1, "")])
def test_two_replicas_are_only_judged_where_two_cores_are_free(others: float, said: str) -> None:
    each = {"rates": 100.0, "calls_per_cpu_s": 90.0, "cores_of_others": others, "errors": 0.0}
    found = {"cores": 2, "replicas": {"1": each, "2": {**each, "rates": 180.0}}}
    (made,) = cores.figures(found)
    assert (made.found is None) == bool(said)
    assert said in made.why if said else made.verdict == "target held"
    assert "1.80 times" in "\n".join(cores.table(found))


def test_starting_and_idling_have_limits() -> None:
    found = {"rules": 500, "ready_s": 1.0, "ready_first_s": 1.6, "check_s": 0.3, "idle_cpu": 0.001, "idle_pss_mib": 71}
    assert [each.missed for each in idle.figures(found)] == [False, True, False, False, True]


@pytest.mark.slow
@pytest.mark.shows("speed.1")
def test_a_section_runs_and_replaces_only_itself(tmp_path: Path) -> None:
    folder = tmp_path / "performance"
    folder.mkdir()
    old = {"machine": {"cores": 1}, "how": "", "found": {"skipped": "old"}}
    (folder / "full.json").write_text(json.dumps({"cores": {**old, "machine": full.machine()}}))
    short = ["--rounds", "1", "--seconds", "0.05", "--most", "10", "--axes", "rules;pending approvals"]
    assert full.main(["--only", "growth", *short, "--to", str(folder)]) == 0
    found = full.kept(folder)
    assert found["cores"]["found"] == {"skipped": "old"}
    axes = found["growth"]["found"]
    assert list(axes) == ["rules", "pending approvals"]
    assert list(axes["rules"]["sizes"]) == ["1", "10"]
    assert all(cell["errors"] == 0 for axis in axes.values() for cell in axis["sizes"].values())
    told = (folder / "full.md").read_text()
    assert "### Growth" in told
    assert "Two replicas: skipped: old." in told
    assert "<svg" in (folder / "growth.svg").read_text()


def test_a_section_that_is_none_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        full.options(["--only", "growht"])
    assert "no section is called `growht`; there are: headline," in capsys.readouterr().err
