"""Collects which line of an issue's "Must show" each test shows, and prints the table at the end of a run.

With `POLICYLAYER_REQUIRE=all` a skipped test fails the run, and a line in `tests/lines.txt` without a test does too
(full runs only).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.background import Background
from tests.support.postgres import Server, server
from tests.support.recording import Recording

# A busy machine is slow, which says nothing of what is tested; fixtures are shared by examples on purpose.
SUPPRESSED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("tests", deadline=None, suppress_health_check=SUPPRESSED)
settings.load_profile("tests")

LINES = Path(__file__).with_name("lines.txt")
_shown: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
_selected_all = False


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio only: so does the program."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Server]:
    """A PostgreSQL server for whoever only uses databases of it; who stops or changes one has one of their own."""
    pytest.importorskip("asyncpg", reason="`asyncpg` is not installed")
    pytest.importorskip("greenlet", reason="`greenlet` is not installed")
    with server() as made:
        yield made


@pytest.fixture
def postgres_url(postgres_cluster: Server) -> Iterator[str]:
    """An empty database there."""
    made = postgres_cluster.database()
    yield made
    postgres_cluster.give_back(made)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'log.db'}"
    made: str = request.getfixturevalue("postgres_url")
    return made


@pytest.fixture
def rec() -> Iterator[Recording]:
    """A server that keeps what it was sent."""
    with Background() as loop:
        made = Recording()
        loop.run(made.__aenter__())
        yield made
        loop.run(made.__aexit__(None, None, None))


def pytest_configure(config: pytest.Config) -> None:
    """A run counts as full when nothing was selected."""
    global _selected_all
    arguments = {Path(arg).resolve() for arg in config.args}
    whole = arguments <= {config.rootpath, config.rootpath / "tests"}
    _selected_all = whole and not config.option.keyword and not config.option.markexpr


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let each report carry the lines its test shows (reports cross process borders, items do not)."""
    item.user_properties.extend(("shows", line) for mark in item.iter_markers("shows") for line in mark.args)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count outcomes per line."""
    if report.when == "call" or report.outcome != "passed":
        for name, line in report.user_properties:
            if name == "shows":
                _shown[line][report.outcome] += 1


def _required() -> list[str]:
    return [line for line in LINES.read_text().split() if line] if LINES.exists() else []


def _missing() -> list[str]:
    return [line for line in _required() if line not in _shown] if _selected_all else []


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail where everything is required and something was skipped or has no test."""
    if exitstatus != 0 or session.config.option.collectonly:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if _missing() or (skipped and os.environ.get("POLICYLAYER_REQUIRE") == "all"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of lines."""
    if not _shown and not _missing():
        return
    terminalreporter.section("lines shown")
    for line in sorted({*_shown, *_missing()}, key=_natural):
        counts = _shown.get(line, {})
        if not counts:
            terminalreporter.write_line(f"{line:12} NO TEST")
            continue
        row = "  ".join(f"{counts.get(k, 0)} {k}" for k in ("passed", "failed", "skipped"))
        terminalreporter.write_line(f"{line:12} {row}")


def _natural(line: str) -> tuple[str, int]:
    name, _, number = line.partition(".")
    return name, int(number) if number.isdigit() else 0
