"""Writes exported decisions as lines of JSON or CSV. Must not know where they come from."""

from __future__ import annotations

import contextlib
import csv
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TextIO

import orjson

from policylayer.cli.exits import CommandError

COLUMNS: Final = (
    *("id", "kind", "parent", "time", "principal", "for", "grant", "server", "method", "target", "effect", "enforced"),
    *("would", "reason_code", "reason", "rules", "revision", "arguments", "digest", "approval_id"),
    *("outcome_state", "outcome_at", "outcome_latency_us", "latency_us"),
)
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of a text that a spreadsheet would calculate."""


class Format(StrEnum):
    """What a file holds."""

    JSONL = "jsonl"
    CSV = "csv"


def write(path: Path | None, format: Format, decisions: Iterable[dict[str, Any]]) -> None:
    """Write them all to a file, or to standard output."""
    with _open(path) as out:
        if format is Format.JSONL:
            for each in decisions:
                out.write(orjson.dumps(each).decode() + "\n")
            return
        lines = csv.writer(out, lineterminator="\n")
        lines.writerow(COLUMNS)
        lines.writerows(_cells(each) for each in decisions)


@contextlib.contextmanager
def _open(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as out:
            yield out
    except OSError as error:
        why = (error.strerror or "failed").lower()
        raise CommandError(f"cannot write `{path}`: {why}", "choose another --out") from None


def _cells(found: dict[str, Any]) -> list[str]:
    outcome = {f"outcome_{name}": value for name, value in (found["outcome"] or {}).items()}
    values = {**found, **outcome}
    return [_cell(values.get(name)) for name in COLUMNS]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return f"'{text}" if text.startswith(FORMULA) else text
