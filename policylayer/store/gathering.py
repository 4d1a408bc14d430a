"""What gathers on the event loop for the next commit: a batch goes when the loop has come to rest, not by a timer.

A commit costs about the same whatever is in it, and a thread that works beside a busy loop costs both: the
interpreter's lock goes to and fro. While the loop's turns bring more to write, it is busy with calls that would wait
for the next commit anyway; when two turns in a row have brought nothing, what there is goes. One item at a calm loop
thus waits for a few empty turns, some microseconds. Must not know threads, connections or rows (`writer.py`). A
database server works elsewhere: waiting for company would only leave it idle (`lane.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from policylayer.clock import Clock
from policylayer.store.waiting import Item

QUIET: Final = 2
"""Turns of the loop: bytes that one turn reads become a row in the next."""

LONGEST: Final = 0.01
"""Seconds that turns which bring more are waited for."""

LATER: Final = 0.005
"""Seconds that what nobody waits for may wait for company."""


class Turns:
    """Whether another turn of the loop is worth waiting for, before a batch of at most `most` goes."""

    __slots__ = ("_most", "_quiet", "_seen", "_until")

    def __init__(self, most: int, now: float) -> None:
        self._most = most
        self._until = now + LONGEST
        self._seen = -1
        self._quiet = 0

    def more(self, found: int, now: float) -> bool:
        """Called once a turn, with how many there are."""
        self._quiet = self._quiet + 1 if found == self._seen else 0
        self._seen = found
        return self._quiet < QUIET and found < self._most and now < self._until


class Gathering:
    """What gathers while a batch is away; `hand_over` takes a batch, and `back` says that it is done."""

    def __init__(self, clock: Clock, most: int, hand_over: Callable[[list[Item]], None]) -> None:
        self._clock = clock
        self._most = most
        self._hand_over = hand_over
        self._loop = asyncio.get_running_loop()
        self._items: list[Item] = []
        self._urgent = False
        """Whether somebody waits for any of them."""
        self._away = False
        """Whether a batch is with the writer, or about to go."""
        self._timed = False

    def put(self, item: Item) -> None:
        """One more."""
        self._items.append(item)
        if item.future is not None:
            self._urgent = True
        self._see()

    def back(self) -> None:
        """The batch that was away is done."""
        self._away = False
        self._see()

    def rest(self) -> None:
        """Hand over all that is left, at the end."""
        while self._items:
            self._send()

    def _see(self) -> None:
        """Let the next batch go when the loop has come to rest; one that nobody waits for, in a while."""
        if self._away:
            return
        if self._urgent:
            self._away = True
            self._loop.call_soon(self._turn, Turns(self._most, self._clock.monotonic()))
        elif self._items and not self._timed:
            self._timed = True
            self._loop.call_later(LATER, self._in_time)

    def _turn(self, turns: Turns) -> None:
        if turns.more(len(self._items), self._clock.monotonic()):
            self._loop.call_soon(self._turn, turns)
        else:
            self._send()

    def _in_time(self) -> None:
        """What could wait has waited long enough."""
        self._timed = False
        if self._items and not self._away:
            self._send()

    def _send(self) -> None:
        batch, self._items = self._items[: self._most], self._items[self._most :]
        self._urgent = any(item.future is not None for item in self._items)
        self._away = bool(batch)
        if batch:
            self._hand_over(batch)
