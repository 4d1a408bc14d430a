"""Pure: sets of outcomes that a condition may still have when its arguments are not there yet, as bits.

Lists ask with unknown arguments: a tool is shown unless a denial is certain or nothing could ever allow it (`listing`).
The folds are those of `truth`, outcome by outcome, and never leave out one that could occur. `MISSING` is a problem
of missing fields only, `WRONG` one with a field of a wrong type among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from policylayer.policy.truth import Truth

FALSE: Final = 1
TRUE: Final = 2
MISSING: Final = 4
WRONG: Final = 8
EITHER: Final = TRUE | FALSE
ANYTHING: Final = 15

_ALL = (FALSE, TRUE, MISSING, WRONG)


def of(truth: Truth) -> int:
    """The one outcome that is known."""
    if truth is True:
        return TRUE
    if truth is False:
        return FALSE
    return WRONG if truth.wrong else MISSING


def _and(left: int, right: int) -> int:
    if FALSE in (left, right):
        return FALSE
    return max(left, right)


def _or(left: int, right: int) -> int:
    return negation(_and(negation(left), negation(right)))


def negation(outcomes: int) -> int:
    """True and false change places."""
    return outcomes & ~3 | (outcomes & 1) << 1 | (outcomes & 2) >> 1


def _table(fold: object) -> tuple[tuple[int, ...], ...]:
    assert callable(fold)
    rows = []
    for left in range(16):
        row = []
        for right in range(16):
            pairs = [fold(a, b) for a in _ALL if left & a for b in _ALL if right & b]
            row.append(sum(set(pairs)))
        rows.append(tuple(row))
    return tuple(rows)


_AND: Final = _table(_and)
_OR: Final = _table(_or)


def conjunction(parts: Iterable[int]) -> int:
    """What all of them together may be."""
    outcomes = TRUE
    for part in parts:
        outcomes = _AND[outcomes][part]
    return outcomes


def disjunction(parts: Iterable[int]) -> int:
    """What any of them may be."""
    outcomes = FALSE
    for part in parts:
        outcomes = _OR[outcomes][part]
    return outcomes
