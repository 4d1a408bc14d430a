"""Decisions as they leave the log in files: lines of JSON, or of CSV that no spreadsheet takes for a formula.

Must not know where decisions come from (`queries.py`, the command line) nor where the bytes go. Parquet is beside this:
`parquet.py`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

COLUMNS: Final = (
    *("id", "kind", "parent", "time", "principal", "for", "grant", "server", "method", "target", "effect", "enforced"),
    *("would", "reason_code", "reason", "rules", "revision", "arguments", "digest", "approval_id"),
    *("outcome_state", "outcome_at", "outcome_latency_us", "latency_us"),
)
"""Of a table of decisions."""

FORMULA: Final = ("=", "+", "-", "@")
"""Beginnings of a text that a spreadsheet would calculate."""


def jsonl(decisions: Iterable[Mapping[str, Any]]) -> bytes:
    """One decision a line."""
    return b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in decisions)


def csv_header() -> bytes:
    """The names of the columns."""
    return _lines([COLUMNS])


def csv_lines(decisions: Iterable[Mapping[str, Any]]) -> bytes:
    """One decision a line; texts that a spreadsheet would calculate are made texts for it too."""
    return _lines([_inert(cell) for cell in flat(each)] for each in decisions)


def flat(decision: Mapping[str, Any]) -> list[str | int | None]:
    """A decision's cells, in the order of the columns: rules as `policy/rule`, arguments as JSON."""
    outcome = decision["outcome"] or {}
    arguments = decision["arguments"]
    special = {
        "rules": " ".join(f"{rule['policy']}/{rule['rule']}" for rule in decision["rules"]),
        "arguments": None if arguments is None else orjson.dumps(arguments).decode(),
        "outcome_state": outcome.get("state"),
        "outcome_at": outcome.get("at"),
        "outcome_latency_us": outcome.get("latency_us"),
    }
    return [special[name] if name in special else decision[name] for name in COLUMNS]


def _inert(value: object) -> object:
    """A text that a spreadsheet would take for a formula, so that it does not; control characters written out."""
    if not isinstance(value, str):
        return value
    printable = value
    if not value.isprintable():
        printable = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in value)
    return f"'{printable}" if printable.startswith(FORMULA) else printable


def _lines(rows: Iterable[Iterable[object]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()
