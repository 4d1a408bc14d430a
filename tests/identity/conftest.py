"""A started store, an authenticator over it, and a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from policylayer.clock import Clock
from policylayer.identity.authenticator import Authenticator
from policylayer.keys import Keys
from policylayer.store.sqlite import SqliteStore
from policylayer.store.store import Program
from tests.support.hand_clock import HandClock

KEYS = Keys([bytes(range(32))])


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "policylayer.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(path, KEYS, Clock(), Program("test"))
    await opened.start()
    yield opened
    await opened.close()


@pytest.fixture
async def gate(store: SqliteStore, clock: HandClock) -> AsyncIterator[Authenticator]:
    opened = Authenticator(store, clock)
    await opened.start()
    yield opened
    await opened.close()
