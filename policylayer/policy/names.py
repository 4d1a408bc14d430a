"""Pure: globs over names (tools, prompts, methods, servers, principals, groups), where `*` matches anything.

Names are compared case by case, code point by code point; nothing is normalised. Globs over strings, file paths and
URLs are in `globs`: there `*` stops at a separator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Matches = Callable[[str], bool]

REFUSED: Final = frozenset("?[]{}\\")
"""Characters that other tools read as wildcards; refused in every glob, so that nobody relies on them."""


def is_glob(pattern: str) -> bool:
    """Whether `pattern` names more than itself."""
    return "*" in pattern


def refused(pattern: str) -> str | None:
    """The first character that a glob may not have."""
    return next((char for char in pattern if char in REFUSED), None)


def covers(wide: str, narrow: str) -> bool:
    """Whether every name that `narrow` means is one that `wide` means.

    A `*` of `narrow` is taken as a sign that only a `*` of `wide` can stand for; names may hold any sign at all.
    """
    return matcher(wide)(narrow)


def meet(one: str, other: str) -> bool:
    """Whether there may be a name that both mean."""
    if not is_glob(one) or not is_glob(other):
        return covers(one, other) or covers(other, one)
    firsts, lasts = (one.split("*")[0], other.split("*")[0]), (one.split("*")[-1], other.split("*")[-1])
    begin = firsts[0].startswith(firsts[1]) or firsts[1].startswith(firsts[0])
    return begin and (lasts[0].endswith(lasts[1]) or lasts[1].endswith(lasts[0]))


def matcher(pattern: str) -> Matches:
    """A function that tells whether a name matches; linear in the name for each `*`."""
    pieces = pattern.split("*")
    if len(pieces) == 1:
        return pattern.__eq__
    first, last = pieces[0], pieces[-1]
    middle = tuple(piece for piece in pieces[1:-1] if piece)
    shortest = len(first) + len(last)
    if not middle:
        return lambda name: len(name) >= shortest and name.startswith(first) and name.endswith(last)

    def matches(name: str) -> bool:
        if len(name) < shortest or not name.startswith(first) or not name.endswith(last):
            return False
        position, end = len(first), len(name) - len(last)
        for piece in middle:
            found = name.find(piece, position, end)
            if found < 0:
                return False
            position = found + len(piece)
        return True

    return matches
