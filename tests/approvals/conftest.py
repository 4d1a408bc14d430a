"""A bench to hold calls at: a real database, a clock that stands still, people who may be changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from policylayer.approvals.approvals import Approvals
from policylayer.clock import Clock
from policylayer.store.sqlite import SqliteStore
from tests.approvals.desk import KEYS, PATIENT, Bench, People, make_event
from tests.support.hand_clock import HandClock


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    path = tmp_path / "policylayer.db"
    store = SqliteStore(path, KEYS, Clock(), PATIENT)
    await store.start()
    clock, people = HandClock(), People()
    approvals = Approvals(store, KEYS, clock, lambda: people, make_event(clock))
    await approvals.start()
    yield Bench(approvals, store, clock, people, path)
    await approvals.close()
    await store.close()
