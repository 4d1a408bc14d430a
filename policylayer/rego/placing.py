"""The texts of one revision, moved to a place of their own on an OPA server, with a rule that proves all are there.

OPA takes files one by one and has one `data`. So each revision's packages are written below
`policylayer.revisions.rDIGEST.files`: putting one there changes nothing of another. Beside them stands `answer`, which
has a value only while every file of the revision is there, and names the revision. Pure: must not know a server
(`pushed.py`). Whatever could still reach out of its place after the move is refused, not guessed at.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Final

from policylayer.core.immutable import immutable

PLACES: Final = "policylayer/revisions/"
"""What the names of our modules begin with; then come the revision's place and the file."""
ANSWER: Final = "answer"
_PACKAGES: Final = "policylayer.revisions"
_PART: Final = "policylayer_part_"
_TEXTS: Final = r'"(?:[^"\\\n]|\\.)*"'
_HERE: Final = r'data(?:\.policylayer|\["policylayer"\])(?!\w)'

_TOKEN: Final = re.compile(
    rf"""
      (?P<skipped>\#[^\n]* | {_TEXTS} | `[^`]*` | \.[A-Za-z_]\w*)        # comments, strings, members of something
    | (?P<package>package\s+policylayer(?P<below>(?:\.\w+|\[{_TEXTS}\])*)(?!\w))
    | (?P<alias>import\s+{_HERE})(?![.\[])(?!\s+as\b)                    # goes by its last name, which is to stay
    | (?P<ours>{_HERE})
    | (?P<wrong>data\b | package\b | {_PART}\w* | \$["`])                # else: of all data, or none that we know
    | \w+
    """,
    re.VERBOSE | re.ASCII,
)


class Unplaceable(Exception):
    """A file that cannot be moved; the message says where and why."""


@immutable
class Placed:
    """A revision on a server: the path of its answer, and the text of each module by its name, the answer's first."""

    revision: str
    place: str
    modules: Mapping[str, str]

    @property
    def answer(self) -> str:
        """The document to ask: `{revision, decision: [value, if defined]}`; undefined unless all of it is there."""
        return f"{PLACES}{self.place}/answer"

    @property
    def held(self) -> str:
        """The document that is the revision's name while all of it is there."""
        return f"{PLACES}{self.place}/held"


def placed(files: Mapping[str, str], revision: str, at_us: int) -> Placed:
    """The modules of a revision. Raises `Unplaceable`. The same files of the same revision get the same place."""
    told = json.dumps([revision, sorted(files.items())])
    place = "r" + hashlib.sha256(told.encode()).hexdigest()
    root = f"{_PACKAGES}.{place}"
    made, parts = {}, []
    for number, (file, text) in enumerate(sorted(files.items())):
        moved, below = _moved(file, text, f"{root}.files")
        part = f"{_PART}{number}"
        made[f"{PLACES}{place}/files/{file}"] = f"{moved}\n{part} := true\n"
        parts.append(f"data.{root}.files{below}.{part}")
    return Placed(revision, place, {f"{PLACES}{place}/{ANSWER}": _answer(root, revision, parts, at_us), **made})


def pushed_at(text: str) -> int:
    """When the revision of this answer was put on the server, in microseconds; 0 where it does not say."""
    found = re.match(r"# pushed at (\d{1,18})\n", text)
    return int(found[1]) if found else 0


def _answer(root: str, revision: str, parts: list[str], at_us: int) -> str:
    named = json.dumps(revision)
    conditions = "\n".join(f"\t{part}" for part in parts)
    return (
        f"# pushed at {at_us}\npackage {root}\n\n"
        f"held := {named}{f' if {{{chr(10)}{conditions}{chr(10)}}}' if parts else ''}\n\n"
        f'answer := {{"revision": held, "decision": [decided | decided := data.{root}.files.decision]}}\n'
    )


def _moved(file: str, text: str, root: str) -> tuple[str, str]:
    """The text with its package and what it says of `data.policylayer` moved, and its package below `policylayer`."""
    packages: list[str] = []

    def move(found: re.Match[str]) -> str:
        match found.lastgroup:
            case "package" | "below":
                packages.append(found["below"])
                return f"package {root}{found['below']}"
            case "alias":
                return f"import data.{root} as policylayer"
            case "ours":
                return f"data.{root}"
            case "wrong":
                raise Unplaceable(_refusal(file, text, found))
        return found[0]

    moved = _TOKEN.sub(move, text)
    if len(packages) != 1:
        raise Unplaceable(f"{file}:1: `package policylayer` is not written on one line")
    return moved, packages[0]


def _refusal(file: str, text: str, found: re.Match[str]) -> str:
    line = text.count("\n", 0, found.start()) + 1
    why = "only what is written as `data.policylayer…` can be pushed"
    if found[0].startswith("$"):
        why = "strings with expressions in them cannot be pushed; use sprintf"
    elif found[0].startswith(_PART):
        why = f"names that begin with `{_PART}` are the proxy's own"
    return f"{file}:{line}: `{found[0]}`: {why}"
