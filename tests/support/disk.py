"""A small file system that can be filled, and emptied again: what a full disk is to a database."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.require import program

BLOCK = b"\0" * 65_536


class Disk:
    """A mounted folder of so many bytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leave no room."""
        handle = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for size in (len(BLOCK), 4096, 1):
                with suppress(OSError):
                    while os.write(handle, BLOCK[:size]):
                        pass
        finally:
            os.close(handle)

    def free(self) -> None:
        """Make room again."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(size: str) -> Iterator[Disk]:
    """Mount one, where any user may look; skips where that is not allowed."""
    folder = Path(tempfile.mkdtemp(prefix="policylayer-disk-"))
    folder.chmod(0o755)
    command = [program("mount"), "-t", "tmpfs", "-o", f"size={size},mode=0755", "policylayer-test", str(folder)]
    try:
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no small file system can be mounted here (it takes root)")
        try:
            yield Disk(folder)
        finally:
            subprocess.run([program("umount"), "--lazy", str(folder)], capture_output=True, check=False)
    finally:
        folder.rmdir()
