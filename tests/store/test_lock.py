"""The lock of a database that is served: what keeps it from being taken is said with what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from policylayer.core.errors import ConfigError
from policylayer.store.lock import FileLock


def test_a_folder_that_cannot_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(ConfigError, match="permission denied") as refused:
        FileLock(path).take()
    assert "must be writable" in refused.value.help
    assert "remove" not in refused.value.help


def test_something_in_its_place(path: Path) -> None:
    path.with_name(f"{path.name}.lock").symlink_to(path)
    with pytest.raises(ConfigError, match="cannot be opened") as refused:
        FileLock(path).take()
    assert refused.value.help == "remove it, if no proxy serves there"
