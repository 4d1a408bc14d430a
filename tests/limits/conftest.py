"""A desk over each database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.limits.desk import Desk, opened
from tests.support.hand_clock import HandClock
from tests.support.postgres import Server, server


@pytest.fixture(scope="session")
def cluster() -> Iterator[Server]:
    pytest.importorskip("asyncpg", reason="`asyncpg` is not installed")
    pytest.importorskip("greenlet", reason="`greenlet` is not installed")
    with server() as made:
        yield made


@pytest.fixture
def postgres(cluster: Server) -> Iterator[str]:
    made = cluster.database()
    yield made
    cluster.give_back(made)


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'limits.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: Any) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def desk(url: str) -> AsyncIterator[Desk]:
    made = await opened(url, HandClock())
    yield made
    await made.close()
