"""A replay over PostgreSQL: what it is over SQLite."""

from __future__ import annotations

from functools import partial

import pytest

from policylayer.audit.pages import newest, seen
from policylayer.audit.queries import EVERYTHING
from policylayer.clock import Clock
from policylayer.policy.load import load
from policylayer.policy.tally import Tally
from policylayer.revisions.replaying import Replaying, take
from policylayer.store.store import open_store
from policylayer.store.viewing import open_view
from tests.support.kept import KEYS, kept_of
from tests.support.many import AFTER, BEFORE, FACTS, compiled, rows

pytestmark = pytest.mark.anyio
NUMBER = 1_500


async def test_rows_of_postgresql_are_asked_as_those_in_memory(url: str) -> None:
    made = [row for _, row in rows(compiled(BEFORE), range(NUMBER))]
    store = open_store(url, KEYS, Clock())
    await store.start()
    for at in range(0, NUMBER, 500):
        await store.append(tuple(made[at : at + 500]))
    await store.close()
    after = load({name: text.encode() for name, text in AFTER.items()})
    here, there = Tally(), Tally()
    asked = await Replaying.open(after, {})
    await take(here, [kept_of(row) for row in made], FACTS.get, asked)
    view = await open_view(url)
    try:
        before, pages = None, 0
        while page := await view.read(partial(newest, filters=EVERYTHING, before=before, size=400)):
            await take(there, page, FACTS.get, asked)
            before, pages = page[-1].id, pages + 1
        found = await view.read(partial(seen, filters=EVERYTHING, most=10))
    finally:
        await view.close()
    assert pages == 4
    assert len(found) == 10
    assert there.rows == NUMBER
    assert (there.same, there.turns, there.undecidable, there.skipped) == (
        *(here.same, here.turns),
        *(here.undecidable, here.skipped),
    )
    counts = {key: (group.count, group.first_us, group.last_us) for key, group in there.changes.items()}
    assert counts == {key: (group.count, group.first_us, group.last_us) for key, group in here.changes.items()}
