"""Pure: globs over strings, file paths and URIs: `*` stops at `/`, `**` does not, `/**/` also matches `/`.

Compiled to RE2, so that no text takes more than linear time. Globs over names are in `names`.
"""

from __future__ import annotations

import re
from typing import Final

from policylayer.policy import names
from policylayer.policy.regexes import TextCheck, compile_regex

_PIECES: Final = re.compile(r"/\*\*/|\*{2,}|\*|[^*/]+|/")
_SPECIAL: Final = re.compile(r"([^A-Za-z0-9_/ -])")


def to_regex(pattern: str) -> str:
    """The RE2 expression that matches what the glob does."""
    return "".join(map(_piece, pieces(pattern)))


def pieces(pattern: str) -> list[str]:
    """Wildcards, `/**/` as one of them, and what stands between."""
    while "/**/**/" in pattern:
        pattern = pattern.replace("/**/**/", "/**/")
    return _PIECES.findall(pattern)


def _piece(piece: str) -> str:
    if piece == "/**/":
        return "/(?:.*/)?"
    if piece == "*":
        return "[^/]*"
    if piece.startswith("**"):
        return ".*"
    return quote(piece)


def quote(text: str) -> str:
    """`text` as an expression that matches only itself."""
    return _SPECIAL.sub(
        lambda found: "\\" + found[0] if found[0].isascii() and found[0].isprintable() else found[0], text
    )


def glob(pattern: str) -> TextCheck:
    """A function that tells whether a whole text matches; `refused` found nothing in `pattern`."""
    if "*" not in pattern:
        return pattern.__eq__
    return compile_regex(to_regex(pattern), whole=True)


def refused(pattern: str) -> str | None:
    """What a glob may not have, or None. Other tools read these as wildcards, and nobody should rely on them."""
    if "***" in pattern:
        return "***"
    return names.refused(pattern)
