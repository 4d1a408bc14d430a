"""Standard input, output and error as commands need them: there, able to write any sign, and a clear line if they fail.

Whoever starts a program may have closed them (`>&-`), and then the next file opened would take the number: a log would
go into a database. Must not know what is written.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import sys
from typing import Final, TextIO

GLYPHS: Final = {"…": "...", "—": "-", "–": "-", "→": "->", "“": '"', "”": '"', "‘": "'", "’": "'", "·": "*"}
"""What stands for a sign that a terminal's encoding does not have; any other is written out as `\\uXXXX`."""

FAILING: Final = (errno.EPIPE, errno.ENOSPC, errno.EBADF, errno.EIO, errno.EFBIG)

WRITTEN_OUT: Final = "policylayer-glyphs"


def prepare(serves: bool) -> None:
    """Before anything else in a process of our own. One that serves goes on without them; others say that they fail."""
    codecs.register_error(WRITTEN_OUT, _written_out)
    missing = {number for number in range(3) if not _is_open(number)}
    for number in sorted(missing):
        # What is only for reading fails when it is written to, as the closed one would.
        flags = os.O_RDONLY if number == 0 or (number == 1 and not serves) else os.O_RDWR
        opened = os.open(os.devnull, flags)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        os.set_inheritable(number, True)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:  # as Python has it where the number was closed
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors=WRITTEN_OUT)  # type: ignore[union-attr]


def is_failure(error: Exception) -> bool:
    """Whether a stream took no more: what fails of a file names it."""
    return isinstance(error, OSError) and error.filename is None and error.errno in FAILING


def give_up(stream: TextIO) -> None:
    """Nothing more can be said there, and Python's own flush at the end must not try."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _written_out(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(GLYPHS.get(sign) or _escaped(sign) for sign in signs), error.end


def _escaped(sign: str) -> str:
    pairs = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{pairs[at : at + 2].hex()}" for at in range(0, len(pairs), 2))
