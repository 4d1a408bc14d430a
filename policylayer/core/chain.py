"""Pure: the links of a hash chain over the rows of the decision log.

Each link is an HMAC over the previous link and the row's columns as one JSON array on one line, in UTF-8: no two rows
read the same, since a JSON text says where each of its parts ends - `["ab","c"]` is not `["a","bc"]`, `null` not `""`.
(A length before each column would do too, at ten times the cost.) Must not know which columns there are
(`store/rows.py`), who writes them, or who walks them (`audit/verify.py`).
"""

from __future__ import annotations

import hmac
from typing import Final, TypeAlias

import orjson

Cell: TypeAlias = str | int | None

START: Final = b"\x00" * 32
"""What stands before the first link of a chain."""


def encode(cells: tuple[Cell, ...]) -> bytes:
    """The cells as bytes, injectively: JSON with `null`, integers, and strings in which only `"`, `\\` and U+0000 to
    U+001F are escaped, nothing between the parts."""
    return orjson.dumps(cells)


def link(key: bytes, previous: bytes, cells: tuple[Cell, ...]) -> bytes:
    """The link of a row with these cells, after `previous`."""
    return hmac.digest(key, previous + orjson.dumps(cells), "sha256")
