"""Pure: three-valued truth (strong Kleene): true, false, or a problem that says which fields are missing or unreadable.

Must not know what is being asked. Conditions fold these (`conditions`), rules act on them (`combine`); where arguments
are not there yet, sets of possible outcomes are folded instead (`outcomes`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from policylayer.core.immutable import immutable


@immutable
class Problem:
    """Why something is neither true nor false: fields that are missing, and fields of a wrong type or unreadable."""

    missing: frozenset[str] = frozenset()
    wrong: frozenset[str] = frozenset()

    def __add__(self, other: Problem) -> Problem:
        """Both problems together."""
        if self == other:
            return self
        return Problem(self.missing | other.missing, self.wrong | other.wrong)

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields that it names, in order."""
        return tuple(sorted(self.missing | self.wrong))


NO_PROBLEM: Final = Problem()

Truth: TypeAlias = bool | Problem


def missing(field: str) -> Problem:
    """The field is absent, null, or beyond a null."""
    return Problem(missing=frozenset((field,)))


def wrong(field: str) -> Problem:
    """The field is of another type than it is compared with, or cannot be read."""
    return Problem(wrong=frozenset((field,)))


def conjunction(truths: Iterable[Truth]) -> Truth:
    """False beats a problem, which beats true; nothing at all is true."""
    problem: Problem | None = None
    for truth in truths:
        if truth is False:
            return False
        if truth is not True:
            problem = truth if problem is None else problem + truth
    return True if problem is None else problem


def disjunction(truths: Iterable[Truth]) -> Truth:
    """True beats a problem, which beats false; nothing at all is false."""
    problem: Problem | None = None
    for truth in truths:
        if truth is True:
            return True
        if truth is not False:
            problem = truth if problem is None else problem + truth
    return False if problem is None else problem


def negation(truth: Truth) -> Truth:
    """True and false change places; a problem stays one."""
    return not truth if isinstance(truth, bool) else truth


def together(problems: Iterable[Problem]) -> Problem:
    """The sum of any number of problems."""
    return sum(problems, NO_PROBLEM)
