"""Decisions as a Parquet file, a row group at a time, so that memory stays flat. Needs pyarrow, which is an extra.

The columns are those of `forms.py`; times are instants, latencies integers, everything else is text. Must not know
where decisions come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, BinaryIO, Final

from policylayer.audit.forms import COLUMNS, flat
from policylayer.core.errors import ConfigError

GROUP: Final = 10_000
"""Rows of a row group."""

INSTANTS: Final = ("time", "outcome_at")
NUMBERS: Final = ("outcome_latency_us", "latency_us")


def look_for_pyarrow() -> None:
    """Before anything is opened: whoever lacks it loses nothing."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise ConfigError("Parquet needs the package `pyarrow`", "pip install 'policylayer[parquet]'") from None


class Parquet:
    """Writes one file; to be closed, or its end is missing."""

    def __init__(self, out: BinaryIO) -> None:
        look_for_pyarrow()
        import pyarrow
        from pyarrow import parquet

        self._pyarrow = pyarrow
        kinds = {name: pyarrow.timestamp("us", "UTC") for name in INSTANTS} | dict.fromkeys(NUMBERS, pyarrow.int64())
        self._schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in COLUMNS])
        self._writer = parquet.ParquetWriter(out, self._schema, compression="zstd")
        self._rows: list[list[Any]] = []

    def __enter__(self) -> Parquet:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def add(self, decisions: Iterable[Mapping[str, Any]]) -> None:
        """Take decisions in; a full group is written."""
        for each in decisions:
            self._rows.append(_cells(each))
            if len(self._rows) >= GROUP:
                self._flush()

    def close(self) -> None:
        """Write what is left, and the end."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = list(zip(*self._rows, strict=True))
        self._rows.clear()
        arrays = [self._pyarrow.array(column, kind) for column, kind in zip(columns, self._schema.types, strict=True)]
        self._writer.write_table(self._pyarrow.Table.from_arrays(arrays, schema=self._schema))


def _cells(decision: Mapping[str, Any]) -> list[Any]:
    cells: list[Any] = list(flat(decision))
    for name in INSTANTS:
        place = COLUMNS.index(name)
        if cells[place] is not None:
            cells[place] = datetime.fromisoformat(cells[place])
    return cells
