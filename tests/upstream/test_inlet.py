"""What is written to a process: in turn, whole, bounded; and never sent where it had not begun."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from policylayer.core.errors import Lost, NotSent, TimedOut
from policylayer.upstream import Overloaded
from policylayer.upstream.inlet import Inlet
from policylayer.upstream.interface import Unsent

pytestmark = pytest.mark.anyio

LARGE = 1_000_000
"""More than a pipe and what may wait before it hold."""

MOST = 3 * LARGE


class Pipe:
    """A pipe of which nobody reads until `read` is called."""

    def __init__(self, inlet: Inlet, writer: asyncio.StreamWriter, fd: int) -> None:
        self.inlet = inlet
        self.writer = writer
        self._fd = fd

    @property
    def kept(self) -> int:
        return self.writer.transport.get_write_buffer_size()

    async def write(self, letter: str, size: int = LARGE, left: float | None = None) -> asyncio.Task[Any]:
        """A write under way: `left` is the time it has. Its result is what it raises, or None."""
        deadline = None if left is None else asyncio.get_running_loop().time() + left
        task = asyncio.get_running_loop().create_task(raised(self.inlet.write(letter.encode() * size, deadline)))
        for _ in range(5):
            await asyncio.sleep(0)
        return task

    async def read(self, lines: int) -> list[tuple[str, int]]:
        """The next lines: the letters in each, and its length."""
        data = bytearray()
        async with asyncio.timeout(10):
            while data.count(b"\n") < lines:
                try:
                    data += os.read(self._fd, 1 << 20)
                except BlockingIOError:
                    await asyncio.sleep(0.001)
        return [(bytes(set(line)).decode(), len(line)) for line in data.splitlines()]


async def raised(work: Coroutine[Any, Any, None]) -> BaseException | None:
    try:
        await work
    except BaseException as error:
        return error
    return None


@asynccontextmanager
async def pipe(most: int = MOST) -> AsyncIterator[Pipe]:
    loop = asyncio.get_running_loop()
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(writing, "wb")
    )
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    one = Pipe(Inlet("s", writer, most), writer, reading)
    try:
        yield one
    finally:
        one.inlet.abort()
        one.inlet.close()
        os.close(reading)
        await asyncio.sleep(0)


async def test_messages_are_written_in_turn_and_only_one_is_in_the_pipe() -> None:
    async with pipe() as one:
        tasks = [await one.write(letter) for letter in "abc"]
        assert one.kept <= LARGE + 1
        assert one.inlet.waiting == 2 * LARGE
        assert await one.read(3) == [("a", LARGE), ("b", LARGE), ("c", LARGE)]
        assert [await task for task in tasks] == [None] * 3
        assert one.inlet.waiting == 0


async def test_a_line_break_between_json_tokens_is_a_space() -> None:
    async with pipe() as one:
        await one.inlet.write(b'{\r\n"a":1}')
        one.inlet.post(b"{\n}")
        assert [length for _, length in await one.read(2)] == [9, 3]


async def test_whoever_leaves_before_its_turn_was_never_sent() -> None:
    async with pipe() as one:
        first, second, third = [await one.write(letter) for letter in "abc"]
        second.cancel()
        assert isinstance(await second, Unsent)
        assert one.inlet.waiting == LARGE
        assert await one.read(2) == [("a", LARGE), ("c", LARGE)]
        assert (await first, await third) == (None, None)


async def test_ever_new_callers_that_leave_fill_nothing() -> None:
    async with pipe() as one:
        await one.write("a")
        for _ in range(100):
            task = await one.write("b")
            task.cancel()
            assert isinstance(await task, Unsent)
        assert one.kept <= LARGE + 1
        assert one.inlet.waiting == 0


async def test_what_has_begun_is_written_whole_whoever_leaves() -> None:
    async with pipe() as one:
        first, second = await one.write("a"), await one.write("b")
        first.cancel()
        assert type(await first) is asyncio.CancelledError
        assert one.kept <= LARGE + 1, "the next waits for the pipe, though nobody waits before it"
        assert await one.read(2) == [("a", LARGE), ("b", LARGE)]
        assert await second is None


async def test_over_what_may_wait_a_message_is_refused() -> None:
    async with pipe() as one:
        await one.write("a", 2 * MOST)
        waiting = await one.write("b", 2 * MOST)
        assert not waiting.done(), "alone it may wait, however large it is"
        refused = await (await one.write("c", 1))
        assert isinstance(refused, Overloaded)
        assert isinstance(refused, NotSent)
        waiting.cancel()
        await waiting
        last = await one.write("d", MOST)
        assert await one.read(2) == [("a", 2 * MOST), ("d", MOST)]
        assert await last is None


async def test_at_the_deadline_it_is_known_whether_it_was_sent() -> None:
    async with pipe() as one:
        first, second = await one.write("a", left=0.01), await one.write("b", left=0.01)
        assert isinstance(await first, TimedOut)
        assert isinstance(await second, NotSent)
        await one.read(1)
        assert one.inlet.waiting == 0


async def test_the_end_wakes_all_who_wait() -> None:
    async with pipe() as one:
        tasks = [await one.write(letter) for letter in "abc"]
        one.inlet.abort()
        one.inlet.abort()
        async with asyncio.timeout(10):
            assert [type(await task) for task in tasks] == [Lost, NotSent, NotSent]
        with pytest.raises(NotSent):
            await one.inlet.write(b"d")
        one.inlet.post(b"e")
        assert one.kept == one.inlet.waiting == 0
