"""Pure: the statements by which SQLite takes rows of the decision log: many rows each, and no value that is not there.

Python's sqlite3 looks for an adapter for each NULL that it binds, which takes longer than all the rest of the row; and
most columns of most rows are NULL. So rows are sorted by which columns they have (few kinds do for nearly all), and
each kind has statements that say the others' NULL themselves. Must not know connections (`session.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, Final, TypeAlias

from policylayer.store.rows import COLUMNS

Sealed: TypeAlias = tuple[str | int | bytes | None, ...]

TOGETHER: Final = 3
"""So many rows of whatever shapes go in by one statement of just their shapes."""

LARGEST: Final = 32
"""How many rows of one shape a statement takes at most, which stays below the limit of variables."""

MOST: Final = 512
"""Shapes, and statements for a few rows, that are kept; far more than there are."""

_INTO: Final = f"INSERT INTO records ({', '.join(COLUMNS)}) VALUES "


class _Shape:
    """Which columns a row has; `values` takes them out. The last, the link, is bytes and always there."""

    __slots__ = ("_statements", "marks", "values")

    def __init__(self, row: Sealed) -> None:
        there = [value is not None for value in row]
        self.marks = f"({', '.join('?' if each else 'NULL' for each in there)})"
        self.values = itemgetter(*(at for at, each in enumerate(there[:-1]) if each))
        self._statements: dict[int, str] = {}

    def statement(self, size: int) -> str:
        """The one for so many rows: each number has its own, since every statement more hands a lock to and fro."""
        statement = self._statements.get(size)
        if statement is None:
            statement = self._statements[size] = _INTO + ", ".join([self.marks] * size)
        return statement


class Statements:
    """Makes them, and keeps those that were made."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[object, int], list[_Shape]] = {}
        self._few: dict[tuple[_Shape, ...], str] = {}
        self._count = 0

    def of(self, rows: Sequence[Sealed]) -> Iterator[tuple[str, list[Any]]]:
        """What is to be executed, with its values."""
        by_shape: dict[_Shape, list[Any]] = {}
        if len(rows) > TOGETHER:
            for row in rows:
                shape, values = self._shaped(row)
                by_shape.setdefault(shape, []).append(values)
            for shape, several in by_shape.items():
                for at in range(0, len(several), LARGEST):
                    some = several[at : at + LARGEST]
                    yield shape.statement(len(some)), [value for values in some for value in values]
        elif rows:
            shaped = [self._shaped(row) for row in rows]
            yield self._for(tuple(shape for shape, _ in shaped)), [value for _, values in shaped for value in values]

    def _shaped(self, row: Sealed) -> tuple[_Shape, list[Any]]:
        """A row's shape, and the values that it has."""
        # As many values as a shape has, and all of its own: it is that shape.
        known = self._shapes.get((row[1], row.count(None)))
        for shape in known or ():
            values = shape.values(row)
            if None not in values:
                break
        else:
            shape = self._keep(row, known)
            values = shape.values(row)
        # The link is bytes, for which an adapter would be looked for too.
        return shape, [*values, bytearray(row[-1])]  # type: ignore[arg-type]

    def _keep(self, row: Sealed, known: list[_Shape] | None) -> _Shape:
        if self._count >= MOST:
            self._shapes.clear()
            self._count, known = 0, None
        self._count += 1
        shape = _Shape(row)
        if known is None:
            self._shapes[row[1], row.count(None)] = [shape]
        else:
            known.append(shape)
        return shape

    def _for(self, shapes: tuple[_Shape, ...]) -> str:
        statement = self._few.get(shapes)
        if statement is None:
            if len(self._few) >= MOST:
                self._few.clear()
            statement = self._few[shapes] = _INTO + ", ".join(shape.marks for shape in shapes)
        return statement
