"""What stands in the decision log and no writer put there: cells of another type than their column's, texts that are
not UTF-8.

SQLite keeps whatever it is given, so whoever can write the file can put bytes in the place of a text. Whoever reads a
row asks here what of it is so. PostgreSQL lets nothing of the kind in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from types import NoneType
from typing import Any, Final

from sqlalchemy import Connection, LargeBinary, Text, cast, literal
from sqlalchemy.exc import DBAPIError

from policylayer.store.rows import COLUMNS
from policylayer.store.tables import records

FITS: Final = tuple(
    (column.type.python_type, NoneType) if column.nullable else (column.type.python_type,) for column in records.columns
)
"""The types that the cells of each column may have."""

NUMBERS: Final = itemgetter(*(at for at, fits in enumerate(FITS) if fits == (int, NoneType)))
"""The numbers of a row that may be missing."""

UNDECODED: Final = "Could not decode to UTF-8"
"""How Python's driver begins to say that a text is not UTF-8."""


class Undecoded(str):
    """A text that is not UTF-8, with the bytes that are not written out as `\\xff`; `raw` is what is stored."""

    raw: bytes


def decoded(data: bytes) -> str:
    """A text of the database. A type of its own where it is none, so that it passes for no text that was written."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        made = Undecoded(data.decode(errors="backslashreplace"))
        made.raw = data
        return made


def is_undecoded(error: DBAPIError | sqlite3.Error) -> bool:
    """Whether a read failed because a text is not UTF-8."""
    return str(error.orig if isinstance(error, DBAPIError) else error).startswith(UNDECODED)


def are_doubtful(connection: Connection, rows: Sequence[Sequence[Any]]) -> bool:
    """Whether rows just read may hold what JSON writes like something else: a text that is not UTF-8, or infinity,
    which is `null` there. (Nowhere but where one was met is a text read with its own type.)"""
    undecoded = getattr(connection.connection.driver_connection, "text_factory", str) is not str
    return undecoded or float in set(map(type, chain.from_iterable(map(NUMBERS, rows))))


@lru_cache(maxsize=1024)
def _misfits(types: tuple[type, ...]) -> tuple[str, ...]:
    """By the types of the cells: rows have few different ones, and a page of a log has many rows."""
    return tuple(name for name, kind, fits in zip(COLUMNS, types, FITS, strict=True) if kind not in fits)


def misfits(row: Sequence[Any]) -> tuple[str, ...]:
    """The columns of a whole row that hold what does not fit them."""
    return _misfits(tuple(map(type, row)))


def printable(cell: Any) -> str:
    """A cell as a plain text, whatever it holds."""
    return cell.decode(errors="backslashreplace") if isinstance(cell, bytes) else str(cell)


def bound(cell: Any) -> Any:
    """A cell as a statement is given it, to find that very cell again."""
    return cast(literal(cell.raw, LargeBinary), Text) if isinstance(cell, Undecoded) else cell
