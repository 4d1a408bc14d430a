"""Pure: the statements by which SQLite takes rows of the decision log: many rows each, and no value that is not there.

Python's sqlite3 looks for an adapter for each NULL that it binds, which takes longer than all the rest of the row; and
most columns of most rows are NULL. So rows are sorted by which columns they have (few kinds do for nearly all), and
each kind has statements that say the others' NULL themselves. Must not know connections (`session.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import compress, groupby, repeat
from operator import is_not
from typing import Any, Final, TypeAlias

from policylayer.store.rows import COLUMNS

Sealed: TypeAlias = tuple[str | int | bytes | None, ...]
Shape: TypeAlias = tuple[bool, ...]
"""Which columns a row has."""

TOGETHER: Final = 3
"""So many rows of whatever shapes go in by one statement of just their shapes."""

SIZES: Final = (32, 16, 8, 4, 2, 1)
"""How many rows of one shape a statement takes; a batch is cut into these. They stay below the limit of variables."""

_INTO: Final = f"INSERT INTO records ({', '.join(COLUMNS)}) VALUES "


def statements(rows: Iterable[Sealed]) -> Iterator[tuple[str, list[Any]]]:
    """What is to be executed, with its values."""
    shaped = [(tuple(map(is_not, row, repeat(None))), row) for row in rows]
    if not shaped:
        return
    if len(shaped) <= TOGETHER:
        yield _for(tuple(shape for shape, _ in shaped)), _values(shaped)
        return
    shaped.sort(key=_shape)
    for shape, several in groupby(shaped, _shape):
        yield from _of_one(shape, list(several))


def _of_one(shape: Shape, rows: Sequence[tuple[Shape, Sealed]]) -> Iterator[tuple[str, list[Any]]]:
    at = 0
    for size in SIZES:
        while len(rows) - at >= size:
            yield _for((shape,) * size), _values(rows[at : at + size])
            at += size


def _shape(shaped: tuple[Shape, Sealed]) -> Shape:
    return shaped[0]


def _values(shaped: Iterable[tuple[Shape, Sealed]]) -> list[Any]:
    values: list[Any] = []
    for shape, row in shaped:
        values += compress(row, shape)
    # The link, the last column, is bytes, for which an adapter would be looked for too.
    return [bytearray(value) if type(value) is bytes else value for value in values]


@lru_cache(maxsize=256)
def _for(shapes: tuple[Shape, ...]) -> str:
    return _INTO + ", ".join(f"({', '.join('?' if there else 'NULL' for there in shape)})" for shape in shapes)
