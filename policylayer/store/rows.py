"""One row of the decision log as a tuple in the order of the table, before the writer adds its place in the chain.

A plain tuple because it goes to the database as it is. Must not know what the values mean (`audit/`), nor how they are
written (`writer.py`, `lane.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from policylayer.core.chain import START, Linker
from policylayer.store.tables import records

VERSION: Final = 1
"""The form of a row: which columns there are, in which order. The chain's reader goes by it."""


class Row(NamedTuple):
    """The columns of `records` but the writer's four. Texts hold neither U+0000 nor lone surrogates (`storable`)."""

    id: str
    kind: str
    time_us: int
    version: int = VERSION
    parent: str | None = None
    principal: str | None = None
    on_behalf_of: str | None = None
    grant_id: str | None = None
    server: str | None = None
    method: str | None = None
    target: str | None = None
    effect: str | None = None
    enforced: str | None = None
    would: str | None = None
    reason_code: str | None = None
    reason: str | None = None
    rules: str | None = None
    observed: str | None = None
    revision: str | None = None
    arguments: str | None = None
    input: str | None = None
    arguments_mode: str | None = None
    digest: str | None = None
    approval_id: str | None = None
    session: str | None = None
    protocol: str | None = None
    client: str | None = None
    ip: str | None = None
    state: str | None = None
    detail: str | None = None
    decide_us: int | None = None
    record_us: int | None = None
    upstream_us: int | None = None
    size: int | None = None
    is_error: int | None = None
    result_digest: str | None = None
    labels: str | None = None
    charges: str | None = None
    redeemed: str | None = None


def event_row(id: str, time_us: int, type: str, actor: str | None, detail: Mapping[str, Any]) -> Row:
    """The row of an event: who did what outside a call. An `approval_id` in the detail is found by its column too."""
    return Row(
        id=id,
        kind="event",
        time_us=time_us,
        principal=actor,
        reason_code=type,
        approval_id=detail.get("approval_id"),
        detail=orjson.dumps(detail).decode(),
    )


COLUMNS: Final = (*Row._fields, "chain", "seq", "key_id", "link")
"""All columns of `records`, in the table's order."""

assert tuple(records.columns.keys()) == COLUMNS


class Place:
    """Where a chain's writer stands: its chain, the number and link of its last row, and the key it links with."""

    __slots__ = ("_linker", "chain", "key_id", "link", "seq")

    def __init__(self, chain: str, key: bytes, key_id: str) -> None:
        self.chain = chain
        self._linker = Linker(key)
        self.key_id = key_id
        self.seq = 0
        self.link = START

    def mark(self) -> tuple[int, bytes]:
        """Where it stands now, for `back`."""
        return self.seq, self.link

    def back(self, mark: tuple[int, bytes]) -> None:
        """Forget the rows sealed since `mark`: their transaction is undone."""
        self.seq, self.link = mark

    def seal(self, row: Row) -> tuple[str | int | bytes | None, ...]:
        """The row with its place, as it is stored."""
        self.seq += 1
        placed: tuple[str | int | None, ...] = row + (self.chain, self.seq, self.key_id)  # noqa: RUF005 - much quicker
        self.link = link = self._linker.link(self.link, placed)
        return placed + (link,)  # noqa: RUF005


def storable(text: str) -> str:
    """The text as both databases can hold it: U+0000 and lone surrogates written out as `\\u0000`."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", "\\u0000").encode("utf-8", "backslashreplace").decode()
