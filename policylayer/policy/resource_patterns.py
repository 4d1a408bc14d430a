"""Pure: whether a glob over resource URIs can match one at all, and what its author may have meant.

URIs are matched in their normal form (`resources`), so a pattern that is not written in it matches nothing: a deny with
it would do nothing. What every normal form looks like is a small automaton here, walked together with the glob; names
and ports are put to `resources` itself. Must not know rules (`selectors` and `check_targets` report).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import product
from typing import Final

from policylayer.policy import globs, resources, urls

_HEAD: Final = re.compile(r"([^/:*]*)://([^/]*)(.*)", re.DOTALL)
_NEVER: Final[dict[str, str]] = {
    "#": "a URI with a fragment is not read: write the pattern without it",
    "%": "escaped characters are matched decoded too: write `*` in their place",
}
_FILLERS: Final = ("", "x", "1", "1.1", "1.1.1")
"""What is tried for a `*` in an authority: nothing, a name, and parts of an address."""
_MOST_WILDCARDS: Final = 4


def never_matches(text: str) -> str | None:
    """Why no URI has a normal form that the glob matches, as a help line; None where one may."""
    if "*" not in text:
        found = resources.readings(text)
        if found is None:
            return _why_unread(text)
        return None if len(found) == 1 else _NEVER["%"]
    normal = resources.normal_pattern(text)
    bad = _bad_sign(normal)
    if bad is not None:
        return bad
    head = _HEAD.fullmatch(normal)
    if head is not None and "**" not in head[2] and not _is_authority(head[1], head[2]):
        return _instead_of_authority(*head.groups())
    return None if _walks(normal) else _resolved(normal) or _in_general(normal)


def never_equals(text: str) -> str | None:
    """Why no URI's normal form is this text, as a help line; None where one is."""
    found = resources.readings(text)
    if found == (text,):
        return None
    if found is not None and len(found) == 1:
        return f"URIs are compared in their normal form: write `{found[0]}`"
    return _NEVER["%"] if found else _why_unread(text)


def _why_unread(text: str) -> str:
    head = _HEAD.fullmatch(text)
    if _bad_sign(text) is None and head is not None and resources.readings(f"{head[1]}://{head[2]}/x") is None:
        return _instead_of_authority(*head.groups())
    return _bad_sign(text) or _resolved(text) or _in_general(text)


def _bad_sign(text: str) -> str | None:
    if urls.has_blank_or_control(text):
        return "a URI has no blanks: write `*` in the place of an escaped one"
    return next((help_ for sign, help_ in _NEVER.items() if sign in text), None)


def _in_general(text: str) -> str:
    path = text.partition(":")[2] if text.lower().startswith("file:") else text
    if path.startswith("/") and "://" not in text:
        return f"write it with its scheme: `file:///{path.lstrip('/')}`"
    return "as in `file:///srv/docs/**`; everything is `**`"


# --- the authority ----------------------------------------------------------------------------------------------------


def _is_authority(scheme: str, text: str) -> bool:
    """Whether a normal form may have this authority."""
    if scheme == "file":
        return text in ("", "*")
    parts = text.split("*")
    if len(parts) - 1 > _MOST_WILDCARDS:
        return True
    return any(_is_normal(scheme, filled) for filled in _filled(parts))


def _filled(parts: list[str]) -> Iterator[str]:
    for fillers in product(_FILLERS, repeat=len(parts) - 1):
        yield parts[0] + "".join(filler + part for filler, part in zip(fillers, parts[1:], strict=True))


def _is_normal(scheme: str, authority: str) -> bool:
    uri = f"{scheme}://{authority}/x"
    return resources.readings(uri) == (uri,)


def _instead_of_authority(scheme: str, authority: str, rest: str) -> str:
    """The normal form of an authority, where it has one."""
    if scheme == "file":
        return f"`file:` stands only as `file:///`: write `file://{rest if rest.startswith('/') else '/**'}`"
    for filled in _filled(authority.replace("*", "x").split("*")):
        found = resources.readings(f"{scheme}://{filled}/x")
        if found is not None and "*" not in authority:
            return f"URIs are compared in their normal form: write `{found[0][:-2]}{rest}`"
        if found is not None:
            return "write it without the scheme's own port and without a final dot"
    return "a host is a name in ASCII (`xn--…`), or an address of four numbers; there is no userinfo"


# --- the path ---------------------------------------------------------------------------------------------------------


def _resolved(text: str) -> str | None:
    """The same pattern with its path resolved, where that can be told."""
    head = _HEAD.fullmatch(text)
    if head is None or "*" in head[2]:
        return None
    kept: list[str] = []
    for segment in head[3].split("/"):
        if segment == ".." and kept:
            if "*" in kept[-1]:
                return None
            kept.pop()
        elif segment not in ("", ".", ".."):
            kept.append(segment)
    path = f"{head[1]}://{head[2]}/{'/'.join(kept)}"
    return None if path == text else f"paths are compared resolved: write `{path}`"


# --- normal forms as an automaton -------------------------------------------------------------------------------------

_ALPHABET: Final = "a/.:?-1_"
"""One character of each sort that the automaton tells apart."""
_WITHIN: Final = "a.:-1_"
"""What `*` is taken to stand for: it could also reach into a query, but nobody means `x?a` by the star in `*/./x`."""
_SCHEME: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789+.-")
_AUTHORITY: Final = _SCHEME - {"+"} | frozenset("_~:[]")
_FILE: Final = "file://"
_ENDS: Final = frozenset(("authority", "segment", "query", "root"))

Step = Callable[[str, str], str | None]


def _of_any(state: str, char: str) -> str | None:
    """The next state within a normal form of any scheme."""
    match state:
        case "start":
            return "scheme" if char.isalpha() and char in _SCHEME else None
        case "scheme":
            return ":" if char == ":" else "scheme" if char in _SCHEME else None
        case ":" | ":/":
            return None if char != "/" else ":/" if state == ":" else "authority"
        case "authority" if char not in "/?":
            return "authority" if char in _AUTHORITY else None
        case "query":
            return "query"
    return _of_path(state, char, query=True)


def _of_file(state: str, char: str) -> str | None:
    """The next state within `file:///path`."""
    if state == "start":
        state = "0"
    if state.isdigit():
        at = int(state)
        if at == len(_FILE):
            return "root" if char == "/" else None
        return str(at + 1) if char == _FILE[at] else None
    return _of_path(state, char, query=False)


def _of_path(state: str, char: str, query: bool) -> str | None:
    """Segments that are neither empty nor dots, and where one may end, a query."""
    ends = state in ("segment", "authority")
    if char == "?":
        return "query" if ends and query else None
    if char == "/":
        return "slash" if ends else None
    if char == "." and state in ("slash", "root"):
        return "."
    return ".." if char == "." and state == "." else "segment"


def _walks(pattern: str) -> bool:
    """Whether some normal form matches the pattern, but for what only `resources` knows of hosts and ports."""
    pieces = globs.pieces(pattern)
    grammars: tuple[Step, ...] = (_of_file,) if pattern.startswith("file:") else (_of_any, _of_file)
    return any(_walked(pieces, step) for step in grammars)


def _walked(pieces: list[str], step: Step) -> bool:
    states = frozenset(("start",))
    for piece in pieces:
        if piece == "/**/":
            slash = _next(states, "/", step)
            states = slash | _next(_all_after(slash, step, _ALPHABET), "/", step)
        elif piece.startswith("*"):
            states = _all_after(states, step, _ALPHABET if len(piece) > 1 else _WITHIN)
        else:
            for char in piece:
                states = _next(states, char, step)
    return not states.isdisjoint(_ENDS)


def _next(states: frozenset[str], char: str, step: Step) -> frozenset[str]:
    return frozenset(after for state in states if (after := step(state, char)) is not None)


def _all_after(states: frozenset[str], step: Step, alphabet: str) -> frozenset[str]:
    """What any number of these characters may lead to."""
    found, new = states, states
    while new:
        new = frozenset().union(*(_next(new, char, step) for char in alphabet + "file")) - found
        found |= new
    return found
