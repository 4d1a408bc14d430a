"""Writes exported decisions to a file or standard output. Must not know where they come from, nor a format's inside."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

from policylayer.audit import forms
from policylayer.cli.exits import CommandError, UsageError

PAGE: Final = 500


class Format(StrEnum):
    """What a file holds."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


def write(path: Path | None, format: Format, decisions: Iterable[dict[str, Any]]) -> None:
    """Write them all to a file, or to standard output; a Parquet file is never written to a terminal."""
    if format is Format.PARQUET:
        if path is None and sys.stdout.isatty():
            raise UsageError("a Parquet file is nothing for a terminal", "name a file with --out")
        from policylayer.audit.parquet import Parquet

        with _open(path) as out, Parquet(out) as table:
            table.add(decisions)
        return
    with _open(path) as out:
        for text in _texts(format, decisions, PAGE):
            out.write(text)


def write_as_they_come(path: Path | None, format: Format, decisions: Iterable[dict[str, Any]]) -> None:
    """Write decisions one by one, each at once, for whoever reads the other end."""
    with _open(path) as out:
        for text in _texts(format, decisions, 1):
            out.write(text)
            out.flush()


def _texts(format: Format, decisions: Iterable[dict[str, Any]], page: int) -> Iterator[bytes]:
    """Lines of text, so many decisions at a time."""
    if format is Format.CSV:
        yield forms.csv_header()
    lines = forms.csv_lines if format is Format.CSV else forms.jsonl
    rest = iter(decisions)
    while some := list(islice(rest, page)):
        yield lines(some)


@contextlib.contextmanager
def _open(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with path.open("wb") as out:
            yield out
    except OSError as error:
        why = (error.strerror or "failed").lower()
        raise CommandError(f"cannot write `{path}`: {why}", "choose another --out") from None
