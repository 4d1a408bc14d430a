"""Pure: what a compiled condition is to those who ask it, and how several make one: all, any, not.

Must not know paths nor matchers: `conditions` compiles those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from policylayer.core.immutable import immutable
from policylayer.policy import ast, outcomes
from policylayer.policy.truth import Truth, disjunction, negation
from policylayer.policy.values import Context, text_of


@immutable
class Node:
    """One compiled condition."""

    truth: Callable[[Context], Truth]
    possible: Callable[[Context], int]
    unmet: Callable[[Context], tuple[str, ...]]
    reads: frozenset[ast.Path] = frozenset()


def every_part(parts: list[Node]) -> Node:
    """True if all are."""
    if len(parts) == 1:
        return parts[0]
    return Node(
        _all_true(tuple(part.truth for part in parts)),
        lambda ctx: outcomes.conjunction(part.possible(ctx) for part in parts),
        lambda ctx: tuple(dict.fromkeys(field for part in parts for field in part.unmet(ctx))),
        frozenset().union(*(part.reads for part in parts)),
    )


def _all_true(truths: tuple[Callable[[Context], Truth], ...]) -> Callable[[Context], Truth]:
    """The conjunction of truths; written out for two, which is most of what policies say."""

    def all_of(ctx: Context) -> Truth:
        problem = None
        for part in truths:
            answer = part(ctx)
            if answer is False:
                return False
            if answer is not True:
                problem = answer if problem is None else problem + answer
        return True if problem is None else problem

    if len(truths) != 2:
        return all_of
    first, second = truths

    def both(ctx: Context) -> Truth:
        left = first(ctx)
        if left is False:
            return False
        right = second(ctx)
        if left is True or right is False:
            return right
        return left if right is True else left + right

    return both


def any_part(parts: list[Node]) -> Node:
    """True if one is."""
    truths = tuple(part.truth for part in parts)
    return Node(
        lambda ctx: disjunction(part(ctx) for part in truths),
        lambda ctx: outcomes.disjunction(part.possible(ctx) for part in parts),
        lambda ctx: _unless_met(ctx, truths, parts),
        frozenset().union(*(part.reads for part in parts)),
    )


def _unless_met(ctx: Context, truths: Iterable[Callable[[Context], Truth]], parts: list[Node]) -> tuple[str, ...]:
    if any(truth(ctx) is True for truth in truths):
        return ()
    return tuple(dict.fromkeys(field for part in parts for field in part.unmet(ctx)))


def inverse(part: Node) -> Node:
    """True if its part is false."""
    names = tuple(sorted(map(text_of, part.reads)))
    return Node(
        lambda ctx: negation(part.truth(ctx)),
        lambda ctx: outcomes.negation(part.possible(ctx)),
        lambda ctx: () if part.truth(ctx) is False else names,
        part.reads,
    )
