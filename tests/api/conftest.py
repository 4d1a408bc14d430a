"""The API with its approvals and freezes at work, in a folder of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.rig import Rig, api


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with api(tmp_path) as made:
        await made.backstage.approvals.start()
        await made.backstage.freezes.start()
        yield made
        await made.backstage.freezes.close()
        await made.backstage.approvals.close()
