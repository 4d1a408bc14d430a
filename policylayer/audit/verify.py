"""Walks the decision log and names what was changed: every row's link, every number, every head that others tell of.

Finds edits, deletions, insertions, reordering, truncation behind a head that an opening or a checkpoint carries, and
whole missing chains. What it cannot find without a checkpoint kept elsewhere: rows cut off after the last head told,
and a rewriting by someone who has the key. How a link is made is in `core/chain.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain as chain_of
from typing import Any, Final, Literal

import orjson
from sqlalchemy import Connection, func, or_, select

from policylayer.audit.checkpoints import load, stored
from policylayer.audit.telling import PRUNED, Telling
from policylayer.core.chain import START, Linker
from policylayer.core.immutable import immutable
from policylayer.keys import Keys
from policylayer.store.damage import are_doubtful, bound, misfits, printable
from policylayer.store.opening import OPENED, present_chains
from policylayer.store.rows import COLUMNS, VERSION
from policylayer.store.store import Store
from policylayer.store.tables import equals, records

PAGE: Final = 4000
LISTED: Final = 100
"""Problems that are named; the others are counted."""

ID, ROW_VERSION, TYPE = COLUMNS.index("id"), COLUMNS.index("version"), COLUMNS.index("reason_code")
KIND = COLUMNS.index("kind")
SEQ, KEY, LINK = COLUMNS.index("seq"), COLUMNS.index("key_id"), COLUMNS.index("link")

Rows = Sequence[tuple[Any, ...]]
What = Literal[
    "changed",
    "missing_rows",
    "inserted",
    "no_opening",
    "truncated",
    "rewritten",
    "missing_chain",
    "unknown_key",
    "unknown_version",
    "bad_checkpoint",
]


@immutable
class Problem:
    """What is wrong, and where: the first row that shows it, if there is one."""

    what: What
    message: str
    chain: str | None = None
    seq: int | None = None
    id: str | None = None


@dataclass(slots=True)
class Report:
    """What was walked and found. `problems` holds the first ones, `found` counts all."""

    rows: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    """How many rows of each kind, so that `rows` can be held against what lists and exports have."""
    chains: int = 0
    checkpoints: int = 0
    found: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return self.found == 0

    def add(self, problem: Problem) -> None:
        """Note a problem."""
        self.found += 1
        if len(self.problems) < LISTED:
            self.problems.append(problem)


class Walk:
    """One chain's walk: where it stands, and what the next row is held against. `chain` is its id as it is stored,
    which need not be a text."""

    __slots__ = ("_begin", "_linkers", "_previous", "_told", "chain", "keys", "report", "seq")

    def __init__(self, chain: Any, keys: Keys, told: Mapping[int, bytes], report: Report) -> None:
        self.chain = chain
        self.keys = keys
        self.report = report
        self.seq = self._begin = 0
        self._told = told
        self._linkers: dict[str, Linker | None] = {}
        # What may stand before the next row: the last row's link, and what it should have been; so that a changed row
        # is named once, and not every row after it.
        self._previous: tuple[bytes, ...] = (START,)

    def begin_at(self, seq: int, head: str) -> None:
        """The chain was pruned up to this row."""
        self.seq = self._begin = seq
        self._previous = (bytes.fromhex(head),)

    def check(self, row: tuple[Any, ...], doubtful: bool = False) -> None:
        """Hold the next row against all that is known. `doubtful`: its link does not show that its cells are of their
        types."""
        seq = row[SEQ]
        if type(seq) is not int or type(self.chain) is not str:
            self._say("changed", _unlike(misfits(row)), row)
            return
        if seq <= self._begin:
            self._say("inserted", f"the chain begins behind row {self._begin}, what was before was pruned", row)
            return
        if seq != self.seq + 1:
            self._misplaced(row, seq)
        elif seq == 1 and row[TYPE] != OPENED:
            self._say("no_opening", "the chain does not begin with its opening", row)
        if row[ROW_VERSION] != VERSION:
            self._say("unknown_version", f"the row has the form {printable(row[ROW_VERSION])}", row)
        self._previous = self._linked(row, doubtful)
        if seq in self._told and type(row[LINK]) is bytes and self._told[seq] != row[LINK]:
            self._say("rewritten", "others tell of another row at this place", row)
        self.seq = max(self.seq, seq)

    def end(self) -> None:
        """The chain has no more rows; do others tell of more?"""
        beyond = max(self._told, default=0)
        if beyond > self.seq:
            message = f"others tell of row {beyond}, the chain ends at row {self.seq}"
            self.report.add(Problem("truncated", message, printable(self.chain), self.seq))

    def _linked(self, row: tuple[Any, ...], doubtful: bool) -> tuple[bytes, ...]:
        """Hold the row against its link; what may stand before the next one."""
        linker = self._linker(row[KEY])
        right = self._right(linker, row)
        if row[LINK] in right and not doubtful:
            return (row[LINK],)  # Then each cell is of its type too: no other is linked alike.
        wrong = misfits(row)
        stored_link = () if "link" in wrong else (row[LINK],)
        if wrong or (right and row[LINK] not in right):
            self._say("changed", _unlike(wrong), row)
            return (*stored_link, *right)
        if linker is None:
            self._say("unknown_key", f"the row was linked with key {row[KEY]}, which is not ours", row)
        return stored_link

    def _right(self, linker: Linker | None, row: tuple[Any, ...]) -> list[bytes]:
        """The links that the row may have; none where that is not known."""
        if linker is None:
            return []
        try:
            return [linker.link(previous, row[:-1]) for previous in self._previous]
        except orjson.JSONEncodeError:  # bytes in the place of a text
            return []

    def _linker(self, key_id: str) -> Linker | None:
        if key_id not in self._linkers:
            key = self.keys.chain_of(key_id)
            self._linkers[key_id] = Linker(key) if key is not None else None
        return self._linkers[key_id]

    def _misplaced(self, row: tuple[Any, ...], seq: int) -> None:
        if seq <= self.seq:
            self._say("inserted", f"there are two rows {seq}", row)
            return
        last = seq - 1
        rows = f"row {last} is" if last == self.seq + 1 else f"rows {self.seq + 1} to {last} are"
        self._add("missing_rows", f"{rows} missing", self.seq + 1, row)
        self._previous = ()

    def _say(self, what: What, message: str, row: tuple[Any, ...]) -> None:
        self._add(what, message, row[SEQ] if type(row[SEQ]) is int else None, row)

    def _add(self, what: What, message: str, seq: int | None, row: tuple[Any, ...]) -> None:
        self.report.add(Problem(what, message, printable(self.chain), seq, printable(row[ID])))


def _unlike(wrong: tuple[str, ...]) -> str:
    """What is said of a changed row; of cells that no writer writes, in which columns."""
    where = f": no writer puts such a thing in {', '.join(wrong)}" if wrong else ""
    return f"the row is not what was written here{where}"


async def verify(store: Store, keys: Keys, outside: Iterable[bytes] = ()) -> Report:
    """Walk the whole log. `outside` are lines of checkpoints that were kept elsewhere."""
    report = Report()
    telling = Telling()
    kept = await store.read(stored)
    for checkpoint in chain_of(map(load, outside), kept):
        report.checkpoints += 1
        if checkpoint is not None and checkpoint.genuine(keys):
            telling.tell(checkpoint.heads)
        else:
            name = f"checkpoint {checkpoint.id}" if checkpoint else "a line"
            report.add(Problem("bad_checkpoint", f"{name} is not signed with our key"))
    while True:
        found = replace(report, problems=list(report.problems))
        newest = await _walk_all(store, keys, telling, found)
        # What was pruned while we walked is no sign of anything: then once more, with what that pruning tells.
        if found.found == report.found or newest == await store.read(_newest):
            return found


async def _walk_all(store: Store, keys: Keys, telling: Telling, report: Report) -> str | None:
    """Every chain, and whether any is missing; the id of the newest pruning that was known."""
    chains, newest = await store.read(partial(_hear, telling=telling))
    for chain in chains:
        told, begin = (telling.told.get(chain), telling.begins.get(chain)) if type(chain) is str else (None, None)
        walk = Walk(chain, keys, told or {}, report)
        if begin is not None:
            walk.begin_at(*begin)
        await _walk(store, walk)
    for chain in sorted(telling.told.keys() - {chain for chain in chains if type(chain) is str}):
        if not telling.was_removed(chain):
            report.add(Problem("missing_chain", "others tell of this chain, and no row of it is left", chain))
    return newest


def _hear(connection: Connection, telling: Telling) -> tuple[list[Any], str | None]:
    """Take in what the log's own events tell; all chains that have rows, and the newest pruning."""
    telling.hear(connection, OPENED, PRUNED)
    return present_chains(connection), _newest(connection)


def _newest(connection: Connection) -> str | None:
    found: str | None = connection.scalar(select(func.max(records.c.id)).where(*equals("reason_code", PRUNED)))
    return found


async def _walk(store: Store, walk: Walk) -> None:
    """One chain, in pages. Where it was pruned, no row may be left, or be put, before its beginning."""
    walk.report.chains += 1
    after: tuple[Any, Any] | None = None
    while True:
        rows, doubtful = await store.read(partial(_page, chain=walk.chain, after=after))
        if not rows:
            break
        for row in rows:
            walk.check(row, doubtful)
        walk.report.rows += len(rows)
        for kind, number in Counter(printable(row[KIND]) for row in rows).items():
            walk.report.kinds[kind] = walk.report.kinds.get(kind, 0) + number
        after = (rows[-1][SEQ], rows[-1][ID])
    walk.end()


def _page(connection: Connection, chain: Any, after: tuple[Any, Any] | None) -> tuple[Rows, bool]:
    """Rows of a chain as they are stored, and whether they are doubtful; past SQLAlchemy's own rows, which cost as much
    as the links."""
    place = records.c.seq
    query = select(records).where(records.c.chain == bound(chain)).order_by(place, records.c.id).limit(PAGE)
    if after is not None:
        # By id too: where someone put two rows at one place, both are looked at.
        seq, row_id = map(bound, after)
        query = query.where(place >= seq, or_(place > seq, records.c.id > row_id))
    cursor = connection.execute(query).cursor
    rows = cursor.fetchall() if cursor is not None else ()
    return rows, are_doubtful(connection, rows)
