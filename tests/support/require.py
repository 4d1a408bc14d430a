"""Programs that some tests need. Where one is missing, its tests skip with one stated reason.

`POLICYLAYER_REQUIRE=all` (continuous integration) turns every skip into a failure: see tests/conftest.py.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

PLACES = ("/usr/lib/postgresql/15/bin", "/usr/local/bin", str(Path.home() / "go" / "bin"))


def found(name: str) -> str | None:
    """The path of a program, or None."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *PLACES]))


def program(name: str) -> str:
    """The path of a program, or a skip."""
    path = found(name)
    if path is None:
        pytest.skip(f"`{name}` is not installed")
    return path
