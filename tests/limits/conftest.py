"""A desk over each database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.limits.desk import Desk, opened
from tests.support.hand_clock import HandClock


@pytest.fixture
def postgres(postgres_url: str) -> str:
    return postgres_url


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
