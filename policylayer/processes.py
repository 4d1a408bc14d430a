"""Other processes, as this one sees them. Must not know what they do: who asks is in `store/` and `cli/stale.py`."""

from __future__ import annotations

import os
import platform
from typing import Final

NAMESPACE: Final = "/proc/self/ns/pid"
"""Which processes see each other's numbers: two containers may share a host's name and have one number both."""


def life_of(id: str) -> str:
    """The life of this process, under an id of its own: told to others, who see by it whether they can see us."""
    return f"{seen_from_here()} {id}"


def seen_from_here() -> str:
    """What begins the life of every process whose number means here what it means there."""
    try:
        return os.readlink(NAMESPACE)
    except OSError:
        return "-"


def ended(life: str, host: str, pid: int) -> bool:
    """Whether a process was among those that we see, and is not any more; one with our own number is an earlier one.

    False where that cannot be known: on another host, or in another container, whose host may have the same name.
    """
    if host != platform.node() or not life.startswith(f"{seen_from_here()} "):
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
