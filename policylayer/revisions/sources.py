"""The source that the configuration, or a command, names.

A folder (`folder.py`), or a branch of a repository (`repository.py`).
"""

from __future__ import annotations

from pathlib import Path

from policylayer.revisions.folder import Folder
from policylayer.revisions.repository import Repository
from policylayer.revisions.snapshot import Snapshot, Source


def source_of(text: str) -> Source:
    """A folder, or `git:REPOSITORY@REF`, with `:FOLDER` after it where policies are not at its root."""
    if not text.startswith("git:"):
        return Folder(Path(text))
    repository, _, ref = text[4:].rpartition("@")
    ref, _, below = ref.partition(":")
    return Repository(Path(repository or "."), ref, below.strip("/"))


def read(text: str) -> Snapshot:
    """One look at a source, without waiting for it to come to rest; raises `Unsettled`."""
    return source_of(text).read()
