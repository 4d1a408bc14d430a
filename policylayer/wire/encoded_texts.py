"""Pure: texts in base64, with something masked in them; read as leniently as any reader of them may.

Line breaks, missing padding, either alphabet, strange characters in between, several pieces one after the other: what
some reader makes a text of must be masked for it. Bytes that are no text at all (an image) are left as they are. Must
not know what is masked (`masks.py`).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Final

_OTHER_ALPHABET: Final = str.maketrans("-_", "+/")
_NOT_OURS: Final = re.compile(r"[^A-Za-z0-9+/=]+")
_STRANGE: Final = re.compile(r"[^A-Za-z0-9+/=_\-\s]")
_PADDING: Final = re.compile(r"=+")
_WIDE: Final = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_READABLE: Final = bytes([*b"\t\n\r", *range(0x20, 0x7F)])

MOSTLY: Final = 0.85
"""The share of readable characters from which bytes that are not UTF-8 are taken for a text in an older encoding."""

Masking = Callable[[str], str]


def encode(text: str) -> str:
    """A text in base64."""
    return base64.b64encode(text.encode()).decode()


def masked(written: str, mask: Masking) -> str:
    """What is written, with `mask` done to the texts it stands for; the very same where there is nothing to mask."""
    if _STRANGE.search(written):
        # No strict reader decodes this: it may be a text as it is.
        as_text = mask(written)
        if as_text != written:
            return as_text
    pieces = [piece for piece in _PADDING.split(_NOT_OURS.sub("", written.translate(_OTHER_ALPHABET))) if piece]
    before = [_bytes_of(piece) for piece in pieces]
    after = [_masked(data, mask) for data in before]
    return written if after == before else _written(b"".join(after), like=written)


def _bytes_of(piece: str) -> bytes:
    """What a piece without padding stands for; a single character too many stands for nothing."""
    usable = piece[: len(piece) - 1] if len(piece) % 4 == 1 else piece
    return base64.b64decode(usable + "=" * (-len(usable) % 4))


def _masked(data: bytes, mask: Masking) -> bytes:
    encoding = _encoding(data)
    if encoding is None:
        return data
    text = data.decode(encoding)
    new = mask(text)
    return data if new == text else new.encode(encoding)


def _encoding(data: bytes) -> str | None:
    """How bytes are a text, or None where they are none."""
    wide = _WIDE.get(data[:2]) or _unmarked(data)
    for encoding in (wide, "utf-8"):
        if encoding is not None and _decodes(data, encoding):
            return encoding
    readable = len(data) - len(data.translate(None, _READABLE))
    return "latin-1" if readable >= MOSTLY * len(data) else None


def _unmarked(data: bytes) -> str | None:
    """Two bytes a character, most of which are Latin: every other byte is zero."""
    even, odd = data[::2], data[1::2]
    if not odd:
        return None
    if odd.count(0) >= MOSTLY * len(odd) and even.count(0) < len(even) / 2:
        return "utf-16-le"
    return "utf-16-be" if even.count(0) >= MOSTLY * len(even) and odd.count(0) < len(odd) / 2 else None


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _written(data: bytes, like: str) -> str:
    """In base64 of the same alphabet."""
    if ("-" in like or "_" in like) and "+" not in like and "/" not in like:
        return base64.urlsafe_b64encode(data).decode()
    return base64.b64encode(data).decode()
