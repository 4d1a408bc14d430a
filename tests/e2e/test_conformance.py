"""Conformance parity: what the MCP conformance suite finds through the proxy is what it finds directly, check by check.

What differs is in the table of docs/conformance.md, with its reason; the table and the run must agree both ways.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import conformance, node
from tests.support.processes import ROOT, Program
from tests.support.running import ALLOW_ALL, Running

PAGE = ROOT / "docs" / "conformance.md"
LEAST = {"2025-11-25": 84, "2026-07-28": 168}
"""Checks that succeed against the fixture itself: fewer would mean that the comparison compares less."""

Difference = tuple[str | None, str | None]


@pytest.fixture(scope="module")
def fixture() -> Iterator[str]:
    node.packages()
    with Program.python("-m", "tests.support.mcp_fixture", "--port", "0") as program:
        yield program.wait_for("listening on ")


@pytest.fixture(scope="module")
def proxy(fixture: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("conformance")
    # The suite sends no credential, so its requests are those of the local principal.
    running = Running(folder, {"fixture": {"url": fixture}}, {"all.yaml": ALLOW_ALL}, local_principal="agent:suite")
    with running:
        yield running
    assert running.troubles() == []


@pytest.mark.shows("proxy.2")
@pytest.mark.slow
@pytest.mark.parametrize("revision", conformance.REVISIONS)
def test_the_suite_finds_through_the_proxy_what_it_finds_directly(fixture: str, proxy: Running, revision: str) -> None:
    direct = conformance.run(fixture, revision)
    proxied = conformance.run(proxy.mcp("fixture"), revision)
    print(f"{revision}: {_totals(direct)} directly, {_totals(proxied)} through the proxy")

    assert conformance.passed(direct) >= LEAST[revision], sorted(conformance.failed(direct))
    found, listed = conformance.differences(direct, proxied), _listed(revision)
    unlisted = {check: results for check, results in found.items() if listed.get(check) != results}
    gone = {check: results for check, results in listed.items() if check not in found}
    assert not unlisted, f"through the proxy this differs, and {PAGE.name} does not say why: {unlisted}"
    assert not gone, f"{PAGE.name} lists what does not differ any more: {gone}"


def _totals(checks: conformance.Checks) -> str:
    return f"{conformance.passed(checks)} of {len(checks)} succeed, {len(conformance.failed(checks))} fail"


def _listed(revision: str) -> dict[str, Difference]:
    """The rows of the page's table: revision, check, directly, through the proxy, reason."""
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in PAGE.read_text().splitlines()]
    found: dict[str, Difference] = {}
    for row in rows:
        if len(row) == 5 and row[0] == revision:
            assert row[4], f"no reason is given for {row[1]}"
            found[row[1]] = (row[2], row[3])
    return found
