"""Pure: numbers compared exactly, as the decimals that were written.

A float stands for its shortest decimal form (`wire` refuses literals that are not), an int for itself. Comparing the
binary values natively gives the same answer unless both are beyond 2^53 and one is an int, the other a float: no
integer lies between a double below 2^53 and its shortest form.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from typing import Final, TypeAlias

Number: TypeAlias = int | float | Decimal

EXACT: Final = 2**53

_DIGITS: Final = 19
_SHORT: Final = 10 ** (_DIGITS - 1)
"""Integers of fewer digits are keys themselves."""

_EXACT: Final = Context(prec=2000, traps=[InvalidOperation, Overflow, Inexact])

_DECIMAL: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)


def is_number(value: object) -> bool:
    """A finite number; a boolean is none."""
    return type(value) is int or (type(value) is float and value - value == 0)


def exact(value: Number) -> Decimal:
    """The decimal that `value` stands for."""
    return Decimal(repr(value)) if type(value) is float else Decimal(value)


def compare(left: Number, right: Number) -> int:
    """-1, 0 or 1."""
    if type(left) is type(right) or _is_safe(left, right):
        return (left > right) - (left < right)
    exact_left, exact_right = exact(left), exact(right)
    return (exact_left > exact_right) - (exact_left < exact_right)


def _is_safe(left: Number, right: Number) -> bool:
    """Whether an int and a float may be compared as they are."""
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        return False
    return abs(left) <= EXACT or abs(right) <= EXACT


def add(a: Decimal, b: Decimal) -> Decimal:
    """The exact sum."""
    return _EXACT.add(a, b)


def subtract(a: Decimal, b: Decimal) -> Decimal:
    """The exact difference."""
    return _EXACT.subtract(a, b)


def read_decimal(value: object) -> Decimal | None:
    """A string of `-?digits[.digits]` as the number it writes, else None."""
    if type(value) is str and _DECIMAL.fullmatch(value):
        return Decimal(value)
    return None


def text(value: Number) -> str:
    """One text for equal numbers: `1`, `1.0` and `1.00` are all `1`."""
    number = exact(value)
    if number == 0:
        return "0"
    digits = format(number, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def key(value: Number) -> int | str:
    """One key for equal numbers, for sets. Long ones are texts, since integers can be chosen to collide."""
    if type(value) is float and abs(value) <= EXACT and value.is_integer():
        return int(value)
    if type(value) is int and abs(value) < _SHORT:
        return value
    written = text(value)
    return int(written) if "." not in written and len(written.removeprefix("-")) < _DIGITS else written


ORDERS: Final[dict[str, Callable[[int], bool]]] = {
    "eq": lambda order: order == 0,
    "neq": lambda order: order != 0,
    "lt": lambda order: order < 0,
    "lte": lambda order: order <= 0,
    "gt": lambda order: order > 0,
    "gte": lambda order: order >= 0,
}
"""What each numeric matcher makes of an order."""
