"""Pure: what one unquoted YAML value is, by YAML's JSON schema, and which ones are refused because readers differ.

`source` asks this for every plain scalar; a quoted one is text and never comes here. Must not know keys or files.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from functools import lru_cache
from typing import Final

from policylayer.core.immutable import immutable
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import quote

_TRUTHS: Final = ("y", "yes", "n", "no", "on", "off")
WORDS: Final = frozenset(
    (
        *_TRUTHS,
        *(word.capitalize() for word in _TRUTHS),
        *(word.upper() for word in _TRUTHS),
        *("True", "TRUE", "False", "FALSE", "~", "Null", "NULL", "="),
    )
)
"""What YAML 1.1 reads as true, false, null, a default or a merge, and JSON's schema as text."""

_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FRACTION: Final = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]+)?")
_LOOKS_TYPED: Final = re.compile(
    r"""[-+]?0b[01_]+
      | [-+]?0o[0-7_]+
      | [-+]?0[xX][0-9a-fA-F_]+
      | [-+]?[0-9][0-9_]*(?::[0-9]{1,2})+(?:\.[0-9_]*)?
      | [-+]?(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?
      | [-+]?\.(?:inf|Inf|INF)
      | \.(?:nan|NaN|NAN)
      | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}
        (?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?[ \t]*(?:Z|[-+][0-9]{1,2}(?::?[0-9]{2})?)?)?
    """,
    re.VERBOSE,
)
_FIXED: Final[dict[str, None | bool]] = {"null": None, "true": True, "false": False}
_DIGITS: Final = 40
"""A number written longer than this is exact in no double and in no 64-bit integer."""


@immutable
class Trap:
    """Why a plain scalar is refused."""

    code: Code
    message: str
    help: str


@lru_cache(maxsize=4096)
def plain(text: str) -> None | bool | int | float | str | Trap:
    """The value of an unquoted scalar, or why it has none."""
    if text in _FIXED:
        return _FIXED[text]
    if text == "":
        return Trap(Code.EMPTY_VALUE, "a value is missing here", 'write the value, or `""` for empty text')
    if text == "<<":
        return Trap(Code.ALIAS, "merge keys are not allowed", "write the keys out")
    if text in WORDS:
        return _ambiguous(text)
    if not (text[0].isdigit() or text[0] in "+-."):
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FRACTION.fullmatch(text):
        return _fraction(text)
    return _ambiguous(text) if _LOOKS_TYPED.fullmatch(text) else text


def _ambiguous(text: str) -> Trap:
    message = f"YAML readers disagree on what unquoted {quote(text)} is"
    return Trap(Code.AMBIGUOUS, message, f'quote it: "{text}"; numbers are written as in JSON, truth as true or false')


def _integer(text: str) -> int | Trap:
    value = int(text) if len(text) <= _DIGITS else None
    if value is None or not -(2**63) <= value < 2**64:
        return Trap(Code.INEXACT_NUMBER, "this integer does not fit in 64 bits", "no call can carry such a number")
    return value


def _fraction(text: str) -> float | Trap:
    value = float(text) if len(text) <= _DIGITS else None
    if value is None or Decimal(text) != Decimal(repr(value)):
        known = value is not None and math.isfinite(value)
        help_ = f"write {value!r}" if known else "write the shortest form of the number: about 15 digits"
        return Trap(Code.INEXACT_NUMBER, "this number is not exactly what a reader would keep", help_)
    return value
