"""Pure: percent-decoding until nothing changes, in linear time.

Some programs decode once, some twice, some never; `paths`, `urls` and `resources` ask what each would read. Decoding
pass by pass would cost the square of the length on `%252525...`; a stack needs one pass and ends in the same text,
since no two escapes can overlap.
"""

from __future__ import annotations

import re
from typing import Final

_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_HEX: Final = {code: int(chr(code), 16) for code in b"0123456789abcdefABCDEF"}
_PERCENT: Final = 0x25


def decode(text: str) -> str | None:
    """`text` decoded until nothing changes; None where that is not UTF-8."""
    try:
        if _ESCAPE.search(text) is None:
            text.encode("utf-8")
            return text
        return _decode_bytes(text.encode("utf-8")).decode("utf-8")
    except UnicodeError:
        return None


def _decode_bytes(data: bytes) -> bytes:
    stack = bytearray()
    for byte in data:
        stack.append(byte)
        while len(stack) >= 3 and stack[-3] == _PERCENT and stack[-2] in _HEX and stack[-1] in _HEX:
            value = _HEX[stack[-2]] << 4 | _HEX[stack[-1]]
            del stack[-3:]
            stack.append(value)
    return bytes(stack)


def is_broken(text: str) -> bool:
    """Whether a `%` stands without its two digits."""
    return text.count("%") != len(_ESCAPE.findall(text))
