"""Pure: the statements by which SQLite takes rows of the decision log: many rows each, and no value that is not there.

Python's sqlite3 looks for an adapter for each NULL that it binds, which takes longer than all the rest of the row; and
most columns of most rows are NULL. So rows are sorted by which columns they have (few kinds do for nearly all), and
each kind has statements that say the others' NULL themselves. Must not know connections (`session.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, repeat
from operator import is_not
from typing import Any, Final, TypeAlias

from policylayer.store.rows import COLUMNS

Sealed: TypeAlias = tuple[str | int | bytes | None, ...]

TOGETHER: Final = 3
"""So many rows of whatever shapes go in by one statement of just their shapes."""

SIZES: Final = (32, 16, 8, 4, 2, 1)
"""How many rows of one shape a statement takes; a batch is cut into these. They stay below the limit of variables."""

MOST: Final = 512
"""Shapes, and statements for a few rows, that are kept; far more than there are."""

_INTO: Final = f"INSERT INTO records ({', '.join(COLUMNS)}) VALUES "


class _Shape:
    """Which columns a row has, and the statements for so many rows that have the same."""

    __slots__ = ("statements", "there", "values")

    def __init__(self, there: tuple[bool, ...]) -> None:
        self.there = there
        self.values = f"({', '.join('?' if each else 'NULL' for each in there)})"
        self.statements = {size: _INTO + ", ".join([self.values] * size) for size in SIZES}


class Statements:
    """Makes them, and keeps those that were made."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[bool, ...], _Shape] = {}
        self._few: dict[tuple[_Shape, ...], str] = {}

    def of(self, rows: Iterable[Sealed]) -> Iterator[tuple[str, list[Any]]]:
        """What is to be executed, with its values."""
        shaped = [(self._shape(row), row) for row in rows]
        if len(shaped) > TOGETHER:
            by_shape: dict[_Shape, list[Sealed]] = {}
            for shape, row in shaped:
                by_shape.setdefault(shape, []).append(row)
            for shape, several in by_shape.items():
                yield from _of_one(shape, several)
        elif shaped:
            values: list[Any] = []
            for shape, row in shaped:
                values += _values(shape, row)
            yield self._for(tuple(shape for shape, _ in shaped)), values

    def _shape(self, row: Sealed) -> _Shape:
        there = tuple(map(is_not, row, repeat(None)))
        shape = self._shapes.get(there)
        if shape is None:
            if len(self._shapes) >= MOST:
                self._shapes.clear()
            shape = self._shapes[there] = _Shape(there)
        return shape

    def _for(self, shapes: tuple[_Shape, ...]) -> str:
        statement = self._few.get(shapes)
        if statement is None:
            if len(self._few) >= MOST:
                self._few.clear()
            statement = self._few[shapes] = _INTO + ", ".join(shape.values for shape in shapes)
        return statement


def _of_one(shape: _Shape, rows: Sequence[Sealed]) -> Iterator[tuple[str, list[Any]]]:
    at, left = 0, len(rows)
    for size in SIZES:
        while left >= size:
            values: list[Any] = []
            for row in rows[at : at + size]:
                values += _values(shape, row)
            yield shape.statements[size], values
            at, left = at + size, left - size


def _values(shape: _Shape, row: Sealed) -> list[Any]:
    values: list[Any] = list(compress(row, shape.there))
    # The link, the last column, is bytes, for which an adapter would be looked for too.
    values[-1] = bytearray(values[-1])
    return values
