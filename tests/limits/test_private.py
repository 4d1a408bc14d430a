"""What a limit counts by stands nowhere in clear where it comes from the call, and is one counter all the same."""

from __future__ import annotations

import pytest

from policylayer.keys import Keys
from policylayer.limits.limits import Limits
from policylayer.limits.steady import Steady
from tests.limits.desk import Desk, charge

pytestmark = pytest.mark.anyio


async def test_a_key_from_the_call_is_nowhere_and_still_one_counter(desk: Desk) -> None:
    secret = charge("6", key='["hunter2-hunter2"]', private=True)
    assert await desk.fits(secret)
    assert not await desk.fits(secret)
    assert await desk.fits(charge("6", key='["another"]', private=True))
    told = await desk.sql("SELECT charges FROM records UNION ALL SELECT key FROM counters")
    assert "keyed:" in str(told)
    assert "hunter2" not in str(told)
    await desk.give_back((await desk.sql("SELECT id FROM records WHERE kind = 'decision' ORDER BY id LIMIT 1"))[0][0])
    assert await desk.fits(secret)


async def test_a_new_key_forgets_no_charge(desk: Desk) -> None:
    """Rotation: the old key stays in the list for as long as what was written with it matters."""
    secret = charge("4", key='["hunter2"]', private=True)
    assert await desk.fits(secret)
    desk.limits = Limits(desk.store, Steady(desk.clock), Keys([bytes(range(1, 33)), bytes(range(32))]))
    assert await desk.fits(secret)
    over = await desk.charge(secret)
    assert over.over is not None
    assert over.over.retry_after == 60
    assert len({key for (key,) in await desk.sql("SELECT DISTINCT key FROM counters WHERE bucket_us > 0")}) == 2
    desk.hand.advance(61)
    assert await desk.fits(secret)
