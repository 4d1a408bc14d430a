"""Writes exported decisions to a file or standard output. Must not know where they come from, nor a format's inside."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

from policylayer.audit import forms
from policylayer.cli.exits import CommandError, UsageError
from policylayer.core.errors import ConfigError

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
        from policylayer.audit.parquet import Parquet, look_for_pyarrow

        try:
            look_for_pyarrow()
        except ConfigError as missing:
            raise CommandError(missing.message, missing.help) from None
        with _open(path) as out, Parquet(out) as table:
            table.add(decisions)
        return
    with _open(path) as out:
        for text in _texts(format, decisions, PAGE):
            out.write(text)


def write_as_they_come(path: Path | None, format: Format, decisions: Iterable[dict[str, Any]]) -> None:
    """Write decisions one by one, each at once, for whoever reads the other end."""
    with _open(path, whole=False) as out:
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
def _open(path: Path | None, whole: bool = True) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with _whole(path) if whole else path.open("wb") as out:
            yield out
    except OSError as error:
        why = (error.strerror or "failed").lower()
        raise CommandError(f"cannot write `{path}`: {why}", "choose another --out") from None


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file that has everything or is not there: until the end, what stood under its name stays."""
    path = path.resolve()
    if path.exists() and not path.is_file():  # a device, a FIFO: nothing can take its place
        with path.open("wb") as out:
            yield out
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as out:
            yield out
        if path.exists():
            beside.chmod(stat.S_IMODE(path.stat().st_mode))
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
