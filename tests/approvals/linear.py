"""Whether a history of concurrent operations on one approval could have happened one after another.

Wing and Gong's search: take any operation that could have been first, see whether its answer fits the state, go on.
What one approval may do is written here once more, in the plainest way. Must not contain tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operation:
    """What was asked, what was answered, and between which moments."""

    name: str
    answer: str
    began: int
    ended: int


def apply(state: str, name: str) -> tuple[str, str]:
    """The answer and the next state."""
    if name == "get":
        return state, state
    if name == "use":
        return ("used", "consumed") if state == "approved" else ("not used", state)
    allowed = {"approve": ("pending",), "deny": ("pending",), "withdraw": ("pending", "approved")}[name]
    if state not in allowed:
        return f"refused: {state}", state
    return "ok", {"approve": "approved", "deny": "denied", "withdraw": "cancelled"}[name]


def explains(history: Sequence[Operation], first: str = "pending") -> bool:
    """Whether some order of the operations, each at one moment within its time, gives these answers."""
    everything = (1 << len(history)) - 1
    seen: set[tuple[int, str]] = set()
    paths = [(0, first)]
    while paths:
        done, state = paths.pop()
        if done == everything:
            return True
        left = [(bit, each) for bit, each in enumerate(history) if not done >> bit & 1]
        earliest = min(each.ended for _, each in left)
        for bit, each in left:
            if each.began > earliest:
                continue
            answer, following = apply(state, each.name)
            step = (done | 1 << bit, following)
            if answer == each.answer and step not in seen:
                seen.add(step)
                paths.append(step)
    return False
