"""A row of the decision log as far as it can be read: its JSON decoded, and where a cell holds what no writer writes,
what can be shown of it, and its name.

A log may be damaged by whoever can write it; `verify.py` says so, and this lets people look at the row. Must not know
how a row is shown (`shown.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from policylayer.core.decision import Effect
from policylayer.policy.times import EPOCH
from policylayer.store.damage import FITS, misfits, printable
from policylayer.store.rows import COLUMNS

MICROSECOND: Final = timedelta(microseconds=1)
FIRST: Final = (datetime.min.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
LAST: Final = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
"""Times that a calendar has."""

EFFECTS: Final = frozenset(map(str, Effect))
EFFECTIVE: Final = ("effect", "enforced", "would")
AMOUNTS: Final = ("decide_us", "record_us", "upstream_us", "size")
MOST: Final = 1 << 62
"""Of an amount: two of them are a number of 64 bits still."""

FLAT: Final = 100
"""So many brackets nest less deep than JSON can be written."""

TEXTS: Final = frozenset(name for name, fits in zip(COLUMNS, FITS, strict=True) if str in fits)

DAMAGED: Final = "damaged"
"""Beside the columns: the names of those that are not as they were written."""


def legible(cells: Sequence[Any]) -> dict[str, Any]:
    """A whole row by its columns, and `damaged`. What cannot be read is None, a time 1970: no row goes without one."""
    row = dict(zip(COLUMNS, cells, strict=True))
    damaged = list(misfits(cells))
    for name in damaged:
        row[name] = printable(row[name]) if name in TEXTS else None
    for name in LOOKED_INTO:
        if row[name] is not None and _is_lost(row, name):
            damaged += [] if name in damaged else [name]
            row[name] = None
    if row["time_us"] is None:
        row["time_us"] = 0
    row[DAMAGED] = damaged
    return row


def _is_lost(row: dict[str, Any], name: str) -> bool:
    """Whether a cell of the right type holds nothing that can be shown there; JSON is decoded in its place."""
    if name in JSON:
        return not _decode(row, name)
    cell = row[name]
    if name in EFFECTIVE:
        return cell not in EFFECTS
    if name == "time_us":
        return not FIRST <= cell <= LAST
    return not 0 <= cell < MOST


def _decode(row: dict[str, Any], name: str) -> bool:
    text = row[name]
    try:
        row[name] = value = orjson.loads(text)
        if text.count("[") + text.count("{") > FLAT:
            orjson.dumps([[[[[[[[value]]]]]]]])  # It reads deeper texts than it writes.
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return False
    return JSON[name](value)


def _is_any(_: Any) -> bool:
    return True


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _are_rules(value: Any) -> bool:
    return _is_list(value) and all(map(_is_rule, value))


def _is_rule(value: Any) -> bool:
    if not _is_object(value) or type(value.get("line")) is not int or value["line"] < 0:
        return False
    return type(value.get("policy")) is type(value.get("rule")) is type(value.get("file")) is str


JSON: Final[Mapping[str, Callable[[Any], bool]]] = {
    **{"rules": _are_rules, "observed": _are_rules, "arguments": _is_any, "input": _is_any},
    **{"labels": _is_list, "charges": _is_list, "detail": _is_object},
}
"""Columns of JSON, and what it must be."""

LOOKED_INTO: Final = (*JSON, *EFFECTIVE, *AMOUNTS, "time_us")
