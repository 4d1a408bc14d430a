"""The data that lies beside a development checkout; a user's clone does not have it, so its tests skip there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def data(name: str) -> Path:
    """The path of `../shared/data/NAME`, or a skip that says why."""
    path = Path(os.environ.get("POLICYLAYER_SHARED", ROOT.parent / "shared")) / "data" / name
    if not path.exists():
        pytest.skip(f"the shared test data ({name}) is not beside this checkout")
    return path
