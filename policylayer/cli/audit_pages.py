"""The log page by page, for commands, decisions or events: newest first, or onward from an id, or without an end.

Must not know how a decision is shown, nor whether the API or the database answers (`reach.py`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from policylayer.cli.reach import Reach
from policylayer.cli.times import since
from policylayer.clock import Clock, uuid7

PAGE: Final = 500
EACH: Final = 0.5
"""Seconds between looks for what is new."""

OVERLAP_US: Final = 5_000_000
"""Rows of several writers do not become visible in the order of their ids: so far back is looked again."""

REMEMBERED: Final = 100_000
"""Of the last rows it is known that they were given already."""

BEGINNING: Final = uuid7(0)


def newest(proxy: Reach, asked: Mapping[str, str], limit: int, path: str = "/decisions") -> Iterator[dict[str, Any]]:
    """So many, the newest first."""
    cursor: str | None = ""
    while limit > 0 and cursor is not None:
        page = proxy.ask(
            "GET", path, {**asked, "limit": str(min(limit, PAGE)), **({"cursor": cursor} if cursor else {})}
        )
        yield from page["items"]
        limit -= len(page["items"])
        cursor = page["next"]


def onward(
    proxy: Reach, asked: Mapping[str, str], after: str | None = BEGINNING, path: str = "/decisions"
) -> Iterator[dict[str, Any]]:
    """All behind this id, the oldest first."""
    while after is not None:
        page = proxy.ask("GET", path, {**asked, "limit": str(PAGE), "after": after})
        yield from page["items"]
        after = page["next"]


def following(
    proxy: Reach, asked: Mapping[str, str], begin: str | None, after: str = BEGINNING
) -> Iterator[dict[str, Any]]:
    """All behind this id that are younger than `begin`, then whatever comes, each once; ends only with its reader."""
    clock = Clock()
    seen: dict[str, None] = {}
    started_us = clock.time_us()
    query = {**asked, **({"since": since(begin)} if begin else {})}
    while True:
        began_us = clock.time_us()
        for each in onward(proxy, query, after):
            if each["id"] not in seen:
                seen[each["id"]] = None
                yield each
        after, query = _id(max(started_us, began_us - OVERLAP_US)), dict(asked)
        while len(seen) > REMEMBERED:
            del seen[next(iter(seen))]
        time.sleep(EACH)


def now() -> str:
    """The id behind which everything is new."""
    return _id(Clock().time_us())


def _id(time_us: int) -> str:
    return uuid7(time_us * 4)
