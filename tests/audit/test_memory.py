"""What reads the whole log needs no more memory for four times as many rows: verifying, exporting in each format."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from benchmarks.filling import fill_sqlite
from benchmarks.pages import reads
from benchmarks.readers import COMMANDS, prepare, used
from policylayer.audit import queries
from policylayer.keys import Keys
from tests.support.sizes import sized

pytestmark = pytest.mark.shows("audit.7")

FEW = sized(20_000, 250_000)
MANY = 4 * FEW
GROWTH_KIB = 24 * 1024
"""What may be more: of four times the rows, held in memory, 30,000 decisions would be over 60 MiB."""


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """A folder of each size."""
    folder = tmp_path_factory.mktemp("memory")
    return {rows: prepare(folder / str(rows), rows) for rows in (FEW, MANY)}


@pytest.mark.parametrize("name", COMMANDS)
def test_memory_does_not_grow_with_the_log(logs: dict[int, Path], name: str) -> None:
    if name == "export parquet":
        pytest.importorskip("pyarrow", reason="`pyarrow` is not installed")
    few, many = (used(logs[rows], COMMANDS[name]) for rows in (FEW, MANY))
    assert many.peak_kib - few.peak_kib < GROWTH_KIB, (few, many)
    if name == "verify":
        # The rows, and the opening of their chain.
        assert f"{MANY + 1} rows (" in many.said
        assert "in 1 chain," in many.said
    elif name == "export jsonl":
        assert (logs[MANY] / "out").read_bytes().count(b"\n") == MANY // 2
    elif name == "export csv":
        assert (logs[MANY] / "out").read_bytes().count(b"\n") == MANY // 2 + 1
    print(f"{name}: {few.peak_kib // 1024} and {many.peak_kib // 1024} MiB, {MANY / many.seconds:.0f} rows/s")


def test_the_filled_log_is_what_traffic_would_leave(tmp_path: Path) -> None:
    """The measure would be none if the log were empty, or all alike."""
    fill_sqlite(tmp_path / "log.db", Keys([bytes(range(32))]), 2_000)
    engine = create_engine(f"sqlite:///{tmp_path / 'log.db'}")
    with engine.connect() as connection:
        found = {name: read(connection) for name, read in reads(time.time_ns() // 1000).items()}
        newest = found["the newest"]
        assert len(newest.items) == 100
        assert all(each["outcome"] is not None for each in newest.items)
        for name in ("a busy principal", "denied", "held", "a rule that decides much", "a text in one", "events"):
            assert found[name].items, name
        for name in ("nobody", "a text in none", "a rule that decides nothing"):
            assert not found[name].items, name
        whole = partial(queries.oldest_first, filters=queries.EVERYTHING, limit=1000, after=None)
        assert len(whole(connection).items) == 1_000
    engine.dispose()
