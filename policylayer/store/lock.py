"""One `serve` per SQLite file: a lock the operating system drops when its holder dies, which names the holder.

Must not be used by commands: they are second writers by right. The lock is beside the database, never in it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from policylayer.core.errors import ConfigError

DENIED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
UNWRITABLE: Final = "it and its folder must be writable: look at their owner and mode"
IN_THE_WAY: Final = "remove it, if no proxy serves there"


class FileLock:
    """`<database>.lock`, held exclusively; the file stays when it is released, so that nobody locks a removed one."""

    def __init__(self, database: Path) -> None:
        self._name = database.name
        self.path = database.with_name(f"{database.name}.lock")
        self._handle: int | None = None

    def take(self) -> None:
        """Take the lock, or say who holds it."""
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            message = f"the lock `{self.path}` cannot be opened: {(error.strerror or 'failed').lower()}"
            raise ConfigError(message, UNWRITABLE if error.errno in DENIED else IN_THE_WAY) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(handle)
            raise ConfigError(
                f"the database `{self._name}` is served by process {holder}",
                "stop that process, or give this one another `database`",
            ) from None
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        self._handle = handle

    def release(self) -> None:
        """Give the lock back; harmless where it is not held."""
        if self._handle is not None:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = None
