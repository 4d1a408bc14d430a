"""Pure: our canonical form of a JSON value, and its digest. Written down, with vectors, in docs/canonical-form.md.

Keys are sorted by code point, integers are their digits, other numbers their shortest decimal, strings escape only what
they must, and the text is UTF-8. Two values have one canonical form exactly when they are one value, numbers being
compared by what was written: `100`, `100.0` and `1E2` are one number.

Must not know what is digested, nor any key: stored digests are HMACs of these (`keys.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

import orjson

from policylayer.core.call import Json

_OPTIONS: Final = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS
_LEAVES: Final = frozenset({str, bool, type(None)})
_LEAST: Final = -(2**63)
_MOST: Final = 2**64 - 1
_LONGEST_PLAIN: Final = 21
"""From this many digits on, a number that is not an integer literal is written with an exponent."""
_MOST_LEADING_ZEROS: Final = 6


def canonical(value: Json | Mapping[str, Json], plain: bool = False) -> bytes:
    """The canonical form of `value`. ValueError for what is no JSON: NaN, infinity, a lone surrogate.

    `plain`: it is known to hold no number but integers of 64 bits, and so nothing that we write in a way of our own.
    """
    try:
        return orjson.dumps(value if plain else _prepared(value), option=_OPTIONS)
    except TypeError as error:
        raise ValueError(f"no canonical form: {error}") from None


def digest(value: Json | Mapping[str, Json], plain: bool = False) -> bytes:
    """The SHA-256 of the canonical form."""
    return hashlib.sha256(canonical(value, plain)).digest()


def _prepared(value: Any) -> Any:
    """`value` with every number that the serialiser would write otherwise replaced by its text.

    Containers are copied only where something below them is replaced: most calls hold no such number.
    """
    kind = type(value)
    if kind in _LEAVES:
        return value
    if kind is int:
        return value if _LEAST <= value <= _MOST else orjson.Fragment(str(value).encode())
    if kind is float:
        return value if _is_plain(value) else orjson.Fragment(number(value).encode())
    if kind is dict:
        return _changed(value, value.items())
    if kind is list:
        return _changed(value, enumerate(value))
    if isinstance(value, Mapping):
        return _prepared(dict(value))
    raise ValueError("no canonical form: not a JSON value")


def _changed(container: Any, entries: Any) -> Any:
    copy = None
    for key, value in entries:
        kind = type(value)
        if kind is str or (kind is int and _LEAST <= value <= _MOST) or kind is bool or value is None:
            continue
        prepared = _prepared(value)
        if prepared is not value:
            if copy is None:
                copy = container.copy()
            copy[key] = prepared
    return container if copy is None else copy


def _is_plain(value: float) -> bool:
    """Whether the serialiser writes this double as `number` does: a fraction that needs no exponent."""
    return 1e-4 <= abs(value) < 1e15 and not value.is_integer()


def number(value: float) -> str:
    """The decimal text of a double: its shortest digits, as an integer's where it is one and not too long.

    It is what ECMAScript writes, and so what RFC 8785 does.
    """
    if not isfinite(value):
        raise ValueError("no canonical form: not a finite number")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    digits, exponent = _scientific(abs(value))
    point = exponent + 1
    if len(digits) <= point <= _LONGEST_PLAIN:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= _LONGEST_PLAIN:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -_MOST_LEADING_ZEROS < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{exponent:+d}"


def _scientific(value: float) -> tuple[str, int]:
    """The shortest digits of a positive double, without zeros at either end, and the exponent of the first."""
    mantissa, _, tail = repr(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    exponent = (int(tail) if tail else 0) + len(whole) - 1
    leading = len(whole + fraction) - len(digits)
    return digits.rstrip("0"), exponent - leading
