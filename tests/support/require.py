"""Programs that some tests need. Where one is missing, its tests skip with one stated reason.

`POLICYLAYER_REQUIRE=all` (continuous integration) turns every skip into a failure: see tests/conftest.py.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

PLACES = ("/usr/lib/postgresql/15/bin", "/usr/local/bin", str(Path.home() / "go" / "bin"))


def program(name: str) -> str:
    """The path of a program, or a skip."""
    search = os.pathsep.join([os.environ.get("PATH", ""), *PLACES])
    found = shutil.which(name, path=search)
    if found is None:
        pytest.skip(f"`{name}` is not installed")
    return found
