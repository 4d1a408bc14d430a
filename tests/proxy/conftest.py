"""The endpoint over fakes, started and closed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.proxy.rig import Rig


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    """What is logged, kept instead of printed."""
    with capture_logs() as kept:
        yield kept


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    await made.endpoint.start()
    yield made
    await made.endpoint.close()
