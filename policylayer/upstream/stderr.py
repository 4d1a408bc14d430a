"""What a process says on standard error, as it may be logged: line by line, cut short, without the secrets we gave it.

Bytes come in pieces that end anywhere, also within a secret: a line is looked at whole, or as far as it can matter.
Of a secret of several lines (a key in PEM) each line is one. Must not know processes (`child.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

LONGEST_SAID: Final = 500
"""Characters of one line that are logged."""

SHORTEST_SECRET: Final = 8
"""A shorter value would occur by chance."""

HIDDEN: Final = "***"

_BREAK: Final = re.compile(rb"[\r\n]")


class Lines:
    """The lines of one process. `secrets` are the values that it was given."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted({part for value in secrets for part in _parts(value)}, key=len, reverse=True)
        self._reach = max((len(secret.encode()) for secret in self._secrets), default=0)
        """How far a secret that begins in what is shown may go on."""
        self._kept = 4 * LONGEST_SAID + self._reach
        self._line = bytearray()
        self._whole = True

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that these bytes end."""
        *ended, rest = _BREAK.split(data)
        for piece in ended:
            self._add(piece)
            yield from self.end()
        self._add(rest)

    def end(self) -> Iterator[str]:
        """What has been said of the last line."""
        if self._line.strip():
            yield self._presentable()
        self._line.clear()
        self._whole = True

    def _add(self, piece: bytes) -> None:
        room = self._kept - len(self._line)
        self._whole = self._whole and len(piece) <= room
        self._line += piece[:room]

    def _presentable(self) -> str:
        # Where the line goes on, its last bytes may be the beginning of a secret.
        sure = len(self._line) if self._whole else len(self._line) - self._reach
        text = self._masked(bytes(self._line), sure)
        shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[:LONGEST_SAID])
        return shown + ("..." if len(text) > LONGEST_SAID or not self._whole else "")

    def _masked(self, line: bytes, sure: int) -> str:
        """The line up to there, each secret in it hidden; also one that begins before and ends behind."""
        hidden = bytearray(len(line))
        for secret in self._secrets:
            wanted = secret.encode()
            at = line.find(wanted)
            while at >= 0:
                hidden[at : at + len(wanted)] = b"\1" * len(wanted)
                at = line.find(wanted, at + 1)
        parts, at = [], 0
        for span in re.finditer(rb"\x01+", bytes(hidden[:sure])):
            parts += [line[at : span.start()], HIDDEN.encode()]
            at = span.end()
        return b"".join([*parts, line[at:sure]]).decode("utf-8", "replace")


def _parts(value: str) -> Iterator[str]:
    """A value, and each of its lines."""
    for part in (value, *value.splitlines()):
        if len(bare := part.strip()) >= SHORTEST_SECRET:
            yield bare
