"""What commands print: JSON lines for programs, aligned columns for people, nothing that a terminal would obey.

Must not know what is printed. Results go to standard output, everything else to standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import orjson

from policylayer.policy.diagnostics import visible

T = TypeVar("T")


def say(text: str = "") -> None:
    """A line on standard output; lines within it stay lines, all else that a terminal obeys is written out."""
    sys.stdout.write("\n".join(map(visible, text.split("\n"))) + "\n")


def write(text: str) -> None:
    """A document on standard output, as it is: in UTF-8, whatever the terminal's encoding."""
    _document(text.encode())


def note(text: str) -> None:
    """A line on standard error."""
    sys.stderr.write("\n".join(map(visible, text.split("\n"))) + "\n")


def emit(value: Any) -> None:
    """One JSON value on a line of its own."""
    _document(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))


def _document(data: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.flush()


def compact(value: Any) -> str:
    """A JSON value on one line, as people read it."""
    return orjson.dumps(value).decode()


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Aligned columns; the last one is not padded."""
    shown = [[visible("-" if cell is None else str(cell)) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in [list(columns), *shown]) for index in range(len(columns))]
    for row in [[column.upper() for column in columns], *shown]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def listing(json: bool, found: Iterable[T], columns: Sequence[str], row: Callable[[T], Sequence[object]]) -> None:
    """Values one a line as JSON, or as a table with a row for each."""
    if not json:
        table(columns, map(row, found))
        return
    for each in found:
        emit(each)


def fields(value: Mapping[str, Any]) -> None:
    """One object, a field a line."""
    width = max(map(len, value), default=0)
    for name, field in value.items():
        text = compact(field) if isinstance(field, dict | list | bool) or field is None else str(field)
        say(f"{name.ljust(width)}  {text}")
