"""Ids are UUIDv7, ordered within a process, and carry the time."""

from __future__ import annotations

import threading
import uuid

from policylayer.clock import Clock, uuid7


def test_ids_are_version_7_and_increase_even_across_threads() -> None:
    clock = Clock()
    made: list[list[str]] = []

    def make() -> None:
        made.append([clock.new_id() for _ in range(2000)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(ids == sorted(ids) for ids in made)
    flat = [each for ids in made for each in ids]
    assert len(set(flat)) == len(flat)
    assert uuid.UUID(flat[0]).version == 7
    assert uuid.UUID(flat[0]).variant == uuid.RFC_4122


def test_an_id_begins_with_its_millisecond() -> None:
    made = uuid.UUID(uuid7(1_700_000_000_123 * 4000 + 17))
    assert made.int >> 80 == 1_700_000_000_123
    assert (made.int >> 64) & 0xFFF == 17


def test_a_clock_that_stands_still_still_gives_new_ids() -> None:
    clock = Clock()
    clock._last = 2**62
    first, second = clock.new_id(), clock.new_id()
    assert first < second
