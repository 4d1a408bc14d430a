"""The two kinds of globs: over names (`*` is anything) and over texts (`*` stops at `/`)."""

from __future__ import annotations

from functools import cache, lru_cache


def name_matches(pattern: str, name: str) -> bool:
    """In names `*` matches anything, also nothing."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == name
    if not name.startswith(first):
        return False
    return _pieces(rest, name[len(first) :])


def _pieces(pieces: list[str], text: str) -> bool:
    """Each piece after anything, the last one at the end."""
    piece, *rest = pieces
    if not rest:
        return text.endswith(piece)
    return any(
        text.startswith(piece, at) and _pieces(rest, text[at + len(piece) :])
        for at in range(len(text) - len(piece) + 1)
    )


def text_matches(pattern: str, text: str) -> bool:
    """`*` is anything without `/`, `**` is anything, `/**/` is also just `/`."""
    return any(_plain(variant, text) for variant in _variants(pattern))


@cache
def _variants(pattern: str) -> frozenset[str]:
    """The pattern, with any of its `/**/` written as `/`."""
    found, work = {pattern}, [pattern]
    while work:
        current = work.pop()
        at = current.find("/**/")
        while at >= 0:
            shorter = current[:at] + current[at + 3 :]
            if shorter not in found:
                found.add(shorter)
                work.append(shorter)
            at = current.find("/**/", at + 1)
    return frozenset(found)


@lru_cache(maxsize=100_000)
def _plain(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern.startswith("**"):
        return any(_plain(pattern[2:], text[at:]) for at in range(len(text) + 1))
    if pattern.startswith("*"):
        return _plain(pattern[1:], text) or (text[:1] not in ("", "/") and _plain(pattern, text[1:]))
    return text[:1] == pattern[0] and _plain(pattern[1:], text[1:])
