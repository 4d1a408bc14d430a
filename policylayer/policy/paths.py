"""Pure: file paths as the programs behind a server may read them, and whether those readings agree.

A value is read four ways: as it is, percent-decoded until nothing changes, and each with a backslash as separator.
Empty and dot segments are resolved lexically: links on the server's disk are not seen here, and nothing here claims
that they are. A value that some program would read as something else than a path (a home, a drive, a share, a URI) is
not read at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from policylayer.policy import globs
from policylayer.policy.percent import decode

PathCheck: TypeAlias = Callable[[str], bool]

_PLAIN: Final = re.compile(r"(?:/[^/\\%\x00.][^/\\%\x00]*)+", re.ASCII)
"""What every program reads alike: absolute, nothing escaped, nothing to resolve."""
_NO_PATH: Final = re.compile(r"~|//|[^/]+:")
"""What no reading may begin with. `[^/]+:` is a drive letter, or a scheme or other name before a colon."""


def readings(value: str, cwd: str | None) -> tuple[str, ...] | None:
    """The distinct absolute paths that `value` may be read as; None if it cannot be read."""
    if value.isascii() and _PLAIN.fullmatch(value):
        return (value,)
    if "%" not in value and "\\" not in value:
        try:
            value.encode("utf-8")
        except UnicodeError:
            return None
        only = _read(value, cwd)
        return None if only is None else (only,)
    decoded = decode(value)
    if decoded is None:
        return None
    found: list[str] = []
    for text in dict.fromkeys((value, decoded, value.replace("\\", "/"), decoded.replace("\\", "/"))):
        path = _read(text, cwd)
        if path is None:
            return None
        found.append(path)
    return tuple(dict.fromkeys(found))


def _read(text: str, cwd: str | None) -> str | None:
    if not text or "\0" in text or _NO_PATH.match(text):
        return None
    if not text.startswith("/"):
        if cwd is None or not cwd.startswith("/"):
            return None
        text = f"{cwd}/{text}"
    return resolve(text)


def resolve(path: str) -> str:
    """An absolute path without empty or dot segments and without a final separator."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if kept:
                kept.pop()
        elif segment and segment != ".":
            kept.append(segment)
    return "/" + "/".join(kept)


def agreed(check: PathCheck, value: str, cwd: str | None) -> bool | None:
    """What `check` says of every reading; None where they differ or there is none."""
    paths = readings(value, cwd)
    if paths is None:
        return None
    answer = check(paths[0])
    return answer if len(paths) == 1 or all(check(path) is answer for path in paths[1:]) else None


def within(directories: tuple[str, ...]) -> PathCheck:
    """Whether a resolved path is one of the directories or below one. They are absolute."""
    roots = tuple(resolve(directory) for directory in directories)
    if "/" in roots:
        return lambda path: True
    below = tuple(root + "/" for root in roots)
    return lambda path: path in roots or path.startswith(below)


def path_glob(patterns: tuple[str, ...]) -> PathCheck:
    """Whether a resolved path matches one of the globs."""
    checks = tuple(globs.glob(pattern.rstrip("/") or "/") for pattern in patterns)
    return lambda path: any(check(path) for check in checks)
