"""A batch waits for company while the loop brings some, and goes when it has come to rest; nothing is lost."""

from __future__ import annotations

import asyncio

import pytest

from policylayer.clock import Clock
from policylayer.store.gathering import LATER, LONGEST, QUIET, Gathering, Turns
from policylayer.store.rows import Row
from policylayer.store.waiting import Item

pytestmark = [pytest.mark.anyio, pytest.mark.shows("speed.3")]


class Still(Clock):
    """For whom time passes only when told."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def waited_for(name: str) -> Item:
    item = told(name)
    item.future = asyncio.get_running_loop().create_future()
    return item


def told(name: str) -> Item:
    return Item((Row(name, "decision", 0),), told=lambda rows, error: None)


class Batches:
    """Takes batches, and says that one is done when asked to."""

    def __init__(self, most: int = 512) -> None:
        self.clock = Still()
        self.gone: list[list[str]] = []
        self.gathering = Gathering(self.clock, most, self._take)

    def _take(self, items: list[Item]) -> None:
        self.gone.append([item.rows[0].id for item in items])

    async def turns(self, count: int = QUIET + 2) -> None:
        for _ in range(count):
            await asyncio.sleep(0)


def test_turns_are_waited_for_while_each_brings_more() -> None:
    turns = Turns(10, 0.0)
    assert all(turns.more(found, 0.0) for found in range(1, 10))
    assert not turns.more(10, 0.0), "as many as a batch takes"


def test_a_batch_goes_after_turns_that_brought_nothing() -> None:
    turns = Turns(10, 0.0)
    assert [turns.more(1, 0.0) for _ in range(QUIET + 1)] == [True] * QUIET + [False]
    turns = Turns(10, 0.0)
    assert [turns.more(found, 0.0) for found in (1, 1, 2, 2, 2)] == [True, True, True, True, False]


def test_a_loop_that_never_rests_is_waited_for_so_long() -> None:
    turns = Turns(1_000, 5.0)
    assert turns.more(1, 5.0)
    assert turns.more(2, 5.0 + LONGEST * 0.9)
    assert not turns.more(3, 5.0 + LONGEST)


async def test_what_comes_turn_by_turn_goes_together() -> None:
    batches = Batches()
    for at in range(5):
        batches.gathering.put(waited_for(str(at)))
        assert batches.gone == []
        await asyncio.sleep(0)
    await batches.turns()
    assert batches.gone == [["0", "1", "2", "3", "4"]]


async def test_one_alone_waits_for_a_few_empty_turns_only() -> None:
    batches = Batches()
    batches.gathering.put(waited_for("a"))
    await batches.turns()
    assert batches.gone == [["a"]]


async def test_what_comes_while_a_batch_is_away_goes_with_the_next() -> None:
    batches = Batches()
    batches.gathering.put(waited_for("a"))
    await batches.turns()
    for name in "bcd":
        batches.gathering.put(waited_for(name))
    await batches.turns(20)
    assert batches.gone == [["a"]], "never two at a time"
    batches.gathering.back()
    await batches.turns()
    assert batches.gone == [["a"], ["b", "c", "d"]]
    batches.gathering.back()
    await batches.turns(20)
    assert len(batches.gone) == 2, "nothing is handed over where there is nothing"


async def test_what_nobody_waits_for_goes_along_or_a_little_later() -> None:
    batches = Batches()
    batches.gathering.put(told("a"))
    await batches.turns(20)
    assert batches.gone == []
    batches.gathering.put(waited_for("b"))
    await batches.turns()
    assert batches.gone == [["a", "b"]]
    batches.gathering.put(told("c"))
    batches.gathering.back()
    await batches.turns(20)
    assert batches.gone == [["a", "b"]]
    await asyncio.sleep(LATER * 4)
    assert batches.gone == [["a", "b"], ["c"]]


async def test_more_than_a_batch_goes_in_several() -> None:
    batches = Batches(most=2)
    for name in "abcde":
        batches.gathering.put(waited_for(name))
    for _ in range(3):
        await batches.turns()
        batches.gathering.back()
    assert batches.gone == [["a", "b"], ["c", "d"], ["e"]]


async def test_the_end_hands_over_all_that_is_left_and_nothing_twice() -> None:
    batches = Batches(most=2)
    batches.gathering.put(waited_for("a"))
    await batches.turns()
    for name in "bcd":
        batches.gathering.put(waited_for(name))
    batches.gathering.put(told("e"))
    batches.gathering.rest()
    await asyncio.sleep(LATER * 2)
    assert batches.gone == [["a"], ["b", "c"], ["d", "e"]]
