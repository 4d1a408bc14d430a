"""A recording server and agents for whoever wants them; what takes hours is no part of a run.

What `scripts/soak.sh` alone runs is not even collected otherwise, so nothing is skipped either.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.agents import closed
from tests.support.background import Background
from tests.support.recording import Recording

collect_ignore = [] if os.environ.get("POLICYLAYER_SOAK") else ["test_soak.py"]


@pytest.fixture
def rec() -> Iterator[Recording]:
    """A server that keeps what it was sent."""
    with Background() as loop:
        made = Recording()
        loop.run(made.__aenter__())
        yield made
        loop.run(made.__aexit__(None, None, None))


@pytest.fixture
async def agents(anyio_backend: str) -> AsyncIterator[None]:
    """Whoever called hangs up with the test."""
    yield
    await closed()
