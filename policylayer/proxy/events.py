"""A server's stream, as its events, a few at a time: however fast it speaks, others have their turn in between.

Must not know what an event says (`sift.py`), nor who reads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from policylayer.proxy.faults import Unusable
from policylayer.upstream.interface import Answer
from policylayer.wire import sse

SLICE: Final = 2 * 1024
"""Bytes that are read at once: of the shortest events so many are a few milliseconds of work."""

BREATH: Final = 100
"""Lines after which others have their turn: two or three make an ordinary event."""


async def events_of(answer: Answer, largest: int) -> AsyncGenerator[list[sse.Event]]:
    """The events in order, those that came together in one list, which is never empty. Raises `Unusable`.

    To be closed by who leaves it (`contextlib.aclosing`).
    """
    parser = sse.Parser(largest)
    lines = 0
    async for chunk in answer.chunks():
        for start in range(0, len(chunk), SLICE):
            piece = chunk[start : start + SLICE]
            try:
                events = parser.feed(piece)
            except sse.EventTooLarge:
                raise Unusable("an event is too large") from None
            if events:
                yield events
            # Whatever comes of them, lines are work; and what has come already is read without any wait.
            lines += piece.count(b"\n") + piece.count(b"\r")
            if lines >= BREATH:
                lines = 0
                await asyncio.sleep(0)
