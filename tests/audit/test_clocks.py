"""R-10: clocks that jump, by hours and by years, forward and back, do not disturb the log: numbers, chains, pages."""

from __future__ import annotations

import time
from functools import partial

import pytest
from sqlalchemy import select

from policylayer.audit import queries
from policylayer.audit.checkpoints import take
from policylayer.audit.queries import EVERYTHING, Filters, Page
from policylayer.audit.recorder import Recorder
from policylayer.audit.verify import verify
from policylayer.clock import Clock
from policylayer.core.commands import Recorded, RecordOutcome
from policylayer.store.store import Program, Store, open_store
from policylayer.store.tables import records
from tests.audit.support import EXECUTED, KEYS, context, decision, record

pytestmark = [pytest.mark.anyio, pytest.mark.shows("audit.1")]
HOUR, YEAR = 3600.0, 365 * 86_400.0
JUMPS = (0.0, -0.001, HOUR, -HOUR, YEAR, -YEAR, -YEAR, YEAR, 1.0)
EACH = 5


class Wall:
    """The system's clock, with whoever set it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time_ns(self) -> int:
        return time.time_ns() + int(self.ahead * 1e9)

    def monotonic(self) -> float:
        return time.monotonic()


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    made = Wall()
    monkeypatch.setattr("policylayer.clock.time", made)
    return made


async def opened(url: str) -> tuple[Store, Recorder, Clock]:
    clock = Clock()
    store = open_store(url, KEYS, clock, Program("serve"))
    await store.start()
    recorder = Recorder(store, KEYS, clock)
    await recorder.start()
    return store, recorder, clock


async def test_a_clock_that_jumps_leaves_one_log_without_gaps(database_url: str, wall: Wall) -> None:
    store, recorder, clock = await opened(database_url)
    written: list[str] = []
    kept: list[bytes] = []
    for jump in JUMPS:
        wall.ahead += jump
        for _ in range(EACH):
            reply = await recorder.record(record(), context())
            assert isinstance(reply, Recorded)
            await recorder.outcome(RecordOutcome(reply.row_id, EXECUTED, decision()))
            written.append(reply.row_id)
        checkpoint = await store.write(partial(take, keys=KEYS, clock=clock))
        assert checkpoint is not None
        kept.append(checkpoint.line())
    assert written == sorted(written)
    own = select(records.c.seq).where(records.c.chain == store.own_chains()[0]).order_by(records.c.seq)
    numbers = await store.read(lambda connection: list(connection.scalars(own)))
    assert numbers == list(range(1, len(numbers) + 1))
    report = await verify(store, KEYS, kept)
    assert report.good, report.problems
    assert await all_pages(store) == written
    # Ids never go back, so those of rows after a clock was set back are ahead of it: `since` finds them all the same.
    since = clock.time_us() - int(YEAR * 1.5e6)
    assert len((await store.read(partial(queries.decisions, filters=Filters(since=since), limit=100))).items) == len(
        written
    )
    await recorder.close()
    await store.close()


@pytest.mark.parametrize("jump", [-YEAR, YEAR])
async def test_a_restart_under_another_clock_goes_on_in_the_same_log(
    database_url: str, wall: Wall, jump: float
) -> None:
    store, recorder, _ = await opened(database_url)
    first = await recorder.record(record(), context())
    assert isinstance(first, Recorded)
    # It ends without the outcome's being written.
    await store.close()
    wall.ahead += jump
    store, recorder, _ = await opened(database_url)
    second = await recorder.record(record(), context())
    assert isinstance(second, Recorded)
    page: Page = await store.read(queries.decisions)
    outcomes = {each["id"]: each["outcome"] and each["outcome"]["state"] for each in page.items}
    assert outcomes == {first.row_id: "unknown", second.row_id: None}
    report = await verify(store, KEYS)
    assert report.good, report.problems
    assert set(await all_pages(store)) == {first.row_id, second.row_id}
    await recorder.close()
    await store.close()


async def all_pages(store: Store) -> list[str]:
    """Every decision, in the order of export."""
    found: list[str] = []
    after: str | None = None
    while True:
        page: Page = await store.read(partial(queries.oldest_first, filters=EVERYTHING, limit=7, after=after))
        found += [each["id"] for each in page.items]
        if page.next is None:
            return found
        after = page.next
