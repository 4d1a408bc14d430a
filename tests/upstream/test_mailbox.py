"""Messages on their way to one reader: order, the end, errors, the deadline, and the bound."""

from __future__ import annotations

import asyncio

import pytest

from policylayer.core.errors import Lost, TooLarge
from policylayer.upstream.mailbox import OVERHEAD, Mailbox

pytestmark = pytest.mark.anyio


async def test_messages_come_in_order_and_then_the_end() -> None:
    box = Mailbox("s", 1000)
    box.put(b"1")
    box.put(b"2")
    box.end()
    box.put(b"3")
    assert [await box.get() for _ in range(4)] == [b"1", b"2", None, None]


async def test_a_reader_is_woken() -> None:
    box = Mailbox("s", 1000)
    reading = asyncio.get_running_loop().create_task(box.get())
    await asyncio.sleep(0)
    box.put(b"1")
    assert await reading == b"1"


async def test_an_error_comes_after_what_was_there_and_stays() -> None:
    box = Mailbox("s", 1000)
    box.put(b"1")
    box.end(Lost("gone"))
    box.end()
    assert await box.get() == b"1"
    for _ in range(2):
        with pytest.raises(Lost, match="gone"):
            await box.get()


async def test_the_deadline() -> None:
    box = Mailbox("s", 1000)
    with pytest.raises(TimeoutError):
        await box.get(asyncio.get_running_loop().time() + 0.01)
    box.put(b"1")
    assert await box.get(0.0) == b"1", "what is there is given, however late it is"


async def test_a_slow_reader_loses_the_stream() -> None:
    box = Mailbox("s", 2 * OVERHEAD + 10)
    for _ in range(3):
        box.put(b"12345")
    assert box.ended
    with pytest.raises(TooLarge, match="more than 266 bytes"):
        await box.get()


async def test_what_was_read_makes_room() -> None:
    box = Mailbox("s", OVERHEAD + 10)
    for _ in range(50):
        box.put(b"1234567890")
        assert await box.get() == b"1234567890"
