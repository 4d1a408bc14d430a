"""Pure: which text may name something, and which two names a careless reader could take for one.

Must not know where a name stands in a message (`wire/envelope.py`, `wire/params.py`), or in arguments (`unwrap.py`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

_INVISIBLE: Final = frozenset(
    chr(code)
    for first, last in (
        (0x034F, 0x034F),  # combining grapheme joiner
        (0x115F, 0x1160),  # Hangul fillers
        (0x17B4, 0x17B5),  # Khmer inherent vowels
        (0x180B, 0x180F),  # Mongolian selectors
        (0x2800, 0x2800),  # blank Braille pattern
        (0x3164, 0x3164),  # Hangul filler
        (0xFE00, 0xFE0F),  # variation selectors
        (0xFFA0, 0xFFA0),  # halfwidth Hangul filler
        (0x1D159, 0x1D159),  # musical null notehead
        (0xE0100, 0xE01EF),  # variation selectors supplement
    )
    for code in range(first, last + 1)
)
"""Characters that show nothing though Unicode calls them letters, marks or symbols."""

LONGEST_NAME: Final = 128
"""Characters of a tool's or prompt's name."""

_LONGEST_FOLDED: Final = 512


def shows(char: str) -> bool:
    """Whether a reader sees a character, and sees it where it stands."""
    return char.isprintable() and char not in _INVISIBLE


def is_name(text: object, longest: int) -> bool:
    """Whether `text` may name a tool or a prompt: visible, not empty, not too long, no space around it."""
    if type(text) is not str or not 0 < len(text) <= longest or not text.isprintable():
        return False
    if text[0] == " " or text[-1] == " ":
        return False
    return text.isascii() or _INVISIBLE.isdisjoint(text)


def is_address(text: object, longest: int) -> bool:
    """Whether `text` may be a resource's URI, a task's id or a cursor: no control characters, no space around it."""
    if type(text) is not str or not 0 < len(text) <= longest:
        return False
    if text.isascii():
        return text.isprintable() and text[0] != " " and text[-1] != " "
    return text == text.strip() and not any(unicodedata.category(char) == "Cc" for char in text)


def fold(text: str) -> str:
    """What is left of a name after case, compatibility forms and everything invisible are taken away.

    Also what follows a NUL, where some readers stop, and what follows more characters than any protocol's name has.
    """
    if text.isascii() and text.isprintable():
        return text[:_LONGEST_FOLDED].lower().strip()
    text = text[:_LONGEST_FOLDED].partition("\x00")[0]
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not folded.isascii() or not folded.isprintable():
        folded = "".join(char for char in folded if char.isprintable() and char not in _INVISIBLE)
        folded = unicodedata.normalize("NFKC", folded).casefold()
    return folded.strip()


def folds(names: Iterable[str]) -> dict[str, str]:
    """`names` by what they fold to."""
    return {fold(name): name for name in names}
