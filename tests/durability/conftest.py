"""Agents for whoever wants them; what takes hours is no part of a run.

What `scripts/soak.sh` alone runs is not even collected otherwise, so nothing is skipped either.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from tests.support.agents import closed

collect_ignore = [] if os.environ.get("POLICYLAYER_SOAK") else ["test_soak.py"]


@pytest.fixture
async def agents(anyio_backend: str) -> AsyncIterator[None]:
    """Whoever called hangs up with the test."""
    yield
    await closed()
