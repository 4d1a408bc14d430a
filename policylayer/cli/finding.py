"""What one check of `doctor` found. Must not know any check."""

from __future__ import annotations

from typing import Literal

from policylayer.core.immutable import immutable


@immutable
class Finding:
    """One check's outcome."""

    what: str
    state: Literal["ok", "doubtful", "bad"]
    message: str
    fix: str = ""
