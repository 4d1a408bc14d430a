"""The endpoint over fakes, started and closed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.proxy.rig import Rig


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    await made.endpoint.start()
    yield made
    await made.endpoint.close()
