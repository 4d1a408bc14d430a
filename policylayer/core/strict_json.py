"""Pure: one strict JSON parse, before anything else looks at a message.

What is accepted is read the same by every JSON reader that may stand behind the proxy: no duplicate keys, no NaN, no
other encoding than UTF-8, no number whose text and double differ. Integers beyond 2^53, which JavaScript rounds, are
accepted: they are compared exactly.

Theory of operation. `jiter` refuses broken syntax, broken UTF-8 (BOM, UTF-16, surrogates), control characters,
duplicate keys (also by escape), NaN, and nesting beyond its own limit before anything is built. The ladder after it
refuses what is left, in one walk over the values: nesting over the cap, integers beyond 64 bits, and non-integer
literals that are not the shortest form of their double; the other literals become floats in place. Most messages hold
nothing of the kind, which a look at their bytes can tell (`is_plain`): those are not walked.

Must not know what a message is (`wire/envelope.py`), nor answer anyone (`wire/rejection.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from math import isfinite
from typing import Any, Final, Literal, TypeAlias

import jiter

from policylayer.core.call import Json
from policylayer.core.immutable import immutable

_Mode: TypeAlias = Literal["lossless-float", "float"]

_STRINGS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""Strings, also one that never ends: possessive and with an optional end, so that no input takes more than one pass."""

_SAFE_LENGTH: Final = 16
"""A point and 15 digits: so many survive the way into a double and back, whatever they are."""

_SIGNS: Final = bytes.maketrans(b"123456789.eE", b"000000000...")
_FRACTION: Final = b"0."
_VERSION: Final = b'"0.0"'
_LONG: Final = b"0" * 19
"""So many digits make an integer that may need more than 64 bits."""

_MIN_INTEGER: Final = -(2**63)
_MAX_INTEGER: Final = 2**64 - 1


@immutable
class Bounds:
    """Caps of one text: `size` in bytes, `depth` in levels, `nodes` in values."""

    size: int = 4 * 1024 * 1024
    depth: int = 64
    nodes: int = 200_000


BOUNDS: Final = Bounds()
"""The node cap keeps the decoded form of a 4 MiB text within a few times its size."""


@immutable
class Fault:
    """Why bytes are not accepted as JSON. `parse` is true where they are not JSON at all."""

    reason: str
    message: str
    parse: bool = False


SIZE: Final = Fault("size", "the message is too large")
SYNTAX: Final = Fault("json", "the body is not valid JSON", parse=True)
ENCODING: Final = Fault("encoding", "the body is not valid UTF-8 JSON", parse=True)
DUPLICATE: Final = Fault("duplicate_key", "duplicate key")
DEPTH: Final = Fault("depth", "the message is nested too deeply")
NODES: Final = Fault("nodes", "the message has too many values")
NUMBER: Final = Fault("number", "a number is out of range or not in its shortest form")

_BY_PARSER_MESSAGE: Final = (
    ("Detected duplicate key", DUPLICATE),
    ("recursion limit exceeded", DEPTH),
    ("number out of range", NUMBER),
    ("invalid unicode code point", ENCODING),
    ("lone leading surrogate", ENCODING),
    ("unexpected end of hex escape", ENCODING),
)
"""How the parser words what it refuses; anything else is a syntax error. Its words never reach the sender."""


def is_plain(raw: bytes, depth: int) -> bool:
    """Whether `raw`, if it is JSON at all, surely holds no number but integers of less than 19 digits, and is nested no
    deeper than this."""
    if raw.count(b"{") + raw.count(b"[") > depth:
        return False
    signs = raw.translate(_SIGNS)
    if _FRACTION in signs:
        # The protocol's own version is in every message.
        signs = signs.replace(_VERSION, b'""')
    return (_FRACTION not in signs and _LONG not in signs) or _outside(signs)


def _outside(signs: bytes) -> bool:
    """The same of what is not in strings, which are every second piece between quotes."""
    if b"\\" in signs:
        signs = signs.replace(b"\\\\", b"").replace(b'\\"', b"")
    signs = b'"'.join(signs.split(b'"')[::2])
    return _FRACTION not in signs and _LONG not in signs


def parse(raw: bytes, bounds: Bounds = BOUNDS, plain: bool | None = None) -> Json | Fault:
    """The value of `raw`, or why it is refused. `plain` is what `is_plain` said, where it was asked already."""
    return _parse(raw, bounds, "lossless-float", plain)


def parse_lenient(raw: bytes, bounds: Bounds = BOUNDS) -> Json | Fault:
    """As `parse`, for what servers send: numbers may have any form, and become the nearest double.

    Policy compares nothing of a server's answer, and its bytes are relayed as they are; so only what would let two
    readers see two different messages is refused.
    """
    return _parse(raw, bounds, "float", None)


def _parse(raw: bytes, bounds: Bounds, mode: _Mode, plain: bool | None) -> Json | Fault:
    if len(raw) > bounds.size:
        return SIZE
    if len(raw) > bounds.nodes and _over(raw, bounds.nodes):
        return NODES
    try:
        value: Json = jiter.from_json(
            raw,
            allow_inf_nan=False,
            cache_mode="keys",
            catch_duplicate_keys=True,
            float_mode=mode,
        )
    except ValueError as error:
        return _fault(raw, str(error))
    if is_plain(raw, bounds.depth) if plain is None else plain:
        return value
    holder = [value]
    fault = _walk(holder, bounds.depth, mode == "lossless-float")
    return holder[0] if fault is None else fault


def _fault(raw: bytes, words: str) -> Fault:
    """Name what the parser refused."""
    for beginning, fault in _BY_PARSER_MESSAGE:
        if words.startswith(beginning):
            return fault
    # A BOM, or the zero bytes of UTF-16 and UTF-32 around the first ASCII character.
    if raw[:1] in (b"\xef", b"\xfe", b"\xff") or b"\x00" in raw[:4]:
        return ENCODING
    return SYNTAX


def _walk(container: Any, room: int, strict: bool) -> Fault | None:
    """Check every value below `container`, and put floats where lossless literals are."""
    if room < 0:
        return DEPTH
    entries: Iterable[tuple[Any, Any]] = container.items() if type(container) is dict else enumerate(container)
    for key, value in entries:
        kind = type(value)
        if kind is str:
            continue
        if kind is int:
            if strict and not _MIN_INTEGER <= value <= _MAX_INTEGER:
                return NUMBER
        elif kind is dict or kind is list:
            fault = _walk(value, room - 1, strict)
            if fault is not None:
                return fault
        elif kind is not bool and value is not None:
            double = _shortest(value) if strict else value
            if double is None or not isfinite(double):
                return NUMBER
            container[key] = double
    return None


def _shortest(literal: jiter.LosslessFloat) -> float | None:
    """The double of a literal whose decimal value is that of the double's shortest form, else None."""
    double = float(literal)
    text = str(literal)
    if len(text) <= _SAFE_LENGTH and "e" not in text and "E" not in text:
        return double
    shortest = repr(double)
    if text == shortest:
        return double
    if double == 0:
        # Decimal would choke on the exponent of `0e99999999999999999999`, which is zero all the same.
        return double if _is_zero(text) else None
    return double if isfinite(double) and Decimal(text) == Decimal(shortest) else None


def _is_zero(text: str) -> bool:
    mantissa = text.lower().partition("e")[0]
    return not mantissa.strip("-0.")


def _over(raw: bytes, cap: int) -> bool:
    """Whether `raw` holds more values than `cap`, without building one."""
    # Punctuation inside strings is no separator; the strings are taken out only where it matters.
    return _separators(raw) > cap and _separators(_STRINGS.sub(b"", raw)) > cap


def _separators(raw: bytes) -> int:
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{") + 1
