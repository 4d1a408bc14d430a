"""How much a test does: the size for every run, or the release's with `POLICYLAYER_SOAK=1` (`make soak`)."""

from __future__ import annotations

import os


def sized(usual: int, soak: int) -> int:
    """`usual`, or `soak` where a soak was asked for."""
    return soak if os.environ.get("POLICYLAYER_SOAK") == "1" else usual
