"""Other processes, as this one sees them. Must not know what they do: who asks is in `store/` and `cli/stale.py`."""

from __future__ import annotations

import os
import platform
from typing import Final

NAMESPACE: Final = "/proc/self/ns/pid"
"""Which processes see each other's numbers: two containers may share a host's name and have one number both."""


def seen_from_here() -> str:
    """What begins the life of every process whose number means here what it means there."""
    try:
        return os.readlink(NAMESPACE)
    except OSError:
        return "-"


def ended_here(host: str, pid: int) -> bool:
    """Whether a process was on this host and is not any more; one with our own number is an earlier container's."""
    if host != platform.node():
        return False
    if pid == os.getpid():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
