"""Where the lines of checkpoints go besides the database: a file, standard output, a webhook.

A file or a webhook on another machine is what makes them worth something: whoever has the database and the key cannot
take back what has left. Must not know what a line says.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from stat import S_ISREG
from typing import Final

from policylayer.audit.checkpoints import Sink

TIMEOUT: Final = 10.0
"""Seconds that a webhook gets."""


def to_file(path: Path) -> Sink:
    """Append to a file, and see that it is on the disk. Opened anew for each line, so that it may be rotated.

    A line that a full disk or a crash has cut short stays, and is none: the next one begins on a line of its own.
    """

    def append(line: bytes) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _write_all(handle, b"\n" + line if _is_cut(handle, path) else line)
            os.fsync(handle)
        finally:
            os.close(handle)

    async def send(line: bytes) -> None:
        await asyncio.to_thread(append, line)

    return send


def _write_all(handle: int, data: bytes) -> None:
    """All of it: a single write may take less, and says so only by a number."""
    while data:
        data = data[os.write(handle, data) :]


def _is_cut(handle: int, path: Path) -> bool:
    """Whether the file's last line has no end. Where that cannot be read it may be so; an empty line does no harm."""
    found = os.fstat(handle)
    if not S_ISREG(found.st_mode) or not found.st_size:
        return False
    try:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:
        return True


async def to_stdout(line: bytes) -> None:
    """Write to standard output, which whoever runs the service keeps."""
    sys.stdout.write(line.decode())
    sys.stdout.flush()


def to_webhook(url: str) -> Sink:
    """Post to a URL. A line that does not arrive is not sent again: the next one carries the same chains further."""

    async def send(line: bytes) -> None:
        # Only here: most services send nothing.
        import httpx2

        headers = {"content-type": "application/json"}
        async with httpx2.AsyncClient(timeout=TIMEOUT, follow_redirects=False, trust_env=False) as client:
            (await client.post(url, content=line, headers=headers)).raise_for_status()

    return send
